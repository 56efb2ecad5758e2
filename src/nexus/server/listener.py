"""One listening socket and the connections it accepted; closed gently."""

import asyncio
import socket
import ssl
from email.utils import formatdate

from uvicorn.config import Config
from uvicorn.server import ServerState

from nexus.server.asgi import App
from nexus.server.connection import Connection

KEEP_ALIVE = 75
"""Seconds an idle client connection is kept."""
_BACKLOG = 2048


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


class Listener:
    """Serve an ASGI application on a bound socket."""

    def __init__(self, bound: socket.socket, app: App, tls: ssl.SSLContext | None, max_head: int) -> None:
        self._socket = bound
        self._tls = tls
        self._state = ServerState()
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
            lambda: self._protocol(self._config, self._state, {}),
            sock=self._socket,
            ssl=self._tls,
            backlog=_BACKLOG,
        )

    async def drain(self, seconds: float, hurry: asyncio.Event) -> int:
        """Accept no more, let what is under way finish, and cut what has not after `seconds` or when told to hurry.

        Gives how many requests were cut.
        """
        if self._server is not None:
            self._server.close()
        for connection in tuple(self._state.connections):
            connection.shutdown()
        deadline = asyncio.get_running_loop().time() + seconds
        while self._state.connections and not hurry.is_set() and asyncio.get_running_loop().time() < deadline:
            await asyncio.sleep(0.02)
        return await self._cut()

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
