"""What one caller may see of all servers: an immutable choice, and the search over it."""

import asyncio
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, cast

from nexus.mcp.access import Access
from nexus.mcp.caller import Caller
from nexus.mcp.index import Document, Index
from nexus.mcp.link import Raw
from nexus.mcp.listing import Listing
from nexus.mcp.names import join, shorten

_LARGE = 200
"""Tools from which on an index is built off the event loop."""


class Entry(NamedTuple):
    """A tool, prompt, resource or template, and the server it is of."""

    server: str
    name: str
    """As its server calls it."""
    raw: Raw
    """As its server described it."""


@dataclass(slots=True, eq=False)
class Toolbox:
    """Unknown and forbidden are the same here: neither is in it."""

    tools: Mapping[str, Entry]
    """By `server__tool`."""
    prompts: Mapping[str, Entry]
    """By `server__prompt`, sorted."""
    resources: Mapping[str, Entry]
    """By URI, sorted; of two servers with one URI the first by name has it."""
    templates: tuple[Entry, ...]
    direct: Mapping[str, Entry]
    """Tools by the names they are listed under directly."""
    capabilities: Mapping[str, Raw]
    """Of each server."""
    _index: "asyncio.Future[Index] | None" = field(default=None, repr=False)

    @classmethod
    def build(
        cls, listings: Mapping[str, Listing], access: Access, caller: Caller, *, prefix: bool = True
    ) -> "Toolbox":
        """Choose what a caller may see."""
        open_servers = {name: one for name, one in listings.items() if access.server(caller, name)}
        tools = {
            join(server, tool["name"]): Entry(server, tool["name"], tool)
            for server, listing in listings.items()
            for tool in listing.tools
            if access.tool(caller, server, tool["name"])
        }
        prompts = {join(one.server, one.name): one for one in _entries(open_servers, _prompts)}
        resources: dict[str, Entry] = {}
        for one in _entries(open_servers, _resources):
            resources.setdefault(one.name, one)
        return cls(
            tools,
            dict(sorted(prompts.items())),
            dict(sorted(resources.items())),
            tuple(
                Entry(server, str(raw.get("uriTemplate")), raw)
                for server, listing in open_servers.items()
                for raw in listing.templates
            ),
            {shorten(name if prefix else one.name): one for name, one in tools.items()},
            {server: listing.capabilities or {} for server, listing in open_servers.items()},
        )

    def find(self, name: str) -> Entry | None:
        """Find a tool by the name a client may have learned: whole, shortened, or as it is listed."""
        return self.tools.get(name) or self.direct.get(name)

    def names(self) -> list[str]:
        """List the tools in the order of the index."""
        return list(self.tools)

    def documents(self) -> list[Document]:
        """Give what the search reads of each tool, in the order of the names."""
        return [_document(name, one) for name, one in self.tools.items()]

    async def index(self) -> Index:
        """Give the search over the tools; built once, on first use."""
        if self._index is None:
            self._index = asyncio.ensure_future(self._build())
        return await asyncio.shield(self._index)

    async def _build(self) -> Index:
        documents = self.documents()
        return Index(documents) if len(documents) < _LARGE else await asyncio.to_thread(Index, documents)


def _entries(
    listings: Mapping[str, Listing], of: "Callable[[Listing], tuple[str, tuple[Raw, ...]]]"
) -> Iterator[Entry]:
    for server, listing in listings.items():
        key, entries = of(listing)
        for raw in entries:
            yield Entry(server, raw[key], raw)


def _prompts(listing: Listing) -> tuple[str, tuple[Raw, ...]]:
    return "name", listing.prompts


def _resources(listing: Listing) -> tuple[str, tuple[Raw, ...]]:
    return "uri", listing.resources


def _document(name: str, one: Entry) -> Document:
    annotations: Any = one.raw.get("annotations")
    title = cast("Raw", annotations).get("title") if isinstance(annotations, dict) else None
    schema: Any = one.raw.get("inputSchema")
    return Document(
        name,
        one.server,
        one.name,
        _string(one.raw.get("description")),
        _string(title),
        cast("Raw", schema) if isinstance(schema, dict) else {},
    )


def _string(value: object) -> str:
    return value if isinstance(value, str) else ""
