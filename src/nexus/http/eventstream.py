"""AWS event streams: binary messages with headers and checksums, cut out of a stream at whatever offsets its pieces come.

https://smithy.io/2.0/aws/amazon-eventstream.html
"""

import struct
import zlib
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from nexus.http.connection import Failed

Value = bool | int | bytes | str
"""Of a header. Timestamps are milliseconds, UUIDs 16 bytes."""
Headers = Mapping[str, Value]

_PRELUDE = struct.Struct(">III")
_CRC = struct.Struct(">I")
_LENGTH = struct.Struct(">H")
_FRAME = _PRELUDE.size + _CRC.size
_MAX_HEADERS = 128 * 1024
_KEPT = 64
"""Header blocks remembered: nearly all messages of a stream begin with one of a few."""


class Corrupt(Failed):
    """What arrived is no event stream, or not the one that was sent."""

    def __init__(self, detail: str) -> None:
        super().__init__(detail, received=True)


class Message(NamedTuple):
    """One message."""

    headers: Headers
    payload: bytes

    def text(self, name: str) -> str:
        """Give a header that is a string; empty where there is none."""
        value = self.headers.get(name)
        return value if isinstance(value, str) else ""


class Decoder:
    """Cuts messages out of one stream; memory is bounded by `limit`, the size of one message."""

    __slots__ = ("_begun", "_known", "_limit")

    def __init__(self, limit: int = 16 * 1024 * 1024) -> None:
        self._begun = bytearray()
        self._known: dict[bytes, Headers] = {}
        self._limit = limit

    def feed(self, piece: bytes) -> Sequence[Message]:
        """Take what arrived and give the messages that are whole by now.

        Raises:
            Corrupt: a checksum, a length or a header is wrong, or a message is larger than the limit.
        """
        begun = self._begun
        if begun:
            begun += piece
            if len(begun) < self._needed(begun):
                return ()  # a long message, still growing: do not copy it again and again
            piece = bytes(begun)
        found: list[Message] = []
        start = 0
        while len(piece) - start >= (needed := self._needed(piece, start)):
            found.append(self._read(piece, start, start + needed))
            start += needed
        begun[:] = piece[start:]
        return found

    def end(self) -> None:
        """Take the end of the stream.

        Raises:
            Corrupt: it came within a message.
        """
        if self._begun:
            raise Corrupt("the event stream ended within a message")

    def _needed(self, data: bytes | bytearray, start: int = 0) -> int:
        """Give the bytes of the message that begins here, as far as they are known."""
        if len(data) - start < _PRELUDE.size:
            return _PRELUDE.size
        total, headers, checksum = _PRELUDE.unpack_from(data, start)
        if zlib.crc32(data[start : start + 8]) != checksum:
            raise Corrupt("the checksum of a message's head is wrong")
        if total > self._limit:
            raise Corrupt(f"a message of the event stream is larger than {self._limit} bytes")
        if headers > _MAX_HEADERS or total < headers + _FRAME:
            raise Corrupt("the lengths in a message's head do not fit each other")
        return total

    def _read(self, data: bytes, start: int, end: int) -> Message:
        body = end - _CRC.size
        if zlib.crc32(memoryview(data)[start:body]) != _CRC.unpack_from(data, body)[0]:
            raise Corrupt("the checksum of a message is wrong")
        head = start + _PRELUDE.size
        split = head + int.from_bytes(data[start + 4 : start + 8])
        block = data[head:split]
        headers = self._known.get(block)
        if headers is None:
            headers = read_headers(block)
            if len(self._known) < _KEPT:
                self._known[block] = headers
        return Message(headers, data[split:body])


def read_headers(block: bytes) -> Headers:
    """Read the headers of a message.

    Raises:
        Corrupt: they are cut, or of an unknown type.
    """
    found: dict[str, Value] = {}
    at = 0
    try:
        while at < len(block):
            name = block[at + 1 : at + 1 + block[at]].decode()
            at += 1 + block[at]
            found[name], at = _READERS[block[at]](block, at + 1)
    except (IndexError, KeyError, struct.error, UnicodeDecodeError):
        raise Corrupt("a header of a message cannot be read") from None
    if at != len(block):
        raise Corrupt("a header of a message is cut")
    return found


_Reader = Callable[[bytes, int], tuple[Value, int]]


def _constant(value: bool) -> _Reader:
    return lambda block, at: (value, at)


def _number(layout: str) -> _Reader:
    form = struct.Struct(layout)
    return lambda block, at: (form.unpack_from(block, at)[0], at + form.size)


def _bytes(block: bytes, at: int) -> tuple[bytes, int]:
    end = at + 2 + _LENGTH.unpack_from(block, at)[0]
    return block[at + 2 : end], end


def _text(block: bytes, at: int) -> tuple[str, int]:
    value, end = _bytes(block, at)
    return value.decode(), end


_READERS: dict[int, _Reader] = {
    0: _constant(True),
    1: _constant(False),
    2: _number(">b"),
    3: _number(">h"),
    4: _number(">i"),
    5: _number(">q"),
    6: _bytes,
    7: _text,
    8: _number(">q"),
    9: lambda block, at: (block[at : at + 16], at + 16),
}
