"""A choice of servers and how their tools are shown: the endpoint itself, or a named view of it."""

from collections.abc import Mapping
from dataclasses import dataclass

from nexus.config.mcp import McpConfig, Mode
from nexus.mcp.access import Access
from nexus.mcp.caller import Caller
from nexus.mcp.listing import Listing
from nexus.mcp.pool import Pool
from nexus.mcp.toolbox import Toolbox
from nexus.mcp.upstream import Upstream

_KEPT = 256


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

    async def toolbox(self, caller: Caller) -> Toolbox:
        """Give what a caller may see now."""
        listings = {
            name: one.listing
            for name, one in (await self.upstreams(caller)).items()
            if one.listing is not None
        }
        key = (caller.group, caller.key)
        now = tuple(listings.values())
        built = self._built.pop(key, None)
        if built is None or built[0] != now:  # listings are equal only to themselves
            built = now, Toolbox.build(listings, self._access, caller, prefix=self.shape.prefix)
        self._built[key] = built
        while len(self._built) > _KEPT:
            del self._built[next(iter(self._built))]
        return built[1]
