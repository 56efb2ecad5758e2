"""Tell clients what is left of their limits, in headers of every answer to a request that was counted."""

from nexus.ratelimit import standing
from nexus.ratelimit.standing import Standing
from nexus.server.asgi import App, Message, Receive, Scope, Send

_NAMES = (b"x-ratelimit-resource", b"x-ratelimit-limit", b"x-ratelimit-remaining", b"x-ratelimit-reset")


def tell(app: App) -> App:
    """Put how a request stands into the headers of the answer of `app`, in place of what a provider says by those names."""

    async def layer(scope: Scope, receive: Receive, send: Send) -> None:
        mine = Standing()

        async def told(message: Message) -> None:
            if message["type"] == "http.response.start" and mine.resource:
                kept = [pair for pair in message["headers"] if pair[0] not in _NAMES]
                message = {**message, "headers": kept + _headers(mine)}
            await send(message)

        token = standing.enter(mine)
        try:
            await app(scope, receive, told)
        finally:
            standing.leave(token)

    return layer


def _headers(mine: Standing) -> list[tuple[bytes, bytes]]:
    numbers = (b"%d" % number for number in (mine.limit, mine.remaining, mine.reset))
    return list(zip(_NAMES, (mine.resource.encode(), *numbers), strict=True))
