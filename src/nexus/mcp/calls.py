"""The requests under way on one connection to an MCP server, and what the server says or asks amid them."""

import asyncio
import itertools
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, cast

from mcp.shared.exceptions import MCPError
from mcp_types import INTERNAL_ERROR, METHOD_NOT_FOUND

from nexus.mcp.link import Message, OnNotice, Peer, Raw, encode

log = logging.getLogger(__name__)

_MAX_ASIDE = 1000
"""Messages of one server that are being passed on; what comes beyond is dropped, whoever they are for is too slow."""


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
        if call.answer.done() and not call.answer.cancelled():
            call.answer.exception()  # it may have failed before anybody waited for it

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
