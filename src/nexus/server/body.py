"""The body of a request: bounded in size, and in how long a client may let it stop."""

import asyncio
from functools import partial

from nexus.errors import BodyTooLarge, InvalidRequest
from nexus.server import connection
from nexus.server.asgi import Message, Receive, Scope

_IDLE = 60.0
"""Seconds between two pieces."""


async def read_body(scope: Scope, receive: Receive, limit: int) -> bytes:
    """Read a body of at most `limit` bytes.

    Raises:
        BodyTooLarge: there is more, or its head says so.
        InvalidRequest: its end did not come.
    """
    client = connection.of(scope)
    if client is not None and client.arrived:
        next_ = receive  # nearly always it came with its head, and a timer would be more work than to take it
    elif any(name == b"content-length" and int(value) > limit for name, value in scope["headers"]):
        raise BodyTooLarge(limit)
    else:
        next_ = partial(_next, receive)
    parts: list[bytes] = []
    size, more = 0, True
    while more:
        message = await next_()
        if message["type"] == "http.disconnect":
            raise InvalidRequest("The request body ended early")
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > limit:
            raise BodyTooLarge(limit)
        more = message.get("more_body", False)
    return parts[0] if len(parts) == 1 else b"".join(parts)


async def _next(receive: Receive) -> Message:
    try:
        async with asyncio.timeout(_IDLE):
            return await receive()
    except TimeoutError:
        raise InvalidRequest(f"The request body stopped for {_IDLE:g} seconds") from None
