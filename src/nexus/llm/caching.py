"""Marks for a vendor's prompt cache, for clients whose protocol has no words for them: OpenAI caches without being asked.

https://platform.claude.com/docs/en/build-with-claude/prompt-caching
"""

from collections.abc import Sequence

import msgspec

from nexus.llm.canonical import AnyPart, Cache, ChatRequest, Media, Text, ToolResult, Turn

_MARK = Cache()
_SYSTEM = ("system", "developer")
_REMEMBERED = 2
"""Turns of the user that are marked: the last is written into the cache, the one before is where it is read up to."""


def mark(request: ChatRequest) -> None:
    """Mark the instructions and the latest turns of the user, unless the client marked anything itself.

    Vendors take four marks at most; this makes three.
    """
    if _is_marked(request):
        return
    turns = list(request.turns)
    instructions = [at for at, turn in enumerate(turns) if turn.role in _SYSTEM]
    asked = [at for at, turn in enumerate(turns) if turn.role == "user" and _is_answered_or_last(turns, at)]
    for at in (*instructions[-1:], *asked[-_REMEMBERED:]):
        turns[at] = _marked(turns[at])
    request.turns = turns


def _is_answered_or_last(turns: Sequence[Turn], at: int) -> bool:
    """Tell whether a turn ends a message: results of parallel calls may be turns of their own and become one."""
    return at + 1 == len(turns) or turns[at + 1].role == "assistant"


def _is_marked(request: ChatRequest) -> bool:
    return any(tool.cache is not None for tool in request.tools) or any(
        _is_part_marked(part) for turn in request.turns for part in turn.parts
    )


def _is_part_marked(part: AnyPart) -> bool:
    if part.cache is not None:
        return True
    return isinstance(part, ToolResult) and any(one.cache is not None for one in part.content)


def _marked(turn: Turn) -> Turn:
    """Mark the last part that can be; an empty text cannot."""
    for at in reversed(range(len(turn.parts))):
        part = turn.parts[at]
        if isinstance(part, Media | ToolResult) or (isinstance(part, Text) and part.text):
            marked = msgspec.structs.replace(part, cache=_MARK)
            return msgspec.structs.replace(turn, parts=_replaced(turn.parts, at, marked))
    return turn


def _replaced(parts: Sequence[AnyPart], at: int, part: AnyPart) -> Sequence[AnyPart]:
    return [*parts[:at], part, *parts[at + 1 :]]
