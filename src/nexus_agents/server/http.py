"""The server by streamable HTTP, for clients that cannot start a program or share one."""

import contextlib
import secrets
from collections.abc import AsyncGenerator, Mapping
from typing import Any

import uvicorn
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from mcp.server.transport_security import TransportSecuritySettings
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from nexus_agents.errors import Misuse
from nexus_agents.server.front import Context, Front, build
from nexus_agents.services import Services

TOKEN = "NEXUS_AGENTS_TOKEN"
DEPTH_HEADER = "x-nexus-depth"
LOOPBACK = ("127.0.0.1", "localhost", "::1")


def application(services: Services, environ: Mapping[str, str], host: str) -> Starlette:
    """Make the ASGI application: `/mcp`, and `/health` for whoever watches it.

    Raises:
        Misuse: it would be open to the network without a token.
    """
    token = environ.get(TOKEN, "")
    if host not in LOOPBACK and not token:
        raise Misuse(
            f"Listening on {host} would let anybody use the models.",
            f"Set {TOKEN}, which clients send as a bearer token.",
        )
    local = TransportSecuritySettings(
        enable_dns_rebinding_protection=True,
        allowed_hosts=["127.0.0.1:*", "localhost:*", "[::1]:*"],
        allowed_origins=["http://127.0.0.1:*", "http://localhost:*", "http://[::1]:*"],
    )
    manager = StreamableHTTPSessionManager(
        build(Front(services, environ, depth_of=_depth)),
        security_settings=local
        if host in LOOPBACK
        else TransportSecuritySettings(enable_dns_rebinding_protection=False),
    )

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncGenerator[None]:
        async with manager.run():
            yield

    routes = [Route("/health", _health), Route("/mcp", _Mcp(manager, token))]
    return Starlette(routes=routes, lifespan=lifespan)


class _Mcp:
    """The endpoint; an object and not a function, so that Starlette hands it everything as it is."""

    def __init__(self, manager: StreamableHTTPSessionManager, token: str) -> None:
        self._manager = manager
        self._token = token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._token and not _admitted(Request(scope), self._token):
            refusal = JSONResponse({"error": "invalid_token"}, 401, {"www-authenticate": "Bearer"})
            await refusal(scope, receive, send)
            return
        await self._manager.handle_request(scope, receive, send)


async def serve(environ: Mapping[str, str], host: str, port: int) -> int:
    """Serve until ended by a signal."""
    async with Services(environ) as services:
        settings = uvicorn.Config(
            application(services, environ, host), host=host, port=port, log_level="warning", access_log=False
        )
        await uvicorn.Server(settings).serve()
    return 0


async def _health(request: Request) -> Response:
    return JSONResponse({"status": "ok"})


def _admitted(request: Request, token: str) -> bool:
    kind, _, given = request.headers.get("authorization", "").partition(" ")
    return kind.lower() == "bearer" and secrets.compare_digest(given.strip().encode(), token.encode())


def _depth(context: Context) -> int:
    """Agents that reach this server through a gateway say so in a header; what is no number counts as deep."""
    request: Any = context.request
    said = request.headers.get(DEPTH_HEADER, "0") if isinstance(request, Request) else "0"
    return int(said) if said.isdecimal() else 99
