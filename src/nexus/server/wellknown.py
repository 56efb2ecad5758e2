"""The metadata a client looks for before it has a token: for everybody, from every page, whatever else is asked of requests."""

from nexus.auth import metadata
from nexus.config.auth import ProtectedResource
from nexus.server.answer import JSON, answer
from nexus.server.asgi import App, Receive, Scope, Send
from nexus.server.middleware.cors import cors
from nexus.telemetry import observation

_ALLOW = (b"allow", b"GET, HEAD, OPTIONS")
_CACHE = (b"cache-control", b"public, max-age=300")


def wellknown(app: App, resource: ProtectedResource, *routes: str) -> App:
    """Answer what asks for the metadata of `resource`, or of one of its `routes`, in front of `app`."""
    paths, document = metadata.paths(resource, *routes), metadata.document(resource)

    async def route(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] in ("GET", "HEAD"):
            await answer(send, 200, JSON, document, _CACHE)
        else:
            await answer(send, 405, JSON, b"", _ALLOW)

    readable = cors(route, None)

    async def layer(scope: Scope, receive: Receive, send: Send) -> None:
        mine = scope["type"] == "http" and scope["path"] in paths
        if mine and (seen := observation.current()) is not None:
            seen.route = scope["path"]
        await (readable if mine else app)(scope, receive, send)

    return layer
