"""Records reach who wants them a little later, and never make anybody wait."""

import asyncio
import logging
from collections.abc import Sequence

import pytest

from nexus.telemetry.pipeline import Pipeline
from nexus.telemetry.records import RequestRecord


def record(number: int = 0) -> RequestRecord:
    return RequestRecord(0.0, "GET", f"/{number}", 200, 0.1)


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
        pipeline.put(record(number))
    assert one == []
    await asyncio.wait_for(done.wait(), 5)
    assert one == other == [f"/{number}" for number in range(100)]


async def test_what_finds_no_room_is_counted_and_dropped() -> None:
    seen: list[RequestRecord] = []
    pipeline = Pipeline(limit=3)
    pipeline.subscribe(seen.extend)
    for number in range(5):
        pipeline.put(record(number))
    pipeline.flush()
    assert ([one.route for one in seen], pipeline.dropped) == (["/0", "/1", "/2"], 2)


async def test_a_consumer_that_fails_is_left_out_and_hurts_nobody(caplog: pytest.LogCaptureFixture) -> None:
    seen: list[RequestRecord] = []

    def fails(_: Sequence[RequestRecord]) -> None:
        raise ValueError("a fault of ours")

    pipeline = Pipeline()
    pipeline.subscribe(fails)
    pipeline.subscribe(seen.extend)
    with caplog.at_level(logging.ERROR):
        for _ in range(2):
            pipeline.put(record())
            pipeline.flush()
    assert len(seen) == 2
    assert len(caplog.records) == 1
