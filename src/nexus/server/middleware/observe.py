"""Look at every request from outside: when it came, what it was answered, when the last byte had gone. The outermost layer."""

from collections.abc import Awaitable

from nexus.server.asgi import App, Message, Receive, Scope, Send
from nexus.telemetry.setup import Telemetry


def observe(app: App, telemetry: Telemetry) -> App:
    """Tell `telemetry` of every request of `app`, once its answer has gone."""

    async def layer(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await app(scope, receive, send)
            return
        seen = telemetry.begin(scope)

        def watched(message: Message) -> Awaitable[None]:  # not async: one coroutine less for each message
            if message["type"] == "http.response.start":
                seen.status = message["status"]
            elif not message.get("more_body", False):
                seen.complete = True
            return send(message)

        try:
            await app(scope, receive, watched)
        except Exception:  # whoever serves us answers 500
            seen.status = seen.status or 500
            raise
        finally:
            telemetry.finish(seen)

    return layer
