"""The canonical model into a Messages request."""

from nexus.errors import Unrepresentable
from nexus.llm.canonical import AnyPart, ChatRequest, Extras, Json, Loss, Text, ToolResult, Turn
from nexus.llm.protocols import losses as loss_lists
from nexus.llm.protocols.anthropic import schema_tool
from nexus.llm.protocols.anthropic.block_writer import write_blocks
from nexus.llm.protocols.anthropic.settings import bound_form, write_settings
from nexus.llm.protocols.anthropic.tools import write_choice, write_tools
from nexus.llm.protocols.node import array_of, object_of

_Message = dict[str, Json]


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
    system: list[AnyPart] = []
    turns: list[Turn] = []
    for turn in request.turns:
        if turn.role not in ("system", "developer") or (
            request.protocol == "anthropic" and turn.path != "system"
        ):
            turns.append(turn)
            continue
        if turns:
            losses.append(Loss(f"{turn.path}.role", "instructions within a conversation move to its front"))
        system += turn.parts
    return system, turns


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
        role = "assistant" if turn.role == "assistant" else "user"
        blocks = write_blocks(turn.parts, losses, own=own)
        if not blocks and not own:
            continue  # the protocol refuses empty messages
        if last is not None and not own and _belong_together(last, turn):
            messages[-1]["content"] = [*array_of(messages[-1]["content"]), *blocks]
        else:
            message: _Message = {"role": turn.role if own else role, "content": blocks}
            messages.append({**message, **turn.extras} if own else message)
        last = turn
    for message in messages:
        message["content"] = _simplest(message["content"])
    return messages


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
