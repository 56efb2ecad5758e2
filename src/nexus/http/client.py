"""Keep-alive HTTP/1.1 connections to one upstream: the part of the gateway every request pays for.

A `Pool` serves one origin. It knows sockets and time; nothing of models, providers or JSON.
"""

import asyncio
import ssl
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from nexus.http.connect import Origin, Proxy, dial, tls_context
from nexus.http.connection import (
    HIGH_WATER,
    MAX_HEAD,
    Connection,
    Failed,
    Limits,
    Response,
    Stale,
    TimedOut,
    TooLarge,
    Truncated,
)

__all__ = [
    "HIGH_WATER",
    "MAX_HEAD",
    "Failed",
    "Limits",
    "Pool",
    "Response",
    "TimedOut",
    "TooLarge",
    "Truncated",
    "header_block",
]


@dataclass(slots=True, eq=False)
class Pool:
    """The connections to one origin. Bounded; the newest idle one is used first."""

    origin: Origin
    limits: Limits = field(default_factory=Limits)
    tls: ssl.SSLContext | None = None
    """Used when the origin is `https`; without it the system's roots are trusted."""
    server_name: str | None = None
    """Name to expect in the certificate, when it is not the origin's host."""
    proxy: Proxy | None = None
    _idle: dict[Connection, float] = field(default_factory=dict[Connection, float], init=False, repr=False)
    _all: set[Connection] = field(default_factory=set[Connection], init=False, repr=False)
    _opening: int = field(default=0, init=False, repr=False)
    _waiting: deque[asyncio.Future[Connection | None]] = field(
        default_factory=deque[asyncio.Future[Connection | None]], init=False, repr=False
    )
    _ticker: asyncio.TimerHandle | None = field(default=None, init=False, repr=False)
    _closed: bool = field(default=False, init=False, repr=False)
    _base: bytes = field(default=b"", init=False, repr=False)
    _lead: bytes = field(default=b"", init=False, repr=False)

    def __post_init__(self) -> None:
        self._lead = b" HTTP/1.1\r\nhost: " + self.origin.host_header + b"\r\n"
        if self.origin.secure:
            self.tls = self.tls or tls_context()
        elif self.proxy is not None:  # an http origin is asked for by its full URL at a proxy
            self._base = self.origin.url.encode()
            self._lead += self.proxy.authorization

    async def request(self, method: bytes, target: bytes, headers: bytes, body: bytes) -> Response:
        """Send one request and wait for status and headers of its answer.

        `headers` is a block of complete lines (`header_block`), without `host` and `content-length`. A kept connection
        that proves to be closed is replaced, once, if nothing of an answer was received.

        Raises:
            TimedOut: no connection, or no answer, in time.
            Failed: no connection, or it broke before the head of the answer was there.
        """
        length = b"content-length: %d\r\n" % len(body) if body or method not in _BODILESS else b""
        message = b"".join((method, b" ", self._base, target, self._lead, headers, length, b"\r\n", body))
        connection = self._idle.popitem()[0] if self._idle else await self._open()
        try:
            return await connection.exchange(message)
        except Stale:  # on a new one, not on the next idle: a peer that closes on this very request gets it twice at most
            return await (await self._open()).exchange(message)

    def release(self, connection: Connection, now: float) -> None:
        """Take back a connection whose exchange is complete."""
        if self._closed or connection.closed:
            connection.abort()
        elif not self._hand(connection):
            self._idle[connection] = now

    def forget(self, connection: Connection) -> None:
        """Drop a connection that is closed."""
        self._all.discard(connection)
        self._idle.pop(connection, None)
        self._admit()

    def close(self) -> None:
        """Close every connection; exchanges under way, and requests that wait for a connection, fail."""
        self._closed = True
        if self._ticker is not None:
            self._ticker.cancel()
            self._ticker = None
        for connection in tuple(self._all):
            connection.abort(Failed("the gateway closed the connection"))
        while self._hand(None):
            self._opening += 1

    @property
    def open(self) -> int:
        """How many connections there are, idle ones included."""
        return len(self._all)

    @property
    def idle(self) -> int:
        """How many of them are kept for the next request."""
        return len(self._idle)

    @property
    def _full(self) -> bool:
        return len(self._all) + self._opening >= self.limits.max_connections

    async def _open(self) -> Connection:
        """Give a new connection; when there are too many, the first that becomes free."""
        if self._full and self._idle:  # met only by a second try
            next(iter(self._idle)).abort()
        if not self._full:
            self._opening += 1
        elif (connection := await self._wait()) is not None:
            return connection
        return await self._connect()

    async def _connect(self) -> Connection:
        """Dial, on a place already counted in `_opening`."""
        loop = asyncio.get_running_loop()
        host, seconds = self.origin.host, self.limits.connect
        try:
            if self._closed:
                raise Failed("the gateway is closing its connections")
            async with asyncio.timeout(seconds):
                connection = await dial(
                    loop, lambda: Connection(self, loop), self.origin, self.tls, self.server_name, self.proxy
                )
            if connection.closed:
                raise Failed(f"{host} closed the connection at once")
            self._all.add(connection)
        except TimeoutError:
            raise TimedOut(f"could not connect to {host} within {seconds:g} seconds") from None
        except (OSError, UnicodeError) as error:
            raise Failed(f"could not connect to {host}: {_reason(error)}") from error
        finally:
            self._opening -= 1
            self._admit()
        if self._closed:  # meanwhile
            connection.abort()
        elif self._ticker is None:
            self._ticker = loop.call_later(self.limits.tick, self._tick, loop)
        return connection

    async def _wait(self) -> Connection | None:
        """Wait in line for a free connection, or (`None`) for a place counted in `_opening`."""
        loop = asyncio.get_running_loop()
        place: asyncio.Future[Connection | None] = loop.create_future()
        self._waiting.append(place)
        try:
            async with asyncio.timeout(self.limits.connect):
                return await place
        except BaseException as error:
            self._give_up(place, loop.time())
            if not isinstance(error, TimeoutError):
                raise
            most, seconds = self.limits.max_connections, self.limits.connect
            raise TimedOut(
                f"all {most} connections to {self.origin.host} were busy for {seconds:g} seconds"
            ) from None

    def _give_up(self, place: "asyncio.Future[Connection | None]", now: float) -> None:
        """Leave the line; what was handed over in the same moment goes to the next."""
        if place in self._waiting:
            self._waiting.remove(place)
        if place.cancelled():
            return
        if (connection := place.result()) is not None:
            self.release(connection, now)
        else:
            self._opening -= 1
            self._admit()

    def _hand(self, connection: Connection | None) -> bool:
        """Give a connection, or a place for one, to the first in line."""
        while self._waiting:
            place = self._waiting.popleft()
            if not place.done():
                place.set_result(connection)
                return True
        return False

    def _admit(self) -> None:
        if self._waiting and not self._full and self._hand(None):
            self._opening += 1

    def _tick(self, loop: asyncio.AbstractEventLoop) -> None:
        now = loop.time()
        for connection in tuple(self._all):
            connection.check(now)
        for connection, since in tuple(self._idle.items()):
            if now - since < self.limits.keep:
                break
            connection.abort()
        self._ticker = loop.call_later(self.limits.tick, self._tick, loop) if self._all else None


_BODILESS = frozenset((b"GET", b"DELETE", b"HEAD"))


def header_block(headers: Sequence[tuple[str, str]]) -> bytes:
    """Write header lines once, for use in many requests.

    Raises:
        ValueError: a name or value holds a line break or a NUL, it would become another header; or what is not Latin-1.
    """
    lines: list[bytes] = []
    for name, value in headers:
        if any(forbidden in text for text in (name, value) for forbidden in "\r\n\0"):
            raise ValueError(f"header {name!r} holds a line break")
        try:
            lines.append(f"{name}: {value}\r\n".encode("latin-1"))
        except UnicodeEncodeError:  # its text would show a piece of the value
            raise ValueError(f"header {name!r} holds a character that HTTP cannot carry") from None
    return b"".join(lines)


def _reason(error: OSError | UnicodeError) -> str:
    if isinstance(error, UnicodeError):
        return "not a name of a host"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"certificate not accepted: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        return f"TLS failed: {error.reason or error}"
    return error.strerror or str(error) or type(error).__name__
