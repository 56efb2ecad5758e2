"""Answers that stay open for news: what is said on them besides, and their end when the gateway stops."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator

from nexus.mcp.changes import Changes, notice
from nexus.mcp.link import notification
from nexus.server.asgi import Message, Receive, Send


class News:
    """One such answer."""

    def __init__(self, receive: Receive, send: Send, leaving: asyncio.Event, *, ends: bool) -> None:
        self._receive = receive
        self._send = send
        self._leaving = leaving
        self._ends = ends
        """Whether it ends by itself when the gateway stops."""
        self._began = asyncio.Event()
        self._ended = False

    async def receive(self) -> Message:
        """Wait for the client to leave; where the gateway does so first, it is the same to the SDK."""
        if self._ends:
            return await self._receive()
        waiting = asyncio.ensure_future(self._receive())
        leaving = asyncio.create_task(self._leaving.wait())
        try:
            await asyncio.wait((waiting, leaving), return_when=asyncio.FIRST_COMPLETED)
            return await waiting if waiting.done() else {"type": "http.disconnect"}
        finally:
            waiting.cancel()
            leaving.cancel()

    async def send(self, message: Message) -> None:
        """Pass on what the SDK sends."""
        if message["type"] == "http.response.body":
            self._ended = not message.get("more_body", False)
        await self._send(message)
        if message["type"] == "http.response.start" and message["status"] == 200:
            self._began.set()

    async def end(self) -> None:
        """End the answer where the SDK has not."""
        if self._began.is_set() and not self._ended:
            await self._send({"type": "http.response.body", "body": b""})

    @contextlib.asynccontextmanager
    async def telling(self, changes: Changes) -> AsyncGenerator[None]:
        """Say which lists change, for as long as the block runs."""
        task = asyncio.create_task(self._tell(changes))
        try:
            yield
        finally:
            task.cancel()

    async def _tell(self, changes: Changes) -> None:
        await self._began.wait()
        await changes.start()
        while changed := await changes.next():
            for name in changed:
                event = b"event: message\ndata: %s\n\n" % notification(*notice(name))
                await self._send({"type": "http.response.body", "body": event, "more_body": True})
