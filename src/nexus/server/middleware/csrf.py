"""Refuse what a web page could have forged: a page cannot add a header of its own without a preflight."""

from nexus.server.asgi import App, Receive, Scope, Send


def csrf(app: App, header: str) -> App:
    """Answer 403 to requests without `header`; its value does not matter. Preflights have been answered before."""
    name = header.lower().encode()

    async def layer(scope: Scope, receive: Receive, send: Send) -> None:
        if (
            scope["type"] != "http"
            or scope["method"] == "OPTIONS"
            or any(key == name for key, _ in scope["headers"])
        ):
            await app(scope, receive, send)
            return
        await send({"type": "http.response.start", "status": 403, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body", "body": b""})

    return layer
