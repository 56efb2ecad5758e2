"""Records reach who wants them a little later, and never make anybody wait."""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from types import MappingProxyType

import pytest

from nexus.telemetry.observation import Observation, Wants
from nexus.telemetry.pipeline import Pipeline
from nexus.telemetry.records import RequestRecord, Work
from nexus.telemetry.trace import Attribute


def seen(number: int = 0) -> Observation:
    one = Observation({"method": "GET", "path": f"/{number}", "headers": []}, Wants())
    one.route, one.status, one.ended = f"/{number}", 200, one.began + 0.1
    return one


class Fails:
    """An operation nothing can be told of."""

    name, began, span_id = "", 0.0, 0
    attributes: Mapping[str, Attribute] = MappingProxyType({})

    def finish(self, _: Observation, /) -> Work:
        raise ValueError("a fault of ours")


async def test_records_come_in_their_order_to_everybody() -> None:
    one, other, done = list[str](), list[str](), asyncio.Event()
    pipeline = Pipeline()
    pipeline.subscribe(lambda records: one.extend(record.route for record in records))

    def take(records: Sequence[RequestRecord]) -> None:
        other.extend(record.route for record in records)
        if len(other) == 20:
            done.set()

    pipeline.subscribe(take)
    for number in range(20):
        pipeline.put(seen(number))
    assert one == []
    await asyncio.wait_for(done.wait(), 5)
    assert one == other == [f"/{number}" for number in range(20)]


def taking(batches: list[int]) -> Pipeline:
    pipeline = Pipeline()
    pipeline.subscribe(lambda records: batches.append(len(records)))
    return pipeline


async def test_a_few_wait_and_many_do_not() -> None:
    pipeline = taking(batches := [])
    for _ in range(31):
        pipeline.put(seen())
    await asyncio.sleep(0)
    assert batches == []
    pipeline.put(seen())
    await asyncio.sleep(0)
    assert batches == [32]


async def test_more_than_a_round_of_the_loop_would_look_at_lose_no_record() -> None:
    pipeline = taking(batches := [])
    for _ in range(100):  # rounds of a loop that serves 256 connections
        for _ in range(256):
            pipeline.put(seen())
        await asyncio.sleep(0)
    pipeline.flush()
    assert (sum(batches), max(batches), pipeline.dropped) == (25_600, 64, 0)


async def test_what_holds_much_does_not_wait() -> None:
    pipeline = taking(batches := [])
    for large in (False, True, False):
        one = seen()
        one.large = large
        pipeline.put(one)
    assert batches == [2]
    pipeline.flush()
    assert batches == [2, 1]


async def test_one_that_cannot_be_told_of_keeps_no_other_back(caplog: pytest.LogCaptureFixture) -> None:
    told = list[str]()
    pipeline = Pipeline()
    pipeline.subscribe(lambda records: told.extend(record.route for record in records))
    for number in range(3):
        one = seen(number)
        one.operation = Fails() if number == 1 else None
        pipeline.put(one)
    with caplog.at_level(logging.ERROR):
        pipeline.flush()
    assert told == ["/0", "/2"]
    assert [record.message for record in caplog.records] == ["telemetry failed on a request"]


async def test_who_fails_is_told_of_once_and_hurts_nobody(caplog: pytest.LogCaptureFixture) -> None:
    told, taken = list[RequestRecord](), list[RequestRecord]()

    def fails(records: Sequence[RequestRecord]) -> None:
        if len(told) < 2:
            raise OSError(28, "No space left on device")
        taken.extend(records)

    pipeline = Pipeline()
    pipeline.subscribe(fails)
    pipeline.subscribe(told.extend)
    with caplog.at_level(logging.ERROR):
        for _ in range(3):
            pipeline.put(seen())
            pipeline.flush()
    assert (len(told), len(taken), pipeline.dropped) == (3, 1, 2)
    assert len(caplog.records) == 1
