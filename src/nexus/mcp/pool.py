"""Every MCP server of a configuration: those all clients share, and those that want to see each client's own token."""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial

from mcp.shared.exceptions import MCPError
from mcp_types import INTERNAL_ERROR

from nexus.config.mcp import HttpServer, McpConfig, McpServer
from nexus.mcp.caller import Caller
from nexus.mcp.changes import Signal
from nexus.mcp.connect import Dialer
from nexus.mcp.link import Peer, Raw
from nexus.mcp.listing import Listing
from nexus.mcp.upstream import Upstream

log = logging.getLogger(__name__)

_TICK = 5.0
_PATIENCE = 5.0
"""Seconds a caller waits for its own servers to come up."""


@dataclass(slots=True, eq=False)
class _Lease:
    """Connections of one owner, until nobody uses them or their token ends."""

    upstreams: dict[str, Upstream]
    used: float
    expires: float | None
    settled: asyncio.Task[None] | None = None

    def over(self, now: float, wall: float, idle: float) -> bool:
        """Tell whether it has to go."""
        return now - self.used > idle or (self.expires is not None and wall >= self.expires)


@dataclass(slots=True, eq=False)
class Pool:
    """Start and close it in the loop that serves. Nothing here waits for a server before clients are answered."""

    config: McpConfig
    clock: Callable[[], float] = time.monotonic
    wall: Callable[[], float] = time.time
    shared: dict[str, Upstream] = field(init=False)
    """Servers whose connection all clients use."""
    signal: Signal = field(default_factory=Signal, init=False)
    """Wakes who wants to know what changes."""
    _dialers: dict[str, Dialer] = field(init=False)
    _forwarding: tuple[str, ...] = field(init=False)
    _leases: dict[str, _Lease] = field(default_factory=dict[str, _Lease], init=False)
    _sessions: dict[str, _Lease] = field(default_factory=dict[str, _Lease], init=False)
    _closing: set[asyncio.Task[None]] = field(default_factory=set[asyncio.Task[None]], init=False)
    _sweeper: asyncio.Task[None] | None = field(default=None, init=False)
    _closed: bool = field(default=False, init=False)

    def __post_init__(self) -> None:
        config = self.config
        self._dialers = {
            name: Dialer(name, config.servers[name], config.headers) for name in sorted(config.servers)
        }
        self._forwarding = tuple(name for name in self._dialers if _forwards(config, name))
        self.shared = {
            name: self._upstream(name, on_up=partial(_tell_unknown, name, config.servers[name]))
            for name in self._dialers
            if name not in self._forwarding
        }

    def start(self) -> None:
        """Begin to connect to the shared servers."""
        for upstream in self.shared.values():
            upstream.start()
        self._sweeper = asyncio.create_task(self._sweep(), name="mcp leases")

    async def close(self) -> None:
        """End every connection and process."""
        self._closed = True
        if self._sweeper is not None:
            self._sweeper.cancel()
        for key in tuple(self._leases):
            self._end(self._leases.pop(key))
        for key in tuple(self._sessions):
            self._end(self._sessions.pop(key))
        await asyncio.gather(*(upstream.close() for upstream in self.shared.values()), *self._closing)

    def owner(self, caller: Caller) -> str | None:
        """Name the caller whose own connections these are; `None` where it only uses those all clients share."""
        return caller.key if self._forwarding else None

    async def of(self, caller: Caller) -> Mapping[str, Upstream]:
        """Give the servers there are for a caller, by name: the shared ones and, for its token, its own."""
        if (key := self.owner(caller)) is None or self._closed:
            return self.shared
        lease = self._leases.get(key)
        if lease is None or lease.over(self.clock(), self.wall(), self.config.downstream_cache.idle_timeout):
            lease = self._lease(key, caller)
        lease.used = self.clock()
        self._leases[key] = self._leases.pop(key)  # the last used is the last to go
        if lease.settled is not None:
            await asyncio.wait((lease.settled,), timeout=_PATIENCE)  # who is slower is there the next time
        everything = {**self.shared, **lease.upstreams}
        return {name: everything[name] for name in self._dialers}

    def owned(self, session: str, caller: Caller, server: str, capabilities: Raw, peer: Peer) -> Upstream:
        """Give a session its own connection to a server, made on first use: then what the server asks has one addressee."""
        lease = self._sessions.get(session)
        if lease is None:
            lease = self._sessions[session] = _Lease({}, self.clock(), caller.expires)
        lease.used = self.clock()
        upstream = lease.upstreams.get(server)
        if upstream is None:
            if self._closed:
                raise MCPError(INTERNAL_ERROR, "The gateway is shutting down")
            upstream = self._upstream(server, caller.token, capabilities, peer)
            lease.upstreams[server] = upstream
            upstream.start()
        return upstream

    def session_over(self, session: str) -> None:
        """End what a session had for itself."""
        if (lease := self._sessions.pop(session, None)) is not None:
            self._end(lease)

    @property
    def open_leases(self) -> int:
        """How many clients have connections of their own."""
        return len(self._leases) + len(self._sessions)

    def _upstream(
        self,
        name: str,
        token: str | None = None,
        capabilities: Raw | None = None,
        peer: Peer | None = None,
        on_up: Callable[[Listing], None] | None = None,
    ) -> Upstream:
        server = self.config.servers[name]
        own = token if name in self._forwarding else None
        return Upstream(
            self._dialers[name],
            server.startup_timeout,
            server.request_timeout,
            token=own,
            capabilities=capabilities,
            peer=peer,
            on_up=on_up,
            on_change=self.signal.change if peer is None else None,
        )

    def _lease(self, key: str, caller: Caller) -> _Lease:
        """Connect for a new token; others with the same one wait for this."""
        if (old := self._leases.pop(key, None)) is not None:
            self._end(old)
        upstreams = {name: self._upstream(name, caller.token) for name in self._forwarding}
        lease = self._leases[key] = _Lease(upstreams, self.clock(), caller.expires)
        for upstream in upstreams.values():
            upstream.start()
        lease.settled = asyncio.create_task(_settle(upstreams))
        while len(self._leases) > max(1, self.config.downstream_cache.max_size):
            self._end(self._leases.pop(next(iter(self._leases))))
        return lease

    def _end(self, lease: _Lease) -> None:
        task = asyncio.create_task(_close(lease))
        self.signal.change()
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(_TICK)
            self.sweep()

    def sweep(self) -> None:
        """End what nobody uses any more, and what its token no longer allows."""
        now, wall = self.clock(), self.wall()
        for leases, idle in (
            (self._leases, self.config.downstream_cache.idle_timeout),
            (self._sessions, self.config.session_timeout),
        ):
            for key in [key for key, lease in leases.items() if lease.over(now, wall, idle)]:
                self._end(leases.pop(key))


def _forwards(config: McpConfig, name: str) -> bool:
    server = config.servers[name]
    return isinstance(server, HttpServer) and server.auth is not None and server.auth.type == "forward"


def _tell_unknown(name: str, server: McpServer, listing: Listing) -> None:
    """Warn of rules for tools that are not there: most likely a name is misspelt, and the tool it means is open."""
    there = {tool["name"] for tool in listing.tools}
    limited = server.rate_limits.tools if server.rate_limits is not None else {}
    for what, rules in (("tools", server.tools), ("rate_limits.tools", limited)):
        for tool in sorted(rules.keys() - there):
            log.warning("mcp.servers.%s.%s.%s: the server has no such tool", name, what, tool)


async def _settle(upstreams: Mapping[str, Upstream]) -> None:
    await asyncio.gather(*(upstream.settled.wait() for upstream in upstreams.values()))


async def _close(lease: _Lease) -> None:
    if lease.settled is not None:
        lease.settled.cancel()
    await asyncio.gather(*(upstream.close() for upstream in lease.upstreams.values()))
