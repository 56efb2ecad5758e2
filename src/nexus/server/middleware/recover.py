"""What is left where a route fails by a fault of ours."""

import asyncio
import logging
import secrets
from collections.abc import Awaitable

from nexus.errors import Internal
from nexus.llm.protocols.base import Surface
from nexus.server.answer import failure, send_reply
from nexus.server.asgi import App, Message, Receive, Scope, Send
from nexus.server.connection import GONE

log = logging.getLogger(__name__)


def recover(app: App, surface: Surface) -> App:
    """Turn a fault of ours into a 500 with a reference, in the words of `surface`, and a client that left into silence."""

    async def layer(scope: Scope, receive: Receive, send: Send) -> None:
        started = False

        def watched(message: Message) -> Awaitable[None]:  # not async: one coroutine less for each message
            nonlocal started
            started = True
            return send(message)

        try:
            await app(scope, receive, watched)
        except asyncio.CancelledError as cancelled:
            if cancelled.args != (GONE,):
                raise
        except Exception:
            reference = secrets.token_hex(8)
            log.exception("internal error %s", reference)
            if started:
                raise
            await send_reply(failure(Internal(reference), surface.write_error), send)

    return layer
