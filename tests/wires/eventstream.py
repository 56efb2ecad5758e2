"""Writes AWS event streams, for tests of what reads them."""

import struct
import zlib
from collections.abc import Mapping

import msgspec

Value = bool | int | bytes | str


def message(payload: bytes, headers: Mapping[str, Value]) -> bytes:
    """Write one message; integers become 8 bytes long."""
    block = b"".join(_header(name, value) for name, value in headers.items())
    head = struct.pack(">II", len(block) + len(payload) + 16, len(block))
    body = head + struct.pack(">I", zlib.crc32(head)) + block + payload
    return body + struct.pack(">I", zlib.crc32(body))


def event(kind: str, content: object) -> bytes:
    """Write an event with JSON in it."""
    payload = content if isinstance(content, bytes) else msgspec.json.encode(content)
    return message(
        payload, {":event-type": kind, ":content-type": "application/json", ":message-type": "event"}
    )


def exception(kind: str, text: str) -> bytes:
    """Write what an AWS service says when it fails within a stream."""
    payload = msgspec.json.encode({"message": text})
    headers = {":exception-type": kind, ":content-type": "application/json", ":message-type": "exception"}
    return message(payload, headers)


def _header(name: str, value: Value) -> bytes:
    head = bytes([len(name)]) + name.encode()
    match value:
        case bool():
            return head + bytes([0 if value else 1])
        case int():
            return head + b"\x05" + struct.pack(">q", value)
        case bytes():
            return head + b"\x06" + struct.pack(">H", len(value)) + value
        case str():
            encoded = value.encode()
            return head + b"\x07" + struct.pack(">H", len(encoded)) + encoded
