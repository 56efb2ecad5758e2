"""Records reach who wants them a little later, and never make anybody wait."""

import asyncio
import logging
from collections.abc import Sequence

import pytest

from nexus.telemetry.observation import Observation, Wants, clock
from nexus.telemetry.pipeline import Pipeline
from nexus.telemetry.records import RequestRecord, Work


def seen(number: int = 0) -> Observation:
    one = Observation({"method": "GET", "path": f"/{number}", "headers": []}, Wants())
    one.route, one.status, one.ended = f"/{number}", 200, one.began + 0.1
    return one


class Operation:
    """One that takes as long to be looked at as a very large answer, or fails."""

    name, began, span_id = "", 0.0, 0
    attributes: dict[str, str | int | float] = {}  # noqa: RUF012  # nobody writes there

    def __init__(self, *, fails: bool = False) -> None:
        self._fails = fails

    def finish(self, _: Observation, /) -> Work:
        if self._fails:
            raise ValueError("a fault of ours")
        until = clock() + 0.002
        while clock() < until:
            pass
        return Work(0.1, None)


async def test_records_come_in_their_order_to_everybody() -> None:
    one, other, done = list[str](), list[str](), asyncio.Event()
    pipeline = Pipeline()
    pipeline.subscribe(lambda records: one.extend(record.route for record in records))

    def take(records: Sequence[RequestRecord]) -> None:
        other.extend(record.route for record in records)
        if len(other) == 100:
            done.set()

    pipeline.subscribe(take)
    for number in range(100):
        pipeline.put(seen(number))
    assert one == []
    await asyncio.wait_for(done.wait(), 5)
    assert one == other == [f"/{number}" for number in range(100)]


async def test_a_few_wait_and_many_do_not() -> None:
    batches = list[int]()
    pipeline = Pipeline()
    pipeline.subscribe(lambda records: batches.append(len(records)))
    for _ in range(31):
        pipeline.put(seen())
    await asyncio.sleep(0)
    assert batches == []
    pipeline.put(seen())
    await asyncio.sleep(0)
    assert batches == [32]


async def test_large_answers_are_looked_at_one_by_one() -> None:
    batches, done = list[int](), asyncio.Event()
    pipeline = Pipeline()

    def take(records: Sequence[RequestRecord]) -> None:
        batches.append(len(records))
        if len(batches) == 3:
            done.set()

    pipeline.subscribe(take)
    for _ in range(3):
        one = seen()
        one.operation = Operation()
        pipeline.put(one)
    await asyncio.wait_for(done.wait(), 5)
    assert batches == [1, 1, 1]


async def test_one_that_cannot_be_told_of_keeps_no_other_back(caplog: pytest.LogCaptureFixture) -> None:
    told = list[str]()
    pipeline = Pipeline()
    pipeline.subscribe(lambda records: told.extend(record.route for record in records))
    for number in range(3):
        one = seen(number)
        one.operation = Operation(fails=True) if number == 1 else None
        pipeline.put(one)
    with caplog.at_level(logging.ERROR):
        pipeline.flush()
    assert told == ["/0", "/2"]
    assert [record.message for record in caplog.records] == ["telemetry failed on a request"]


async def test_what_finds_no_room_is_counted_and_dropped() -> None:
    told: list[RequestRecord] = []
    pipeline = Pipeline(limit=3)
    pipeline.subscribe(told.extend)
    for number in range(5):
        pipeline.put(seen(number))
    pipeline.flush()
    assert ([one.route for one in told], pipeline.dropped) == (["/0", "/1", "/2"], 2)


async def test_a_consumer_that_fails_is_left_out_and_hurts_nobody(caplog: pytest.LogCaptureFixture) -> None:
    told: list[RequestRecord] = []

    def fails(_: Sequence[RequestRecord]) -> None:
        raise ValueError("a fault of ours")

    pipeline = Pipeline()
    pipeline.subscribe(fails)
    pipeline.subscribe(told.extend)
    with caplog.at_level(logging.ERROR):
        for _ in range(2):
            pipeline.put(seen())
            pipeline.flush()
    assert len(told) == 2
    assert len(caplog.records) == 1
