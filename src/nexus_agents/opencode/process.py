"""A program run to its end, or to ours: its whole group ends with it."""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import cast

import msgspec

MOST = 10 * 1024 * 1024
"""Bytes kept of each of stdout and stderr."""
GRACE = 5.0
"""Seconds between asking processes to end and ending them."""
_HARD = signal.SIGTERM if sys.platform == "win32" else signal.SIGKILL


class Finished(msgspec.Struct, frozen=True):
    code: int
    """Negative: ended by that signal."""
    stdout: bytes
    stderr: bytes
    too_much: bool = False


class _Watch(asyncio.SubprocessProtocol):
    """Keeps what a process prints. It may end long before its pipes do: what it started holds them too."""

    def __init__(self) -> None:
        self.ended = asyncio.Event()
        self.closed = asyncio.Event()
        self.kept = {1: bytearray(), 2: bytearray()}
        self.too_much = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.SubprocessTransport, transport)

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        room = MOST - len(self.kept[fd])
        self.kept[fd] += data[:room]
        if len(data) > room and not self.too_much:
            self.too_much = True
            self.signal(signal.SIGTERM)

    def process_exited(self) -> None:
        self.ended.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed.set()

    def signal(self, number: int) -> None:
        """Send a signal to everybody in the group."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if sys.platform == "win32":
                os.kill(self.transport.get_pid(), number)
            else:
                os.killpg(self.transport.get_pid(), number)

    async def end(self, grace: float) -> None:
        """End the group, first kindly; returns when the pipes are closed."""
        self.signal(signal.SIGTERM)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(grace):
                await self.closed.wait()
        self.signal(_HARD)
        self.transport.close()
        await self.ended.wait()


async def run(
    argv: Sequence[str],
    *,
    environ: Mapping[str, str],
    directory: Path,
    timeout: float,
    stdin: bytes = b"",
    grace: float = GRACE,
) -> Finished:
    """Run a program without a shell; what it started and left behind is ended with it.

    Raises:
        OSError: it cannot be started.
        TimeoutError: it took longer than `timeout` seconds; it and everything it started is gone.
    """
    loop = asyncio.get_running_loop()
    transport, watch = await loop.subprocess_exec(
        _Watch, *argv, env=environ, cwd=directory, start_new_session=True
    )
    try:
        async with asyncio.timeout(timeout):
            inlet = cast(asyncio.WriteTransport, transport.get_pipe_transport(0))
            inlet.write(stdin)
            inlet.close()
            await watch.ended.wait()
    finally:
        await asyncio.shield(watch.end(grace))
    code = transport.get_returncode()
    assert code is not None
    return Finished(code, bytes(watch.kept[1]), bytes(watch.kept[2]), watch.too_much)
