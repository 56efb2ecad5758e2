"""Count requests, and refuse those there is no room for. Innermost of the layers: what others refuse uses up nothing."""

from nexus.context import of
from nexus.ratelimit import RateLimited, StoreFailed
from nexus.ratelimit.limiter import Limiter
from nexus.server.asgi import App, Receive, Scope, Send
from nexus.server.middleware.refusal import fault, too_many


def limit(app: App, limiter: Limiter) -> App:
    """Let through to `app` what the limits have room for."""

    async def layer(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await limiter.admit(of(scope).address)
        except RateLimited:
            await too_many(send)
            return
        except StoreFailed:
            await fault(send)
            return
        await app(scope, receive, send)

    return layer
