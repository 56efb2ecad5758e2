"""One listening socket and the connections it accepted; closed gently."""

import asyncio
import contextlib
import ctypes
import logging
import socket
import ssl
import struct
import sys
import time
from email.utils import formatdate

from uvicorn.config import Config
from uvicorn.server import ServerState

from nexus.server.asgi import App
from nexus.server.connection import LAST_HEAD_TIMEOUT, LEAVING, Connection, Surplus

log = logging.getLogger(__name__)

KEEP_ALIVE = 75
"""Seconds an idle client connection is kept."""
_BACKLOG = 2048
_PAUSE = 0.02
_SO_ATTACH_FILTER = 26
_SILENCE = 60.0
"""Seconds between two lines of there being too many connections."""


def bind(address: str, port: int, *, share: bool = False) -> socket.socket:
    """Bind a TCP socket; `share` lets several processes bind the same port.

    Raises:
        OSError: the address is in use or not ours.
    """
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if share:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        bound.bind((address, port))
    except BaseException:
        bound.close()
        raise
    bound.setblocking(False)
    return bound


def _deafen(listening: socket.socket) -> None:
    """Have the kernel drop what opens a connection, where it can: a client repeats that, and finds another process.

    So nobody is let in between the last `accept` and the close, which would reset a request that may have been sent.
    """
    if sys.platform != "linux":
        return
    # a packet filter: take the flags of the TCP head; SYN without ACK is cut to 0 bytes, all else is kept whole
    steps = (
        (0x30, 0, 0, 13),
        (0x54, 0, 0, 0x12),
        (0x15, 0, 1, 0x02),
        (0x06, 0, 0, 0),
        (0x06, 0, 0, 2**32 - 1),
    )
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in steps))
    with contextlib.suppress(OSError):
        listening.setsockopt(
            socket.SOL_SOCKET, _SO_ATTACH_FILTER, struct.pack("HP", len(steps), ctypes.addressof(code))
        )


class Listener:
    """Serve an ASGI application on a bound socket."""

    def __init__(
        self,
        bound: socket.socket,
        app: App,
        tls: ssl.SSLContext | None,
        max_head: int,
        max_connections: int = sys.maxsize,
    ) -> None:
        self._socket = bound
        self._max_connections = max_connections
        self._told_full = -_SILENCE
        self._tls = tls
        self._state = ServerState()
        self._shared = dict[str, float]()
        """What every request finds as the state of the application."""
        self._protocol = type("BoundedConnection", (Connection,), {"max_head": max_head})
        self._config = Config(
            app,  # type: ignore[arg-type]  # the same shape, told with other words
            http=self._protocol,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            proxy_headers=False,  # whose word about a client's address counts is ours to decide
            timeout_keep_alive=KEEP_ALIVE,
        )
        self._config.load()
        self._server: asyncio.Server | None = None
        self._clock: asyncio.TimerHandle | None = None

    @property
    def address(self) -> str:
        """Where it listens, as a URL."""
        host, port = self._socket.getsockname()[:2]
        shown = f"[{host}]" if ":" in host else host
        return f"{'https' if self._tls else 'http'}://{shown}:{port}"

    async def start(self) -> None:
        """Accept connections from now on."""
        loop = asyncio.get_running_loop()
        self._tick(loop)
        self._server = await loop.create_server(
            self._connection, sock=self._socket, ssl=self._tls, backlog=_BACKLOG
        )

    async def drain(self, seconds: float, hurry: asyncio.Event, delay: float = 0.0) -> int:
        """Let nobody in after `delay`, let what is under way finish, and cut what has not after `seconds`; or hurry.

        Until the delay is over each request is the last of its connection, and closing idle ones is left to the client:
        one that we close could be carrying a request. Gives how many requests were cut.
        """
        self._shared[LEAVING] = delay
        for connection in self._open:
            connection.last()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(hurry.wait(), delay)
        await self._shut()
        await asyncio.sleep(_PAUSE)  # the loop tells connections it has accepted only later that they exist
        for connection in self._open:
            connection.shutdown()
        deadline = asyncio.get_running_loop().time() + seconds
        while self._state.connections and not hurry.is_set() and asyncio.get_running_loop().time() < deadline:
            await asyncio.sleep(_PAUSE)
        return await self._cut()

    def _connection(self) -> Connection | Surplus:
        if len(self._state.connections) < self._max_connections:
            return self._protocol(self._config, self._state, self._shared)
        if (now := time.monotonic()) - self._told_full >= _SILENCE:
            self._told_full = now
            log.warning(
                "new connections are refused: there are %d, as many as server.max_connections allows",
                self._max_connections,
            )
        return Surplus(self._max_connections)

    @property
    def _open(self) -> tuple[Connection, ...]:
        return tuple(one for one in self._state.connections if isinstance(one, Connection))

    async def _shut(self) -> None:
        """Stop listening, and serve whom the kernel has let in by then: closing would reset them."""
        if self._server is None:
            return
        _deafen(self._socket)
        await asyncio.sleep(_PAUSE)  # whose first packet was heard has arrived by then
        waiting = list[socket.socket]()
        with contextlib.suppress(OSError):
            while True:
                waiting.append(self._socket.accept()[0])
                waiting[-1].setblocking(False)
        self._server.close()
        loop = asyncio.get_running_loop()
        tasks = [
            asyncio.create_task(loop.connect_accepted_socket(self._connection, one, ssl=self._tls))
            for one in waiting
        ]
        if tasks:
            await asyncio.wait(tasks, timeout=LAST_HEAD_TIMEOUT)

    async def _cut(self) -> int:
        unfinished = tuple(self._state.tasks)
        for task in unfinished:
            task.cancel("the server shuts down")
        await asyncio.gather(*unfinished, return_exceptions=True)
        for connection in tuple(self._state.connections):
            connection.transport.abort()
        if self._clock is not None:
            self._clock.cancel()
        return len(unfinished)

    def _tick(self, loop: asyncio.AbstractEventLoop) -> None:
        self._state.default_headers = [(b"date", formatdate(usegmt=True).encode())]
        self._clock = loop.call_later(1.0, self._tick, loop)
