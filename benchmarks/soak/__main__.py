"""`make soak`: a bounded run, `SOAK_SECONDS` long, 180 unless told; ends with status 1 unless all is well."""

import asyncio
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import uvloop

from benchmarks import fleet
from benchmarks.soak.disturbances import Disturbances
from benchmarks.soak.holding import Holding, look
from benchmarks.soak.ledger import Ledger
from benchmarks.soak.report import Memory, Seen, counted, lines
from benchmarks.soak.topology import Topology
from benchmarks.soak.traffic import send

_WARM = 0.15
"""Share of the time in which nothing around is disturbed: pools and caches fill, then the first look is taken."""
_SETTLE = 20.0


async def run(topology: Topology, seconds: float) -> Seen:
    """Run it all and see."""
    ledger, memory = Ledger(), list[Memory]()
    disturbances = Disturbances(topology, ledger)
    began = time.perf_counter()
    await send(ledger, topology.port, seconds * _WARM, seed=1)
    before = await _settled(topology, lambda _: True)
    watching = asyncio.create_task(_watch(topology, ledger, memory))
    disturbing = asyncio.create_task(disturbances.run(seconds * (1 - _WARM) - 5))
    await send(ledger, topology.port, seconds * (1 - _WARM), seed=2)
    await disturbing
    watching.cancel()
    took = time.perf_counter() - began
    after = await _settled(topology, lambda now: not now.beyond(before))
    state, metrics = topology.state(), topology.metrics()
    children = topology.children()
    status, stop = _stopped(topology)
    left = sum(map(_lives, children))
    done = dict(disturbances.done)
    return Seen(ledger, took, done, before, after, state, counted(metrics), status, left, stop, memory)


async def _watch(topology: Topology, ledger: Ledger, memory: list[Memory]) -> None:
    while True:
        memory.append(Memory(ledger.sent, topology.resident()))
        await asyncio.sleep(0.5)


async def _settled(topology: Topology, enough: Callable[[Holding], bool]) -> Holding:
    """Let it come to rest, for some seconds at most, without idle connections to the provider; then look."""
    until = time.perf_counter() + _SETTLE
    await asyncio.sleep(2)
    while True:
        topology.hang_up()
        await asyncio.sleep(0.5)
        seen = look(topology)
        if (enough(seen) and not seen.handles.get("clients")) or time.perf_counter() > until:
            return seen


def _lives(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


def _stopped(topology: Topology) -> tuple[int, float]:
    began = time.perf_counter()
    topology.nexus.send_signal(signal.SIGTERM)
    return topology.nexus.wait(60), time.perf_counter() - began


def main() -> int:
    """Start everything, run, report; gives the exit status."""
    seconds = float(os.environ.get("SOAK_SECONDS", "180"))
    with fleet.Fleet() as ships:
        topology = Topology(ships)
        seen = uvloop.run(run(topology, seconds))
        faults = list(seen.faults())
        print("\n".join(lines(seen, faults)))
        if faults:
            print(f"\nthe gateway's log\n{topology.said()}", file=sys.stderr)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
