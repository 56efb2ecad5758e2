"""MCP servers that are child processes: start them, talk over their pipes, end them with everything they started."""

import asyncio
import contextlib
import logging
import os
import signal
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO

from nexus.config.mcp import BuiltinServer, ChildServer, StderrFile, StdioServer
from nexus.mcp.link import MAX_MESSAGE, Lost
from nexus.telemetry.redact import redact, visible

log = logging.getLogger(__name__)

_GRACE = 2.0
"""Seconds a process gets to end by itself, and again after SIGTERM."""
_CHUNK = 64 * 1024
_LINES = 100
"""Lines of standard error that are logged per second; a flood is cut."""
_LINE = 2000
"""Characters of a line that are logged."""
_REST = 0.2
"""Seconds to read what an ended process has written; one it has left behind may hold the pipe open."""
_TAIL = 16 * 1024
"""Bytes of standard error that are kept for the day it fails."""
_SHOWN_LINES, _SHOWN = 10, 2000
"""Lines, and characters, of them that are shown."""


class Tail:
    """The last a process has written to standard error."""

    def __init__(self) -> None:
        self._kept = b""

    def __str__(self) -> str:
        """Give the last lines, indented. More is kept than shown: a secret is found only as a whole."""
        text = redact(self._kept.decode(errors="replace")).expandtabs(4)
        lines = [visible(line) for line in text.splitlines() if line.strip()]
        shown = "\n".join(lines[-_SHOWN_LINES:])[-_SHOWN:]
        return "".join(f"\n    {line}" for line in shown.splitlines())

    def clear(self) -> None:
        """Begin anew."""
        self._kept = b""

    async def read(self, pipe: asyncio.StreamReader) -> None:
        """Read to the end."""
        while chunk := await pipe.read(_CHUNK):
            self._kept = (self._kept + chunk)[-_TAIL:]


class Child:
    """A running server."""

    def __init__(self, name: str, process: asyncio.subprocess.Process, tail: Tail | None) -> None:
        """`tail` takes what it writes to standard error; without one that is logged, if it comes to us at all."""
        self._process = process
        self._stderr: asyncio.Task[None] | None = None
        if (pipe := process.stderr) is not None:
            reading = tail.read(pipe) if tail is not None else _log_lines(name, pipe)
            self._stderr = asyncio.create_task(reading, name=f"stderr of {name}")

    async def send(self, message: bytes) -> None:
        """Write one line."""
        pipe = self._process.stdin
        assert pipe is not None
        if pipe.transport.get_write_buffer_size() > MAX_MESSAGE:
            raise Lost("it does not read its input", sent=False)
        try:
            pipe.write(message + b"\n")
            await pipe.drain()
        except (OSError, RuntimeError):
            await self._exited()  # else nobody could tell why it no longer reads
            raise Lost(self._ended(), sent=False) from None

    async def listen(self, take: Callable[[bytes], None]) -> None:
        """Hand on every line."""
        pipe = self._process.stdout
        assert pipe is not None
        held: list[bytes] = []
        size = 0
        while chunk := await pipe.read(_CHUNK):
            *lines, rest = chunk.split(b"\n")
            for line in lines:
                whole = b"".join((*held, line)).strip()
                held, size = [], 0
                if whole:
                    take(whole)
            held.append(rest)
            size += len(rest)
            if size > MAX_MESSAGE:
                raise Lost(f"it sent a line of more than {MAX_MESSAGE} bytes", sent=True)
        await self._exited()
        raise Lost(self._ended(), sent=True)

    async def close(self) -> None:
        """Close its input, then ask it to end, then end it; its whole process group."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        await self._exited()
        _signal(self._process.pid, signal.SIGTERM)  # it, or what it has left behind
        await self._exited()
        await _group_end(self._process.pid)
        await self._exited()
        if self._stderr is not None:
            await asyncio.wait((self._stderr,), timeout=_REST)
            self._stderr.cancel()
            await asyncio.wait((self._stderr,))
        transport = getattr(self._process, "_transport", None)
        if transport is not None:  # a grandchild may still hold the pipes; nothing public closes our ends
            transport.close()

    async def _exited(self) -> bool:
        # not wait(): it also waits for the pipes, which a grandchild may hold open
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_GRACE):
                while self._process.returncode is None:
                    await asyncio.sleep(0.01)
        return self._process.returncode is not None

    def _ended(self) -> str:
        code = self._process.returncode
        if code is None:
            return "the process closed its output"
        return f"the process ended by signal {-code}" if code < 0 else f"the process ended with status {code}"


async def start(
    name: str, server: StdioServer | BuiltinServer, environ: Mapping[str, str], tail: Tail
) -> Child:
    """Start a server in a process group of its own; `tail` keeps the last it says where nobody else hears it.

    Raises:
        Lost: it cannot be started.
    """
    tail.clear()
    own = {key: value.get_secret_value() for key, value in server.env.items()}
    inherited = environ if server.inherit_env else {key: environ[key] for key in _COMMON if key in environ}
    with contextlib.ExitStack() as files:
        try:
            process = await asyncio.create_subprocess_exec(
                *server.cmd,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=_stderr(server, files),
                env={**inherited, **own},
                cwd=server.cwd,
                start_new_session=True,
            )
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else "its command cannot be run"
            raise Lost(f"it could not be started: {reason}", sent=False) from None
    return Child(name, process, tail if server.stderr is None else None)


_COMMON = (
    *("HOME", "LANG", "LC_ALL", "LOGNAME", "PATH", "SHELL", "TERM", "TMPDIR", "TZ", "USER"),
    "NEXUS_GATEWAY_URL",
)
"""Variables a process needs to find its way, also to us; none of them a secret."""


def _stderr(server: ChildServer, files: contextlib.ExitStack) -> int | IO[bytes] | None:
    match server.stderr:
        case "null":
            return asyncio.subprocess.DEVNULL
        case "inherit":
            return None
        case "pipe" | None:
            return asyncio.subprocess.PIPE
        case StderrFile(file=Path() as file):
            return files.enter_context(open(file, "ab", opener=_private))


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)  # what servers say there may hold anything


def _signal(group: int, number: signal.Signals) -> bool:
    """Signal a process group; tells whether there was one."""
    try:
        os.killpg(group, number)
    except (ProcessLookupError, PermissionError):
        return False
    return True


async def _group_end(group: int) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_GRACE):
            while _alive(group):
                await asyncio.sleep(0.01)
            return
    _signal(group, signal.SIGKILL)


def _alive(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # only what is ended and not yet reaped answers so
        return False
    return True


async def _log_lines(name: str, pipe: asyncio.StreamReader) -> None:
    """Read standard error to its end, always; log what is not too much."""
    second, count, held = 0, 0, b""
    loop = asyncio.get_running_loop()
    while chunk := await pipe.read(_CHUNK):
        *lines, held = (held[-_LINE:] + chunk).split(b"\n")
        if int(loop.time()) != second:
            if count > _LINES:
                log.warning("MCP server %s: %d lines of standard error were left out", name, count - _LINES)
            second, count = int(loop.time()), 0
        for line in lines:
            count += 1
            if count <= _LINES:
                log.info("MCP server %s: %s", name, line.decode(errors="replace").rstrip()[:_LINE])
