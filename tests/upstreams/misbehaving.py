"""Real TCP servers that misbehave on purpose, scripted per connection, and the means to run a test on both event loops."""

import asyncio
import functools
import gc
import inspect
import os
import socket
import ssl
import struct
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
import uvloop

from nexus.http.connect import Origin

LOOPS = [
    pytest.param(asyncio.new_event_loop, id="asyncio"),
    pytest.param(uvloop.new_event_loop, id="uvloop"),
]


def on_both_loops(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Run an async test on asyncio's loop and on uvloop; what a loop reports as an error fails it."""

    @pytest.mark.parametrize("new_loop", LOOPS)
    @functools.wraps(test)
    def run(new_loop: Callable[[], asyncio.AbstractEventLoop], **fixtures: Any) -> None:
        reported: list[dict[str, Any]] = []
        with asyncio.Runner(loop_factory=new_loop) as runner:
            runner.get_loop().set_exception_handler(lambda _, context: reported.append(context))
            runner.run(test(**fixtures))
            gc.collect(1)  # what was never awaited or retrieved shows up now, not in another test
        assert not reported, reported

    wanted = inspect.signature(test).parameters.values()
    loop = inspect.Parameter("new_loop", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    run.__signature__ = inspect.Signature([loop, *wanted])  # pyright: ignore[reportAttributeAccessIssue]  # pytest reads it
    return run


async def until(holds: Callable[[], bool]) -> None:
    """Let the loop turn until something holds that offers no event."""
    async with asyncio.timeout(5):
        while not holds():
            await asyncio.sleep(0)


class Wire:
    """The server's end of one connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def request(self) -> bytes:
        """Read one request with its body."""
        head = await self.reader.readuntil(b"\r\n\r\n")
        for line in head.split(b"\r\n"):
            if line.startswith(b"content-length: "):
                return head + await self.reader.readexactly(int(line[16:]))
        return head

    async def say(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def drip(self, data: bytes, seconds: float = 0) -> None:
        """Write byte by byte."""
        for byte in data:
            await self.say(bytes((byte,)))
            await asyncio.sleep(seconds)

    def hang_up(self) -> None:
        """Cut the connection with FIN, under TLS without a good-bye."""
        with self._socket() as held:
            held.shutdown(socket.SHUT_RDWR)

    def reset(self) -> None:
        """Cut the connection with RST."""
        with self._socket() as held:
            held.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()

    def _socket(self) -> socket.socket:
        """Give a second handle of the socket; the loops only lend out a look-alike."""
        return socket.socket(fileno=os.dup(self.writer.get_extra_info("socket").fileno()))

    async def gone(self) -> None:
        """Wait until the other side has closed."""
        with suppress(ConnectionError):
            while await self.reader.read(65536):
                pass


Script = Callable[[Wire], Awaitable[None]]


class Upstream:
    """A server whose n-th connection plays the n-th script; the last is played again and again."""

    def __init__(self, scripts: tuple[Script, ...]) -> None:
        self.scripts = scripts
        self.port = 0
        self.secure = False
        self.connections = 0
        self.faults: list[BaseException] = []
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def origin(self) -> Origin:
        return Origin(secure=self.secure, host="127.0.0.1", port=self.port)

    def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        script = self.scripts[min(self.connections, len(self.scripts) - 1)]
        self.connections += 1
        task = asyncio.get_running_loop().create_task(self._play(script, Wire(reader, writer)))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _play(self, script: Script, wire: Wire) -> None:
        try:
            await script(wire)
        except (OSError, EOFError):  # the client went away: most scripts are about that
            pass
        except Exception as fault:
            self.faults.append(fault)
        finally:
            with suppress(OSError):
                wire.writer.close()

    async def stop(self) -> None:
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        assert not self.faults


@asynccontextmanager
async def serving(*scripts: Script, tls: ssl.SSLContext | None = None) -> AsyncGenerator[Upstream]:
    """Serve on a free port of this machine."""
    upstream = Upstream(scripts)
    server = await asyncio.start_server(upstream.accept, "127.0.0.1", 0, ssl=tls)
    upstream.port = server.sockets[0].getsockname()[1]
    upstream.secure = tls is not None
    try:
        yield upstream
    finally:
        server.close()
        await upstream.stop()
        await server.wait_closed()


def answer(body: bytes, *headers: bytes, status: bytes = b"200 OK") -> bytes:
    """Write a whole answer with its length."""
    lines = b"".join(line + b"\r\n" for line in headers)
    return b"HTTP/1.1 %s\r\n%scontent-length: %d\r\n\r\n%s" % (status, lines, len(body), body)


def chunk(body: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(body), body)


CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
UNFRAMED = b"HTTP/1.1 200 OK\r\nx-kind: no length\r\n\r\n"


def saying(data: bytes, *, then: Callable[[Wire], Awaitable[None]] | None = None) -> Script:
    """Read a request, say something, do something else; without that, close."""

    async def script(wire: Wire) -> None:
        await wire.request()
        await wire.say(data)
        if then is not None:
            await then(wire)

    return script


async def echo(wire: Wire) -> None:
    """Behave: answer each request with its own body."""
    while True:
        head, _, body = (await wire.request()).partition(b"\r\n\r\n")
        await wire.say(answer(body, b"x-line: " + head.split(b"\r\n", 1)[0]))


async def silence(wire: Wire) -> None:
    """Accept, read and never say a word."""
    await wire.gone()


class ConnectProxy:
    """A small real proxy: CONNECT only, with or without credentials. Its `script` is served like any other."""

    def __init__(self, authorization: bytes = b"", yes: bytes = b"HTTP/1.1 200 Fine\r\n\r\n") -> None:
        self.authorization = authorization
        self.yes = yes
        self.asked: list[bytes] = []

    async def script(self, wire: Wire) -> None:
        request = await wire.request()
        self.asked.append(request.split(b"\r\n", 1)[0])
        if self.authorization not in request:
            await wire.say(b"HTTP/1.1 407 Who are you\r\ncontent-length: 0\r\n\r\n")
            return
        host, _, port = request.split(b" ")[1].decode().rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        try:
            await wire.say(self.yes)
            async with asyncio.TaskGroup() as both:
                both.create_task(_pump(wire.reader, writer))
                both.create_task(_pump(reader, wire.writer))
        finally:
            writer.close()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()
