"""Reads the JSON object a model was asked for out of whatever it wrote. Nothing is guessed: no object, no answer."""

from typing import Any, TypeVar

import msgspec

from nexus_agents.errors import AdapterError, Kind

T = TypeVar("T")
_FENCE = "```"


def object_in(text: str) -> dict[str, Any]:
    """Find the object: in a json fence, else in a fence that begins with a brace, else the first balanced one.

    Raises:
        ValueError: there is none.
    """
    for start in _starts(text):
        end = _end(text, start)
        if end is None:
            continue
        try:
            found = msgspec.json.decode(text[start:end].encode())
        except msgspec.DecodeError:
            continue
        if isinstance(found, dict):
            return found  # pyright: ignore[reportUnknownVariableType]  # JSON objects have text keys
    raise ValueError("no JSON object")


def read(text: str, type_: type[T], what: str) -> T:
    """Read an answer of a type.

    Raises:
        AdapterError: of kind GARBAGE, saying what is wrong but not quoting the answer.
    """
    try:
        return msgspec.convert(object_in(text), type_, strict=True)
    except (ValueError, msgspec.ValidationError) as error:
        raise AdapterError(Kind.GARBAGE, f"The model did not answer with {what}: {error}.") from error


def _starts(text: str) -> list[int]:
    """List where an object may begin, the likeliest first."""
    fenced_json, fenced = list[int](), list[int]()
    at = text.find(_FENCE)
    while at >= 0:
        body = at + len(_FENCE)
        line_end = text.find("\n", body)
        brace = text.find("{", body)
        tag = text[body : line_end if line_end >= 0 else len(text)].strip().lower()
        if brace >= 0 and not text[body if tag.startswith("{") else line_end + 1 : brace].strip():
            (fenced_json if tag == "json" else fenced).append(brace)
        at = text.find(_FENCE, body)
    first = text.find("{")
    plain = list[int]()
    while first >= 0 and len(plain) < 20:
        plain.append(first)
        first = text.find("{", first + 1)
    return list(dict.fromkeys(fenced_json + fenced + plain))


def _end(text: str, start: int) -> int | None:
    """Find the end of the object that begins at `start`, minding strings."""
    depth, quoted, escaped = 0, False, False
    for at in range(start, len(text)):
        char = text[at]
        if quoted:
            if escaped:
                escaped = False
            elif char == "\\":
                escaped = True
            elif char == '"':
                quoted = False
        elif char == '"':
            quoted = True
        elif char == "{":
            depth += 1
        elif char == "}":
            depth -= 1
            if depth == 0:
                return at + 1
    return None
