"""Links whose messages flow both ways on one stream: standard input and output, and HTTP with server-sent events."""

import asyncio
import logging
from collections.abc import Callable
from typing import Protocol

import msgspec

from nexus.mcp.calls import Calls
from nexus.mcp.link import (
    Envelope,
    Lost,
    OnNotice,
    Peer,
    Raw,
    Slow,
    check_version,
    decode,
    introduction,
    notification,
    request,
)

log = logging.getLogger(__name__)

_TOLD = 3
"""Unreadable messages that are logged; the rest would be more of the same."""


class Carrier(Protocol):
    """What brings messages over and back."""

    async def send(self, message: bytes) -> None:
        """Send one message.

        Raises:
            Lost: it cannot be sent.
        """
        ...

    async def listen(self, take: Callable[[bytes], None]) -> None:
        """Hand on every message until the stream ends.

        Raises:
            Lost: it ended, and why.
        """
        ...

    async def close(self) -> None:
        """Give everything back; takes bounded time."""
        ...


class Duplex:
    """A link over a carrier."""

    def __init__(
        self, name: str, carrier: Carrier, on_notice: OnNotice, capabilities: Raw, peer: Peer | None
    ) -> None:
        self.greeting: Raw = {}
        self.gone = asyncio.Event()
        self._name = name
        self._carrier = carrier
        self._calls = Calls(on_notice, capabilities, peer)
        self._why = Lost("the connection is closed", sent=False)
        self._unreadable = 0
        self._reader = asyncio.create_task(self._read(), name=f"mcp {name}")

    async def greet(self, timeout: float) -> None:
        """Do the handshake."""
        self.greeting = await self.request("initialize", introduction(self._calls.capabilities), timeout)
        check_version(self.greeting)
        await self.notify("notifications/initialized", {})

    async def request(
        self,
        method: str,
        params: Raw,
        timeout: float,
        peer: Peer | None = None,
        envelope: Envelope | None = None,
    ) -> Raw:
        """Ask the server."""
        if self.gone.is_set():
            raise Lost(str(self._why), sent=False)
        call, params = self._calls.begin(peer, params)
        try:
            async with asyncio.timeout(timeout) as clock:
                call.clock, call.seconds = clock, timeout
                await self._carrier.send(request(call.number, method, params))
                return await call.outcome()
        except TimeoutError:
            self._give_up(call.number, method, f"no answer within {timeout:g} seconds")
            raise Slow(f"no answer within {timeout:g} seconds") from None
        except asyncio.CancelledError:
            self._give_up(call.number, method, "the client has gone")
            raise
        finally:
            self._calls.end(call)

    async def notify(self, method: str, params: Raw) -> None:
        """Tell the server something."""
        await self._carrier.send(notification(method, params))

    async def close(self) -> None:
        """End the connection."""
        self._calls.close()
        self._calls.fail(Lost("the connection was closed", sent=True))
        self._reader.cancel()
        await asyncio.wait((self._reader,))
        await self._carrier.close()

    def _give_up(self, number: int, method: str, reason: str) -> None:
        if method != "initialize" and not self.gone.is_set():
            cancelled = {"requestId": number, "reason": reason}
            self._calls.side(self.notify, "notifications/cancelled", cancelled)

    async def _read(self) -> None:
        try:
            await self._carrier.listen(self._take)
        except Lost as error:
            self._why = error
        finally:
            self.gone.set()
            self._calls.fail(Lost(str(self._why), sent=True))

    def _take(self, data: bytes) -> None:
        try:
            message = decode(data)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            self._unreadable += 1
            if self._unreadable <= _TOLD:
                log.warning(
                    "MCP server %s sent %d bytes that are no JSON-RPC message; skipped", self._name, len(data)
                )
            return
        self._calls.receive(message, self._carrier.send)
