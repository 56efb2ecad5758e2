"""What leaves for a collector: a bounded queue and threads of its own, so that one that is slow or gone slows nobody."""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Generic, NamedTuple, TypeVar

from nexus.config.telemetry import BatchExport

log = logging.getLogger(__name__)


class Sent(NamedTuple):
    """What became of a batch."""

    taken: bool
    again: bool = False
    """Whether a collector that did not take it may do so later."""
    rejected: int = 0
    """Items of it that the collector did not want, where it took the others."""
    why: str = ""
    """Why it was not taken."""


T = TypeVar("T")
Export = Callable[[Sequence[T]], Sent]
"""Sends a batch, waits, and tells what became of it."""


class Health:
    """Whether one collector takes what it is sent: one warning when that ends, one line when it begins again."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._failing = False
        self._telling = threading.Lock()
        self.failures = 0
        """Exports that failed, in all."""

    def tell(self, sent: Sent) -> None:
        """Say what became of an export."""
        with self._telling:
            self.failures += not sent.taken
            changed = sent.taken == self._failing
            self._failing = not sent.taken
        if changed and sent.taken:
            log.info("%s are taken again", self._what)
        elif changed:
            text = "%s are not taken by their collector (%s); what finds no room is dropped until it is back"
            log.warning(text, self._what, sent.why)


class Outbox(Generic[T]):
    """Batches of one signal on their way to one collector."""

    def __init__(
        self,
        what: str,
        export: Export[T],
        stop: Callable[[], None],
        batching: BatchExport,
        patience: float = 60.0,
    ) -> None:
        """`patience` is for how many seconds a batch is tried again: another may be what the collector likes better."""
        self.what = what
        self.dropped = 0
        """Items that found no room, or that the collector did not take."""
        self.health = Health(what)
        self._export = export
        self._stop = stop
        self._batching = batching
        self._patience = patience
        self._waiting: deque[T] = deque()
        self._wake = threading.Event()
        self._closing = threading.Event()
        self._counting = threading.Lock()
        self._threads = [
            threading.Thread(target=self._run, name=f"export {what}", daemon=True)
            for _ in range(min(batching.max_concurrent_exports, 16))
        ]

    def start(self) -> None:
        """Begin to send."""
        for thread in self._threads:
            thread.start()

    def put(self, items: Sequence[T]) -> None:
        """Take some items; never waits."""
        waiting, most = self._waiting, self._batching.max_queue_size
        room = most - len(waiting)
        if len(items) > room:
            self._lose(len(items) - max(room, 0))
            items = items[: max(room, 0)]
        waiting.extend(items)
        if len(waiting) >= self._batching.max_export_batch_size:
            self._wake.set()

    def close(self, seconds: float) -> None:
        """Send what waits, for so long at most. Waits: not for the loop's thread."""
        self._closing.set()
        self._wake.set()
        deadline = time.monotonic() + seconds
        for thread in self._threads:
            if thread.ident is not None:
                thread.join(max(0.0, deadline - time.monotonic()))
        self._stop()
        self._lose(len(self._waiting))
        self._waiting.clear()

    def _run(self) -> None:
        closing = False
        while not closing:
            self._wake.wait(self._batching.scheduled_delay)
            self._wake.clear()
            closing = self._closing.is_set()
            self._empty()
        self._wake.set()  # for the next thread

    def _empty(self) -> None:
        """Send all that waits."""
        while batch := self._batch():
            deadline = time.monotonic() + self._patience
            while (sent := self._send(batch)).again and time.monotonic() < deadline:
                if self._closing.wait(self._batching.scheduled_delay):
                    break
            self._lose(sent.rejected if sent.taken else len(batch))

    def _lose(self, count: int) -> None:
        with self._counting:
            self.dropped += count

    def _batch(self) -> list[T]:
        batch: list[T] = []
        try:
            while len(batch) < self._batching.max_export_batch_size:
                batch.append(self._waiting.popleft())
        except IndexError:
            pass
        return batch

    def _send(self, batch: list[T]) -> Sent:
        try:
            sent = self._export(batch)
        except Exception as error:  # whatever the libraries of an export raise, the next batch may pass
            log.debug("an export failed", exc_info=True)
            sent = Sent(False, why=type(error).__name__)
        self.health.tell(sent)
        return sent


class Ticker:
    """Sends everything there is, again and again, from a thread of its own."""

    def __init__(self, what: str, export: Callable[[], Sent], stop: Callable[[], None], delay: float) -> None:
        self.what = what
        self.health = Health(what)
        self._export = export
        self._stop = stop
        self._delay = delay
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"export {what}", daemon=True)

    def start(self) -> None:
        """Begin to send."""
        self._thread.start()

    def close(self, seconds: float) -> None:
        """Send once more, for so long at most. Waits: not for the loop's thread."""
        self._closed.set()
        if self._thread.ident is not None:
            self._thread.join(seconds)
        self._stop()

    def _run(self) -> None:
        closed = False
        while not closed:
            closed = self._closed.wait(self._delay)
            try:
                sent = self._export()
            except Exception as error:
                log.debug("an export failed", exc_info=True)
                sent = Sent(False, why=type(error).__name__)
            self.health.tell(sent)
