"""From the requests that are over to those who want to know, a little later: nobody who is being answered waits for it."""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Iterator, Sequence

from nexus.telemetry.observation import Observation, clock
from nexus.telemetry.records import RequestRecord
from nexus.telemetry.summary import summarize

log = logging.getLogger(__name__)

Consumer = Callable[[Sequence[RequestRecord]], None]
"""Takes records in batches. It runs in the loop: it must not wait, and should be quick."""

MAX_WAITING = 8192
_DELAY = 0.02
"""Seconds until a request is looked at, if not so many others are over before."""
_AT_ONCE = 32
"""Requests looked at before the loop may do something else: together, as one by one costs twice as much."""
_AT_MOST = 0.001
"""Seconds after which it may, however few they were: of a large answer the ends are not found at once."""


class Pipeline:
    """A bounded queue of requests that are over. What finds it full is counted and dropped."""

    def __init__(self, limit: int = MAX_WAITING) -> None:
        self._limit = limit
        self._waiting: deque[Observation] = deque()
        self._consumers: list[Consumer] = []
        self._timer: asyncio.Handle | None = None
        self.dropped = 0
        """Requests of which nobody was told."""

    def subscribe(self, consumer: Consumer) -> None:
        """Give the records of all requests from now on to `consumer` as well."""
        self._consumers.append(consumer)

    def put(self, seen: Observation) -> None:
        """Take a request that is over; never waits."""
        waiting = self._waiting
        if len(waiting) >= self._limit:
            self.dropped += 1
            return
        waiting.append(seen)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_DELAY, self._drain)
        elif len(waiting) == _AT_ONCE:
            self._timer.cancel()
            self._timer = asyncio.get_running_loop().call_soon(self._drain)

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
        records = tuple(self._records())
        for consumer in tuple(self._consumers):
            try:
                consumer(records)
            except Exception:
                log.exception(
                    "telemetry failed on %d records; that consumer is left out from now on", len(records)
                )
                self._consumers.remove(consumer)

    def _records(self) -> Iterator[RequestRecord]:
        """Make the records of the requests whose turn it is."""
        waiting, until = self._waiting, clock() + _AT_MOST
        for _ in range(min(len(waiting), _AT_ONCE)):
            try:
                yield summarize(waiting.popleft())
            except Exception:  # whatever is wrong with one, the others are told
                log.exception("telemetry failed on a request")
            if clock() > until:
                return
