"""What one MCP server offers, read page by page and kept as it came."""

import logging
from dataclasses import dataclass
from typing import Any, cast

from mcp.shared.exceptions import MCPError

from nexus.mcp.link import Link, Raw

log = logging.getLogger(__name__)

MAX_PAGES = 100
"""Pages of one list; a server with more is lost in its own cursors."""


@dataclass(frozen=True, slots=True, eq=False)
class Listing:
    """A snapshot; another one takes its place when the server's lists change."""

    tools: tuple[Raw, ...] = ()
    prompts: tuple[Raw, ...] = ()
    resources: tuple[Raw, ...] = ()
    templates: tuple[Raw, ...] = ()
    capabilities: Raw | None = None
    """What the server said it can do."""


async def read(name: str, link: Link, timeout: float) -> Listing:
    """Read every list of a server.

    A server without tools is one; a server that fails to list them is not. The other lists are empty where they fail.

    Raises:
        MCPError, Lost, Slow, Refused: it could not be asked for its tools.
    """
    said: Any = link.greeting.get("capabilities")
    capabilities = cast("Raw", said) if isinstance(said, dict) else {}
    tools = await _tools(name, link, timeout, capabilities)
    prompts = await _optional(name, link, "prompts", "prompts/list", timeout, capabilities)
    resources = await _optional(name, link, "resources", "resources/list", timeout, capabilities)
    templates = await _optional(
        name, link, "resourceTemplates", "resources/templates/list", timeout, capabilities
    )
    return Listing(
        _with(tools, "name"), _with(prompts, "name"), _with(resources, "uri"), templates, capabilities
    )


async def _tools(name: str, link: Link, timeout: float, capabilities: Raw) -> tuple[Raw, ...]:
    try:
        return await _pages(name, link, "tools", "tools/list", timeout)
    except MCPError as error:
        if error.code == _METHOD_NOT_FOUND and "tools" not in capabilities:
            return ()
        raise


async def _optional(
    name: str, link: Link, key: str, method: str, timeout: float, capabilities: Raw
) -> tuple[Raw, ...]:
    if method.partition("/")[0] not in capabilities:
        return ()
    try:
        return await _pages(name, link, key, method, timeout)
    except MCPError as error:
        if error.code != _METHOD_NOT_FOUND:
            log.warning("MCP server %s could not do %s: error %d", name, method, error.code)
        return ()


async def _pages(name: str, link: Link, key: str, method: str, timeout: float) -> tuple[Raw, ...]:
    found: list[Raw] = []
    cursor: object = None
    seen: set[object] = set()
    for _ in range(MAX_PAGES):
        page = await link.request(method, {} if cursor is None else {"cursor": cursor}, timeout)
        entries: Any = page.get(key)
        if isinstance(entries, list):
            found += (entry for entry in cast("list[Any]", entries) if isinstance(entry, dict))
        cursor = page.get("nextCursor")
        if not isinstance(cursor, str):
            return tuple(found)
        if cursor in seen:
            log.warning(
                "MCP server %s goes round in circles in %s; what it gave so far is used", name, method
            )
            return tuple(found)
        seen.add(cursor)
    log.warning("MCP server %s has more than %d pages of %s; the rest is left out", name, MAX_PAGES, method)
    return tuple(found)


def _with(entries: tuple[Raw, ...], key: str) -> tuple[Raw, ...]:
    return tuple(entry for entry in entries if isinstance(entry.get(key), str))


_METHOD_NOT_FOUND = -32601
