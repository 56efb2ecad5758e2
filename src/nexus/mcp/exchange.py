"""One request without a session, from bytes to bytes: versions with a handshake, whose handshake nobody has to wait for."""

import asyncio
from collections.abc import AsyncGenerator

import msgspec
from mcp.shared.exceptions import MCPError
from mcp_types import INVALID_REQUEST, PARSE_ERROR

from nexus.mcp.caller import Caller
from nexus.mcp.client import Client
from nexus.mcp.front import respond
from nexus.mcp.link import Raw, encode
from nexus.mcp.service import Service

DEFAULT_VERSION = "2025-03-26"
"""What a client speaks that does not say: https://modelcontextprotocol.io/specification/2025-06-18/basic/transports."""
KEEP_ALIVE = 5.0
"""Seconds of silence after which a comment is sent, so that nobody on the way gives up."""

_MAX_HELD = 1024 * 1024
"""Bytes of progress and log messages that wait for a client."""


class Incoming(msgspec.Struct):
    """A message from a client."""

    method: str | None = None
    id: int | str | msgspec.UnsetType | None = msgspec.UNSET
    params: Raw | None = None
    jsonrpc: str = ""

    @property
    def wants_answer(self) -> bool:
        """Tell a request from a notification and from an answer, which nobody here has asked for."""
        return self.method is not None and self.id is not msgspec.UNSET


_decode = msgspec.json.Decoder(Incoming).decode


def read(body: bytes) -> Incoming:
    """Read one message.

    Raises:
        MCPError: it is none.
    """
    try:
        message = _decode(body)
    except msgspec.ValidationError:
        raise MCPError(INVALID_REQUEST, "The body must be one JSON-RPC message") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise MCPError(PARSE_ERROR, "The body is not JSON") from None
    if message.jsonrpc != "2.0" or (message.wants_answer and message.id is None):
        raise MCPError(INVALID_REQUEST, "The body must be one JSON-RPC message")
    return message


async def exchange(
    service: Service, message: Incoming, caller: Caller, version: str
) -> AsyncGenerator[bytes]:
    """Answer a request by events: what there is to tell on the way, then the answer. Closing it cancels the work."""
    stream = _Stream()
    client = Client(caller, version, stream)
    work = asyncio.create_task(respond(service, message.method or "", message.params or {}, client))
    work.add_done_callback(lambda _: stream.end())
    try:
        while (piece := await stream.next()) is not None:
            yield piece
        yield _event({"jsonrpc": "2.0", "id": message.id, **_outcome(work)})
    finally:
        work.cancel()


def _outcome(work: "asyncio.Task[Raw]") -> Raw:
    try:
        return {"result": work.result()}
    except MCPError as error:
        return {"error": error.error.model_dump(exclude_unset=True)}


def _event(message: Raw) -> bytes:
    return b"event: message\ndata: %s\n\n" % encode(message)


class _Stream:
    """The client, as long as it waits for its answer: it can be told, not asked."""

    def __init__(self) -> None:
        self._told = asyncio.Queue[bytes | None]()
        self._held = 0

    async def notify(self, method: str, params: Raw) -> None:
        """Send an event, or drop it where the client reads too slowly."""
        if self._held > _MAX_HELD:
            return
        event = _event({"jsonrpc": "2.0", "method": method, "params": params})
        self._held += len(event)
        self._told.put_nowait(event)

    async def ask(self, method: str, params: Raw) -> Raw:
        """Refuse: an answer would have no way back."""
        raise MCPError(INVALID_REQUEST, f"{method} needs a session")

    def end(self) -> None:
        """Say that nothing more comes."""
        self._told.put_nowait(None)

    async def next(self) -> bytes | None:
        """Give the next piece, `None` after the last."""
        try:
            async with asyncio.timeout(KEEP_ALIVE):
                piece = await self._told.get()
        except TimeoutError:
            return b": still working\n\n"
        self._held -= len(piece or b"")
        return piece
