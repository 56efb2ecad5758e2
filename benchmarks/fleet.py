"""The processes of a run: on free ports, pinned to a core, measured through /proc, ended together."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

GATEWAY_CORE, OTHER_CORE = 1, 0


@dataclass
class Fleet:
    """All processes of one run; use it in a `with` block."""

    folder: Path = field(default_factory=lambda: Path(tempfile.mkdtemp(prefix="nexus-bench-")))
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list[subprocess.Popen[bytes]])

    def __enter__(self) -> "Fleet":
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        return self

    def __exit__(self, *_: object) -> None:
        for process in reversed(self.processes):
            end(process)
        shutil.rmtree(self.folder, ignore_errors=True)

    def start(
        self, command: Sequence[str], core: int, environ: dict[str, str] | None = None, *, piped: bool = False
    ) -> subprocess.Popen[bytes]:
        """Start a process in a group of its own, on one core where there are several; its errors go to a file."""
        cores = {core} if core in os.sched_getaffinity(0) else os.sched_getaffinity(0)
        with (self.folder / f"{len(self.processes)}.log").open("wb") as log:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE if piped else log,
                stderr=log,
                start_new_session=True,
                env={**os.environ, **(environ or {})},
                preexec_fn=lambda: os.sched_setaffinity(0, cores),
            )
        self.processes.append(process)
        return process

    def output(
        self, command: Sequence[str], core: int, seconds: float, environ: dict[str, str] | None = None
    ) -> bytes:
        """Run a program to its end and give what it printed."""
        process = self.start(command, core, environ, piped=True)
        try:
            printed, _ = process.communicate(timeout=seconds)
        finally:
            end(process)
        if process.returncode:
            raise RuntimeError(f"{command[0]} ended with status {process.returncode}\n{self.said(process)}")
        self.processes.remove(process)
        return printed

    def await_answer(self, process: subprocess.Popen[bytes], url: str, seconds: float) -> float:
        """Wait until a process answers with success; gives how long that took."""
        began = time.perf_counter()
        while time.perf_counter() - began < seconds and process.poll() is None:
            try:
                with urllib.request.urlopen(url, timeout=5) as answer:
                    answer.read()
                    return time.perf_counter() - began
            except OSError:
                pause(0.01)
        raise RuntimeError(f"{url} did not answer within {seconds:g} seconds\n{self.said(process)}")

    def await_listener(self, process: subprocess.Popen[bytes], port: int, seconds: float) -> None:
        """Wait until a process that does not speak HTTP/1.1 takes connections."""
        began = time.perf_counter()
        while time.perf_counter() - began < seconds and process.poll() is None:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
            except OSError:
                pause(0.01)
            else:
                return
        raise RuntimeError(f"nobody listens on port {port} after {seconds:g} seconds\n{self.said(process)}")

    def said(self, process: subprocess.Popen[bytes]) -> str:
        """Give the end of what a process wrote to its log."""
        log = self.folder / f"{self.processes.index(process)}.log"
        return log.read_text(errors="replace")[-2000:]


def end(process: subprocess.Popen[bytes]) -> None:
    """End a process and all of its group: asked first, killed when it does not hear."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
            process.wait(3)
        except (ProcessLookupError, subprocess.TimeoutExpired):
            continue


def cpu(pid: int) -> float:
    """Give the microseconds of CPU that a process, its threads and its children have used."""
    total = 0.0
    for one in (pid, *children(pid)):
        for task in Path(f"/proc/{one}/task").glob("*/schedstat"):
            total += int(task.read_text().split()[0]) / 1000
    return total


def calm(pid: int, seconds: float = 3) -> None:
    """Wait until a process has ended what it was still doing, for some seconds at most."""
    until = time.perf_counter() + seconds
    used = cpu(pid)
    while time.perf_counter() < until:
        pause(0.05)
        before, used = used, cpu(pid)
        if used - before < 2_500:
            return


def rss(pid: int) -> float:
    """Give the resident memory of a process and its children in mebibytes."""
    pages = sum(int(Path(f"/proc/{one}/statm").read_text().split()[1]) for one in (pid, *children(pid)))
    return pages * os.sysconf("SC_PAGE_SIZE") / 1024**2


def children(pid: int) -> list[int]:
    """Name all processes below one."""
    found: list[int] = []
    for file in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in map(int, file.read_text().split()):
            found += [child, *children(child)]
    return found


def free_port() -> int:
    """Choose a port nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def find_program(name: str) -> str | None:
    """Find an installed program, those for administrators included."""
    return shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin")


def pause(seconds: float) -> None:
    """Wait for another process, which has no event for us."""
    time.sleep(seconds)  # noqa: TID251
