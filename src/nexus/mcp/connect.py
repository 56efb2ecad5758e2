"""From a server's configuration to a link that works: which transport, which credentials, which protocol."""

import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass, field

from mcp.shared.exceptions import MCPError

from nexus.config.llm import InsertRule
from nexus.config.mcp import ApiServer, BuiltinServer, HttpServer, StdioServer
from nexus.mcp import openapi, stdio
from nexus.mcp.duplex import Duplex
from nexus.mcp.link import Link, Lost, OnNotice, Peer, Raw, Slow, finish
from nexus.mcp.sse import Events
from nexus.mcp.streamable import Streamable
from nexus.mcp.web import Web

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class For:
    """Whom a connection is made for, and whom it tells what."""

    on_notice: OnNotice
    token: str | None = None
    """Sent instead of a token of the configuration."""
    capabilities: Raw | None = None
    """What the client can be asked."""
    peer: Peer | None = None
    tail: stdio.Tail = field(default_factory=stdio.Tail)
    """The last words of a program, for its operator only."""


@dataclass(frozen=True, slots=True)
class Dialer:
    """How to reach one server."""

    name: str
    server: StdioServer | BuiltinServer | HttpServer | ApiServer
    rules: Sequence[InsertRule] = ()

    async def connect(self, made_for: For, timeout: float) -> Link:
        """Connect and do the handshake; the caller bounds the whole.

        Raises:
            Lost, Slow, Refused, MCPError: it did not work, and nothing is left of it.
        """
        if isinstance(self.server, StdioServer | BuiltinServer):
            child = await stdio.start(self.name, self.server, os.environ, made_for.tail)
            return await _greeted(self._duplex(child, made_for), timeout)
        if isinstance(self.server, ApiServer):
            return await self._api(self.server, timeout)
        if self.server.protocol == "sse" or (
            self.server.protocol is None and self.server.message_url is not None
        ):
            return await self._sse(self.server, made_for, timeout)
        try:
            return await self._streamable(self.server, made_for, timeout)
        except (Lost, Slow, MCPError) as error:
            if self.server.protocol is not None:
                raise
            log.info("MCP server %s: no streamable HTTP (%s), trying SSE", self.name, error)
            try:
                return await self._sse(self.server, made_for, timeout)
            except (Lost, Slow, MCPError):
                raise error from None

    async def _api(self, server: ApiServer, timeout: float) -> Link:
        token = server.auth.token.get_secret_value() if server.auth is not None else None
        web = self._made(server, server.base_url, token, timeout)
        try:
            return await openapi.read(web, server.openapi, server.base_url)
        except BaseException:
            web.close()
            raise

    async def _streamable(self, server: HttpServer, made_for: For, timeout: float) -> Link:
        web = self._web(server, made_for, timeout)
        capabilities = made_for.capabilities or {}
        link = Streamable(self.name, web, made_for.on_notice, capabilities, made_for.peer)
        return await _greeted(link, timeout)

    async def _sse(self, server: HttpServer, made_for: For, timeout: float) -> Link:
        events = Events(self._web(server, made_for, timeout), server.message_url)
        try:
            await events.connect()
        except BaseException:
            await finish(events.close())
            raise
        return await _greeted(self._duplex(events, made_for), timeout)

    def _duplex(self, carrier: "stdio.Child | Events", made_for: For) -> Duplex:
        return Duplex(self.name, carrier, made_for.on_notice, made_for.capabilities or {}, made_for.peer)

    def _web(self, server: HttpServer, made_for: For, timeout: float) -> Web:
        token = made_for.token
        if server.auth is not None and server.auth.token is not None:
            token = server.auth.token.get_secret_value()
        return self._made(server, server.url, token, timeout)

    def _made(self, server: HttpServer | ApiServer, url: str, token: str | None, timeout: float) -> Web:
        try:
            return Web(url, (*self.rules, *server.headers), token, server.tls, min(timeout, 10.0))
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
            raise Lost(f"its TLS files or address cannot be used: {reason}", sent=False) from None


async def _greeted(link: "Duplex | Streamable", timeout: float) -> Link:
    try:
        await link.greet(timeout)
    except BaseException:
        await finish(link.close())
        raise
    return link
