"""What a process holds: handles, connections by whom they lead to, threads, children, tasks."""

import contextlib
import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmarks.soak.topology import Topology


@dataclass(frozen=True)
class Holding:
    """One look at the gateway."""

    handles: Mapping[str, int]
    """Open files, by what they are: `clients`, `provider`, `collector`, `redis`, `web`, other sockets, pipes and the rest."""
    threads: int
    children: int
    tasks: Mapping[str, int]
    objects: int = 0

    def __str__(self) -> str:
        handles = ", ".join(f"{count} {name}" for name, count in sorted(self.handles.items()))
        return (
            f"{handles}; {self.threads} threads, {self.children} children, {sum(self.tasks.values())} tasks, "
            f"{self.objects:,} objects"
        )

    def beyond(self, before: "Holding") -> list[str]:
        """Say what is held that was not held before, a line each."""
        grown = [
            f"{self.handles.get(name, 0)} handles of {name}, {before.handles.get(name, 0)} before"
            for name in self.handles
            if self.handles[name] > before.handles.get(name, 0) + _SPARE.get(name, 0)
        ]
        grown += [
            f"{count} tasks of {name}, {before.tasks.get(name, 0)} before"
            for name, count in self.tasks.items()
            if count > before.tasks.get(name, 0)
        ]
        if self.threads > before.threads + _EXECUTOR:
            grown.append(f"{self.threads} threads, {before.threads} before")
        if self.objects > before.objects + _RELOADS:
            grown.append(f"{self.objects:,} objects, {before.objects:,} before")
        if self.children > before.children:
            grown.append(f"{self.children} children, {before.children} before")
        return grown


_SPARE = {"redis": 16, "collector": 3, "web": 24}
"""Connections a pool may keep, of each: no more than there are clients, or than it is configured to."""
_RELOADS = 5_000
"""Objects that reloads, caches and series of metrics may add: one in five requests, were it requests that leave them."""
_EXECUTOR = min(32, (os.cpu_count() or 1) + 4)
"""Threads the loop may start for what blocks, and keep."""


def look(topology: Topology) -> Holding:
    """Look at the gateway."""
    pid = topology.nexus.pid
    ports = {
        topology.provider: "provider",
        topology.collector: "collector",
        topology.redis: "redis",
        topology.web: "web",
    }
    peers = _peers(pid, topology.port, ports)
    handles = Counter[str]()
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            target = str(entry.readlink())
            kind, _, inode = target.partition(":[")
            handles[peers.get(inode.rstrip("]"), "other sockets") if kind == "socket" else _named(kind)] += 1
    threads = len(list(Path(f"/proc/{pid}/task").iterdir()))
    held = topology.held()
    return Holding(handles, threads, len(topology.children()), held.tasks, held.objects)


def _peers(pid: int, own: int, ports: Mapping[int, str]) -> dict[str, str]:
    """Tell by its inode whom each connection leads to."""
    found: dict[str, str] = {}
    for line in Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:]:
        columns = line.split()
        local, remote = (int(columns[at].rpartition(":")[2], 16) for at in (1, 2))
        listens = columns[3] == "0A"
        if local == own and not listens:
            found[columns[9]] = "clients"
        elif remote in ports:
            found[columns[9]] = ports[remote]
    return found


def _named(kind: str) -> str:
    return {"pipe": "pipes"}.get(kind, "files")
