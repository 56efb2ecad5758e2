"""Server-sent events as bytes: cut a stream into whole events, at whatever offsets its pieces come.

An event is everything up to and with the empty line that ends it; what is in it is for others to read.
https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream
"""

import re
from collections.abc import Iterator

_ENDS = (b"\n\n", b"\r\n\r\n", b"\r\r", b"\n\r\n", b"\r\n\n")
_OVERLAP = 3
_EVENT_END = re.compile(rb"(?:\r\n|\n|\r(?!\n))(?:\r\n|\n|\r(?!\n))")
_LINE = re.compile(rb"(data:[ ]?)([^\r\n]*)")


class Cutter:
    """Hold back the begun event of a stream. A machine for one stream; memory is bounded by `limit`."""

    __slots__ = ("_held", "_limit", "_recent", "_size")

    def __init__(self, limit: int = 64 * 1024 * 1024) -> None:
        self._held: list[bytes] = []
        self._recent = b""
        """The last bytes held: an ending may have begun in them."""
        self._size = 0
        self._limit = limit

    def feed(self, piece: bytes) -> bytes:
        """Take what arrived and give the events that are whole by now, `b""` when there is none.

        Raises:
            OverflowError: one event is larger than the limit.
        """
        held = self._held
        if not held and piece.endswith(b"\n\n"):
            return piece  # nearly always: the upstream writes whole events
        held.append(piece)
        self._size += len(piece)
        if self._size > self._limit:
            raise OverflowError(f"an event is larger than {self._limit} bytes")
        # an ending has at most four bytes: what was held before is not joined, nor looked at, again and again
        recent = self._recent + piece
        end = _last_end(recent)
        if not end:
            self._recent = recent[-_OVERLAP:]
            return b""
        data = b"".join(held)
        end += len(data) - len(recent)
        self._held = [data[end:]] if end < len(data) else []
        self._recent = data[end:][-_OVERLAP:]
        self._size = len(data) - end
        return data[:end]

    def rest(self) -> bytes:
        """Give what was begun and not ended."""
        data = b"".join(self._held)
        self._held, self._recent, self._size = [], b"", 0
        return data


def _last_end(data: bytes) -> int:
    if b"\r" not in data:
        return data.rfind(b"\n\n") + 2 if b"\n\n" in data else 0
    end = 0
    for ending in _ENDS:
        at = data.rfind(ending)
        if at >= 0:
            end = max(end, at + len(ending))
    if end == len(data) and data.endswith(b"\r") and not data.endswith(b"\r\r\r"):
        return _last_end(data[:-1])  # the line feed of this carriage return may be the next byte to come
    return end


def events(data: bytes) -> list[bytes]:
    """Split whole events, each with its ending; what follows the last ending is an item of its own."""
    found: list[bytes] = []
    position = 0
    for match in _EVENT_END.finditer(data):
        found.append(data[position : match.end()])
        position = match.end()
    if position < len(data):
        found.append(data[position:])
    return found


def payload(event: bytes) -> bytes:
    """Read the data of one event: the values of its `data` lines, joined by line feeds."""
    return b"\n".join(match[2] for match in _LINE.finditer(event) if _at_line_start(event, match.start()))


def payloads(data: bytes) -> Iterator[bytes]:
    """Read the data of each of some whole events; those without any are passed over."""
    if b"\r" in data:
        yield from filter(None, map(payload, events(data)))
        return
    for event in data.split(b"\n\n"):
        begin = event.find(b"data:")
        at_line = begin == 0 or (begin > 0 and event[begin - 1] == 10)
        plain = at_line and event.startswith(b" ", begin + 5) and event.find(b"\n", begin) < 0
        if found := event[begin + 6 :] if plain else payload(event):
            yield found


def with_payload(event: bytes, data: bytes) -> bytes:
    """Write other data of as many lines into an event; every other byte of it stays."""
    values = iter(data.split(b"\n"))

    def line(match: re.Match[bytes]) -> bytes:
        return match[1] + next(values) if _at_line_start(event, match.start()) else match[0]

    return _LINE.sub(line, event)


def _at_line_start(event: bytes, position: int) -> bool:
    return position == 0 or event[position - 1] in b"\r\n"
