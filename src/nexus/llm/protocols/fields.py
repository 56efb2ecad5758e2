"""Top-level fields of a JSON object, read and replaced without touching what is nested in them.

`split` and `join` serve requests: two fields of one name become one, so the model we routed by is the model the upstream
sees. `replace` serves answers: every byte but the value stays where it is.
"""

import re
from collections.abc import Mapping, Sequence

import msgspec

from nexus.errors import InvalidRequest

Fields = dict[str, msgspec.Raw]

_decode = msgspec.json.Decoder(Fields).decode
_decode_text = msgspec.json.Decoder(str).decode
_check = msgspec.json.Decoder(msgspec.Raw).decode
encode = msgspec.json.Encoder().encode
_SPACE = b" \t\r\n"
_BETWEEN = b" \t\r\n,{"
_MODEL = ("model",)
_KEY = b'"model"'
_PLAIN = re.compile(
    rb'\s*\{(?:\s*"(?!model")[^"\\]*"\s*:\s*(?:"[^"\\]*"|[-+.\w]+)\s*,)*+\s*"model"\s*:\s*("[^"\\]*")'
)
"""A `model` with nothing but texts, numbers and words before it, as in nearly every answer: found at a quarter of the cost."""


def split(body: bytes) -> Fields:
    """Split a request body into its top-level fields, values verbatim, keys in order; of doubles the last stays.

    Raises:
        InvalidRequest: not a JSON object.
    """
    if not body:
        raise InvalidRequest("Failed to parse request body: it is empty, a JSON object is expected")
    try:
        return _decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidRequest(f"Failed to parse request body: {error or 'nested too deeply'}") from None


def join(fields: Mapping[str, msgspec.Raw]) -> bytes:
    """Write fields as one JSON object."""
    return encode(fields)


def text(fields: Mapping[str, msgspec.Raw], name: str) -> str:
    """Read a field that must be a string.

    Raises:
        InvalidRequest: missing, or of another type.
    """
    raw = fields.get(name)
    if raw is None:
        raise InvalidRequest(f"Failed to parse request body: missing field `{name}`")
    try:
        return _decode_text(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        raise InvalidRequest(f"Failed to parse request body: field `{name}` must be a string") from None


def flag(fields: Mapping[str, msgspec.Raw], name: str) -> bool:
    """Read a field that may be missing, null or a boolean.

    Raises:
        InvalidRequest: it is something else.
    """
    raw = fields.get(name)
    if raw is None:
        return False
    match bytes(raw):
        case b"true":
            return True
        case b"false" | b"null":
            return False
        case _:
            raise InvalidRequest(f"Failed to parse request body: field `{name}` must be true or false")


def replace(body: bytes, path: Sequence[str], value: bytes) -> bytes:
    """Put `value` (JSON) in place of the string at `path`; the body as it is where there is no string at that place.

    Raises:
        msgspec.DecodeError: the body is not JSON.
    """
    span = locate(body, path)
    return body if span is None else body[: span[0]] + value + body[span[1] :]


def locate(body: bytes, path: Sequence[str], offset: int = 0) -> tuple[int, int] | None:
    """Find the string at `path`: where its JSON text begins and ends, counted from `offset`.

    Raises:
        msgspec.DecodeError: the body is not JSON.
    """
    if path == _MODEL and (plain := _PLAIN.match(body)) and body.find(_KEY, plain.end()) < 0:
        _check(body)
        return offset + plain.start(1), offset + plain.end(1)
    try:
        fields = _decode(body)
    except msgspec.ValidationError:
        return None  # JSON, but no object
    raw = fields.get(path[0])
    if raw is None:
        return None
    value = bytes(raw)
    begin = _begin(body, fields, path[0], value)
    if begin is None:
        return None
    if len(path) > 1:
        return locate(value, path[1:], offset + begin)
    return (offset + begin, offset + begin + len(value)) if value[:1] == b'"' else None


def _begin(body: bytes, fields: Fields, name: str, value: bytes) -> int | None:
    """Find where the value of a field begins, by stepping over the values before it."""
    position = 0
    for key, raw in fields.items():
        start = body.find(b'"' + key.encode() + b'"', position)
        if start < 0 or body[position:start].strip(_BETWEEN):
            return None  # doubled or escaped names: leave such an answer alone
        begin = body.index(b":", start + len(key.encode()) + 2) + 1
        while body[begin] in _SPACE:
            begin += 1
        if key == name:
            return begin if body.startswith(value, begin) else None
        position = begin + memoryview(raw).nbytes
    return None
