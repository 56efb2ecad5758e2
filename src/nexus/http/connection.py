"""One exchange on one upstream connection: what is received, when it is whole, and every way in which it can break.

Time-outs are to the first byte of the answer and between two reads; the pool looks at them. There is none on the whole.
"""

import asyncio
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, cast

import httptools

HIGH_WATER = 256 * 1024
"""Bytes received and not yet taken by the consumer at which reading pauses."""
MAX_HEAD = 64 * 1024
"""Bytes of status line and headers an upstream may send; also of what it may put between two pieces of a body."""


class Failed(Exception):
    """The exchange with the upstream broke. `str()` is safe to show: host and cause, never a header."""

    def __init__(self, detail: str, *, received: bool = False) -> None:
        super().__init__(detail)
        self.received = received
        """Whether any byte of the answer had arrived."""


class TimedOut(Failed):
    """One of the three time-outs passed."""


class Truncated(Failed):
    """The answer ended before its own framing said so."""


class TooLarge(Failed):
    """The answer, or its head, is larger than we hold in memory."""


class Stale(Failed):
    """A kept connection was closed by the peer as we wrote to it: nothing was received, another one may be tried."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Seconds to wait and connections to hold."""

    connect: float = 10.0
    first_byte: float = 600.0
    idle: float = 300.0
    max_connections: int = 512
    keep: float = 60.0
    """Seconds an unused connection is kept."""

    @property
    def tick(self) -> float:
        """How often deadlines are looked at: one timer for the pool is cheaper than one for each read."""
        return min(1.0, max(0.02, min(self.first_byte, self.idle, self.keep) / 8))


class Owner(Protocol):
    """What a connection needs of the pool it belongs to."""

    limits: Limits

    def release(self, connection: "Connection", now: float) -> None:
        """Take back a connection whose exchange is complete."""
        ...

    def forget(self, connection: "Connection") -> None:
        """Drop a connection that is closed."""
        ...


class Response:
    """One answer. The reader must take it to its end with `next` or `read`, or `close` it."""

    __slots__ = (
        "_connection",
        "_error",
        "_heard",
        "_loop",
        "_parts",
        "_size",
        "_waiter",
        "complete",
        "headers",
        "heartbeat",
        "status",
    )

    def __init__(self, connection: "Connection", loop: asyncio.AbstractEventLoop) -> None:
        self.status = 0
        self.headers: list[tuple[bytes, bytes]] = []
        self.complete = False
        self.heartbeat = 0.0
        """Seconds of silence after which `next` gives `None`; 0 for never."""
        self._connection = connection
        self._loop = loop
        self._parts: list[bytes] = []
        self._size = 0
        self._error: Failed | None = None
        self._waiter: asyncio.Future[bool] | None = None
        self._heard = 0.0

    def header(self, name: bytes) -> bytes | None:
        """Give the first value of a header; `name` in lower case."""
        for key, value in self.headers:
            if key == name:
                return value
        return None

    async def next(self) -> bytes | None:
        """Wait for more of the body: all that has arrived, `b""` at its end, `None` for a heartbeat of silence.

        Raises:
            Truncated: the upstream went away in the middle.
            TimedOut: it was silent for too long.
        """
        while True:
            if self._parts:
                return self._take()
            if self._error is not None:
                raise self._error
            if self.complete:
                return b""
            if await self._wait() and not self._parts:
                return None

    async def read(self, limit: int) -> bytes:
        """Read the whole body, at most `limit` bytes. Who breaks off here need not `close`.

        Raises:
            TooLarge: there is more.
        """
        parts: list[bytes] = []
        size = 0
        try:
            while (data := await self.next()) != b"":
                if data is None:  # a heartbeat is no end
                    continue
                parts.append(data)
                size += len(data)
                if size > limit:
                    raise TooLarge(f"the answer is larger than {limit} bytes", received=True)
        except BaseException:
            self.close()
            raise
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def close(self) -> None:
        """Give up what has not been read; closes the connection if the answer is not complete."""
        if not self.complete and self._error is None:
            self._connection.abort()

    async def head(self) -> None:
        """Wait until status and headers are there."""
        while not self.status:
            if self._error is not None:
                raise self._error
            await self._wait()

    def feed(self, body: bytes) -> None:
        """Take a piece of the body from the connection."""
        self._parts.append(body)
        self._size += len(body)
        if self._size > HIGH_WATER:
            self._connection.pause()

    def wake(self, now: float, *, silent: bool = False) -> None:
        """Tell the reader that something changed, or that nothing did for a heartbeat."""
        self._heard = now
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(silent)

    def fail(self, error: Failed) -> None:
        """End the answer with an error; what was received before it is still given out."""
        self._error = error
        self.wake(self._heard)

    def beat(self, now: float) -> None:
        """Let a reader that waits in silence come up for air."""
        if self.heartbeat and now - self._heard >= self.heartbeat:
            self.wake(now, silent=True)

    def _take(self) -> bytes:
        parts = self._parts
        data = parts[0] if len(parts) == 1 else b"".join(parts)
        parts.clear()
        self._size = 0
        if not self.complete:  # else the connection may serve another exchange by now
            self._connection.resume()
        return data

    async def _wait(self) -> bool:
        self._waiter = self._loop.create_future()
        try:
            return await self._waiter
        finally:
            self._waiter = None


