"""What a connection to an MCP server is, whatever carries it; and the JSON-RPC that all carriers share."""

import asyncio
import itertools
import logging
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, cast

import msgspec
from mcp.shared.exceptions import MCPError
from mcp_types import INTERNAL_ERROR, METHOD_NOT_FOUND

from nexus import __version__

log = logging.getLogger(__name__)

Raw = dict[str, Any]
"""A JSON object as it came."""

VERSION = "2025-11-25"
"""The newest version that begins with a handshake; older ones are accepted as the server says."""
VERSIONS = frozenset(("2024-11-05", "2025-03-26", "2025-06-18", VERSION))
MAX_MESSAGE = 64 * 1024 * 1024
"""Bytes of one message; a server that sends more has lost its way."""
_MAX_ASIDE = 1000
"""Messages of one server that are being passed on; what comes beyond is dropped, whoever they are for is too slow."""

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


@dataclass(eq=False, slots=True)
class Calls:
    """The requests under way on one connection, and what they wait for."""

    on_notice: OnNotice
    capabilities: Raw = field(default_factory=dict[str, Any])
    """What we told the server that we can do."""
    peer: Peer | None = None
    """Who is asked when a message belongs to no call."""
    _ids: "itertools.count[int]" = field(default_factory=lambda: itertools.count(1))
    _waiting: "dict[int, Call]" = field(default_factory=lambda: dict[int, "Call"]())
    _tasks: set[asyncio.Task[None]] = field(default_factory=set[asyncio.Task[None]])

    def begin(self, peer: Peer | None, params: Raw) -> tuple["Call", Raw]:
        """Count a request in; gives it and its parameters, with a progress token of ours where the client gave one."""
        number = next(self._ids)
        meta = cast("Raw", params.get("_meta") or {})
        token = meta.get("progressToken")
        call = Call(number, peer, token, asyncio.get_running_loop().create_future())
        if token is not None:
            params = {**params, "_meta": {**meta, "progressToken": number}}
        self._waiting[number] = call
        return call, params

    def end(self, call: "Call") -> None:
        """Count a request out; what comes for it later is dropped."""
        self._waiting.pop(call.number, None)

    def fail(self, error: Exception) -> None:
        """Let every request under way fail."""
        for call in tuple(self._waiting.values()):
            if not call.answer.done():
                call.answer.set_exception(error)

    def close(self) -> None:
        """Stop answering the server's questions."""
        for task in tuple(self._tasks):
            task.cancel()

    def receive(
        self, message: Message, send: Callable[[bytes], Awaitable[None]], call: "Call | None" = None
    ) -> None:
        """Take one message from the server; `send` takes the answer if it was a question."""
        if message.method is None:
            self._resolve(message, call)
        elif len(self._tasks) >= _MAX_ASIDE:
            return
        elif message.id is not None:
            self.side(self._answer, message, send, call)
        else:
            self._notice(message.method, message.params or {}, call)

    def _resolve(self, message: Message, call: "Call | None") -> None:
        if call is None:
            call = self._waiting.get(_number(message.id))
        if call is None or call.answer.done() or (message.id is None and message.error is None):
            return
        if message.error is not None:
            call.answer.set_exception(message.error.raised())
        else:
            call.answer.set_result(message.result or {})

    def _notice(self, method: str, params: Raw, call: "Call | None") -> None:
        if method == "notifications/progress":
            owner = self._waiting.get(_number(params.get("progressToken")))
            if owner is not None:
                owner.alive()
                if owner.peer is not None:
                    owner.tell(self.side(owner.peer.notify, method, {**params, "progressToken": owner.token}))
            return
        if method == "notifications/resources/updated" and self.peer is not None:
            self.side(self.peer.notify, method, params)  # of a subscription of its session
            return
        peer = self._peer(call)
        if method == "notifications/message" and peer is not None:
            task = self.side(peer.notify, method, params)
            for one in (call,) if call is not None else self._waiting.values():
                one.tell(task)
        else:
            self.on_notice(method, params)

    async def _answer(
        self, message: Message, send: Callable[[bytes], Awaitable[None]], call: "Call | None"
    ) -> None:
        peer = self._peer(call)
        reply: Raw = {"jsonrpc": "2.0", "id": message.id}
        try:
            reply["result"] = await self._asked(message.method or "", message.params or {}, peer)
        except MCPError as error:
            reply["error"] = error.error.model_dump(exclude_unset=True)
        except (
            Exception
        ) as error:  # the client's transport may fail in its own ways; the server has to hear of it
            log.debug("a client could not be asked: %r", error)
            reply["error"] = {"code": INTERNAL_ERROR, "message": "The client could not be asked"}
        await send(encode(reply))

    def _peer(self, call: "Call | None") -> Peer | None:
        """Find whom a message is for. On a shared connection only its call can tell."""
        if call is not None:
            return call.peer
        if self.peer is None:
            return None
        return next((one.peer for one in reversed(self._waiting.values()) if one.peer is not None), self.peer)

    async def _asked(self, method: str, params: Raw, peer: Peer | None) -> Raw:
        if method == "ping":
            return {}
        if peer is not None and _NEEDS.get(method) in self.capabilities:
            return await peer.ask(method, params)
        if method == "roots/list":
            return {"roots": []}
        if method == "elicitation/create":
            return {"action": "decline"}
        raise MCPError(METHOD_NOT_FOUND, method)

    def side(self, act: Callable[..., Awaitable[None]], *arguments: object) -> asyncio.Task[None]:
        """Do something on the side, until the connection ends."""
        task = asyncio.ensure_future(_quietly(act, *arguments))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


_NEEDS = {"roots/list": "roots", "elicitation/create": "elicitation", "sampling/createMessage": "sampling"}


@dataclass(eq=False, slots=True)
class Call:
    """One request under way."""

    number: int
    peer: Peer | None
    token: int | str | None
    """The progress token of the client."""
    answer: asyncio.Future[Raw]
    clock: asyncio.Timeout | None = None
    seconds: float = 0.0
    _told: list[asyncio.Task[None]] = field(default_factory=list[asyncio.Task[None]])

    async def outcome(self) -> Raw:
        """Wait for the answer, and until the client has been told what came before it."""
        try:
            result = await self.answer
        except MCPError:
            await self._flush()
            raise
        await self._flush()
        return result

    def tell(self, task: asyncio.Task[None]) -> None:
        """Remember that the client is being told something."""
        self._told = [one for one in self._told if not one.done()]
        self._told.append(task)

    async def _flush(self) -> None:
        if self._told:
            await asyncio.wait(self._told)

    def alive(self) -> None:
        """Start the time allowed for an answer anew."""
        if self.clock is not None and not self.clock.expired():
            self.clock.reschedule(asyncio.get_running_loop().time() + self.seconds)


def _number(value: object) -> int:
    """Read an id of ours; some servers give numbers back as text."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 16:
        return int(value)
    return value if isinstance(value, int) else -1


async def _quietly(act: Callable[..., Awaitable[None]], *arguments: object) -> None:
    """Do something on the side: whoever it is for may have gone, and nobody else minds."""
    try:
        await act(*arguments)
    except Exception as error:
        log.debug("a message was not passed on: %r", error)


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
