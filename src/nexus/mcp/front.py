"""The MCP server that clients see: the SDK's transport and protocol rules, our answers.

Results go past the SDK's models, which know fewer fields than servers send: every method is answered before its own handlers.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from mcp.server.context import CallNext, HandlerResult, ServerRequestContext
from mcp.server.lowlevel.server import Server
from mcp.server.session import ServerSession
from mcp.shared.exceptions import MCPError
from mcp.shared.inbound import MCP_PARAM_HEADER_PREFIX
from mcp.shared.message import ServerMessageMetadata
from mcp.shared.subscriptions import SUBSCRIPTION_ID_META_KEY
from mcp_types import (
    INTERNAL_ERROR,
    INVALID_PARAMS,
    LOG_LEVEL_META_KEY,
    METHOD_NOT_FOUND,
    SERVER_INFO_META_KEY,
    Request,
    methods,
)
from mcp_types.version import HANDSHAKE_PROTOCOL_VERSIONS, LATEST_HANDSHAKE_VERSION, MODERN_PROTOCOL_VERSIONS
from pydantic import BaseModel, ConfigDict, ValidationError

from nexus import __version__
from nexus.errors import NexusError
from nexus.mcp.caller import NOBODY, Caller
from nexus.mcp.changes import notice
from nexus.mcp.client import Client
from nexus.mcp.link import Envelope, Raw
from nexus.mcp.service import RESERVED, Service

log = logging.getLogger(__name__)

CALLER = "nexus.mcp.caller"
"""Where the mount leaves the `Caller` in the ASGI scope."""
SESSION = "nexus.mcp.session"
"""Where it leaves the session a request belongs to; what a client writes into a header is not believed elsewhere."""

Context = ServerRequestContext[Any, Any]

_LEVELS = ("debug", "info", "notice", "warning", "error", "critical", "alert", "emergency")
_LISTEN = "subscriptions/listen"
_MAX_LISTENING = 1024
_REPEATED = MCP_PARAM_HEADER_PREFIX.lower()
_CACHED = frozenset(
    (
        "tools/list",
        "prompts/list",
        "resources/list",
        "resources/templates/list",
        "resources/read",
        "server/discover",
    )
)


class _Any(BaseModel):
    """A result of any shape."""

    model_config = ConfigDict(extra="allow")


class _Question(Request[dict[str, Any], str]):
    """A request of any kind to the client."""


@dataclass(frozen=True, slots=True)
class Asker:
    """The way back to a client: on the stream of a request, or without one on the stream of its session."""

    session: ServerSession
    request_id: int | str | None
    modern: bool
    level: str | None
    """The least level of log messages a client without session wants to see."""

    async def notify(self, method: str, params: Raw) -> None:
        """Pass a notification on."""
        if method == "notifications/message" and self.modern and not self._wants(params.get("level")):
            return
        message = _Question(method=method, params=params)
        await self.session.send_notification(cast("Any", message), self.request_id)

    async def ask(self, method: str, params: Raw) -> Raw:
        """Pass a request on."""
        metadata = ServerMessageMetadata(related_request_id=self.request_id)
        question = cast("Any", _Question(method=method, params=params))
        try:
            answer = await self.session.send_request(question, _Any, metadata=metadata)
        except ValidationError:
            raise MCPError(INVALID_PARAMS, "The client's answer is not valid") from None
        return answer.model_dump(by_alias=True, mode="json", exclude_unset=True)

    def _wants(self, level: object) -> bool:
        return (
            level in _LEVELS and self.level in _LEVELS and _LEVELS.index(level) >= _LEVELS.index(self.level)
        )


def build(service: Service) -> Server[Any]:
    """Make the SDK's server for one view."""
    server: Server[Any] = Server("nexus", version=__version__, get_tool_input_schema=_no_schema)
    server.middleware.append(_Answers(service))
    return server


def _no_schema(name: str) -> Mapping[str, Any] | None:
    """Keep the SDK from listing the tools on every call: arguments are the server's to check."""
    return None