class Connection(asyncio.Protocol):
    """One socket. Carries one exchange at a time and goes back to its pool when the answer is complete."""

    __slots__ = (
        "_bare",
        "_deadline",
        "_ended",
        "_loop",
        "_parser",
        "_paused",
        "_pool",
        "_response",
        "_reusable",
        "_transport",
        "_used",
        "closed",
    )

    def __init__(self, pool: Owner, loop: asyncio.AbstractEventLoop) -> None:
        self._pool = pool
        self._loop = loop
        self._parser = httptools.HttpResponseParser(self)
        self._transport: asyncio.Transport | None = None
        self._response: Response | None = None
        self._paused = False
        self._bare = 0  # bytes of the answer since its head or the last piece of its body
        self._ended = False  # the peer said that it is done; under TLS a cut connection is not that
        self._reusable = False
        self._used = False
        self._deadline = 0.0
        self.closed = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's are not subclasses of it
        if self.closed:  # the peer talked already, inside the TLS handshake
            self._transport.abort()

    async def exchange(self, message: bytes) -> Response:
        """Write a whole request and wait for the head of its answer."""
        response = Response(self, self._loop)
        if self.closed or self._transport is None:
            raise Stale("the upstream closed the connection")
        self._response = response
        self._bare = 0
        self._deadline = self._loop.time() + self._pool.limits.first_byte
        self._transport.write(message)
        try:
            await response.head()
        except BaseException:
            response.close()
            raise
        return response

    def data_received(self, data: bytes) -> None:
        response = self._response
        if response is None:  # an answer nobody asked for: the peer and we disagree where messages end
            self.abort()
            return
        self._bare += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self.abort(Failed("the upstream sent a malformed HTTP response", received=True))
        now = self._loop.time()
        if response.complete:
            response.wake(now)
            self._rest(now)
        elif self._bare > MAX_HEAD:
            self.abort(_too_large())
        elif not self._bare:
            self._deadline = now + self._pool.limits.idle
            response.wake(now)

    def eof_received(self) -> None:
        secured = self._transport and self._transport.get_extra_info("ssl_object")
        self._ended = secured is None or _said_goodbye(secured)

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed = True
        self._pool.forget(self)
        response, self._response = self._response, None
        if response is None:
            return
        if response.status and self._ended and not _framed(response.headers):
            response.complete = True  # a body without length or chunks ends with its connection
            response.wake(self._loop.time())
        elif response.status or self._bare:
            response.fail(Truncated("the upstream closed the connection amid its answer", received=True))
        elif self._used:
            response.fail(Stale("the upstream closed the connection"))
        else:
            response.fail(Failed("the upstream closed the connection without an answer"))

    def on_message_begin(self) -> None:
        if self._response is None:  # a second answer to one request
            self._reusable = False

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._response is not None and not self._response.status:  # else a trailer
            self._response.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        response, status = self._response, self._parser.get_status_code()
        if response is None or 100 <= status < 200:
            return
        if status < 100:
            self.abort(Failed("the upstream sent a malformed HTTP response", received=True))
        elif self._bare > MAX_HEAD and sum(len(n) + len(v) + 4 for n, v in response.headers) > MAX_HEAD:
            self.abort(_too_large())
        else:
            response.status = status
            self._bare = 0

    def on_body(self, body: bytes) -> None:
        if self._response is not None:
            self._response.feed(body)
            self._bare = 0

    def on_message_complete(self) -> None:
        response = self._response
        if response is None:
            return
        if not response.status:  # 1xx: the real answer is still to come
            response.headers.clear()
            return
        response.complete = True
        self._response = None
        self._reusable = self._parser.should_keep_alive()

    def check(self, now: float) -> None:
        """Fail the exchange whose deadline has passed; a paused one waits for us, not for the upstream."""
        response = self._response
        if response is None or self._paused:
            return
        limits = self._pool.limits
        if now < self._deadline:
            response.beat(now)
        elif response.status:
            detail = f"the upstream was silent for {limits.idle:g} seconds amid its answer"
            self.abort(TimedOut(detail, received=True))
        else:
            detail = f"the upstream did not answer within {limits.first_byte:g} seconds"
            self.abort(TimedOut(detail, received=self._bare > 0))

    def pause(self) -> None:
        """Stop reading: the consumer is slower than the upstream."""
        if not self._paused and self._transport is not None and not self.closed:
            self._paused = True
            self._transport.pause_reading()

    def resume(self) -> None:
        """Read on."""
        if self._paused and self._transport is not None and not self.closed:
            self._paused = False
            self._deadline = self._loop.time() + self._pool.limits.idle
            self._transport.resume_reading()

    def abort(self, error: Failed | None = None) -> None:
        """Close the socket at once; an exchange under way fails."""
        response, self._response = self._response, None
        if response is not None:
            response.fail(error or Failed("the exchange was given up", received=response.status > 0))
        if self.closed:
            return
        self.closed = True
        self._pool.forget(self)
        if self._transport is not None:
            self._transport.abort()

    def _rest(self, now: float) -> None:
        """Go back to the pool, unless the peer wants to close, said too much, or answered before it had all."""
        transport = self._transport
        if self.closed or not self._reusable or transport is None or transport.get_write_buffer_size():
            self.abort()
            return
        self._used = True
        self.resume()
        self._pool.release(self, now)


def _said_goodbye(secured: ssl.SSLObject) -> bool:
    """Whether TLS was closed as it should be; asyncio's loop, unlike uvloop, calls every end an end of file."""
    try:
        return not secured.read(1)
    except ssl.SSLError:
        return False


def _too_large() -> TooLarge:
    return TooLarge(f"the upstream sent more than {MAX_HEAD} bytes of headers", received=True)


def _framed(headers: Sequence[tuple[bytes, bytes]]) -> bool:
    return any(name in (b"content-length", b"transfer-encoding") for name, _ in headers)
