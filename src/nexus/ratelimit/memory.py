"""Limits counted in this process. `window.lua` says the same to Redis; what changes here changes there."""

import time
from collections import OrderedDict
from collections.abc import Callable, Sequence

from nexus.ratelimit import Charge, Decision, Window

MAX_KEYS = 200_000


def _milliseconds() -> int:
    return time.monotonic_ns() // 1_000_000


class _Counter:
    """One limit: what its slots hold, oldest first, and their sum."""

    __slots__ = ("running", "slots", "total")

    def __init__(self) -> None:
        self.running = 0
        """The slot that is running."""
        self.slots: dict[int, int] = {}
        self.total = 0

    def advance(self, running: int, span: int) -> None:
        """Let another slot run, and forget those that have left the window."""
        self.running = running
        first = running - span
        while self.slots and (oldest := next(iter(self.slots))) < first:
            self.total -= self.slots.pop(oldest)

    def take(self, amount: int) -> None:
        """Book in the slot that is running."""
        slot = self.running
        self.slots[slot] = self.slots.get(slot, 0) + amount
        self.total += amount

    def give_back(self, slot: int, amount: int) -> None:
        """Give back what was taken in a slot, if that still counts, and no more than is there."""
        held = min(amount, self.slots.get(slot, 0))
        if held:
            self.slots[slot] -= held
            self.total -= held


class MemoryStore:
    """Counters of one process; those at rest go, and when there are too many the longest unused go as well."""

    def __init__(self, clock: Callable[[], int] = _milliseconds, max_keys: int = MAX_KEYS) -> None:
        self._clock = clock
        self._max_keys = max_keys
        # one shelf per window: on a shelf, who was used longest ago is at rest first
        self._shelves: dict[Window, OrderedDict[str, _Counter]] = {}
        self.count = 0
        """Keys held."""

    async def start(self) -> None:
        """Nothing to connect to."""

    async def check(self) -> None:
        """Nothing can be away."""

    async def close(self) -> None:
        """Nothing to give back."""

    async def charge(self, charges: Sequence[Charge]) -> Decision:
        """Book all charges, or none of them."""
        return self.decide(charges)

    def decide(self, charges: Sequence[Charge]) -> Decision:
        """Do the same at once."""
        now, before = self._clock(), self.count
        refused = None
        found: list[tuple[Charge, _Counter]] = []
        for charge in charges:
            window, key = charge.window, charge.key
            shelf = self._shelves.get(window)
            counter = shelf.get(key) if shelf is not None else None
            if shelf is None or counter is None:
                counter = self._new(window, key)
            else:
                shelf.move_to_end(key)
            if counter.running != (running := now // window.slot):
                counter.advance(running, window.span)
            if counter.total + charge.amount > charge.limit and charge.at is None and refused is None:
                refused = len(found)
            found.append((charge, counter))
        used: list[int] = []
        for charge, counter in found:
            if refused is None and charge.amount > 0:
                counter.take(charge.amount)
            elif refused is None and charge.at is not None:
                counter.give_back(charge.at // charge.window.slot, -charge.amount)
            used.append(counter.total)
        if self.count != before:
            self._tidy(found, now)
        return Decision(refused, now, used)

    def _new(self, window: Window, key: str) -> _Counter:
        counter = self._shelves.setdefault(window, OrderedDict())[key] = _Counter()
        self.count += 1
        return counter

    def _tidy(self, found: Sequence[tuple[Charge, _Counter]], now: int) -> None:
        """Make room as others came; who only looked, or was refused, leaves nothing."""
        for charge, counter in found:
            if not counter.slots and self._shelves[charge.window].pop(charge.key, None) is not None:
                self.count -= 1
        for charge, _ in found:
            self._trim(charge.window, now)

    def _trim(self, window: Window, now: int) -> None:
        """Drop the longest unused of a shelf if it is at rest, twice as fast as others come, or if there are too many."""
        shelf, first = self._shelves[window], now // window.slot - window.span
        for _ in range(2):
            key, oldest = next(iter(shelf.items()), (None, None))
            if key is None or oldest is None or (oldest.slots and next(reversed(oldest.slots)) >= first):
                break
            del shelf[key]
            self.count -= 1
        if self.count > self._max_keys:
            max(self._shelves.values(), key=len).popitem(last=False)
            self.count -= 1
