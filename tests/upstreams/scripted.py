"""An HTTP/1.1 server that answers what a test tells it to, piece by piece, and remembers what it was asked."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable, Iterable
from dataclasses import dataclass, field

import msgspec

MODELS = (
    b'{"object":"list","data":[{"id":"gpt-4o","object":"model","created":1677651200,"owned_by":"openai"}]}'
)


@dataclass(frozen=True)
class Asked:
    """One request as it came."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> dict[str, object]:
        return msgspec.json.decode(self.body)


@dataclass
class Told:
    """One answer: its pieces are written one by one; an event among them is waited for."""

    status: int = 200
    content_type: str = "application/json"
    pieces: Iterable[bytes | asyncio.Event] = (b"{}",)
    headers: dict[str, str] = field(default_factory=dict[str, str])
    cut: bool = False
    """Close in the middle, after the pieces."""


Script = Callable[[Asked], Told]


class Upstream:
    """Serves `script`, and a model list of its own."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.asked: list[Asked] = []
        self.listed: Script = lambda _: Told(pieces=(MODELS,))
        """Answers `GET /v1/models`."""
        self.left = asyncio.Event()
        """Set when a client went away before its answer was complete."""
        self.url = ""
        self.mute = False
        """Hear requests and say nothing."""
        self._server: asyncio.Server | None = None
        self._serving: set[asyncio.Task[None]] = set()

    @property
    def last(self) -> Asked:
        return [one for one in self.asked if not one.target.startswith("/v1/models")][-1]

    def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._serve(reader, writer))
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)

    async def listen(self) -> None:
        self._server = await asyncio.start_server(self.accept, "127.0.0.1", 0, limit=64 * 1024 * 1024)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/v1"

    async def close(self) -> None:
        """Refuse connections from now on, and end those there are."""
        if self._server is not None:
            self._server.close()
        for task in tuple(self._serving):
            task.cancel()
        await asyncio.gather(*self._serving, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while (asked := await _read(reader)) is not None:
                self.asked.append(asked)
                if self.mute:
                    await reader.read()
                    break
                listing = asked.method == "GET" and asked.target.startswith("/v1/models")
                told = (self.listed if listing else self.script)(asked)
                if not await self._tell(told, reader, writer):
                    break
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.transport.abort() if self.left.is_set() else writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

    async def _tell(self, told: Told, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        headers = {"content-type": told.content_type, "transfer-encoding": "chunked", **told.headers}
        head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        writer.write(f"HTTP/1.1 {told.status} Said\r\n{head}\r\n".encode("latin-1"))
        gone = asyncio.create_task(reader.read(1))
        for piece in told.pieces:
            if isinstance(piece, asyncio.Event):
                waited = asyncio.create_task(piece.wait())
                await asyncio.wait((gone, waited), return_when=asyncio.FIRST_COMPLETED)
                waited.cancel()
            else:
                writer.write(b"%x\r\n%s\r\n" % (len(piece), piece))
                await writer.drain()
            if gone.done():
                self.left.set()
                return False
        gone.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await gone
        if told.cut:
            return False
        writer.write(b"0\r\n\r\n")
        return True


async def _read(reader: asyncio.StreamReader) -> Asked | None:
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return None
    first, *lines = head.decode("latin-1").split("\r\n")
    method, target, _ = first.split(" ")
    headers = {
        name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines if line)
    }
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Asked(method, target, headers, body)


@contextlib.asynccontextmanager
async def upstream(script: Script = lambda _: Told()) -> AsyncGenerator[Upstream]:
    """Serve on a free port of loopback until the end of the block."""
    made = Upstream(script)
    await made.listen()
    try:
        yield made
    finally:
        await made.close()
