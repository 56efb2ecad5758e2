"""What the process itself tells: memory, and how late the loop is."""

import asyncio
import os
from collections.abc import Iterable
from pathlib import Path

from nexus.telemetry.instruments import Gauge, Key, Number
from nexus.telemetry.metrics import Metrics

_TICK = 0.5
_STATM = Path("/proc/self/statm")


class LoopDelay:
    """Looks twice a second how much later than asked for the loop calls back."""

    def __init__(self) -> None:
        self._worst = 0.0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Begin to look."""
        self._loop = asyncio.get_running_loop()
        self._next(self._loop)

    def close(self) -> None:
        """Look no more."""
        if self._timer is not None:
            self._timer.cancel()

    def worst(self) -> float:
        """Give the longest delay, in seconds, since this was asked last."""
        worst, self._worst = self._worst, 0.0
        return worst

    def _next(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer = loop.call_later(_TICK, self._look, loop, loop.time() + _TICK)

    def _look(self, loop: asyncio.AbstractEventLoop, due: float) -> None:
        self._worst = max(self._worst, loop.time() - due)
        self._next(loop)


def watch(metrics: Metrics, delay: LoopDelay) -> None:
    """Show the process among the metrics."""
    metrics.show(
        Gauge(
            "nexus.event_loop.delay",
            "s",
            "Longest delay of the event loop since this was last read.",
            read=lambda: [((), delay.worst())],
        )
    )
    metrics.show(Gauge("process.memory.usage", "By", "Memory in use.", read=_memory, kind="sum"))


def _memory() -> Iterable[tuple[Key, Number]]:
    try:
        pages = int(_STATM.read_text().split()[1])
    except OSError:  # not Linux
        return ()
    return [((), pages * os.sysconf("SC_PAGE_SIZE"))]
