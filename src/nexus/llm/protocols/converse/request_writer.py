"""The canonical model into a Converse request."""

from nexus.errors import Unrepresentable
from nexus.llm.canonical import AnyPart, ChatRequest, Json, Loss, Refusal, Text, Turn
from nexus.llm.protocols import losses
from nexus.llm.protocols.converse.block_writer import write_blocks
from nexus.llm.protocols.converse.draft import Draft, Message
from nexus.llm.protocols.converse.settings import write_settings
from nexus.llm.protocols.converse.tools import write_tools
from nexus.llm.protocols.node import object_of


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
    for turn in draft.request.turns:
        if turn.role not in ("system", "developer"):
            turns.append(turn)
        elif not turns:
            system += turn.parts
        else:
            # moved to the front it would speak of what has not happened yet, and make all caches void
            draft.lose(f"{turn.path}.role", "instructions within a conversation are told as the user's")
            turns.append(Turn("user", turn.parts, turn.path, turn.extras))
    return system, turns


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
    for turn in turns:
        role = "assistant" if turn.role == "assistant" else "user"
        blocks = write_blocks(turn.parts, draft)
        if blocks and messages and messages[-1].role == role:
            messages[-1].content += blocks
        elif blocks:
            messages.append(Message(role, blocks))


def _merge(draft: Draft) -> None:
    """Add what only this protocol knows, objects to those that are there."""
    for name, value in draft.request.extras.items():
        known, more = object_of(draft.body.get(name)), object_of(value)
        draft.body[name] = value if known is None or more is None else {**known, **more}
