"""The binary streams of Bedrock as server-sent events: everything above this knows only those.

https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_InvokeModelWithResponseStream.html
"""

from collections.abc import Callable

import msgspec

from nexus.errors import Headers
from nexus.http.connection import TooLarge
from nexus.http.eventstream import Corrupt, Decoder, Message
from nexus.llm.protocols.fields import encode
from nexus.llm.providers.base import Answer

EVENT_STREAM = b"application/vnd.amazon.eventstream"
_STATUSES = {403: 401, 408: 504, 424: 502}
"""What Bedrock means by its statuses: a key that is refused, a model that timed out, a model that failed."""
_ERRORS = {
    "throttlingException": "rate_limit_error",
    "validationException": "invalid_request_error",
    "serviceUnavailableException": "overloaded_error",
    "modelTimeoutException": "timeout_error",
}

Write = Callable[[Message], bytes]


class _Chunk(msgspec.Struct):
    event: bytes | None = msgspec.field(name="bytes", default=None)


class _Typed(msgspec.Struct):
    type: str


class _Failure(msgspec.Struct):
    message: str = "Bedrock failed"


_decode_chunk = msgspec.json.Decoder(_Chunk).decode
_decode_type = msgspec.json.Decoder(_Typed).decode
_decode_failure = msgspec.json.Decoder(_Failure).decode


class Told:
    """An answer of Bedrock with a status that everybody knows, and further headers."""

    def __init__(self, inner: Answer, headers: Headers = ()) -> None:
        self.heartbeat = 0.0
        self._inner = inner
        self._headers: Headers = [*inner.headers, *headers]

    @property
    def status(self) -> int:
        """The HTTP status."""
        return _STATUSES.get(self._inner.status, self._inner.status)

    @property
    def headers(self) -> Headers:
        """The response headers."""
        return self._headers

    def header(self, name: bytes) -> bytes | None:
        """Give the first value of a header."""
        return next((value for key, value in self._headers if key == name), None)

    async def next(self) -> bytes | None:
        """Give what has arrived, `b""` at the end, `None` for a silence."""
        self._inner.heartbeat = self.heartbeat
        return await self._inner.next()

    async def read(self, limit: int) -> bytes:
        """Read the whole body."""
        return await self._inner.read(limit)

    def close(self) -> None:
        """Break the answer off."""
        self._inner.close()


class Streamed(Told):
    """A binary stream, told as server-sent events."""

    def __init__(self, inner: Answer, write: Write, headers: Headers = ()) -> None:
        super().__init__(inner, headers)
        self._headers = [
            (name, b"text/event-stream" if name == b"content-type" else value)
            for name, value in self._headers
            if name != b"content-length"
        ]
        self._decoder = Decoder()
        self._write = write

    async def next(self) -> bytes | None:
        """Give whole events.

        Raises:
            Corrupt: the stream is not what its checksums say, or ended within a message.
        """
        while piece := await super().next():
            if events := b"".join(map(self._write, self._decoder.feed(piece))):
                return events
        if piece == b"":
            self._decoder.end()
        return piece

    async def read(self, limit: int) -> bytes:
        """Read all events."""
        pieces: list[bytes] = []
        size = 0
        while (piece := await self.next()) != b"":
            pieces.append(piece or b"")
            size += len(pieces[-1])
            if size > limit:
                self.close()
                raise TooLarge(f"more than {limit} bytes", received=True)
        return b"".join(pieces)


def write_converse(message: Message) -> bytes:
    """Write a message as an object of one key, its kind; failures too."""
    kind = message.text(":event-type") or message.text(":exception-type")
    payload = message.payload
    if not kind:  # an error the service has no shape for is told in headers alone
        kind = message.text(":error-code") or "error"
        payload = encode({"message": message.text(":error-message")})
    if b"\n" in payload or b"\r" in payload:
        payload = msgspec.json.format(payload, indent=-1)
    return b'data: {"' + kind.encode() + b'":' + payload + b"}\n\n"


def write_anthropic(message: Message) -> bytes:
    """Write what is in a chunk as the event of the Anthropic API that it is, its bytes kept.

    Raises:
        Corrupt: there is no such event in it.
    """
    if message.text(":event-type") != "chunk":
        return _write_failure(message)
    try:
        held = _decode_chunk(message.payload).event
        event = message.payload if held is None else held  # stand-ins for Bedrock send it bare
        kind = _decode_type(event).type
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise Corrupt("a chunk of the stream holds no event") from None
    if b"\n" in event or b"\r" in event:
        event = msgspec.json.format(event, indent=-1)
    return b"event: " + kind.encode() + b"\ndata: " + event + b"\n\n"


def _write_failure(message: Message) -> bytes:
    kind, text = message.text(":exception-type"), message.text(":error-message")
    if not kind and not text:
        return b""  # an event invented since
    if kind:
        try:
            text = _decode_failure(message.payload).message
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            text = "Bedrock failed"
    error = {"type": "error", "error": {"type": _ERRORS.get(kind, "api_error"), "message": text}}
    return b"event: error\ndata: " + encode(error) + b"\n\n"
