"""What leaves for a collector: a bounded queue and threads of its own, so that one that is slow or gone slows nobody."""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from nexus.config.telemetry import BatchExport

log = logging.getLogger(__name__)

T = TypeVar("T")
Export = Callable[[Sequence[T]], bool]
"""Sends a batch and waits; tells whether it was taken."""


class Health:
    """Whether one collector takes what it is sent: one warning when that ends, one line when it begins again."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._failing = False
        self._telling = threading.Lock()
        self.failures = 0
        """Exports that failed, in all."""

    def tell(self, *, taken: bool) -> None:
        """Say what became of an export."""
        with self._telling:
            self.failures += not taken
            changed = taken == self._failing
            self._failing = not taken
        if changed:
            if taken:
                log.info("%s are taken again", self._what)
            else:
                log.warning(
                    "%s are not taken by their collector; what finds no room is dropped until it is back",
                    self._what,
                )


class Outbox(Generic[T]):
    """Batches of one signal on their way to one collector."""

    def __init__(self, what: str, export: Export[T], stop: Callable[[], None], batching: BatchExport) -> None:
        self.what = what
        self.dropped = 0
        """Items that found no room, or that the collector did not take."""
        self.health = Health(what)
        self._export = export
        self._stop = stop
        self._batching = batching
        self._waiting: deque[T] = deque()
        self._wake = threading.Event()
        self._closed = False
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
            self.dropped += len(items) - max(room, 0)
            items = items[: max(room, 0)]
        waiting.extend(items)
        if len(waiting) >= self._batching.max_export_batch_size:
            self._wake.set()

    def close(self, seconds: float) -> None:
        """Send what waits, for so long at most. Waits: not for the loop's thread."""
        self._closed = True
        self._wake.set()
        deadline = time.monotonic() + seconds
        for thread in self._threads:
            if thread.ident is not None:
                thread.join(max(0.0, deadline - time.monotonic()))
        self._stop()
        self.dropped += len(self._waiting)
        self._waiting.clear()

    def _run(self) -> None:
        while True:
            self._wake.wait(self._batching.scheduled_delay)
            self._wake.clear()
            while batch := self._batch():
                self._send(batch)
            if self._closed:
                self._wake.set()  # for the next thread
                return

    def _batch(self) -> list[T]:
        batch: list[T] = []
        try:
            while len(batch) < self._batching.max_export_batch_size:
                batch.append(self._waiting.popleft())
        except IndexError:
            pass
        return batch

    def _send(self, batch: list[T]) -> None:
        try:
            taken = self._export(batch)
        except Exception:  # whatever an exporter's libraries raise, the next batch may pass
            log.debug("an export failed", exc_info=True)
            taken = False
        if not taken:
            self.dropped += len(batch)
        self.health.tell(taken=taken)


class Ticker:
    """Sends everything there is, again and again, from a thread of its own."""

    def __init__(self, what: str, export: Callable[[], bool], stop: Callable[[], None], delay: float) -> None:
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
                taken = self._export()
            except Exception:
                log.debug("an export failed", exc_info=True)
                taken = False
            self.health.tell(taken=taken)
