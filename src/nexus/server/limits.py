"""What is left to a client of its own limits: `GET /v1/limits`."""

from nexus.context import of
from nexus.errors import MethodNotAllowed, NexusError
from nexus.llm.catalog import Catalog
from nexus.llm.protocols.fields import encode
from nexus.llm.protocols.openai.errors import write_error
from nexus.llm.reply import Reply, json_reply
from nexus.ratelimit.limiter import Limiter
from nexus.server.answer import failure, serve
from nexus.server.asgi import Receive, Scope, Send


class Limits:
    """Tells an identified client of its limits, and nobody of anybody else's."""

    def __init__(self, catalog: Catalog, limiter: Limiter) -> None:
        self._catalog = catalog
        self._limiter = limiter

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer GET and HEAD."""
        await serve(scope, send, self._reply(scope))

    async def _reply(self, scope: Scope) -> Reply:
        try:
            return json_reply(await self._body(scope))
        except NexusError as error:
            return failure(error, write_error)

    async def _body(self, scope: Scope) -> bytes:
        if scope["method"] not in ("GET", "HEAD"):
            raise MethodNotAllowed("GET, HEAD")
        identity = of(scope).identity
        if identity is None:
            return encode({"limits": []})
        shelves = self._catalog.snapshot.shelves
        models = [(name, model) for name, shelf in shelves.items() for model in shelf.upstream]
        limits = await self._limiter.left(identity, models)
        return encode({"client": identity.client, "group": identity.group, "limits": limits})
