"""From the requests that are over to those who want to know, a little later: nobody who is being answered waits for it."""

import asyncio
import logging
from collections.abc import Callable, Iterator, Sequence

from nexus.telemetry.observation import Observation
from nexus.telemetry.records import RequestRecord
from nexus.telemetry.summary import summarize

log = logging.getLogger(__name__)

Consumer = Callable[[Sequence[RequestRecord]], None]
"""Takes records in batches. It runs in the loop: it must not wait, and should be quick."""

_ENOUGH = 32
"""Requests that are looked at together, as soon as the loop has time: one by one costs twice as much."""
_MOST = 64
"""Requests that are looked at at once, by whoever ends the last of them; there are never more."""
_DELAY = 0.02
"""Seconds until fewer are looked at."""


class Pipeline:
    """The requests that are over and not told of. None is lost: whoever ends one too many tells of all of them."""

    def __init__(self) -> None:
        self._waiting = list[Observation]()
        self._consumers = list[Consumer]()
        self._failed = list[Consumer]()
        self._timer: asyncio.Handle | None = None
        self.dropped = 0
        """Records that somebody should have taken, and failed to."""

    def subscribe(self, consumer: Consumer) -> None:
        """Give the records of all requests from now on to `consumer` as well."""
        self._consumers.append(consumer)

    def put(self, seen: Observation) -> None:
        """Take a request that is over; never waits."""
        self._waiting.append(seen)
        count = len(self._waiting)
        if seen.large or count >= _MOST:
            self.flush()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_DELAY, self.flush)
        elif count == _ENOUGH:
            self._timer.cancel()
            self._timer = asyncio.get_running_loop().call_soon(self.flush)

    def flush(self) -> None:
        """Let everybody see what waits."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._waiting:
            waiting, self._waiting = self._waiting, []
            self._give(tuple(_records(waiting)))

    def _give(self, records: Sequence[RequestRecord]) -> None:
        for consumer in self._consumers:
            try:
                consumer(records)
            except Exception:  # it may be these records, or a disk that is full for now
                self.dropped += len(records)
                if consumer not in self._failed:
                    self._failed.append(consumer)
                    log.exception(
                        "telemetry failed on %d records; this is told once of each taker", len(records)
                    )


def _records(waiting: Sequence[Observation]) -> Iterator[RequestRecord]:
    for seen in waiting:
        try:
            yield summarize(seen)
        except Exception:  # whatever is wrong with one, the others are told
            log.exception("telemetry failed on a request")
