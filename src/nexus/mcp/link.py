"""What a connection to an MCP server is, whatever carries it; how its messages are written, and how it fails."""

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import msgspec
from mcp.shared.exceptions import MCPError

from nexus import __version__

Raw = dict[str, Any]
"""A JSON object as it came."""

VERSION = "2025-11-25"
"""The newest version that begins with a handshake; older ones are accepted as the server says."""
VERSIONS = frozenset(("2024-11-05", "2025-03-26", "2025-06-18", VERSION))
MAX_MESSAGE = 64 * 1024 * 1024
"""Bytes of one message; a server that sends more has lost its way."""
encode = msgspec.json.Encoder().encode


class Lost(Exception):
    """The connection is gone or could not be made. The text is ours and safe to show."""

    def __init__(self, why: str, *, sent: bool) -> None:
        super().__init__(why)
        self.sent = sent
        """Whether the server may have got the request: then it must not be sent again."""


class Expired(Lost):
    """The server no longer knows the session, so it has not done what was asked."""

    def __init__(self) -> None:
        super().__init__("the session has expired", sent=False)


class Slow(Exception):
    """No answer in time."""


class Refused(Exception):
    """The server does not take our credentials."""


class Peer(Protocol):
    """The client a call is made for, as the server behind us may reach it."""

    async def notify(self, method: str, params: Raw) -> None:
        """Pass a notification on."""
        ...

    async def ask(self, method: str, params: Raw) -> Raw:
        """Pass a request on and wait for the answer.

        Raises:
            MCPError: the client refuses, or cannot be asked.
        """
        ...


@dataclass(frozen=True, slots=True)
class Envelope:
    """What a client without handshake says with every request, for servers that speak as it does."""

    meta: Raw
    """Its version, its name and what it can do, under the reserved keys."""
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    """Arguments it repeats in headers."""


class Message(msgspec.Struct):
    """One JSON-RPC message of any kind."""

    id: int | str | None = None
    method: str | None = None
    params: Raw | None = None
    result: Raw | None = None
    error: "Fault | None" = None


class Fault(msgspec.Struct, omit_defaults=True):
    """A JSON-RPC error."""

    code: int
    message: str = ""
    data: Any = msgspec.UNSET

    def raised(self) -> MCPError:
        """Make it an exception."""
        return MCPError(self.code, self.message, None if self.data is msgspec.UNSET else self.data)


decode = msgspec.json.Decoder(Message).decode


class Link(Protocol):
    """A connection on which the handshake is done."""

    @property
    def greeting(self) -> Raw:
        """What the server answered to `initialize`."""
        ...

    @property
    def gone(self) -> asyncio.Event:
        """Set when the connection has ended by itself."""
        ...

    async def request(
        self,
        method: str,
        params: Raw,
        timeout: float,
        peer: Peer | None = None,
        envelope: Envelope | None = None,
    ) -> Raw:
        """Ask the server, and give its result as it came; progress starts `timeout` seconds anew.

        An `envelope` is used by links that can speak without handshake, and left out by others.

        Raises:
            MCPError: the server answered with an error.
            Lost, Slow, Refused: it did not answer.
        """
        ...

    async def notify(self, method: str, params: Raw) -> None:
        """Tell the server something."""
        ...

    async def close(self) -> None:
        """End the connection and all that belongs to it; takes bounded time."""
        ...


OnNotice = Callable[[str, Raw], None]
"""Told of notifications that belong to no call."""


async def finish(work: Coroutine[Any, Any, None]) -> None:
    """Do something to its end, even if cancelled meanwhile: what is half closed would stay open."""
    task = asyncio.ensure_future(work)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait((task,))
        raise


def request(number: int, method: str, params: Mapping[str, Any]) -> bytes:
    """Write a request."""
    message: Raw = {"jsonrpc": "2.0", "id": number, "method": method}
    if params:
        message["params"] = params
    return encode(message)


def notification(method: str, params: Mapping[str, Any]) -> bytes:
    """Write a notification."""
    message: Raw = {"jsonrpc": "2.0", "method": method}
    if params:
        message["params"] = params
    return encode(message)


def introduction(capabilities: Raw) -> Raw:
    """Give the parameters of `initialize`."""
    return {
        "protocolVersion": VERSION,
        "capabilities": capabilities,
        "clientInfo": {"name": "nexus", "version": __version__},
    }


def check_version(greeting: Raw) -> str:
    """Read the version a server has chosen.

    Raises:
        Lost: it is none we know.
    """
    version = greeting.get("protocolVersion")
    if version not in VERSIONS:
        raise Lost(f"it speaks a version of MCP that is not known here: {str(version)[:40]!r}", sent=True)
    return str(version)
