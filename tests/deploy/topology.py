"""The topology of docs/operations/scale-out.md, for real: processes of Nexus behind nginx with the configuration we ship."""

import asyncio
import contextlib
import os
import shutil
import signal
import socket
import sys
from collections import deque
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from gateway import Answer, read_answer

SHIPPED = Path(__file__).parents[2] / "deploy/nginx/nginx.conf"
IDLE = "500ms"
"""How long nginx keeps idle connections here; shipped are 4 s, for a `shutdown_delay` that is as much longer."""


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


async def ask(port: int, method: str, path: str, body: bytes = b"", **headers: str) -> Answer:
    """Send one request on a connection of its own, and close that afterwards."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(request(method, path, body, **{"connection": "close", **headers}))
        return await read_answer(reader)
    finally:
        writer.close()


def request(method: str, path: str, body: bytes = b"", **headers: str) -> bytes:
    """Write a request."""
    told = {"host": "test", "content-type": "application/json", "content-length": str(len(body)), **headers}
    lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in told.items())
    return f"{method} {path} HTTP/1.1\r\n{lines}\r\n".encode() + body


@dataclass
class Replica:
    """One process of Nexus at an address it keeps over restarts."""

    config: Path
    port: int = field(default_factory=free_port)
    log: deque[str] = field(default_factory=lambda: deque[str](maxlen=20))
    _process: asyncio.subprocess.Process | None = None
    _reading: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Start it and wait until it says that it is ready."""
        listen = f"127.0.0.1:{self.port}"
        arguments = ("-m", "nexus", "--config", str(self.config), "--listen-address", listen)
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, *arguments, stderr=asyncio.subprocess.PIPE
        )
        ready = asyncio.Event()
        self._reading = asyncio.create_task(self._read(self._process, ready))
        waiting = asyncio.create_task(ready.wait())
        await asyncio.wait((waiting, self._reading), return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        assert ready.is_set(), "".join(self.log)

    async def _read(self, process: asyncio.subprocess.Process, ready: asyncio.Event) -> None:
        assert process.stderr is not None
        async for line in process.stderr:
            self.log.append(line.decode())
            if b"Ready:" in line:
                ready.set()

    def terminate(self) -> None:
        """Ask it to stop; a second time, at once."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)

    async def ended(self) -> int:
        """Wait for its end; gives its exit status."""
        assert self._process is not None
        assert self._reading is not None
        await self._reading
        return await self._process.wait()

    async def restart(self) -> int:
        """Stop it gently and start it again; gives the exit status of the old one."""
        self.terminate()
        status = await self.ended()
        await self.start()
        return status

    async def kill(self) -> None:
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            await self.ended()


@dataclass
class Topology:
    """Replicas, and where nginx listens."""

    port: int
    replicas: Sequence[Replica]
    log: Path

    @property
    def troubles(self) -> list[str]:
        """What nginx complained of, but for connections that were refused or not made: it tried another replica."""
        harmless = ("Connection refused", "timed out) while connecting")
        return [
            line for line in self.log.read_text().splitlines() if not any(one in line for one in harmless)
        ]


@contextlib.asynccontextmanager
async def topology(config: str, folder: Path, count: int = 3) -> AsyncGenerator[Topology]:
    """Run `count` replicas of one configuration behind nginx until the end of the block."""
    if shutil.which("nginx") is None:
        pytest.skip("nginx is not installed")
    file = folder / "nexus.toml"
    file.write_text(config)
    replicas = [Replica(file) for _ in range(count)]
    try:
        await asyncio.gather(*(replica.start() for replica in replicas))
        async with _nginx(folder, [replica.port for replica in replicas]) as port:
            yield Topology(port, replicas, folder / "nginx.log")
    finally:
        await asyncio.gather(*(replica.kill() for replica in replicas))


@contextlib.asynccontextmanager
async def _nginx(folder: Path, ports: Sequence[int]) -> AsyncGenerator[int]:
    port = free_port()
    file = folder / "nginx.conf"
    file.write_text(_placed(SHIPPED.read_text(), folder, port, ports))
    errors = folder / "nginx.log"
    arguments = ("-p", str(folder), "-c", str(file), "-e", str(errors), "-g", "daemon off; pid nginx.pid;")
    process = await asyncio.create_subprocess_exec("nginx", *arguments)
    try:
        async with asyncio.timeout(10):
            while not await _listens(port):
                assert process.returncode is None, errors.read_text()
                await asyncio.sleep(0.02)
        yield port
    finally:
        process.terminate()
        await process.wait()


def _placed(shipped: str, folder: Path, port: int, ports: Sequence[int]) -> str:
    """Give the shipped file with the addresses and folders of a test, and everything else as it is."""
    changes = {
        f"server nexus-{number}:8000": f"server 127.0.0.1:{at}" for number, at in enumerate(ports, 1)
    } | {
        "listen 8080": f"listen 127.0.0.1:{port}",
        "keepalive_timeout 4s": f"keepalive_timeout {IDLE}",
        "http {": "http {\n" + "".join(f"{kind}_temp_path {folder};\n" for kind in ("client_body", "proxy")),
    }
    if os.geteuid() == 0:
        changes["worker_processes"] = "user root;\nworker_processes"
    for old, new in changes.items():
        assert shipped.count(old) == 1, old
        shipped = shipped.replace(old, new)
    return shipped


async def _listens(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True
