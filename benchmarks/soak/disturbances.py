"""What happens around the gateway while it works: files change, signals come, Redis and MCP servers die and come back."""

import asyncio
import itertools
import signal
from collections import Counter
from collections.abc import Awaitable, Callable

from benchmarks.soak.ledger import Ledger
from benchmarks.soak.topology import Topology

PAUSE = 2.5
"""Seconds of rest between two of them."""


class Disturbances:
    """All of them, one after another, again and again."""

    def __init__(self, topology: Topology, ledger: Ledger) -> None:
        self._topology = topology
        self._ledger = ledger
        self.done = Counter[str]()

    async def run(self, seconds: float) -> None:
        """Disturb for so long; ends with everything as it was."""
        until = asyncio.get_running_loop().time() + seconds
        each: list[tuple[str, Callable[[], Awaitable[None]]]] = [
            ("file changed", self._changed),
            ("pipe killed", self._pipe),
            ("SIGHUP", self._told),
            ("Redis killed", self._redis),
            ("file spoiled", self._spoiled),
            ("web killed", self._web),
        ]
        for name, disturb in itertools.cycle(each):
            await asyncio.sleep(PAUSE)
            if asyncio.get_running_loop().time() >= until:
                return
            span = self._ledger.disturbed(name)
            await disturb()
            span.ended = asyncio.get_running_loop().time()
            self.done[name] += 1

    async def _changed(self) -> None:
        self._topology.change()

    async def _told(self) -> None:
        self._topology.change()
        self._topology.nexus.send_signal(signal.SIGHUP)

    async def _spoiled(self) -> None:
        self._topology.spoil()
        await asyncio.sleep(0.5)
        self._topology.change()

    async def _redis(self) -> None:
        self._topology.kill_redis()
        await asyncio.sleep(1.5)
        self._topology.start_redis()

    async def _pipe(self) -> None:
        self._topology.kill_pipe()

    async def _web(self) -> None:
        self._topology.kill_web()
        await asyncio.sleep(1)
        self._topology.start_web()
