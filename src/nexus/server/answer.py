"""How answers leave: whole or piece by piece, and given up when the client hangs up.

One that breaks off upstream breaks off here.
"""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable

from nexus.errors import NexusError
from nexus.http.client import Failed
from nexus.llm.reply import Reply
from nexus.server import connection
from nexus.server.asgi import Scope, Send

log = logging.getLogger(__name__)

JSON = b"application/json"
PLAIN = b"text/plain"
_ALLOW = (b"allow", b"GET, HEAD")
Header = tuple[bytes, bytes]
WriteError = Callable[[NexusError], tuple[int, bytes, bytes]]
"""Gives status, content type and body of a failure."""


async def serve(scope: Scope, send: Send, making: Awaitable[Reply]) -> None:
    """Send the reply that is being made; what makes it, and what brings it, is cancelled when the client hangs up."""
    client = connection.of(scope)
    if client is not None:
        client.watch(asyncio.current_task())
    try:
        await send_reply(await making, send, client)
    finally:
        if client is not None:
            client.watch(None)


async def send_reply(reply: Reply, send: Send, client: connection.Connection | None = None) -> None:
    """Send a reply; one that breaks off upstream cuts the connection of the client, or is raised where that is not known."""
    start = {"type": "http.response.start", "status": reply.status, "headers": reply.headers}
    if isinstance(reply.body, bytes):
        await send(start)
        await send({"type": "http.response.body", "body": reply.body})
        return
    try:
        await send(start)
        async with contextlib.aclosing(reply.body) as pieces:
            async for piece in pieces:
                await send({"type": "http.response.body", "body": piece, "more_body": True})
    except Failed as failure:
        log.warning("an answer broke off: %s", failure)
        if client is None:
            raise
        client.cut()
        return
    finally:
        reply.close()  # what was never begun does not close itself
    await send({"type": "http.response.body", "body": b""})


def failure(error: NexusError, write_error: WriteError) -> Reply:
    """Make the reply that tells a client of an error."""
    status, content_type, body = write_error(error)
    headers = [*error.headers, (b"content-type", content_type), (b"content-length", b"%d" % len(body))]
    return Reply(status, headers, body)


async def answer(send: Send, status: int, content_type: bytes, body: bytes, *headers: Header) -> None:
    """Send a whole answer."""
    lines = [(b"content-type", content_type), (b"content-length", b"%d" % len(body)), *headers]
    await send({"type": "http.response.start", "status": status, "headers": lines})
    await send({"type": "http.response.body", "body": body})


async def show(scope: Scope, send: Send, content_type: bytes, body: bytes, status: int = 200) -> None:
    """Answer GET and HEAD with a page, and anything else with 405."""
    if scope["method"] in ("GET", "HEAD"):
        await answer(send, status, content_type, body)
    else:
        await answer(send, 405, PLAIN, b"", _ALLOW)
