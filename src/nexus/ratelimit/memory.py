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

    __slots__ = ("slots", "total")

    def __init__(self) -> None:
        self.slots: dict[int, int] = {}
        self.total = 0

    def expire(self, first: int) -> None:
        """Forget the slots before `first`."""
        while self.slots and (oldest := next(iter(self.slots))) < first:
            self.total -= self.slots.pop(oldest)

    def add(self, slot: int, amount: int) -> None:
        """Take in the slot that is running."""
        self.slots[slot] = self.slots.get(slot, 0) + amount
        self.total += amount

    def give_back(self, slot: int, amount: int) -> None:
        """Give back what was taken in a slot, if that still counts, and no more than is there."""
        held = min(amount, self.slots.get(slot, 0))
        if held:
            self.add(slot, -held)


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

    async def close(self) -> None:
        """Nothing to give back."""

    async def charge(self, charges: Sequence[Charge]) -> Decision:
        """Book all charges, or none of them."""
        return self.decide(charges)

    def decide(self, charges: Sequence[Charge]) -> Decision:
        """Do the same at once."""
        now, before = self._clock(), self.count
        counters = [self._counter(charge, now) for charge in charges]
        refused = None
        for number, (charge, counter) in enumerate(zip(charges, counters, strict=True)):
            if charge.at is None and counter.total + charge.amount > charge.limit:
                refused = number
                break
        if refused is None:
            for charge, counter in zip(charges, counters, strict=True):
                _book(charge, counter, now)
        if self.count != before:
            for charge in charges:
                self._tidy(charge.window, now)
        return Decision(refused, now, [counter.total for counter in counters])

    def _counter(self, charge: Charge, now: int) -> _Counter:
        shelf = self._shelves.get(charge.window)
        if shelf is None:
            shelf = self._shelves[charge.window] = OrderedDict()
        counter = shelf.get(charge.key)
        if counter is None:
            counter = shelf[charge.key] = _Counter()
            self.count += 1
        else:
            shelf.move_to_end(charge.key)
            counter.expire(_first(charge.window, now))
        return counter

    def _tidy(self, window: Window, now: int) -> None:
        """Drop the longest unused of a shelf if it is at rest, twice as fast as others come, or if there are too many."""
        shelf, first = self._shelves[window], _first(window, now)
        for _ in range(2):
            key, counter = next(iter(shelf.items()), (None, None))
            if key is None or counter is None or (counter.slots and next(reversed(counter.slots)) >= first):
                break
            del shelf[key]
            self.count -= 1
        if self.count > self._max_keys:
            max(self._shelves.values(), key=len).popitem(last=False)
            self.count -= 1


def _first(window: Window, now: int) -> int:
    """Give the oldest slot that counts."""
    return now // window.slot - window.span


def _book(charge: Charge, counter: _Counter, now: int) -> None:
    slot = charge.window.slot
    if charge.amount > 0:
        counter.add(now // slot, charge.amount)
    elif charge.amount < 0 and charge.at is not None:
        counter.give_back(charge.at // slot, -charge.amount)
