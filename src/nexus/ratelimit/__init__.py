"""How much: limits in windows of time, counted in this process or in Redis. Knows no HTTP, no tokens' text, no protocol.

A limit of N per interval means that no stretch of time as long as the interval ever sees more than N. An interval is cut into
slots; what a slot holds counts until the whole slot has left the window, so room comes back at most one slot (1/64 of the
interval) late and never early. `memory` and `redis` decide alike, to the unit.
"""

from collections.abc import Sequence
from typing import Protocol

import msgspec

from nexus.errors import NexusError

SLOTS = 64
MAX_AMOUNT = 2**53 - 1
"""What Redis can count exactly."""


class RateLimited(NexusError):
    """A limit is used up. No time to come back is told: the contract has none."""

    status = 429
    type = "rate_limit_error"


class StoreFailed(Exception):
    """The counters cannot be reached."""


class Window(msgspec.Struct, frozen=True, gc=False):
    """An interval in slots, in milliseconds: the unit both stores count time in."""

    slot: int
    """Length of a slot."""
    span: int
    """Slots that count beside the one that is running."""

    @classmethod
    def of(cls, seconds: float) -> "Window":
        """Cut an interval into slots, never into one shorter than a millisecond."""
        interval = max(1, -int(-seconds * 1000 // 1))
        slot = -(-interval // SLOTS)
        return cls(slot, -(-interval // slot))


class Charge(msgspec.Struct, frozen=True, gc=False):
    """An amount to take from one limit, or to give back."""

    key: str
    window: Window
    limit: int
    amount: int
    """Negative to give back."""
    at: int | None = None
    """When what is given back was taken (ms, as the store told); None to take, and only if there is room."""


class Decision(msgspec.Struct, frozen=True, gc=False):
    """What a store says to some charges: all are booked, or none is."""

    refused: int | None
    """Number of the first charge there is no room for."""
    at: int
    """When, in the milliseconds of the store's own clock."""
    used: Sequence[int]
    """What each limit has used up, this decision included."""


class Store(Protocol):
    """Where limits are counted."""

    async def start(self) -> None:
        """Connect.

        Raises:
            StoreFailed: it cannot be reached.
        """
        ...

    async def charge(self, charges: Sequence[Charge]) -> Decision:
        """Book all charges in one step, or none of them.

        Raises:
            StoreFailed: nobody knows whether it was booked.
        """
        ...

    async def check(self) -> None:
        """Make sure that it could be asked.

        Raises:
            StoreFailed: it could not.
        """
        ...

    async def close(self) -> None:
        """Give back what it holds."""
        ...
