"""Which lists have changed for a client: held against what it saw last, so nobody is told of what it may not see."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence

from nexus.mcp.link import Raw

Lists = Mapping[str, Sequence[object]]
"""What a client sees, by the name of the list: `tools`, `prompts`, `resources`."""
_TOGETHER = 0.1
"""Seconds in which further changes are one."""


class Signal:
    """Wakes everybody who waits for a change of any server."""

    def __init__(self) -> None:
        self.next = asyncio.Event()
        """Set with the next change, once."""
        self.over = asyncio.Event()
        """Set when there are no more."""

    def change(self) -> None:
        """Wake them."""
        event, self.next = self.next, asyncio.Event()
        event.set()

    def end(self) -> None:
        """Say that nothing more will change here."""
        self.over.set()
        self.change()


class Changes:
    """The changes for one client, from `start` on."""

    def __init__(
        self, read: Callable[[], Awaitable[Lists]], signal: Signal, expires: float | None = None
    ) -> None:
        self._read = read
        self._signal = signal
        self._expires = expires
        self._event = signal.next
        self._seen: Lists = {}

    async def start(self) -> None:
        """Look at the lists as they are."""
        self._event = self._signal.next  # before looking, so that nothing is missed between
        self._seen = await self._read()

    async def next(self) -> Sequence[str]:
        """Wait until lists change and name them; there are none once the client's token has ended, or all is over."""
        while not self._signal.over.is_set():
            left = None if self._expires is None else max(self._expires - time.time(), 0)
            try:
                async with asyncio.timeout(left):
                    await self._event.wait()
                    await asyncio.sleep(0 if self._signal.over.is_set() else _TOGETHER)
            except TimeoutError:
                break
            before = self._seen
            await self.start()
            if changed := [name for name, one in self._seen.items() if one != before[name]]:
                return changed
        return ()


def notice(name: str, meta: Raw | None = None) -> tuple[str, Raw]:
    """Write what tells a client that a list has changed: a method and its parameters."""
    return f"notifications/{name}/list_changed", {"_meta": meta} if meta else {}
