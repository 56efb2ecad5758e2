"""One MCP server: kept connected by a task of its own, with its last known lists. A bad one hurts nobody but itself."""

import asyncio
import contextlib
import logging
import random
from collections.abc import Callable
from typing import Protocol

from mcp.shared.exceptions import MCPError
from mcp_types import INTERNAL_ERROR

from nexus.mcp import listing
from nexus.mcp.connect import For
from nexus.mcp.link import Envelope, Link, Lost, Peer, Raw, Refused, Slow, finish
from nexus.mcp.listing import Listing

log = logging.getLogger(__name__)

_STEADY = 30.0
"""Seconds after which a connection that ends has been of use; so has one that answered a call. Others are made more slowly."""
_FIRST_DELAY = 1.0
_MAX_DELAY = 60.0
_REFUSED = 30.0
"""Seconds until credentials that were refused are tried again."""
_PATIENCE = 5.0
"""Seconds a call waits for a server that is just coming back."""
_DEBOUNCE = 0.3
"""Seconds in which further notices of changed lists are one."""

_SAID = 300
"""Characters of a server's own words that are shown."""
_LISTS = (
    "notifications/tools/list_changed",
    "notifications/prompts/list_changed",
    "notifications/resources/list_changed",
)


class Dialer(Protocol):
    """How a server is reached."""

    @property
    def name(self) -> str:
        """What the configuration calls it."""
        ...

    async def connect(self, made_for: For, timeout: float) -> Link:
        """Connect and do the handshake."""
        ...


