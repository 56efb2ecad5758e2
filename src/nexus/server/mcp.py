"""The mount of the MCP half: paths to views, HTTP's own rules, one caller per request. Plain ASGI."""

import asyncio
import contextlib
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import msgspec
from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser
from mcp.server.auth.provider import AccessToken
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from mcp.shared.exceptions import MCPError
from mcp_types import INVALID_REQUEST
from mcp_types.version import HANDSHAKE_PROTOCOL_VERSIONS

from nexus import context
from nexus.config import Config
from nexus.errors import InvalidRequest, NotReady
from nexus.mcp import front
from nexus.mcp.access import Access
from nexus.mcp.caller import Caller
from nexus.mcp.client import Client
from nexus.mcp.exchange import DEFAULT_VERSION, exchange, read
from nexus.mcp.link import encode
from nexus.mcp.pool import Pool
from nexus.mcp.service import Limit, Service, unlimited
from nexus.mcp.view import View, shapes
from nexus.ratelimit import RateLimited
from nexus.ratelimit.limiter import Limiter
from nexus.server import connection
from nexus.server.answer import JSON, answer
from nexus.server.asgi import Message, Receive, Scope, Send
from nexus.server.body import read_body
from nexus.server.news import News
from nexus.server.welcome import SESSION as _SESSION
from nexus.server.welcome import unwelcome

Identify = Callable[[Scope], Caller]


def caller(scope: Scope) -> Caller:
    """Give what the layers in front have found out about who calls."""
    known = context.of(scope)
    expires = known.claims.get("exp")
    identity = known.identity
    return Caller(
        identity.group if identity is not None else None,
        known.token,
        float(expires) if isinstance(expires, int | float) else None,
        identity.client if identity is not None else None,
    )


def limited(limiter: Limiter) -> Limit:
    """Count calls of tools by the limits of their servers."""

    async def limit(caller: Caller, server: str, tool: str) -> bool:
        try:
            await limiter.call(server, tool)
        except (RateLimited, NotReady):
            return False
        return True

    return limit


@dataclass(frozen=True, slots=True)
class _Mounted:
    """One view and the SDK's transports for it."""

    service: Service
    modern: StreamableHTTPSessionManager
    """For versions without handshake."""
    sessions: StreamableHTTPSessionManager | None


