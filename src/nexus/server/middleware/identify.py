"""Know who asks. After authentication, as a token may say it; before limits, as they count by it."""

from nexus.auth.client import Identify, Unidentified
from nexus.context import RequestContext, of, put
from nexus.server.answer import JSON, answer
from nexus.server.asgi import App, Receive, Scope, Send


def identify(app: App, identify: Identify) -> App:
    """Let only requests of known clients through to `app`, and leave their identity in the context."""

    async def layer(scope: Scope, receive: Receive, send: Send) -> None:
        context = of(scope)
        try:
            identity = identify(scope["headers"], context.claims)
        except Unidentified as error:
            await answer(send, 400, JSON, error.body)
            return
        put(scope, RequestContext(context.address, context.token, context.claims, identity))
        await app(scope, receive, send)

    return layer
