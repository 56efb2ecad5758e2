"""The routes of the LLM half: read a bounded body, call `exchange`, send what it gives."""

import itertools
import secrets
from collections.abc import Iterable

from nexus.context import of
from nexus.errors import MethodNotAllowed, NexusError, NotFound, UnknownModel
from nexus.llm import tap
from nexus.llm.catalog import Catalog
from nexus.llm.exchange import Request, exchange
from nexus.llm.protocols.base import Endpoint, Surface
from nexus.llm.reply import Reply, json_reply
from nexus.llm.tokens import Metering
from nexus.server.answer import failure, serve
from nexus.server.asgi import Receive, Scope, Send
from nexus.server.body import read_body

DEFAULT_PATH = "/llm/openai"
_REQUEST_IDS = (b"x-request-id", b"request-id")
_process = f"nx-{secrets.token_hex(6)}".encode()
_numbers = itertools.count(1)


class Routes:
    """All paths of one protocol: every endpoint below every prefix, and below a provider's name."""

    def __init__(
        self,
        surface: Surface,
        catalog: Catalog,
        metering: Metering,
        path: str,
        taken: Iterable[str],
        *,
        keep_alive: float,
        max_body: int,
    ) -> None:
        self.surface = surface
        self._catalog = catalog
        self._metering = metering
        self._keep_alive = keep_alive
        self._max_body = max_body
        self._base = path
        self.prefixes = _prefixes(surface, path, tuple(taken))
        self._greeted = frozenset((path, f"{path}/", f"{path}/api/hello"))
        self._exact = {
            prefix + endpoint.path: (endpoint, endpoint.path, None)
            for prefix in self.prefixes
            for endpoint in surface.endpoints
        }
        self._below = sorted((f"{prefix}/" for prefix in {*self.prefixes, path}), key=len, reverse=True)

    def claims(self, path: str) -> int:
        """Tell how much of a path says that it belongs to this protocol, known endpoint or not; 0 where nothing does."""
        if path == self._base:
            return len(path)
        return next((len(prefix) for prefix in self._below if path.startswith(prefix)), 0)

    @property
    def paths(self) -> Iterable[str]:
        """Those of all endpoints that have no id in theirs, but for those below a provider's name."""
        return self._exact

    def template(self, path: str) -> str | None:
        """Give the template of a path, ids left out; None for one there is no endpoint at."""
        if (found := self._exact.get(path) or self._find(path)) is not None:
            return path.removesuffix(found[1]) + found[0].path
        prefix = self._listing(path)
        if prefix is None:
            return None
        return f"{prefix}/models" if path.rstrip("/") == f"{prefix}/models" else f"{prefix}/models/{{id}}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        await serve(scope, send, self._reply(scope, receive))

    async def _reply(self, scope: Scope, receive: Receive) -> Reply:
        try:
            reply = await self._answer(scope, receive)
        except NexusError as error:
            reply = failure(error, self.surface.write_error)
        return _numbered(reply)

    async def _answer(self, scope: Scope, receive: Receive) -> Reply:
        path: str = scope["path"]
        if scope["method"] == "HEAD" and path in self._greeted:  # clients ask so whether anybody is there
            return Reply(200, [(b"content-length", b"0")], b"")
        found = self._exact.get(path) or self._find(path)
        if found is None:
            return await self._models(scope, path)
        endpoint, below, provider = found
        method: str = scope["method"]
        if method not in endpoint.methods:
            raise MethodNotAllowed(", ".join(endpoint.methods))
        content_type, forwarded = b"", b""
        for name, value in scope["headers"]:
            if name == b"content-type":
                content_type = value
            elif name in self.surface.forwarded:
                forwarded += name + b": " + value + b"\r\n"
        request = Request(
            self.surface,
            endpoint,
            method,
            below,
            provider,
            scope["query_string"],
            content_type,
            await read_body(scope, receive, self._max_body) if method == "POST" else b"",
            forwarded,
            scope["headers"],
            of(scope).identity,
        )
        return await exchange(request, self._catalog, self._metering, self._keep_alive)

    def _find(self, path: str) -> tuple[Endpoint, str, str | None] | None:
        for prefix in self.prefixes:
            if (
                path.startswith(f"{prefix}/")
                and (endpoint := self.surface.find(path[len(prefix) :])) is not None
            ):
                return endpoint, path[len(prefix) :], None
        provider, version, below = path.removeprefix(f"{self._base}/").partition("/v1/")
        if (
            version
            and provider in self._catalog.snapshot.shelves
            and (endpoint := self.surface.find(f"/{below}"))
        ):
            return endpoint, f"/{below}", provider
        return None

    def _listing(self, path: str) -> str | None:
        return next((prefix for prefix in self.prefixes if path.startswith(f"{prefix}/models")), None)

    async def _models(self, scope: Scope, path: str) -> Reply:
        prefix = self._listing(path)
        if prefix is None:
            raise NotFound(f"No endpoint at {path}")
        if scope["method"] not in ("GET", "HEAD"):
            raise MethodNotAllowed("GET")
        rest = path[len(prefix) + len("/models") :]
        tap.begin("/models", self.surface.name)
        await self._catalog.wait()
        served = self._catalog.snapshot.models
        if rest in ("", "/"):
            return json_reply(self.surface.write_list(served.values()))
        if (model := served.get(rest[1:])) is None:
            raise UnknownModel(f"Model '{rest[1:]}' not found")
        return json_reply(self.surface.write_model(model))


def _prefixes(surface: Surface, base: str, taken: tuple[str, ...]) -> tuple[str, ...]:
    """Name every prefix an endpoint is reached by; the published examples do not agree on one."""
    if surface.name != "openai":
        return (f"{base}/v1",)
    wanted = [f"{base}/v1", base]
    if base == DEFAULT_PATH:
        wanted += ["/llm/v1", "/llm"]
    ends = ("", "/chat/completions", "/models")
    return tuple(
        prefix for prefix in wanted if not any(prefix + end == other for other in taken for end in ends)
    )


def _numbered(reply: Reply) -> Reply:
    """Give a reply an id, unless its provider has: what a client tells of can be found."""
    for name, _ in reply.headers:
        if name in _REQUEST_IDS:
            return reply
    reply.headers.append((b"x-request-id", b"%s-%x" % (_process, next(_numbers))))
    return reply
