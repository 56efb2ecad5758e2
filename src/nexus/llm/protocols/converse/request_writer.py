"""The canonical model into a Converse request."""

from collections.abc import Sequence

from nexus.errors import Unrepresentable
from nexus.llm.canonical import AnyPart, ChatRequest, Json, Loss, Refusal, Text, Turn
from nexus.llm.protocols import losses
from nexus.llm.protocols.converse import families
from nexus.llm.protocols.converse.block_writer import write_blocks
from nexus.llm.protocols.converse.draft import Block, Draft, Message
from nexus.llm.protocols.converse.settings import write_settings
from nexus.llm.protocols.converse.tools import write_tools
from nexus.llm.protocols.node import object_of

_SYSTEM = ("system", "developer")
_NOTHING_SAID = "."


def write_request(request: ChatRequest, base: str) -> tuple[dict[str, Json], list[Loss]]:
    """Write a request for the model `base`, and tell what could not be.

    Raises:
        Unrepresentable: it has content Bedrock has no words for.
    """
    draft = Draft(request, base)
    system, turns = _split(draft)
    if system:
        draft.body["system"] = _write_system(system, draft)
    _write_messages(turns, draft)
    draft.body["messages"] = draft.messages
    write_settings(draft)
    write_tools(draft)
    if draft.fields:
        draft.body["additionalModelRequestFields"] = draft.fields
    if draft.own:
        _merge(draft)
    else:
        draft.losses += losses.foreign_fields(request)
    return draft.body, draft.losses


def _split(draft: Draft) -> tuple[list[AnyPart], list[Turn]]:
    """Part the system prompt from the conversation."""
    system: list[AnyPart] = []
    turns: list[Turn] = []
    given = list(draft.request.turns)
    if not draft.own and _only_instructs(given):  # there has to be a message
        draft.lose(f"{given[-1].path}.role", "instructions alone are told as the user's")
        given[-1] = Turn("user", given[-1].parts, given[-1].path)
    for turn in given:
        if turn.role not in _SYSTEM:
            turns.append(turn)
        elif not turns:
            system += turn.parts
        else:
            # moved to the front it would speak of what has not happened yet, and make all caches void
            draft.lose(f"{turn.path}.role", "instructions within a conversation are told as the user's")
            turns.append(Turn("user", turn.parts, turn.path, turn.extras))
    return system, turns


def _only_instructs(turns: Sequence[Turn]) -> bool:
    return bool(turns) and all(
        turn.role in _SYSTEM and all(isinstance(part, Text) for part in turn.parts) for turn in turns
    )


def _write_system(parts: list[AnyPart], draft: Draft) -> Json:
    for part in parts:
        if not isinstance(part, Text | Refusal) and not (
            draft.own and getattr(part, "protocol", "") == "converse"
        ):
            raise Unrepresentable(part.path, "a system prompt of the Converse API holds text only")
    return write_blocks(parts, draft)


def _write_messages(turns: list[Turn], draft: Draft) -> None:
    """Write turns; several of one role become one message, empty ones none."""
    messages = draft.messages
    last: Turn | None = None
    for turn in turns:
        role = "assistant" if turn.role == "assistant" else "user"
        blocks = write_blocks(turn.parts, draft)
        last = turn if blocks else last
        if blocks and messages and messages[-1].role == role:
            messages[-1].content += blocks
        elif blocks:
            if (
                not messages
                and role == "assistant"
                and not draft.own
                and all("text" in one for one in blocks)
            ):
                # https://docs.aws.amazon.com/bedrock/latest/userguide/conversation-inference-call.html
                draft.lose(turn.path, "a conversation begins with the user, who says nothing but a dot")
                messages.append(Message("user", [{"text": _NOTHING_SAID}]))
            messages.append(Message(role, blocks))
    for message in messages:
        _name_documents(message.content)
    _end_with_user(last, draft)


def _name_documents(content: list[Block]) -> None:
    """Put the name of a document beside it where nothing is said of it: Bedrock refuses one without any text.

    https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Message.html
    """
    documents = [found for block in content if (found := object_of(block.get("document")))]
    if documents and not any("text" in block for block in content):
        content.append({"text": str(documents[0]["name"])})


def _end_with_user(last: Turn | None, draft: Draft) -> None:
    """Fit a conversation with a Claude model whose last word is the assistant's."""
    messages = draft.messages
    if draft.own or last is None or messages[-1].role == "user" or not families.is_claude(draft.base):
        return
    if not families.goes_on(draft.base):
        draft.lose(last.path, "the model answers the user only, who asks it to continue")
        messages.append(Message("user", [{"text": "Continue."}]))
        return
    text = messages[-1].content[-1].get("text")
    if isinstance(text, str):  # may not end with spaces
        messages[-1].content[-1] = {"text": text.rstrip()}


def _merge(draft: Draft) -> None:
    """Add what only this protocol knows, objects to those that are there."""
    for name, value in draft.request.extras.items():
        known, more = object_of(draft.body.get(name)), object_of(value)
        draft.body[name] = value if known is None or more is None else {**known, **more}
