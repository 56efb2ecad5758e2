"""Laws of limits: never more than the limit in any interval, never a refusal without reason, and both stores decide alike."""

import asyncio
import itertools
from collections.abc import Generator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nexus.config.ratelimit import RedisStorage
from nexus.ratelimit import Charge, Decision, Window
from nexus.ratelimit.memory import MemoryStore
from nexus.ratelimit.redis import RedisStore
from upstreams.redis import redis

LIMIT = 10


@dataclass
class Clock:
    now: int = 1_700_000_000_000

    def __call__(self) -> int:
        return self.now


@dataclass
class Booked:
    """One hold as a careful bookkeeper has it: when each part of it was booked, and how much."""

    parts: list[tuple[int, int]] = field(default_factory=list[tuple[int, int]])


def within(booked: list[Booked], after: int) -> int:
    return sum(amount for one in booked for at, amount in one.parts if at > after)


steps = st.lists(
    st.tuples(
        st.sampled_from((0, 0, 0, 1, 5, 40, 250, 1000, 1016, 3000)),
        st.sampled_from(("take", "take", "take", "settle", "cancel")),
        st.integers(0, LIMIT + 2),
    ),
    max_size=60,
)


@given(st.sampled_from((0.003, 0.05, 1.0, 2.5)), steps)
@settings(max_examples=300)
def test_held_and_settled_never_pass_the_limit_and_nothing_is_refused_without_reason(
    seconds: float, history: list[tuple[int, str, int]]
) -> None:
    """Estimates are upper bounds here; a hold is settled to less, or given back."""
    clock, window = Clock(), Window.of(seconds)
    interval, longest = round(seconds * 1000), (window.span + 1) * window.slot
    store = MemoryStore(clock)
    booked: list[Booked] = []
    held: list[tuple[Charge, Booked]] = []

    async def run() -> None:
        for later, kind, amount in history:
            clock.now += later
            if kind == "take":
                charge = Charge("k", window, LIMIT, amount)
                decision = await store.charge([charge])
                if decision.refused is None:
                    booked.append(Booked([(clock.now, amount)]))
                    held.append((Charge("k", window, LIMIT, amount, decision.at), booked[-1]))
                else:
                    assert within(booked, clock.now - longest) + amount > LIMIT
            elif held:
                charge, one = held.pop(amount % len(held))
                less = charge.amount if kind == "cancel" else min(charge.amount, amount)
                await store.charge([Charge("k", window, LIMIT, -less, charge.at)])
                one.parts = [(one.parts[0][0], one.parts[0][1] - less)]
            assert within(booked, clock.now - interval) <= LIMIT

    asyncio.run(run())


@given(
    st.sampled_from((0.05, 1.0, 2.5)),
    st.lists(st.tuples(st.integers(0, 400), st.integers(1, 4)), max_size=80),
)
def test_no_interval_however_placed_sees_more_than_the_limit(
    seconds: float, history: list[tuple[int, int]]
) -> None:
    clock, window = Clock(), Window.of(seconds)
    store = MemoryStore(clock)
    passed: list[tuple[int, int]] = []

    async def run() -> None:
        for later, amount in history:
            clock.now += later
            if (await store.charge([Charge("k", window, LIMIT, amount)])).refused is None:
                passed.append((clock.now, amount))

    asyncio.run(run())
    for start, _ in passed:
        inside = sum(amount for at, amount in passed if start <= at < start + seconds * 1000)
        assert inside <= LIMIT


@pytest.fixture(scope="module")
def shared() -> Generator[tuple[asyncio.Runner, str]]:
    """A loop and the URL of a Redis, for all examples."""
    stack = AsyncExitStack()
    with asyncio.Runner() as runner:
        server = runner.run(stack.enter_async_context(redis()))
        yield runner, server.url
        runner.run(stack.aclose())


numbers = itertools.count()
charges = st.lists(
    st.tuples(
        st.sampled_from("ab"),
        st.sampled_from((5.0, 60.0, 3600.0)),  # keys expire by the real clock: none may within an example
        st.sampled_from((0, 1, 2, 5, 11)),
        st.sampled_from((None, None, -1, -3, -100, 4)),
    ),
    min_size=1,
    max_size=3,
    unique_by=lambda one: one[:2],
)
histories = st.lists(
    st.tuples(st.sampled_from((0, 0, 1, 79, 2_600, 5_000, 31_000, 10**9)), charges), min_size=1, max_size=25
)


@given(history=histories)
@settings(max_examples=150)
def test_memory_and_redis_decide_alike(
    shared: tuple[asyncio.Runner, str],
    history: list[tuple[int, list[tuple[str, float, int, int | None]]]],
) -> None:
    runner, url = shared

    async def run() -> None:
        clock = Clock()
        storage = {"type": "redis", "url": url, "key_prefix": f"{next(numbers)}:"}
        there, here = RedisStore(RedisStorage.model_validate(storage), clock), MemoryStore(clock)
        await there.start()
        taken: dict[tuple[str, float], int] = {}
        try:
            for later, wanted in history:
                clock.now += later
                made = [_charge(one, taken) for one in wanted]
                said, told = await here.charge(made), await there.charge(made)
                assert _plain(said) == _plain(told)
                if said.refused is None:
                    taken |= {(key, seconds): said.at for key, seconds, _, more in wanted if more is None}
        finally:
            await there.close()

    runner.run(run())


def test_memory_and_redis_forget_slot_by_slot(shared: tuple[asyncio.Runner, str]) -> None:
    runner, url = shared

    async def run() -> list[list[int]]:
        clock = Clock()
        storage = {"type": "redis", "url": url, "key_prefix": f"{next(numbers)}:"}
        there, here = RedisStore(RedisStorage.model_validate(storage), clock), MemoryStore(clock)
        await there.start()
        used: list[list[int]] = []
        for _ in range(200):
            clock.now += 700
            charge = Charge("k", Window.of(5), LIMIT, 1)
            said, told = await here.charge([charge]), await there.charge([charge])
            used.append([*said.used, *told.used])
        await there.close()
        return used

    assert runner.run(run()) == [[number, number] for number in (*range(1, 8), *[8] * 193)]


def _charge(one: tuple[str, float, int, int | None], taken: dict[tuple[str, float], int]) -> Charge:
    key, seconds, amount, more = one
    at = taken.get((key, seconds))
    if more is None or at is None:
        return Charge(f"{key}{seconds}", Window.of(seconds), LIMIT, amount)
    return Charge(f"{key}{seconds}", Window.of(seconds), LIMIT, more, at)


def _plain(decision: Decision) -> tuple[int | None, int, list[int]]:
    return decision.refused, decision.at, list(decision.used)
