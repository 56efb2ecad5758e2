"""The canonical model into a Messages request."""

from nexus.errors import Unrepresentable
from nexus.llm.canonical import AnyPart, ChatRequest, Extras, Json, Loss, Text, ToolResult, Turn
from nexus.llm.protocols import losses as loss_lists
from nexus.llm.protocols.anthropic import generations, schema_tool
from nexus.llm.protocols.anthropic.block_writer import write_blocks
from nexus.llm.protocols.anthropic.settings import bound_form, write_settings
from nexus.llm.protocols.anthropic.tools import write_choice, write_tools
from nexus.llm.protocols.node import array_of, object_of

_Message = dict[str, Json]
_SYSTEM = ("system", "developer")


def write_request(request: ChatRequest) -> tuple[dict[str, Json], list[Loss]]:
    """Write a request and tell what could not be.

    Raises:
        Unrepresentable: it has content the protocol has no words for.
    """
    losses: list[Loss] = []
    own = request.protocol == "anthropic"
    body: dict[str, Json] = {"model": request.model}
    system, turns = _split(request, losses)
    write_settings(request, body, losses)
    if written := _write_system(system, own=own):
        body["system"] = written
    body["messages"] = _write_messages(turns, request, losses)
    if tools := write_tools(request, losses, bound_form(request)):
        body["tools"] = tools
        if (choice := write_choice(request, losses)) is not None:
            body["tool_choice"] = choice
    if schema_tool.is_needed(request):
        schema_tool.add(request, body, losses)
    if own:
        _merge(body, request.extras)
    else:
        losses += loss_lists.foreign_fields(request)
    return body, losses


def _merge(body: dict[str, Json], extras: Extras) -> None:
    for name, value in extras.items():
        known, more = object_of(body.get(name)), object_of(value)
        body[name] = {**known, **more} if known is not None and more is not None else value


def _split(request: ChatRequest, losses: list[Loss]) -> tuple[list[AnyPart], list[Turn]]:
    """Part the system prompt from the conversation."""
    if request.protocol == "anthropic":
        system = [part for turn in request.turns if turn.path == "system" for part in turn.parts]
        return system, [turn for turn in request.turns if turn.path != "system"]
    given = list(request.turns)
    if given and all(turn.role in _SYSTEM for turn in given):  # there has to be a message
        losses.append(Loss(f"{given[-1].path}.role", "instructions alone are told as the user's"))
        given[-1] = Turn("user", given[-1].parts, given[-1].path)
    system: list[AnyPart] = []
    turns: list[Turn] = []
    late: list[Turn] = []
    """Instructions that wait for the user to have said all."""
    for turn in given:
        if turn.role not in _SYSTEM:
            if turn.role == "assistant":
                turns += late
                late = []
            elif late:
                losses += [Loss(one.path, "instructions stand after what the user says") for one in late]
            turns.append(turn)
        elif not turns:
            system += turn.parts
        elif generations.heeds_late_instructions(request.model) and _may_follow(turn, turns, given):
            late.append(turn)
        else:
            losses.append(Loss(f"{turn.path}.role", "instructions within a conversation move to its front"))
            system += turn.parts
    return system, [*turns, *late]


def _may_follow(turn: Turn, before: list[Turn], all_turns: list[Turn]) -> bool:
    """Tell whether instructions stand, or can stand, right after what the user says."""
    after = (one for one in all_turns[all_turns.index(turn) + 1 :] if one.role not in _SYSTEM)
    following = next(after, None)
    return before[-1].role == "user" or (following is not None and following.role == "user")


def _write_system(parts: list[AnyPart], *, own: bool) -> Json:
    for part in parts:
        if not isinstance(part, Text):
            raise Unrepresentable(part.path, "a system prompt of the Anthropic protocol holds text only")
    if len(parts) == 1 and isinstance(parts[0], Text) and parts[0].cache is None:
        return parts[0].text
    return write_blocks(parts, [], own=own)


def _write_messages(turns: list[Turn], request: ChatRequest, losses: list[Loss]) -> list[_Message]:
    own = request.protocol == "anthropic"
    messages: list[_Message] = []
    last: Turn | None = None
    for turn in turns:
        blocks = write_blocks(turn.parts, losses, own=own)
        if not blocks and not own:
            continue  # the protocol refuses empty messages
        if last is not None and not own and _belong_together(last, turn):
            messages[-1]["content"] = [*array_of(messages[-1]["content"]), *blocks]
        else:
            message: _Message = {"role": "system" if turn.role in _SYSTEM else turn.role, "content": blocks}
            messages.append({**message, **turn.extras} if own else message)
        last = turn
    if not own and messages and messages[-1]["role"] == "assistant":
        assert last is not None
        _end(messages, last, request.model, losses)
    for message in messages:
        message["content"] = _simplest(message["content"])
    return messages


def _end(messages: list[_Message], last: Turn, model: str, losses: list[Loss]) -> None:
    """Fit a conversation whose last word is the assistant's: the newer models refuse to go on with it.

    https://platform.claude.com/docs/en/about-claude/models/migration-guide
    """
    if not generations.goes_on(model):
        losses.append(Loss(last.path, "the model answers the user only, who asks it to continue"))
        messages.append({"role": "user", "content": [{"type": "text", "text": "Continue."}]})
        return
    blocks = array_of(messages[-1]["content"])
    block = object_of(blocks[-1]) or {}
    if block.get("type") == "text":  # may not end with spaces
        messages[-1]["content"] = [*blocks[:-1], {**block, "text": str(block["text"]).rstrip()}]


def _belong_together(before: Turn, turn: Turn) -> bool:
    """Tell whether results of parallel calls came as messages of their own; here they have to be in one."""
    return _holds_results(before) and _holds_results(turn)


def _holds_results(turn: Turn) -> bool:
    return turn.role == "user" and bool(turn.parts) and isinstance(turn.parts[0], ToolResult)


def _simplest(blocks: Json) -> Json:
    """Write a single plain text as a string."""
    if len(array_of(blocks)) != 1:
        return blocks
    only = object_of(array_of(blocks)[0]) or {}
    return only["text"] if only.keys() == {"type", "text"} else blocks
