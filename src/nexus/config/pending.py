"""What the file may say and this version does not do: refused where trusting it is a danger, else warned of.

Building a feature ends with taking its line out of here.
"""

from collections.abc import Iterator
from typing import NamedTuple

from nexus.config.finding import Finding
from nexus.config.llm import ProviderConfig
from nexus.config.path import Path
from nexus.config.root import Config


class _Pending(NamedTuple):
    path: Path
    what: str
    cure: str = ""


def problems(config: Config) -> Iterator[Finding]:
    """Refuse what would be trusted and not happen."""
    for found in (*_server(config), *_llm(config), *_access(config)):
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


def _server(config: Config) -> Iterator[_Pending]:
    server = config.server
    if server.oauth is not None:
        yield _Pending(("server", "oauth"), "authentication by OAuth")
    if server.client_identification.enabled:
        yield _Pending(("server", "client_identification"), "client identification")
    if server.rate_limits.enabled:
        yield _Pending(("server", "rate_limits"), "limiting requests")


def _llm(config: Config) -> Iterator[_Pending]:
    for name, provider in config.llm.providers.items():
        yield from _provider(("llm", "providers", name), provider)


def _provider(path: Path, provider: ProviderConfig) -> Iterator[_Pending]:
    holders = [
        (path, provider),
        *(((*path, "models", name), model) for name, model in provider.models.items()),
    ]
    for place, holder in holders:
        if holder.rate_limits is not None:
            yield _Pending((*place, "rate_limits"), "limiting tokens")


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
