"""A client's connection: uvicorn's, with bounds on what comes before a body and a way to stop work nobody waits for."""

import asyncio
from typing import Any

from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from nexus.server.asgi import Scope

EXTENSION = "nexus.connection"
GONE = "the client has gone"
HEAD_TIMEOUT = 30.0
"""Seconds a client may take to send a request line and headers."""
LAST_HEAD_TIMEOUT = 1.0
"""As `HEAD_TIMEOUT`, where nobody else is let in any more: what a proxy has sent must have arrived by then."""
LEAVING = "nexus.leaving"
"""In the state of an application that is about to shut down, so that each request is the last of its connection: seconds that
an idle connection, whose client has not been told, is kept."""

_TOO_MANY = (
    b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\nconnection: close\r\nretry-after: 1\r\n"
    b"content-length: %d\r\n\r\n%s"
)
_TOO_LARGE = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-type: application/json\r\nconnection: close\r\n"
    b"content-length: %d\r\n\r\n%s"
)


class Connection(HttpToolsProtocol):
    """Refuse heads that are too large or too slow, and cancel the request of a client that hangs up."""

    max_head = 64 * 1024

    def __init__(
        self, config: Config, server_state: ServerState, app_state: dict[str, Any], **more: Any
    ) -> None:
        super().__init__(config, server_state, app_state, **more)
        self._received = 0
        self._head = 0
        self._aside = 0
        """Bytes received after a head, since its end or the last piece of its body: chunk extensions and trailers."""
        self._in_head = True
        self._cork: Cork | None = None
        self._clock: asyncio.TimerHandle | None = None
        self._work: asyncio.Task[Any] | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # uvicorn narrows it as well
        super().connection_made(transport)
        self._clock = self.loop.call_later(HEAD_TIMEOUT, self.transport.close)
        self._cork = Cork(transport, self.loop)

    def data_received(self, data: bytes) -> None:
        self._received = len(data)
        if self._in_head:
            self._head += self._received
        else:
            self._aside += self._received
        super().data_received(data)
        if self._aside > self.max_head:
            self.cut()
            return
        if not self._in_head or self.transport.is_closing():
            return
        if self._head > self.max_head:
            self._refuse()
        elif self._clock is None:
            self._clock = self.loop.call_later(HEAD_TIMEOUT, self.transport.close)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._in_head = True
        self._head, self._aside = self._received, 0
        self.scope["extensions"] = {EXTENSION: self}  # type: ignore[typeddict-item]  # an extension of ours

    def on_headers_complete(self) -> None:
        self._in_head = False
        if self._clock is not None:
            self._clock.cancel()
            self._clock = None
        # what was received may hold more than the head: only where that could matter is the head itself measured
        if self._head > self.max_head and _size(self.headers) > self.max_head:
            self._refuse()
            return
        super().on_headers_complete()
        self.headers = []  # trailers go here and nowhere: what comes after a body has passed no proxy's checks
        if self._cork is not None:
            self._cork.head = True
            self.cycle.transport = self._cork  # type: ignore[assignment]  # a cycle only writes and closes
        if LEAVING in self.app_state:
            self.cycle.keep_alive = False

    def on_body(self, body: bytes) -> None:
        self._aside = 0
        super().on_body(body)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._clock is not None:
            self._clock.cancel()
            self._clock = None
        super().connection_lost(exc)
        self._unset_keepalive_if_required()  # uvicorn leaves it running after a reset, and with it all of this
        if self._work is not None:
            self._work.cancel(GONE)
            self._work = None

    def last(self) -> None:
        """Make the request under way, if any, the last one where the client can still be told."""
        if self.cycle is None:  # pyright: ignore[reportUnnecessaryComparison]  # until the first request
            return
        if not self.cycle.response_started:
            self.cycle.keep_alive = False

    def shutdown(self) -> None:
        """Close if idle, else after the answer; wait for a request that is arriving or that a new client must be sending."""
        if self._in_head:
            if self._clock is not None:
                self._clock.cancel()
            self._clock = self.loop.call_later(LAST_HEAD_TIMEOUT, self.transport.close)
        elif self.cycle.response_complete:
            self.transport.close()
        else:
            self.last()
            self.timeout_keep_alive = self.app_state[LEAVING]

    @property
    def arrived(self) -> bool:
        """Whether the request under way is here to its last byte."""
        return not self.cycle.more_body

    def watch(self, task: "asyncio.Task[Any] | None") -> None:
        """Name the task to cancel when the client hangs up; `None` when its answer is complete."""
        self._work = task

    def cut(self) -> None:
        """Close without ending the answer, so that a client sees that it is not whole."""
        self.transport.abort()

    def _refuse(self) -> None:
        body = (
            b'{"error":{"message":"Request header fields are too large, limit is %d bytes",'
            b'"type":"invalid_request_error","code":431}}' % self.max_head
        )
        self.transport.write(_TOO_LARGE % (len(body), body))
        self.transport.close()


class Surplus(asyncio.Protocol):
    """A connection too many: told so and closed, whatever it would have asked."""

    def __init__(self, limit: int) -> None:
        self._limit = limit

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Answer at once."""
        assert isinstance(transport, asyncio.Transport)
        body = (
            b'{"error":{"message":"There are too many connections, the limit is %d; try again in a moment",'
            b'"type":"api_error","code":503}}' % self._limit
        )
        transport.write(_TOO_MANY % (len(body), body))
        transport.close()


class Cork:
    """Let the head of an answer and the body that follows at once leave in one write: a write is what costs most."""

    __slots__ = ("_held", "_loop", "_transport", "head")

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._held = b""
        self.head = False
        """Whether the next write is the head of an answer."""

    def write(self, data: bytes) -> None:
        """Write, or hold the head until the body comes or the loop goes round."""
        if self.head:
            self.head = False
            self._held = data
            self._loop.call_soon(self._flush)
        elif self._held:
            held, self._held = self._held, b""
            self._transport.write(held + data)
        else:
            self._transport.write(data)

    def close(self) -> None:
        """Close after everything is written."""
        self._flush()
        self._transport.close()

    def is_closing(self) -> bool:
        """Tell whether it is closed, or about to be."""
        return self._transport.is_closing()

    def _flush(self) -> None:
        if self._held:
            held, self._held = self._held, b""
            self._transport.write(held)


def of(scope: Scope) -> Connection | None:
    """Give the connection a request has come by; `None` where no listener of ours brings it."""
    return scope.get("extensions", {}).get(EXTENSION)


def _size(headers: list[tuple[bytes, bytes]]) -> int:
    return sum(len(name) + len(value) for name, value in headers)
