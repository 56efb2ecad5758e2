"""A real Redis: the program of the system, plain, with TLS, or asking for certificates; it can be killed and started again."""

import asyncio
import contextlib
import shutil
import socket
import tempfile
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
import trustme


class Redis:
    """The running program. What it holds is gone with it."""

    def __init__(self, folder: Path, *, tls: bool, mutual: bool) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port: int = free.getsockname()[1]
        self.url = f"{'rediss' if tls else 'redis'}://127.0.0.1:{self.port}"
        self.ca, self.certificate, self.key = folder / "ca.pem", folder / "client.pem", folder / "client.key"
        self._folder = folder
        self._arguments = ["--bind", "127.0.0.1", "--save", "", "--dir", str(folder)]
        if tls:
            self._arguments += self._secure(mutual=mutual)
        else:
            self._arguments += ["--port", str(self.port)]
        self._process: asyncio.subprocess.Process | None = None

    def _secure(self, *, mutual: bool) -> list[str]:
        authority = trustme.CA()
        authority.cert_pem.write_to_path(str(self.ca))
        mine = authority.issue_cert("127.0.0.1")
        mine.cert_chain_pems[0].write_to_path(str(self._folder / "server.pem"))
        mine.private_key_pem.write_to_path(str(self._folder / "server.key"))
        theirs = authority.issue_cert("client.test")
        theirs.cert_chain_pems[0].write_to_path(str(self.certificate))
        theirs.private_key_pem.write_to_path(str(self.key))
        files = {"cert-file": "server.pem", "key-file": "server.key", "ca-cert-file": "ca.pem"}
        given = [word for name, file in files.items() for word in (f"--tls-{name}", str(self._folder / file))]
        return [
            "--port",
            "0",
            "--tls-port",
            str(self.port),
            *given,
            "--tls-auth-clients",
            "yes" if mutual else "no",
        ]

    async def start(self) -> None:
        """Start it and wait until it takes connections."""
        self._process = await asyncio.create_subprocess_exec(
            "redis-server", *self._arguments, stdout=asyncio.subprocess.PIPE
        )
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            if b"Ready to accept connections" in line:
                return
        raise AssertionError("redis-server did not start")

    async def kill(self) -> None:
        """End it at once, without a word to anybody."""
        if self._process is not None:
            self._process.kill()
            await self._process.communicate()
            self._process = None


@contextlib.asynccontextmanager
async def redis(*, tls: bool = False, mutual: bool = False) -> AsyncGenerator[Redis]:
    """Run a Redis until the end of the block."""
    if shutil.which("redis-server") is None:
        pytest.skip("redis-server is not installed")
    with tempfile.TemporaryDirectory() as folder:
        made = Redis(Path(folder), tls=tls or mutual, mutual=mutual)
        await made.start()
        try:
            yield made
        finally:
            await made.kill()
