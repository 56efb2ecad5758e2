"""From the requests that are over to those who want to know, a little later: nobody who is being answered waits for it."""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence
from itertools import islice

from nexus.telemetry.records import RequestRecord

log = logging.getLogger(__name__)

Consumer = Callable[[Sequence[RequestRecord]], None]
"""Takes records in batches. It runs in the loop: it must not wait, and should be quick."""

MAX_WAITING = 8192
_DELAY = 0.02
"""Seconds until a record is looked at."""
_AT_ONCE = 32
"""Records looked at before the loop may do something else."""


class Pipeline:
    """A bounded queue of records. What finds it full is counted and dropped."""

    def __init__(self, limit: int = MAX_WAITING) -> None:
        self._limit = limit
        self._waiting: deque[RequestRecord] = deque()
        self._consumers: list[Consumer] = []
        self._timer: asyncio.Handle | None = None
        self.dropped = 0
        """Records nobody saw."""

    def subscribe(self, consumer: Consumer) -> None:
        """Give all records from now on to `consumer` as well."""
        self._consumers.append(consumer)

    def put(self, record: RequestRecord) -> None:
        """Take a record; never waits."""
        waiting = self._waiting
        if len(waiting) >= self._limit:
            self.dropped += 1
            return
        waiting.append(record)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_DELAY, self._drain)

    def flush(self) -> None:
        """Let everybody see what waits."""
        while self._waiting:
            self._give()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _drain(self) -> None:
        self._give()
        self._timer = asyncio.get_running_loop().call_soon(self._drain) if self._waiting else None

    def _give(self) -> None:
        waiting = self._waiting
        batch = tuple(islice(waiting, _AT_ONCE))
        for _ in batch:
            waiting.popleft()
        for consumer in tuple(self._consumers):
            try:
                consumer(batch)
            except Exception:
                log.exception(
                    "telemetry failed on %d records; that consumer is left out from now on", len(batch)
                )
                self._consumers.remove(consumer)
