"""What leaves for a collector is sent in batches by threads of its own, in bounded memory and bounded time."""

import logging
import threading
from collections.abc import Sequence

import pytest

from nexus.config.telemetry import BatchExport
from nexus.telemetry.outbox import Outbox, Sent, Ticker


class Collector:
    """Takes batches as it is told to."""

    def __init__(self) -> None:
        self.taken: list[list[int]] = []
        self.answers = Sent(True)
        self.open = threading.Event()
        self.open.set()
        self.stopped = threading.Event()
        self.asked = threading.Semaphore(0)

    def export(self, batch: Sequence[int]) -> Sent:
        answers = self.answers
        self.asked.release()
        while not self.open.wait(0.01):
            if self.stopped.is_set():
                return Sent(False)
        self.taken.append(list(batch))
        return answers


def outbox(collector: Collector, patience: float = 60, **batching: object) -> Outbox[int]:
    settings = BatchExport.model_validate({"scheduled_delay": "10ms", **batching})
    return Outbox("numbers", collector.export, collector.stopped.set, settings, patience)


def test_batches_are_as_large_as_they_may_be_and_the_rest_leaves_at_the_end() -> None:
    collector = Collector()
    box = outbox(collector, max_export_batch_size=4, scheduled_delay="60s")
    box.put(range(10))
    box.start()
    box.close(5)
    assert collector.taken == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    assert collector.stopped.is_set()


def test_a_full_batch_does_not_wait_for_its_time() -> None:
    collector = Collector()
    box = outbox(collector, max_export_batch_size=2, scheduled_delay="60s")
    box.start()
    box.put([1, 2])
    assert collector.asked.acquire(timeout=5)
    box.close(5)


def test_what_finds_no_room_is_dropped_while_a_collector_hangs() -> None:
    collector = Collector()
    collector.open.clear()
    box = outbox(collector, max_queue_size=5, max_export_batch_size=5)
    box.start()
    box.put(range(3))
    assert collector.asked.acquire(timeout=5)
    for _ in range(10):
        box.put([1, 2, 3])
    assert box.dropped == 25
    box.close(0.1)
    assert box.dropped == 30
    box.close(5)  # the export that hung has seen by now that it is over


def test_one_warning_when_it_ends_and_one_line_when_it_begins_again(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    collector = Collector()
    box = outbox(collector, max_export_batch_size=1, max_concurrent_exports=1)
    box.start()
    for taken in (True, False, False, True, True):
        collector.answers = Sent(taken)
        count = len(collector.taken)
        box.put([1])
        while len(collector.taken) == count:
            collector.asked.acquire(timeout=5)
    box.close(5)
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]
    assert box.dropped == 2


def test_a_collector_that_is_away_gets_the_same_batch_again_when_it_is_back() -> None:
    collector = Collector()
    collector.answers = Sent(False, again=True)
    box = outbox(collector, scheduled_delay="1ms")
    box.put([1, 2])
    box.start()
    for _ in range(3):
        assert collector.asked.acquire(timeout=5)
    collector.answers = Sent(True)
    box.put([3])
    while collector.taken[-1] != [3]:
        assert collector.asked.acquire(timeout=5)
    box.close(5)
    assert collector.taken[:3] == [[1, 2]] * 3
    assert box.dropped == 0


def test_a_batch_that_is_never_taken_is_given_up_and_what_is_rejected_is_counted() -> None:
    collector = Collector()
    collector.answers = Sent(False, again=True)
    box = outbox(collector, patience=0.02, scheduled_delay="5ms")
    box.put([1, 2])
    box.start()
    while box.dropped == 0:
        assert collector.asked.acquire(timeout=5)
    tries = len(collector.taken)
    collector.answers = Sent(True, rejected=1)
    box.put([3, 4, 5])
    box.close(5)
    assert collector.taken == [[1, 2]] * tries + [[3, 4, 5]]
    assert tries > 1
    assert box.dropped == 3


def test_an_exporter_that_raises_is_one_that_does_not_take() -> None:
    def raises(_: Sequence[int]) -> Sent:
        raise OSError("broken")

    settings = BatchExport.model_validate({"scheduled_delay": "10ms"})
    box = Outbox("numbers", raises, lambda: None, settings)
    box.put([1])
    box.start()
    box.close(5)
    assert (box.dropped, box.health.failures) == (1, 1)


def test_a_ticker_sends_once_more_when_it_is_closed() -> None:
    sent: list[int] = []
    stopped = threading.Event()

    def send() -> Sent:
        sent.append(1)
        return Sent(True)

    ticker = Ticker("everything", send, stopped.set, 60)
    ticker.start()
    ticker.close(5)
    assert sent == [1]
    assert stopped.is_set()


@pytest.mark.parametrize("started", [False, True])
def test_closing_takes_no_longer_than_it_may(started: bool) -> None:
    collector = Collector()
    collector.open.clear()
    box = outbox(collector)
    box.put([1])
    if started:
        box.start()
        assert collector.asked.acquire(timeout=5)
    box.close(0.05)
    assert collector.taken == []
