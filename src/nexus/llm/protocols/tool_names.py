"""Names of tools that are too long for a provider: shortened on their way to it, restored on the way back."""

import hashlib
from collections.abc import Mapping, Sequence

import msgspec

from nexus.llm.canonical import AnyPart, AnyTool, ChatRequest, HostedTool, ToolCall, ToolChoice, Turn

_DIGITS = 8


def shorten(name: str, limit: int) -> str:
    """Cut a name to a limit, with a hash of the whole at its end: the same each time, and hardly ever another's."""
    if len(name) <= limit:
        return name
    return f"{name[: limit - _DIGITS - 1]}_{hashlib.sha256(name.encode()).hexdigest()[:_DIGITS]}"


def shorten_all(request: ChatRequest, limit: int) -> tuple[ChatRequest, Mapping[str, str]]:
    """Give a request whose tools have names within a limit, and what each changed one was called."""
    names = dict.fromkeys(tool.name for tool in request.tools if not isinstance(tool, HostedTool))
    for turn in request.turns:  # their tools may be gone
        names |= dict.fromkeys(part.name for part in turn.parts if isinstance(part, ToolCall))
    long = [name for name in names if len(name) > limit]
    if not long:
        return request, {}
    renamed = msgspec.structs.replace(
        request,
        tools=[_tool(tool, limit) for tool in request.tools],
        tool_choice=_choice(request.tool_choice, limit) if request.tool_choice is not None else None,
        turns=[_turn(turn, limit) for turn in request.turns],
    )
    return renamed, {shorten(name, limit): name for name in long}


def _tool(tool: AnyTool, limit: int) -> AnyTool:
    if isinstance(tool, HostedTool):
        return tool
    return msgspec.structs.replace(tool, name=shorten(tool.name, limit))


def _choice(choice: ToolChoice, limit: int) -> ToolChoice:
    allowed = tuple(shorten(name, limit) for name in choice.allowed)
    return ToolChoice(choice.mode, shorten(choice.name, limit), allowed)


def _turn(turn: Turn, limit: int) -> Turn:
    parts: Sequence[AnyPart] = [
        msgspec.structs.replace(part, name=shorten(part.name, limit)) if isinstance(part, ToolCall) else part
        for part in turn.parts
    ]
    return msgspec.structs.replace(turn, parts=parts)
