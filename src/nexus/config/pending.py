"""What the file may say and this version does not do: refused where trusting it is a danger, else warned of.

Building a feature ends with taking its line out of here.
"""

from collections.abc import Iterator
from typing import NamedTuple

from nexus.config.finding import Finding
from nexus.config.path import Path
from nexus.config.root import Config


class _Pending(NamedTuple):
    path: Path
    what: str
    cure: str = ""


def problems(config: Config) -> Iterator[Finding]:
    """Refuse what would be trusted and not happen."""
    for found in _access(config):
        cure = found.cure or "remove it, or wait for a version that has it"
        yield Finding(found.path, f"{found.what} is not available in this version", cure)


def warnings(config: Config) -> Iterator[Finding]:
    """Tell of what has no effect yet and endangers nobody."""
    if config.mcp.servers:
        yield Finding(
            ("mcp", "servers"), "MCP is not available in this version; these servers are not started"
        )
    if config.telemetry is not None:
        yield Finding(("telemetry",), "telemetry is not available in this version; nothing is exported")


def _access(config: Config) -> Iterator[_Pending]:
    for name, server in config.mcp.servers.items():
        path = ("mcp", "servers", name)
        holders = [
            (path, server),
            *(((*path, "tools", tool), access) for tool, access in server.tools.items()),
        ]
        for place, holder in holders:
            if holder.allow is not None or holder.deny is not None:
                key = "allow" if holder.allow is not None else "deny"
                yield _Pending((*place, key), "access control of MCP servers")
