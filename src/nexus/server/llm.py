"""The routes of the LLM half: read a bounded body, call `exchange`, send what it gives."""

import asyncio
import contextlib
import itertools
import logging
import secrets
from collections.abc import Iterable
from typing import Any

from nexus.context import of
from nexus.errors import (
    BodyTooLarge,
    Internal,
    InvalidRequest,
    MethodNotAllowed,
    NexusError,
    NotFound,
    NotReady,
    UnknownModel,
)
from nexus.http.client import Failed
from nexus.llm import tap
from nexus.llm.catalog import Catalog
from nexus.llm.exchange import Reply, Request, exchange
from nexus.llm.protocols.base import Endpoint, Surface
from nexus.llm.tokens import Metering
from nexus.server import connection
from nexus.server.asgi import Receive, Scope, Send

log = logging.getLogger(__name__)

DEFAULT_PATH = "/llm/openai"
_BODY_IDLE = 60.0
"""Seconds between two pieces of a request body."""
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
        client: connection.Connection | None = scope.get("extensions", {}).get(connection.EXTENSION)
        if client is not None:
            client.watch(asyncio.current_task())
        try:
            reply = await self._answer(scope, receive)
            await _send(reply, send, client)
        except NexusError as error:
            await _send(_failure(error, self.surface), send, client)
        finally:
            if client is not None:
                client.watch(None)

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
        content_type, length, forwarded = b"", 0, b""
        for name, value in scope["headers"]:
            if name == b"content-type":
                content_type = value
            elif name == b"content-length":
                length = int(value)
            elif name in self.surface.forwarded:
                forwarded += name + b": " + value + b"\r\n"
        if length > self._max_body:
            raise BodyTooLarge(self._max_body)
        body = await self._body(receive) if method == "POST" else b""
        query = scope["query_string"]
        request = Request(
            self.surface,
            endpoint,
            method,
            below,
            provider,
            query,
            content_type,
            body,
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
        tap.begin(tap.MODELS, self.surface.name)
        if not await self._catalog.wait(30.0):
            raise NotReady("The model list is not there yet, try again in a moment")
        served = self._catalog.snapshot.models
        if rest in ("", "/"):
            return _json(200, self.surface.write_list(served.values()))
        if (model := served.get(rest[1:])) is None:
            raise UnknownModel(f"Model '{rest[1:]}' not found")
        return _json(200, self.surface.write_model(model))

    async def _body(self, receive: Receive) -> bytes:
        parts: list[bytes] = []
        size = 0
        message = await receive()
        while True:
            if message["type"] == "http.disconnect":
                raise InvalidRequest("The request body ended early")
            parts.append(message.get("body", b""))
            size += len(parts[-1])
            if size > self._max_body:
                raise BodyTooLarge(self._max_body)
            if not message.get("more_body", False):
                return parts[0] if len(parts) == 1 else b"".join(parts)
            message = await _within(receive)


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


async def _within(receive: Receive) -> dict[str, Any]:
    try:
        async with asyncio.timeout(_BODY_IDLE):
            return await receive()
    except TimeoutError:
        raise InvalidRequest(f"The request body stopped for {_BODY_IDLE:g} seconds") from None


async def _send(reply: Reply, send: Send, client: connection.Connection | None) -> None:
    headers = reply.headers
    for name, _ in headers:
        if name in _REQUEST_IDS:
            break
    else:
        headers.append((b"x-request-id", b"%s-%x" % (_process, next(_numbers))))
    await send({"type": "http.response.start", "status": reply.status, "headers": headers})
    if isinstance(reply.body, bytes):
        await send({"type": "http.response.body", "body": reply.body})
        return
    try:
        async with contextlib.aclosing(reply.body) as pieces:
            async for piece in pieces:
                await send({"type": "http.response.body", "body": piece, "more_body": True})
    except Failed as failure:
        log.warning("an answer broke off: %s", failure)
        if client is None:
            raise
        client.cut()
        return
    await send({"type": "http.response.body", "body": b""})


def _failure(error: NexusError, surface: Surface) -> Reply:
    if isinstance(error, Internal):
        log.error("internal error %s", error.reference)
    status, content_type, body = surface.write_error(error)
    headers = [*error.headers, (b"content-type", content_type), (b"content-length", b"%d" % len(body))]
    return Reply(status, headers, body)


def _json(status: int, body: bytes) -> Reply:
    return Reply(
        status, [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))], body
    )
