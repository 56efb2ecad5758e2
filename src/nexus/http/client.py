"""Keep-alive HTTP/1.1 connections to one upstream: the part of the gateway every request pays for.

A `Pool` serves one origin. It knows bytes, sockets and time; nothing of models, providers or JSON.
Time-outs are three: to connect, to the first byte of the answer, and between two reads. There is none on the whole.
"""

import asyncio
import ssl
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

import httptools

from nexus.http.connect import Origin, Proxy, dial

HIGH_WATER = 256 * 1024
"""Bytes received and not yet taken by the consumer at which reading pauses."""
MAX_HEAD = 64 * 1024
"""Bytes of status line and headers an upstream may send."""


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


class _Stale(Failed):
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
        return min(1.0, max(0.02, min(self.first_byte, self.idle) / 8))


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
            if await self._wait():
                return None

    async def read(self, limit: int) -> bytes:
        """Read the whole body, at most `limit` bytes.

        Raises:
            TooLarge: there is more; the connection is closed.
        """
        parts: list[bytes] = []
        size = 0
        while data := await self.next():
            parts.append(data)
            size += len(data)
            if size > limit:
                self.close()
                raise TooLarge(f"the answer is larger than {limit} bytes", received=True)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def close(self) -> None:
        """Give up what has not been read; closes the connection if the answer is not complete."""
        if not self.complete:
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

    def wake(self, now: float) -> None:
        """Tell the reader that something changed."""
        self._heard = now
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(False)

    def fail(self, error: Failed) -> None:
        """End the answer with an error; what was received before it is still given out."""
        if self._error is None and not self.complete:
            self._error = error
            self.wake(self._heard)

    def beat(self, now: float) -> None:
        """Let a reader that waits in silence come up for air."""
        if (
            self.heartbeat
            and now - self._heard >= self.heartbeat
            and self._waiter is not None
            and not self._waiter.done()
        ):
            self._heard = now
            self._waiter.set_result(True)

    @property
    def received(self) -> bool:
        return bool(self.status or self.headers)

    def _take(self) -> bytes:
        parts = self._parts
        data = parts[0] if len(parts) == 1 else b"".join(parts)
        parts.clear()
        self._size = 0
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
        "_head",
        "_loop",
        "_parser",
        "_paused",
        "_pool",
        "_response",
        "_transport",
        "closed",
        "deadline",
        "used",
    )

    def __init__(self, pool: "Pool", loop: asyncio.AbstractEventLoop) -> None:
        self._pool = pool
        self._loop = loop
        self._parser = httptools.HttpResponseParser(self)
        self._transport: asyncio.Transport | None = None
        self._response: Response | None = None
        self._paused = False
        self._head = 0
        self.closed = False
        self.used = False
        self.deadline = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport) or hasattr(transport, "write")
        self._transport = transport  # pyright: ignore[reportAttributeAccessIssue]  # uvloop's transports are not subclasses

    def send(self, message: bytes) -> Response:
        """Write a whole request and give the answer to come."""
        assert self._transport is not None
        response = self._response = Response(self, self._loop)
        self.deadline = self._loop.time() + self._pool.limits.first_byte
        self._transport.write(message)
        return response

    def data_received(self, data: bytes) -> None:
        response = self._response
        if response is None:  # an answer nobody asked for: the peer and we disagree where messages end
            self.abort()
            return
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._fail(Failed("the upstream sent a malformed HTTP response", received=True))
            return
        if not response.status:
            self._head += len(data)
            if self._head > MAX_HEAD:
                self._fail(
                    TooLarge(f"the upstream sent more than {MAX_HEAD} bytes of headers", received=True)
                )
                return
        now = self._loop.time()
        self.deadline = now + self._pool.limits.idle
        response.wake(now)

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed = True
        response, self._response = self._response, None
        self._pool.forget(self)
        if response is not None:
            self._end_at_close(response)

    def _end_at_close(self, response: Response) -> None:
        if response.status and not _framed(response.headers):
            response.complete = True  # a body without length or chunks ends with its connection
            response.wake(self._loop.time())
        elif response.received:
            response.fail(
                Truncated("the upstream closed the connection in the middle of its answer", received=True)
            )
        elif self.used:
            response.fail(_Stale("the upstream closed the connection"))
        else:
            response.fail(Failed("the upstream closed the connection without an answer"))

    def on_message_begin(self) -> None:
        self._head = 0

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._response is not None:
            self._response.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        if self._response is None or status < 200:
            return
        if sum(len(name) + len(value) for name, value in self._response.headers) > MAX_HEAD:
            self._fail(TooLarge(f"the upstream sent more than {MAX_HEAD} bytes of headers", received=True))
            return
        self._response.status = status

    def on_body(self, body: bytes) -> None:
        if self._response is not None:
            self._response.feed(body)

    def on_message_complete(self) -> None:
        response = self._response
        if response is None:
            return
        if not response.status:  # 1xx: the real answer is still to come
            response.headers.clear()
            return
        response.complete = True
        self._response = None
        self.used = True
        if self._parser.should_keep_alive() and not self.closed:
            self.resume()
            self._pool.release(self)
        else:
            self.abort()

    def check(self, now: float) -> None:
        """Fail the exchange whose deadline has passed; a paused one waits for us, not for the upstream."""
        response = self._response
        if response is None or self._paused:
            return
        if now < self.deadline:
            response.beat(now)
        elif response.received:
            idle = self._pool.limits.idle
            self._fail(
                TimedOut(
                    f"the upstream was silent for {idle:g} seconds in the middle of its answer", received=True
                )
            )
        else:
            first = self._pool.limits.first_byte
            self._fail(TimedOut(f"the upstream did not begin to answer within {first:g} seconds"))

    def pause(self) -> None:
        """Stop reading: the consumer is slower than the upstream."""
        if not self._paused and self._transport is not None and not self.closed:
            self._paused = True
            self._transport.pause_reading()

    def resume(self) -> None:
        """Read on."""
        if self._paused:
            self._paused = False
            self.deadline = self._loop.time() + self._pool.limits.idle
            if self._transport is not None and not self.closed:
                self._transport.resume_reading()

    def abort(self) -> None:
        """Close the socket at once; an exchange under way fails."""
        if self.closed:
            return
        self.closed = True
        self._pool.forget(self)
        if self._transport is not None:
            self._transport.abort()

    def _fail(self, error: Failed) -> None:
        response, self._response = self._response, None
        if response is not None:
            response.fail(error)
        self.abort()


