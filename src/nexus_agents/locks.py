"""Who has a run: a lock on a file, which the system takes back when the process dies."""

from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

from nexus_agents.errors import Misuse

PATIENCE = 0.1
"""Seconds to wait for a lock: somebody may just be looking whether it is held."""


class Locks:
    """One file for each run that goes on, in one directory."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    @contextmanager
    def hold(self, run_id: str) -> Generator[None]:
        """Hold a run while it goes on.

        Raises:
            Misuse: somebody holds it.
        """
        from filelock import FileLock, Timeout

        self._directory.mkdir(parents=True, exist_ok=True)
        path = self._path(run_id)
        lock = FileLock(path, thread_local=False)
        try:
            lock.acquire(timeout=PATIENCE, poll_interval=0.02)
        except Timeout:
            raise Misuse(f"Run {run_id} is still going on.") from None
        try:
            yield
        finally:
            with suppress(OSError):  # a system may keep files that are open
                path.unlink()  # while it is held: who gets a lock on a file that is gone tries again
            lock.release()

    def held(self, run_id: str) -> bool:
        """Tell whether a living process has a run."""
        from filelock import FileLock, Timeout

        path = self._path(run_id)
        if not path.exists():
            return False
        try:
            with FileLock(path, timeout=0, thread_local=False):
                return False
        except Timeout:
            return True

    def _path(self, run_id: str) -> Path:
        return self._directory / f"{run_id}.lock"
