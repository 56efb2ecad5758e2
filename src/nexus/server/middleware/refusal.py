"""How a layer answers in place of the route: short, whole, and the same in every protocol."""

from nexus.server.asgi import Send

JSON = b"application/json"
PLAIN = b"text/plain"
Header = tuple[bytes, bytes]


async def answer(send: Send, status: int, content_type: bytes, body: bytes, *headers: Header) -> None:
    """Send a whole answer."""
    lines = [(b"content-type", content_type), (b"content-length", b"%d" % len(body)), *headers]
    await send({"type": "http.response.start", "status": status, "headers": lines})
    await send({"type": "http.response.body", "body": body})


async def too_many(send: Send) -> None:
    """Say that a limit on requests is used up."""
    await answer(send, 429, PLAIN, b"Rate limit exceeded")


async def fault(send: Send) -> None:
    """Say that it cannot be told whether a limit is used up."""
    await answer(send, 500, PLAIN, b"Internal server error")