@dataclass(slots=True, eq=False)
class Mcp:
    """All MCP routes. Start and close it in the loop that serves."""

    config: Config
    identify: Identify = caller
    limit: Limit = unlimited
    pool: Pool = field(init=False)
    _views: Mapping[str, _Mounted] = field(init=False)
    _life: asyncio.Task[None] | None = field(default=None, init=False)
    _stop: asyncio.Event = field(default_factory=asyncio.Event, init=False)

    def __post_init__(self) -> None:
        mcp, identification = self.config.mcp, self.config.server.client_identification
        self.pool = Pool(mcp)
        groups = identification.validation.group_values if identification.enabled else frozenset[str]()
        access = Access(mcp.servers, groups)
        self._views = {
            path: self._mount(
                Service(
                    View(shape, self.pool, access),
                    self.pool,
                    structured=mcp.enable_structured_content,
                    sessions=mcp.sessions,
                    limit=self.limit,
                )
            )
            for path, shape in shapes(mcp).items()
        }

    @property
    def paths(self) -> Sequence[str]:
        """Where the views are."""
        return tuple(self._views)

    @property
    def troubles(self) -> Mapping[str, str]:
        """What keeps a shared server from working, by its name."""
        return {name: one.trouble for name, one in self.pool.shared.items() if one.trouble is not None}

    @property
    def settled(self) -> bool:
        """Whether every shared server has come up or failed once."""
        return all(one.settled.is_set() for one in self.pool.shared.values())

    async def start(self) -> None:
        """Begin to connect, and to answer; waits for no server."""
        ready = asyncio.Event()
        self._life = asyncio.create_task(self._live(ready), name="mcp")
        await ready.wait()

    async def settle(self, seconds: float) -> None:
        """Wait until every shared server has come up or failed once; for so long at most."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                for one in self.pool.shared.values():
                    await one.settled.wait()

    def leave(self) -> None:
        """End the streams that only wait for news, those still to come too; what else is under way goes on."""
        self.pool.signal.end()

    async def close(self) -> None:
        """End sessions, connections and processes."""
        self.leave()
        self._stop.set()
        if self._life is not None:
            await self._life

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        mounted = self._views.get(scope["path"].rstrip("/") or "/") or self._views.get(scope["path"])
        if mounted is None:
            await _refuse(send, 404, INVALID_REQUEST, "Not found")
            return
        headers = dict(scope["headers"])
        if (refusal := unwelcome(scope["headers"], self.config.mcp)) is not None:
            await _refuse(send, *refusal)
            return
        if scope["method"] != "POST" and (mounted.sessions is None or _SESSION not in headers):
            await _refuse(send, 405, INVALID_REQUEST, "Method not allowed, use POST", [(b"allow", b"POST")])
            return
        await self._serve(mounted, headers, scope, receive, send)

    async def _serve(
        self, mounted: _Mounted, headers: Mapping[bytes, bytes], scope: Scope, receive: Receive, send: Send
    ) -> None:
        most = self.config.server.max_body_size
        try:
            body = await read_body(scope, receive, most) if scope["method"] == "POST" else b""
        except InvalidRequest as error:
            await _refuse(send, error.status, INVALID_REQUEST, str(error))
            return
        if body.lstrip()[:1] == b"[":
            await _refuse(
                send, 400, INVALID_REQUEST, "Batches are not supported, send one message per request"
            )
            return
        who = self.identify(scope)
        # https://www.rfc-editor.org/rfc/rfc9110#section-5.5: blanks around a value are no part of it
        bare = [(name, value.strip()) for name, value in scope["headers"]]
        inner: Scope = {**scope, "headers": bare, front.CALLER: who}
        manager = mounted.modern
        if _handshake(headers):
            if mounted.sessions is None or not _in_session(headers, body):
                await _watched(scope, _exchange(mounted.service, who, headers, body, send))
                return
            manager = mounted.sessions
            inner["user"] = _user(who)
            session = headers.get(_SESSION)
            inner[front.SESSION] = session.decode("latin-1") if session is not None else None
        if scope["method"] == "GET" or headers.get(b"mcp-method") == b"subscriptions/listen":
            await self._stay(mounted, manager, inner, _replay(body, receive), send)
            return
        told = _Status(send)
        await manager.asgi_app(inner, _replay(body, receive), cast("Any", told))
        if scope["method"] == "DELETE" and told.status == 200:
            self.pool.session_over(inner[front.SESSION])

    async def _stay(
        self,
        mounted: _Mounted,
        manager: StreamableHTTPSessionManager,
        scope: Scope,
        receive: Receive,
        send: Send,
    ) -> None:
        """Serve a stream of news. In a session we tell of changed lists on it; elsewhere the client asks for that itself."""
        asked = scope["method"] != "GET"
        stream = News(receive, send, self.pool.signal.over, ends=asked)
        changes = mounted.service.changes(Client(scope[front.CALLER]))
        async with contextlib.nullcontext() if asked else stream.telling(changes):
            await manager.asgi_app(scope, stream.receive, cast("Any", stream.send))
        await stream.end()

    def _mount(self, service: Service) -> _Mounted:
        server = front.build(service)
        most = self.config.server.max_body_size
        modern = StreamableHTTPSessionManager(server, stateless=True, max_request_body_size=most)
        if not self.config.mcp.sessions:
            return _Mounted(service, modern, None)
        idle = self.config.mcp.session_timeout
        sessions = StreamableHTTPSessionManager(
            server,
            session_idle_timeout=idle,
            max_request_body_size=most,
            max_sessions=max(1, self.config.mcp.downstream_cache.max_size),
        )
        return _Mounted(service, modern, sessions)

    async def _live(self, ready: asyncio.Event) -> None:
        """Hold the transports open; the SDK wants them opened and closed by one task."""
        async with contextlib.AsyncExitStack() as stack:
            for mounted in self._views.values():
                await stack.enter_async_context(mounted.modern.run())
                if mounted.sessions is not None:
                    await stack.enter_async_context(mounted.sessions.run())
            self.pool.start()
            ready.set()
            await self._stop.wait()
        await self.pool.close()


class _Status:
    """Passes an answer on and remembers its status."""

    def __init__(self, send: Send) -> None:
        self.status = 0
        self._send = send

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
        await self._send(message)


def _handshake(headers: Mapping[bytes, bytes]) -> bool:
    """Tell whether a request is of a version with handshake, or does not say."""
    version = headers.get(b"mcp-protocol-version")
    return version is None or version.decode("latin-1") in HANDSHAKE_PROTOCOL_VERSIONS


def _in_session(headers: Mapping[bytes, bytes], body: bytes) -> bool:
    """Tell whether a request begins a session or belongs to one; any other is answered all the same."""
    if _SESSION in headers:
        return True
    try:
        return _peek(body).method == "initialize"
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return False


async def _watched(scope: Scope, work: Coroutine[Any, Any, None]) -> None:
    """Give work up when its client hangs up: without a session, nobody could ever hear of it."""
    client = connection.of(scope)
    if client is None:
        await work
        return
    client.watch(asyncio.current_task())
    try:
        await work
    except asyncio.CancelledError as cancelled:
        if cancelled.args != (connection.GONE,):
            raise
    finally:
        client.watch(None)


async def _exchange(
    service: Service, who: Caller, headers: Mapping[bytes, bytes], body: bytes, send: Send
) -> None:
    """Answer one message that belongs to no session."""
    accept = headers.get(b"accept", b"*/*")
    if b"*/*" not in accept and not (b"application/json" in accept and b"text/event-stream" in accept):
        await _refuse(send, 406, INVALID_REQUEST, "Accept must name application/json and text/event-stream")
        return
    if not headers.get(b"content-type", b"").lower().startswith(b"application/json"):
        await _refuse(send, 415, INVALID_REQUEST, "Content-Type must be application/json")
        return
    try:
        message = read(body)
    except MCPError as error:
        await _refuse(send, 400, error.code, error.message)
        return
    if not message.wants_answer:
        await send({"type": "http.response.start", "status": 202, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body", "body": b""})
        return
    version = headers.get(b"mcp-protocol-version", b"").decode("latin-1") or DEFAULT_VERSION
    pieces = exchange(service, message, who, version)
    async with contextlib.aclosing(pieces):
        await send({"type": "http.response.start", "status": 200, "headers": _EVENTS})
        async for piece in pieces:
            await send({"type": "http.response.body", "body": piece, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


_EVENTS = [
    (b"content-type", b"text/event-stream"),
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),
]


def _user(caller: Caller) -> AuthenticatedUser:
    """Make a session usable only by who began it, by the SDK's own means."""
    identity = encode([caller.key, caller.client, caller.group]).decode()
    return AuthenticatedUser(AccessToken(token="", client_id=identity, scopes=[]))


class _Method(msgspec.Struct):
    method: str = ""


_peek = msgspec.json.Decoder(_Method).decode


def _replay(body: bytes, receive: Receive) -> Receive:
    """Give the body that was read, then what else comes."""
    given = False

    async def replay() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replay


async def _refuse(
    send: Send, status: int, code: int, message: str, headers: Sequence[tuple[bytes, bytes]] = ()
) -> None:
    error: dict[str, Any] = {"jsonrpc": "2.0", "id": None, "error": {"code": code, "message": message}}
    await answer(send, status, JSON, encode(error), *headers)
