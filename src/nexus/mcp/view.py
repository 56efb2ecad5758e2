"""A choice of servers and how their tools are shown: the endpoint itself, or a named view of it."""

import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mcp.shared.exceptions import MCPError
from mcp_types import INTERNAL_ERROR, METHOD_NOT_FOUND

from nexus.config.mcp import McpConfig, Mode
from nexus.mcp.access import Access
from nexus.mcp.caller import Caller
from nexus.mcp.listing import Listing
from nexus.mcp.names import SEPARATOR
from nexus.mcp.pool import Pool
from nexus.mcp.toolbox import Toolbox
from nexus.mcp.upstream import Upstream

_KEPT = 256
"""Toolboxes kept at most."""
_PATIENCE = 5.0
"""Seconds a call waits for a server that is coming up."""


@dataclass(frozen=True, slots=True)
class Shape:
    """What a view shows."""

    servers: tuple[str, ...]
    """Sorted."""
    mode: Mode
    prefix: bool


def shapes(config: McpConfig) -> Mapping[str, Shape]:
    """List the views by the path they are served at."""
    everything = Shape(tuple(sorted(config.servers)), config.mode, config.prefix)
    found = {config.path: everything}
    for name, view in config.views.items():
        found[config.view_path(name)] = Shape(
            tuple(sorted(set(view.servers))), view.mode or config.mode, view.prefix
        )
    return found


class View:
    """The toolboxes of one view; each is built once for as long as nothing in it changes."""

    def __init__(self, shape: Shape, pool: Pool, access: Access) -> None:
        self.shape = shape
        self._pool = pool
        self._access = access
        self._built: dict[tuple[str | None, str | None], tuple[tuple[Listing, ...], Toolbox]] = {}

    async def upstreams(self, caller: Caller) -> Mapping[str, Upstream]:
        """Give the servers of this view that there are for a caller."""
        found = await self._pool.of(caller)
        return {name: found[name] for name in self.shape.servers if name in found}

    async def starting(self, caller: Caller) -> Sequence[str]:
        """Name the servers a caller may use that are just coming up for the first time."""
        return [
            name
            for name, one in (await self.upstreams(caller)).items()
            if not one.settled.is_set() and self._access.server(caller, name)
        ]

    async def arrived(self, caller: Caller, tool: str) -> bool:
        """Wait a little for the server of a tool, where it has never been up; tell whether it is there now.

        Raises:
            MCPError: it is not, and why; only told to who may use the server.
        """
        upstream = (await self.upstreams(caller)).get(tool.partition(SEPARATOR)[0])
        if upstream is None or upstream.listing is not None or not self._access.server(caller, upstream.name):
            return False
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_PATIENCE):
                await upstream.settled.wait()
        if not upstream.settled.is_set():
            raise MCPError(
                INTERNAL_ERROR, f"MCP server '{upstream.name}' is still starting, try again in a moment"
            )
        if upstream.listing is None:
            why = f"MCP server '{upstream.name}' is not available: {upstream.trouble}"
            raise MCPError(METHOD_NOT_FOUND, "tools/call", why)
        return True

    async def toolbox(self, caller: Caller) -> Toolbox:
        """Give what a caller may see now."""
        listings = {
            name: one.listing
            for name, one in (await self.upstreams(caller)).items()
            if one.listing is not None
        }
        key = (caller.group, self._pool.owner(caller))
        now = tuple(listings.values())
        built = self._built.pop(key, None)
        if built is None or built[0] != now:  # listings are equal only to themselves
            built = now, Toolbox.build(listings, self._access, caller, prefix=self.shape.prefix)
        self._built[key] = built
        while len(self._built) > _KEPT:
            del self._built[next(iter(self._built))]
        return built[1]
