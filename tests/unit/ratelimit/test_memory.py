"""Counters in memory: exact, in order, forgotten when they are at rest."""

import asyncio

import pytest

from nexus.ratelimit import Charge, Window
from nexus.ratelimit.memory import MemoryStore

MINUTE = Window.of(60)


class Clock:
    def __init__(self) -> None:
        self.now = 1_000_000

    def __call__(self) -> int:
        return self.now


def take(amount: int = 1, limit: int = 3, key: str = "k", window: Window = MINUTE) -> Charge:
    return Charge(key, window, limit, amount)


@pytest.mark.parametrize(
    ("seconds", "slot", "span"),
    [
        (60, 938, 64),
        (64, 1000, 64),
        (1, 16, 63),
        (0.064, 1, 64),
        (0.05, 1, 50),
        (0.001, 1, 1),
        (0.0015, 1, 2),
        (86400, 1_350_000, 64),
        (31_536_000, 492_750_000, 64),
    ],
)
def test_a_window_is_at_least_its_interval_and_hardly_longer(seconds: float, slot: int, span: int) -> None:
    window = Window.of(seconds)
    assert window == Window(slot, span)
    assert seconds * 1000 <= slot * span <= seconds * 1000 + slot


async def test_exactly_the_limit_passes_at_once() -> None:
    store = MemoryStore(Clock())
    decisions = [await store.charge([take()]) for _ in range(5)]
    assert [decision.refused for decision in decisions] == [None, None, None, 0, 0]
    assert [list(decision.used) for decision in decisions] == [[1], [2], [3], [3], [3]]


async def test_of_a_thousand_at_once_exactly_the_limit_passes() -> None:
    store = MemoryStore()
    decisions = await asyncio.gather(*(store.charge([take(limit=137)]) for _ in range(1000)))
    assert sum(decision.refused is None for decision in decisions) == 137


async def test_room_comes_back_when_the_interval_is_over_and_not_before() -> None:
    clock = Clock()
    store = MemoryStore(clock)
    await store.charge([take(3)])
    clock.now += 59_999
    assert (await store.charge([take()])).refused == 0
    clock.now += MINUTE.slot + 2
    assert (await store.charge([take(3)])).refused is None


async def test_room_comes_back_piece_by_piece() -> None:
    clock = Clock()
    store = MemoryStore(clock)
    for _ in range(3):
        await store.charge([take()])
        clock.now += 10_000
    clock.now += 31_000
    assert list((await store.charge([take(0)])).used) == [2]
    clock.now += 10_000
    assert list((await store.charge([take(0)])).used) == [1]


async def test_a_slow_limit_is_not_made_faster() -> None:
    clock = Clock()
    store = MemoryStore(clock)
    passed = 0
    for _ in range(600):
        passed += (await store.charge([take(limit=2)])).refused is None
        clock.now += 1000
    assert 18 <= passed <= 20


async def test_all_are_booked_or_none() -> None:
    store = MemoryStore(Clock())
    await store.charge([take(3, key="full")])
    for _ in range(5):
        decision = await store.charge([take(key="free"), take(key="full")])
        assert (decision.refused, list(decision.used)) == (1, [0, 3])


async def test_amounts_beyond_32_bits_are_counted_to_the_unit() -> None:
    store = MemoryStore(Clock())
    limit = 2**53 - 1
    assert (await store.charge([take(limit - 1, limit)])).refused is None
    assert (await store.charge([take(2, limit)])).refused == 0
    assert (await store.charge([take(1, limit)])).refused is None


async def test_what_is_given_back_can_be_taken_again() -> None:
    store = MemoryStore(Clock())
    at = (await store.charge([take(3)])).at
    given = await store.charge([Charge("k", MINUTE, 3, -2, at)])
    assert list(given.used) == [1]
    assert (await store.charge([take(2)])).refused is None


async def test_no_more_is_given_back_than_was_taken() -> None:
    store = MemoryStore(Clock())
    at = (await store.charge([take(2)])).at
    given = [await store.charge([Charge("k", MINUTE, 3, -2, at)]) for _ in range(3)]
    assert [list(decision.used) for decision in given] == [[0], [0], [0]]


async def test_what_has_left_the_window_cannot_be_given_back() -> None:
    clock = Clock()
    store = MemoryStore(clock)
    at = (await store.charge([take(3)])).at
    clock.now += 70_000
    await store.charge([take(3)])
    assert list((await store.charge([Charge("k", MINUTE, 3, -3, at)])).used) == [3]


async def test_what_was_used_beyond_a_hold_is_booked_all_the_same() -> None:
    store = MemoryStore(Clock())
    at = (await store.charge([take(3)])).at
    assert list((await store.charge([Charge("k", MINUTE, 3, 5, at)])).used) == [8]
    assert (await store.charge([take()])).refused == 0


async def test_keys_at_rest_are_forgotten() -> None:
    clock = Clock()
    store = MemoryStore(clock)
    for number in range(1000):
        await store.charge([take(key=f"{number}"), take(key=f"{number}", window=Window.of(1))])
        clock.now += 500
    assert store.count < 200


async def test_refused_keys_leave_nothing() -> None:
    clock = Clock()
    store = MemoryStore(clock)
    for number in range(1000):
        await store.charge([take(5, key=f"{number}")])
    assert store.count == 0


async def test_looking_leaves_nothing_and_pushes_nobody_out() -> None:
    store = MemoryStore(Clock(), max_keys=10)
    await store.charge([take(3, key="busy")])
    await store.charge([take(0, key=f"{number}") for number in range(100)])
    assert (store.count, (await store.charge([take(0, key="busy")])).used) == (1, [3])


async def test_keys_are_bounded_and_the_longest_unused_goes_first() -> None:
    store = MemoryStore(Clock(), max_keys=100)
    await store.charge([take(3, key="busy")])
    for number in range(1000):
        await store.charge([take(key=f"{number}")])
        assert (await store.charge([take(key="busy")])).refused == 0
    assert store.count == 100


async def test_windows_of_one_key_are_apart() -> None:
    store = MemoryStore(Clock())
    await store.charge([take(3)])
    assert (await store.charge([take(3, window=Window.of(1))])).refused is None