def _framed(headers: Sequence[tuple[bytes, bytes]]) -> bool:
    return any(name in (b"content-length", b"transfer-encoding") for name, _ in headers)


@dataclass(slots=True)
class Pool:
    """The connections to one origin. Bounded; the newest idle one is used first."""

    origin: Origin
    limits: Limits = field(default_factory=Limits)
    tls: ssl.SSLContext | None = None
    """Used when the origin is `https`."""
    server_name: str | None = None
    """Name to expect in the certificate, when it is not the origin's host."""
    proxy: Proxy | None = None
    _idle: list[tuple[float, Connection]] = field(default_factory=list[tuple[float, Connection]], init=False)
    _all: set[Connection] = field(default_factory=set[Connection], init=False)
    _opening: int = field(default=0, init=False)
    _waiting: deque[asyncio.Future[None]] = field(default_factory=deque[asyncio.Future[None]], init=False)
    _ticker: asyncio.TimerHandle | None = field(default=None, init=False)
    _closed: bool = field(default=False, init=False)

    async def request(self, method: bytes, target: bytes, headers: bytes, body: bytes) -> Response:
        """Send one request and wait for status and headers of its answer.

        `headers` is a block of complete lines (`header_block`), without `host` and `content-length`. A kept connection
        that proves to be closed is replaced, once nothing of an answer was received.

        Raises:
            TimedOut: no connection, or no answer, in time.
            Failed: no connection, or it broke before the head of the answer was there.
        """
        if self.proxy is not None and not self.origin.secure:
            target = (
                self.origin.url.encode() + target
            )  # an http origin is asked for by its full URL at a proxy
            headers = self.proxy.authorization + headers
        length = b"content-length: %d\r\n" % len(body) if body or method not in _BODILESS else b""
        message = b"".join(
            (
                method,
                b" ",
                target,
                b" HTTP/1.1\r\nhost: ",
                self.origin.host_header,
                b"\r\n",
                headers,
                length,
                b"\r\n",
                body,
            )
        )
        while True:
            connection = self._take() or await self._open()
            response = connection.send(message)
            try:
                await response.head()
            except _Stale:
                continue
            except BaseException:
                connection.abort()
                raise
            return response

    def release(self, connection: Connection) -> None:
        """Take back a connection whose exchange is complete."""
        if self._closed:
            connection.abort()
            return
        self._idle.append((asyncio.get_running_loop().time(), connection))
        self._wake_one()

    def forget(self, connection: Connection) -> None:
        """Drop a connection that is closed."""
        if connection not in self._all:
            return
        self._all.discard(connection)
        if self._idle:
            self._idle = [entry for entry in self._idle if entry[1] is not connection]
        self._wake_one()

    def close(self) -> None:
        """Close every connection; exchanges under way fail."""
        self._closed = True
        if self._ticker is not None:
            self._ticker.cancel()
            self._ticker = None
        for connection in tuple(self._all):
            connection.abort()

    @property
    def open(self) -> int:
        """How many connections there are, idle ones included."""
        return len(self._all)

    def _take(self) -> Connection | None:
        while self._idle:
            connection = self._idle.pop()[1]
            if not connection.closed:
                return connection
        return None

    async def _open(self) -> Connection:
        loop = asyncio.get_running_loop()
        while len(self._all) + self._opening >= self.limits.max_connections:
            await self._wait_for_place(loop)
            if (connection := self._take()) is not None:
                return connection
        self._opening += 1
        try:
            async with asyncio.timeout(self.limits.connect):
                connection = await dial(
                    loop, lambda: Connection(self, loop), self.origin, self.tls, self.server_name, self.proxy
                )
        except TimeoutError:
            self._wake_one()
            raise TimedOut(
                f"could not connect to {self.origin.host} within {self.limits.connect:g} seconds"
            ) from None
        except (OSError, ssl.SSLError) as error:
            self._wake_one()
            raise Failed(f"could not connect to {self.origin.host}: {_reason(error)}") from error
        finally:
            self._opening -= 1
        if connection.closed:
            raise Failed(f"{self.origin.host} closed the connection at once")
        self._all.add(connection)
        if self._ticker is None:
            self._ticker = loop.call_later(self.limits.tick, self._tick, loop)
        return connection

    async def _wait_for_place(self, loop: asyncio.AbstractEventLoop) -> None:
        place: asyncio.Future[None] = loop.create_future()
        self._waiting.append(place)
        try:
            async with asyncio.timeout(self.limits.connect):
                await place
        except TimeoutError:
            limit = self.limits.max_connections
            raise TimedOut(
                f"all {limit} connections to {self.origin.host} were busy for {self.limits.connect:g} seconds"
            ) from None
        finally:
            if place in self._waiting:
                self._waiting.remove(place)

    def _wake_one(self) -> None:
        while self._waiting:
            place = self._waiting.popleft()
            if not place.done():
                place.set_result(None)
                return

    def _tick(self, loop: asyncio.AbstractEventLoop) -> None:
        now = loop.time()
        for connection in tuple(self._all):
            connection.check(now)
        while self._idle and now - self._idle[0][0] > self.limits.keep:
            self._idle[0][1].abort()
        self._ticker = loop.call_later(self.limits.tick, self._tick, loop) if self._all else None


_BODILESS = frozenset((b"GET", b"DELETE", b"HEAD"))


def header_block(headers: Sequence[tuple[str, str]]) -> bytes:
    """Write header lines once, for use in many requests.

    Raises:
        ValueError: a name or value holds a line break or a NUL; it would become another header.
    """
    for name, value in headers:
        if any(forbidden in text for text in (name, value) for forbidden in "\r\n\0"):
            raise ValueError(f"header {name!r} holds a line break")
    return b"".join(f"{name}: {value}\r\n".encode("latin-1") for name, value in headers)


def _reason(error: OSError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"certificate not accepted: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        return f"TLS failed: {error.reason or error}"
    return error.strerror or str(error) or type(error).__name__
