"""How a layer refuses where no protocol says how: in plain words, the same for every client."""

from nexus.server.answer import PLAIN, answer
from nexus.server.asgi import Send


async def too_many(send: Send) -> None:
    """Say that a limit on requests is used up."""
    await answer(send, 429, PLAIN, b"Rate limit exceeded")


async def fault(send: Send) -> None:
    """Say that it cannot be told whether a limit is used up."""
    await answer(send, 500, PLAIN, b"Internal server error")
