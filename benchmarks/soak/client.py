"""A client's connection: sends a request, reads the answer, and may leave at any point."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field


class Cut(Exception):
    """An answer that began did not come to its end."""


@dataclass(frozen=True)
class Head:
    """The head of an answer."""

    status: int
    headers: dict[str, str] = field(default_factory=dict[str, str])


class Connection:
    """One connection to the gateway, opened when it is needed."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def ask(self, request: bytes) -> Head:
        """Send a request and read the head of the answer.

        Raises:
            OSError: nothing was answered.
            EOFError: nothing was answered.
        """
        if self._writer is None:
            self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port)
        assert self._reader is not None
        self._writer.write(request)
        lines = (await self._reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        pairs = (line.partition(": ") for line in lines[1:] if line)
        return Head(int(lines[0].split(" ")[1]), {name.lower(): value for name, _, value in pairs})

    async def body(self, head: Head) -> AsyncGenerator[bytes]:
        """Read the body, as it comes.

        Raises:
            Cut: it is not whole.
        """
        assert self._reader is not None
        try:
            if head.headers.get("transfer-encoding") == "chunked":
                while size := int(await self._reader.readline(), 16):
                    yield (await self._reader.readexactly(size + 2))[:-2]
                await self._reader.readline()
            elif length := int(head.headers.get("content-length", "0")):
                yield await self._reader.readexactly(length)
        except (OSError, EOFError, ValueError) as error:
            raise Cut from error
        if head.headers.get("connection") == "close":
            await self.leave()

    async def leave(self) -> None:
        """Go without a word."""
        if self._writer is not None:
            self._writer.transport.abort()
            with contextlib.suppress(OSError):
                await self._writer.wait_closed()
        self._reader = self._writer = None
