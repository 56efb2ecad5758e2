"""What a request has that its target has no words for."""

import re
from collections.abc import Iterator, Sequence

from nexus.llm.canonical import AnyPart, ChatRequest, Extras, Loss, ToolResult

DROPPED = b"x-nexus-dropped"
_INDEX = re.compile(r"\.\d+(?=\.|$)")
_MAX_HEADER = 4096


def foreign_fields(request: ChatRequest) -> Iterator[Loss]:
    """List every field that only the client's protocol knows, wherever it stands.

    For wires of another protocol, which write none of them.
    """
    why = f"only the {request.protocol} protocol has it"
    yield from _of("", request.extras, why)
    for tool in request.tools:
        yield from _of(tool.path, tool.extras, why)
    for turn in request.turns:
        yield from _of(turn.path, turn.extras, why)
        yield from _of_parts(turn.parts, why)


def cache_marks(request: ChatRequest, why: str) -> Iterator[Loss]:
    """List every cache mark, for wires that cannot set one."""
    for tool in request.tools:
        if tool.cache is not None:
            yield Loss(f"{tool.path}.cache_control", why)
    for turn in request.turns:
        yield from _marks_of(turn.parts, why)


def _marks_of(parts: Sequence[AnyPart], why: str) -> Iterator[Loss]:
    for part in parts:
        if part.cache is not None:
            yield Loss(f"{part.path}.cache_control", why)
        if isinstance(part, ToolResult):
            yield from _marks_of(part.content, why)


def headers(losses: Sequence[Loss]) -> list[tuple[bytes, bytes]]:
    """Write losses as a header, if there are any: paths, the numbers in them left out, each once."""
    if not losses:
        return []
    seen = dict.fromkeys(_INDEX.sub("[]", loss.path) for loss in losses)
    written = ", ".join(
        name.encode("ascii", "backslashreplace").decode() for name in seen if name.isprintable()
    )
    return [(DROPPED, written[:_MAX_HEADER].encode())]


def _of(path: str, extras: Extras, why: str) -> Iterator[Loss]:
    for name in extras:
        yield Loss(f"{path}.{name}" if path else name, why)


def _of_parts(parts: Sequence[AnyPart], why: str) -> Iterator[Loss]:
    for part in parts:
        yield from _of(part.path, part.extras, why)
        if isinstance(part, ToolResult):
            yield from _of_parts(part.content, why)