class Upstream:
    """A server and the task that looks after it."""

    def __init__(
        self,
        dialer: Dialer,
        startup_timeout: float,
        request_timeout: float,
        *,
        token: str | None = None,
        capabilities: Raw | None = None,
        peer: Peer | None = None,
        on_up: Callable[[Listing], None] | None = None,
        on_change: Callable[[], None] | None = None,
    ) -> None:
        self.name = dialer.name
        self.listing: Listing | None = None
        """What it has, or last had; `None` until it has once been there."""
        self.trouble: str | None = "starting"
        """Why it does not work now; `None` while it does."""
        self.busy = 0
        """Calls under way."""
        self.settled = asyncio.Event()
        """Set when it has come up or failed for the first time."""
        self._dialer = dialer
        self._startup_timeout = startup_timeout
        self._request_timeout = request_timeout
        self._for = For(self._notice, token, capabilities, peer)
        self._on_up = on_up
        self._on_change = on_change
        self._answered = False
        """Whether the connection has answered a call."""
        self._link: Link | None = None
        self._up = asyncio.Event()
        self._wake = asyncio.Event()
        """Set when there is something to do about the connection."""
        self._wanted = asyncio.Event()
        """Set when a call waits for it."""
        self._stale = False
        self._task: asyncio.Task[None] | None = None

    @property
    def last_words(self) -> str:
        """The last lines a program has written to standard error while it did not start, for its operator only."""
        return str(self._for.tail)

    def start(self) -> None:
        """Begin to look after it."""
        self._task = asyncio.create_task(self._live(), name=f"mcp upstream {self.name}")

    async def close(self) -> None:
        """Stop, and end its connection or process."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait((self._task,))

    async def call(
        self, method: str, params: Raw, peer: Peer | None = None, envelope: Envelope | None = None
    ) -> Raw:
        """Ask the server and give its result as it came.

        What certainly did not reach it is sent once more, on a new connection; anything else is never repeated.

        Raises:
            MCPError: what the server answered, or ours if it did not.
        """
        self.busy += 1
        try:
            return await self._once(method, params, peer, envelope)
        except Lost as error:
            if error.sent:
                raise self._failure(str(error)) from None
            return await self._again(method, params, peer, envelope)
        except (Slow, Refused) as error:
            raise self._failure(str(error)) from None
        finally:
            self.busy -= 1

    async def _once(self, method: str, params: Raw, peer: Peer | None, envelope: Envelope | None) -> Raw:
        link = await self._linked()
        try:
            result = await link.request(method, params, self._request_timeout, peer, envelope)
        except Lost as error:
            if not error.sent:  # one call that went wrong says nothing about the others on the connection
                self._drop(link, str(error))
            raise
        self._answered = True
        return result

    async def _again(self, method: str, params: Raw, peer: Peer | None, envelope: Envelope | None) -> Raw:
        try:
            return await self._once(method, params, peer, envelope)
        except (Lost, Slow, Refused) as error:
            raise self._failure(str(error)) from None

    def _failure(self, why: str) -> MCPError:
        return MCPError(INTERNAL_ERROR, f"MCP server '{self.name}': {why}")

    async def _linked(self) -> Link:
        try:
            async with asyncio.timeout(_PATIENCE):
                while (link := self._link) is None:  # it may go as soon as it has come
                    self._wanted.set()
                    await self._up.wait()
        except TimeoutError:
            raise self._failure(f"not available: {self.trouble}") from None
        return link

    def _drop(self, link: Link, why: str) -> None:
        """Let the task replace a link that does not work; another may have come already."""
        if self._link is link:
            self._link = None
            self._up.clear()
            self.trouble = why
            self._wake.set()

    def _notice(self, method: str, params: Raw) -> None:
        if method in _LISTS:
            self._stale = True
            self._wake.set()

    def _has(self, found: Listing) -> None:
        self.listing = found
        if self._on_change is not None:
            self._on_change()

    async def _live(self) -> None:
        """Connect, and connect again, for ever."""
        delay = _FIRST_DELAY
        clock = asyncio.get_running_loop().time
        while True:
            try:
                link = await self._come_up()
            except Exception as error:  # whatever a server answers, this task has to go on
                self._failed(error)
                delay = await self._rest(delay, refused=isinstance(error, Refused))
                continue
            since = clock()
            try:
                ended = await self._stay(link)
            finally:
                self._drop(link, self.trouble or "the connection ended")
                await finish(link.close())
            if ended:
                log.warning("MCP server %s: the connection ended, connecting again", self.name)
            if self._answered or clock() - since >= _STEADY:
                delay = _FIRST_DELAY
            else:
                delay = await self._rest(delay, refused=False)

    async def _come_up(self) -> Link:
        """Connect and read the lists, in bounded time."""
        async with asyncio.timeout(self._startup_timeout):
            link = await self._dialer.connect(self._for, self._startup_timeout)
            try:
                self._stale = False
                found = await listing.read(self.name, link, self._startup_timeout)
            except BaseException:
                await finish(link.close())
                raise
        self._answered = False
        self._wanted.clear()
        if self.trouble is not None:
            log.info("MCP server %s is up: %d tools", self.name, len(found.tools))
            if self._on_up is not None:
                self._on_up(found)
        self.trouble = None
        self._link = link
        self._up.set()
        self.settled.set()
        self._has(found)
        return link

    def _failed(self, error: Exception) -> None:
        match error:
            case Lost() | Slow() | Refused():
                why = str(error)
            case MCPError():
                why = _printable(str(error))
            case TimeoutError():
                why = f"not up within {self._startup_timeout:g} seconds"
            case _:
                why = "what it answers cannot be read"
                log.debug("MCP server %s", self.name, exc_info=error)
        if why != self.trouble:
            log.error("MCP server %s does not work: %s%s", self.name, why, self.last_words)
        self.trouble = why
        self.settled.set()

    async def _rest(self, delay: float, *, refused: bool) -> float:
        """Wait before the next try, each time longer; a call may cut the first waits short, not the long ones."""
        seconds = max(delay, _REFUSED) if refused else delay * random.uniform(0.8, 1.2)
        if seconds > _PATIENCE:
            await asyncio.sleep(seconds)
        else:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._wanted.wait()
        self._wanted.clear()
        return min(delay * 2, _MAX_DELAY)

    async def _stay(self, link: Link) -> bool:
        """Watch a link until it is of no use, reading lists again when they have changed; tells whether it ended by itself."""
        gone = asyncio.create_task(self._wake_with(link.gone))
        try:
            while self._link is link and not link.gone.is_set():
                if self._stale:
                    await asyncio.sleep(_DEBOUNCE)
                    await self._read_again(link)
                    continue
                self._wake.clear()
                await self._wake.wait()
        finally:
            gone.cancel()
        return self._link is link

    async def _wake_with(self, event: asyncio.Event) -> None:
        await event.wait()
        self._wake.set()

    async def _read_again(self, link: Link) -> None:
        self._stale = False
        try:
            async with asyncio.timeout(self._startup_timeout):
                found = await listing.read(self.name, link, self._startup_timeout)
        except Lost as error:
            self._drop(link, str(error))
        except Exception as error:
            log.warning(
                "MCP server %s: its changed lists could not be read (%s), the old ones are kept",
                self.name,
                _printable(str(error)) or "not in time",
            )
        else:
            self._has(found)


def _printable(said: str) -> str:
    """Write the words of a server on one line, without what would command a terminal: `/ready` and the log show them."""
    text = " ".join(said[:_SAID].split())
    return "".join(
        character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text
    )
