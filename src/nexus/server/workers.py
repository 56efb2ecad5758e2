"""Several processes on one port: start them, replace one that dies, pass signals on, end together."""

import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence

from nexus.config import Config

log = logging.getLogger(__name__)

_MIN_LIFE = 1.0
"""Seconds a worker has to live to be replaced at once; one that dies earlier cannot start at all."""


def refusal(config: Config) -> str | None:
    """Say why this configuration cannot be shared between processes, if it cannot."""
    for name, provider in config.llm.providers.items():
        if provider.type == "local":
            return (
                f"llm.providers.{name}: a local model is a child of one process and cannot be shared between workers yet;"
                " use --workers 1, or run the model server by itself and name it as a provider of type openai"
            )
    return None


def supervise(count: int, arguments: Sequence[str]) -> int:
    """Run `count` copies of this program with `arguments` until told to stop; gives the exit status."""
    fleet = _Fleet(count, arguments)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, fleet.heard)
    return fleet.run()


class _Fleet:
    def __init__(self, count: int, arguments: Sequence[str]) -> None:
        self._arguments = arguments
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
            elif time.monotonic() - self._born[pid] < _MIN_LIFE or worker.returncode == 1:
                log.error("a worker could not start (exit status %d), giving up", worker.returncode)
                self._status = 1
                self.heard(signal.SIGTERM, None)
            else:
                log.warning("worker %d died (exit status %d), starting another", pid, worker.returncode)
                self._start()
        return self._status

    def _start(self) -> None:
        environment = {**os.environ, "NEXUS_WORKER": "1"}
        worker = subprocess.Popen([sys.executable, "-m", "nexus", *self._arguments], env=environment)
        self._workers[worker.pid] = worker
        self._born[worker.pid] = time.monotonic()
