"""Several processes on one port: start them, replace one that dies, pass signals on, end together."""

import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence

from nexus.config import Address, Config
from nexus.config.ratelimit import MemoryStorage
from nexus.ratelimit.quotas import Quotas
from nexus.server.listener import bind

log = logging.getLogger(__name__)

VARIABLE = "NEXUS_WORKER"
"""Which worker a process is, from 1; the first one speaks for all."""
_MIN_LIFE = 1.0
"""Seconds; a worker that ends earlier has led a short life."""
_MAX_SHORT_LIVES = 5
"""Short lives in a row after which there is no hope. One that ends with status 1 has said itself that it cannot start."""


def refusal(config: Config) -> str | None:
    """Say why this configuration cannot be shared between processes, if it cannot."""
    for name, provider in config.llm.providers.items():
        if provider.type == "local":
            return (
                f"llm.providers.{name}: a local model is a child of one process and cannot be shared between workers yet;"
                " use --workers 1, or run the model server by itself and name it as a provider of type openai"
            )
    limits = config.server.rate_limits
    if isinstance(limits.storage, MemoryStorage) and (limits.enabled or Quotas(config.llm.providers)):
        return (
            "server.rate_limits.storage: limits counted in memory would hold for each worker by itself;"
            ' use type = "redis", or --workers 1'
        )
    return None


def supervise(count: int, arguments: Sequence[str], address: Address) -> int:
    """Run `count` copies of this program with `arguments` until told to stop; gives the exit status."""
    try:
        # never listened on: it finds out whether the port is free, and chooses one where any would do
        held = bind(address.host, address.port, share=True)
    except OSError as error:
        log.error("Server failed to start: Failed to bind to %s: %s", address, error.strerror or error)
        return 1
    with held:
        chosen = Address(address.host, held.getsockname()[1])
        fleet = _Fleet(count, [*arguments, "--listen-address", str(chosen)])
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, fleet.heard)
        return fleet.run()


class _Fleet:
    def __init__(self, count: int, arguments: Sequence[str]) -> None:
        self._arguments = arguments
        self._started = 0
        self._short_lives = 0
        self._stopping = False
        self._status = 0
        self._born: dict[int, float] = {}
        self._workers: dict[int, subprocess.Popen[bytes]] = {}
        for _ in range(count):
            self._start()

    def heard(self, number: int, _frame: object) -> None:
        """Pass a signal on; one that stops, stops everybody."""
        if number != signal.SIGHUP:
            self._stopping = True
        for worker in tuple(self._workers.values()):
            worker.send_signal(number)

    def run(self) -> int:
        """Wait for workers to end; replace those that should not have."""
        while self._workers:
            pid, wait_status = os.wait()
            worker = self._workers.pop(pid, None)
            if worker is None:
                continue
            worker.returncode = os.waitstatus_to_exitcode(wait_status)
            if self._stopping:
                self._status = self._status or max(worker.returncode, 0)
            elif self._hopeless(worker):
                log.error("workers cannot start (exit status %d), giving up", worker.returncode)
                self._status = 1
                self.heard(signal.SIGTERM, None)
            else:
                self._start()
                log.warning("worker %d died (exit status %d), starting another", pid, worker.returncode)
        return self._status

    def _hopeless(self, worker: subprocess.Popen[bytes]) -> bool:
        lived = time.monotonic() - self._born.pop(worker.pid)
        self._short_lives = self._short_lives + 1 if lived < _MIN_LIFE else 0
        return worker.returncode == 1 or self._short_lives > _MAX_SHORT_LIVES

    def _start(self) -> None:
        self._started += 1
        environment = {**os.environ, VARIABLE: str(self._started)}
        # in a group of its own: a terminal would tell it to stop as well, and a second word means at once
        worker = subprocess.Popen(
            [sys.executable, "-m", "nexus", *self._arguments], env=environment, process_group=0
        )
        self._workers[worker.pid] = worker
        self._born[worker.pid] = time.monotonic()
