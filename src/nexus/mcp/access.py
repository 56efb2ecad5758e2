"""Which group may use what: the lists of a server, and those of a tool instead of them. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass

from nexus.config.mcp import McpServer
from nexus.mcp.caller import Caller


@dataclass(frozen=True, slots=True)
class Access:
    """The rules of all servers."""

    servers: Mapping[str, McpServer]
    groups: frozenset[str] = frozenset()
    """The groups that exist; where there are any, a caller outside of them sees nothing at all."""

    def known(self, caller: Caller) -> bool:
        """Tell whether a caller may see anything."""
        return not self.groups or caller.group in self.groups

    def server(self, caller: Caller, server: str) -> bool:
        """Tell whether a caller may use what a server has besides tools."""
        rules = self.servers[server]
        return self.known(caller) and _may(caller.group, rules.allow, rules.deny)

    def tool(self, caller: Caller, server: str, tool: str) -> bool:
        """Tell whether a caller may use a tool; rules of its own replace those of the server, even where they are empty."""
        rules = self.servers[server]
        own = rules.tools.get(tool)
        if own is not None:
            return self.known(caller) and _may(caller.group, own.allow, own.deny)
        return self.server(caller, server)


def _may(group: str | None, allow: frozenset[str] | None, deny: frozenset[str] | None) -> bool:
    if allow is not None and group not in allow:
        return False
    return deny is None or group not in deny