class _Answers:
    """Answer every request; leave notifications to the SDK."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._listening = 0

    async def __call__(self, ctx: Context, call_next: CallNext) -> HandlerResult:
        """Take one message."""
        if ctx.request_id is None:
            return await call_next(ctx)
        params = dict(ctx.params or {})
        client = _client(ctx, params)
        if ctx.method == _LISTEN and client.modern:
            result = await self._listen(ctx.request_id, params, client)
        else:
            result = await respond(self._service, ctx.method, params, client)
        return _modern(ctx.method, result, self._service.info()) if client.modern else result

    async def _listen(self, number: int | str, params: Raw, client: Client) -> Raw:
        """Tell a client of changed lists, until it leaves or its token ends.

        https://modelcontextprotocol.io/specification/2026-07-28/basic/subscriptions
        """
        _check(_LISTEN, client.version, params)
        if self._listening >= _MAX_LISTENING:
            raise MCPError(INTERNAL_ERROR, "Too many clients listen for changes")
        wanted = cast("Raw", params["notifications"])
        kept = {
            name: f"{name}ListChanged"
            for name in self._service.listened
            if wanted.get(f"{name}ListChanged") is True
        }
        meta: Raw = {SUBSCRIPTION_ID_META_KEY: number}
        changes = self._service.changes(client)
        self._listening += 1
        try:
            await changes.start()
            agreed = {"notifications": dict.fromkeys(kept.values(), True), "_meta": meta}
            await client.peer.notify("notifications/subscriptions/acknowledged", agreed)
            while changed := await changes.next():
                for name in kept.keys() & changed:
                    await client.peer.notify(*notice(name, meta))
        finally:
            self._listening -= 1
        return {"_meta": meta}


async def respond(service: Service, method: str, params: Raw, client: Client) -> Raw:
    """Answer one request of any method.

    Raises:
        MCPError: what the client is to be told instead.
    """
    _check(method, client.version, params)
    try:
        if method == "initialize":
            asked = params["protocolVersion"]
            version = asked if asked in HANDSHAKE_PROTOCOL_VERSIONS else LATEST_HANDSHAKE_VERSION
            return {"protocolVersion": version, **await service.greeting(client)}
        if method == "server/discover":
            greeting = await service.greeting(client)
            del greeting["serverInfo"]  # said with every answer
            return {"supportedVersions": list(MODERN_PROTOCOL_VERSIONS), **greeting}
        return await service.handle(method, params, client)
    except MCPError:
        raise
    except NexusError as error:
        raise MCPError(INTERNAL_ERROR, str(error)) from error
    except Exception:
        log.exception("MCP %s failed", method)
        raise MCPError(INTERNAL_ERROR, "Internal server error") from None


def _check(method: str, version: str, params: Raw) -> None:
    """Hold a request against the version it is made in.

    Raises:
        MCPError: there is no such method, or its parameters are wrong.
    """
    if method not in methods.SPEC_CLIENT_METHODS:
        raise MCPError(METHOD_NOT_FOUND, method)
    try:
        methods.validate_client_request(method, version, params or None)
    except KeyError:
        raise MCPError(METHOD_NOT_FOUND, method) from None
    except ValidationError as error:
        fields = ", ".join(
            ".".join(str(part) for part in one["loc"][1:]) for one in error.errors(include_input=False)
        )
        raise MCPError(INVALID_PARAMS, f"Invalid request parameters: {fields}") from None


def _client(ctx: Context, params: Raw) -> Client:
    modern = ctx.protocol_version in MODERN_PROTOCOL_VERSIONS
    meta = cast("Raw", params.get("_meta") or {})
    peer = Asker(ctx.session, ctx.request_id, modern, meta.get(LOG_LEVEL_META_KEY))
    standing = Asker(ctx.session, None, modern, None)
    scope: Mapping[str, Any] = ctx.request.scope if ctx.request is not None else {}
    caller: Caller = scope.get(CALLER, NOBODY)
    session: str | None = scope.get(SESSION)
    declared = ctx.session.client_capabilities if session is not None else None
    capabilities = (
        declared.model_dump(by_alias=True, mode="json", exclude_none=True) if declared is not None else None
    )
    envelope = _envelope(ctx, meta) if modern else None
    return Client(caller, ctx.protocol_version, peer, standing, session, capabilities, envelope)


def _envelope(ctx: Context, meta: Raw) -> Envelope:
    headers = ctx.request.headers.items() if ctx.request is not None else ()
    repeated = {name: value for name, value in headers if name.startswith(_REPEATED)}
    return Envelope({key: value for key, value in meta.items() if key.startswith(RESERVED)}, repeated)


def _modern(method: str, result: Raw, info: Raw) -> Raw:
    """Add what every answer has in versions without handshake."""
    answer = {"resultType": "complete", **result}
    if method in _CACHED and answer["resultType"] == "complete":
        answer = {"ttlMs": 0, "cacheScope": "private", **answer}
    answer["_meta"] = {**cast("Raw", result.get("_meta") or {}), SERVER_INFO_META_KEY: info}
    return answer
