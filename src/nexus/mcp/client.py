"""The client of one request, as the service sees it: what it can do, and how it is reached while it waits."""

from dataclasses import dataclass, field

from mcp.shared.exceptions import MCPError
from mcp_types import METHOD_NOT_FOUND

from nexus.mcp.caller import NOBODY, Caller
from nexus.mcp.link import Envelope, Peer, Raw


class Mute:
    """A client that cannot be reached: what is told is dropped, what is asked is refused."""

    async def notify(self, method: str, params: Raw) -> None:
        """Drop it."""

    async def ask(self, method: str, params: Raw) -> Raw:
        """Refuse."""
        raise MCPError(METHOD_NOT_FOUND, method)


@dataclass(frozen=True, slots=True)
class Client:
    """One client."""

    caller: Caller = NOBODY
    version: str = "2025-11-25"
    """The version of MCP it speaks."""
    peer: Peer = field(default_factory=Mute)
    """How it is reached while this request lasts."""
    standing: Peer = field(default_factory=Mute)
    """How it is reached as long as its session lasts."""
    session: str | None = None
    """The session it has with us, where sessions are on."""
    capabilities: Raw | None = None
    """What it can be asked; only told within sessions."""
    envelope: Envelope | None = None
    """What it says with every request, if it speaks a version without handshake."""

    @property
    def modern(self) -> bool:
        """Whether it speaks a version without handshake."""
        return self.version >= "2026"
