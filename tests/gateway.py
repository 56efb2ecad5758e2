"""A gateway for tests: the real application behind a real socket, in the loop of the test or in a process of its own."""

import asyncio
import contextlib
import os
import re
import subprocess
import sys
from collections.abc import AsyncGenerator, Generator, Mapping
from dataclasses import dataclass
from pathlib import Path

import httptools

from nexus import config
from nexus.server.app import Current, Gateway
from nexus.server.listener import Listener, bind
from nexus.telemetry.setup import Telemetry


@dataclass
class Answer:
    """What a client got."""

    status: int
    headers: dict[str, str]
    body: bytes
    whole: bool
    """Whether the answer ended as its own framing says."""


@dataclass
class Running:
    """A gateway and where it listens."""

    gateway: Gateway
    current: Current
    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def ask(
        self,
        method: str,
        path: str,
        body: bytes = b"",
        content_type: str = "application/json",
        **headers: str,
    ) -> Answer:
        """Send one request on a connection of its own."""
        lines = {"host": "test", "content-length": str(len(body)), "connection": "close", **headers}
        if method == "POST":
            lines.setdefault("content-type", content_type)
        return await self.send(_request(method, path, lines) + body)

    async def send(self, message: bytes) -> Answer:
        """Send bytes and read an answer to its end."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(message)
        answer = await read_answer(reader)
        writer.close()
        return answer


def _request(method: str, path: str, headers: Mapping[str, str]) -> bytes:
    lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
    return f"{method} {path} HTTP/1.1\r\n{lines}\r\n".encode()


async def read_answer(reader: asyncio.StreamReader) -> Answer:
    """Read one HTTP answer."""
    found = Answer(0, {}, b"", whole=False)

    class Parts:
        def on_header(self, name: bytes, value: bytes) -> None:
            found.headers[name.decode().lower()] = value.decode("latin-1")

        def on_body(self, body: bytes) -> None:
            found.body += body

        def on_message_complete(self) -> None:
            found.whole = True

    parser = httptools.HttpResponseParser(Parts())
    with contextlib.suppress(ConnectionError):
        while not found.whole and (data := await reader.read(65536)):
            parser.feed_data(data)
    found.status = parser.get_status_code()
    return found


@contextlib.asynccontextmanager
async def gateway(
    toml: str,
    environ: Mapping[str, str] | None = None,
    *,
    wait: bool = True,
    telemetry: Telemetry | None = None,
) -> AsyncGenerator[Running]:
    """Serve a configuration on a free port until the end of the block; without `wait`, discovery may still be on."""
    made = Gateway(config.loads(toml, environ or {}).config, telemetry=telemetry)
    current = Current(made)
    bound = bind("127.0.0.1", 0)
    server = made.config.server
    listener = Listener(bound, current, None, server.max_header_size, server.max_connections or 1_000)
    await listener.start()
    starting = asyncio.create_task(made.start())
    if wait:
        await starting
    try:
        yield Running(made, current, bound.getsockname()[1])
    finally:
        hurry = asyncio.Event()
        hurry.set()
        await listener.drain(0, hurry)
        starting.cancel()
        await asyncio.wait((starting,))
        await current.close()


def provider(url: str, more: str = "") -> str:
    """Write the configuration of one provider called `up`."""
    return f'[llm.providers.up]\ntype = "openai"\napi_key = "test-key"\nbase_url = "{url}"\n{more}\n'


@dataclass
class Process:
    """The program `nexus`, running."""

    popen: subprocess.Popen[str]
    url: str
    log: list[str]

    def read_until(self, text: str) -> str:
        """Read the log up to a line with `text`."""
        assert self.popen.stderr is not None
        for line in self.popen.stderr:
            self.log.append(line)
            if text in line:
                return line
        raise AssertionError(f"{text!r} was never said:\n{''.join(self.log)}")


def command(
    *arguments: str, environ: Mapping[str, str] | None = None, cwd: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Run `nexus` to its end."""
    return subprocess.run(
        [sys.executable, "-m", "nexus", *arguments],
        env=_environment(environ),
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


@contextlib.contextmanager
def process(
    *arguments: str, environ: Mapping[str, str] | None = None, cwd: Path | None = None, ready: str = "Ready:"
) -> Generator[Process]:
    """Run `nexus` on a free port until the end of the block."""
    popen = subprocess.Popen(
        [sys.executable, "-m", "nexus", "--listen-address", "127.0.0.1:0", *arguments],
        env=_environment(environ),
        cwd=cwd,
        stderr=subprocess.PIPE,
        text=True,
    )
    running = Process(popen, "", [])
    try:
        line = running.read_until("LLM endpoint")
        found = re.search(r"(https?://\S+?)/llm", line)
        assert found is not None
        running.url = found[1]
        running.read_until(ready)
        yield running
    finally:
        popen.kill()
        popen.wait()
        if popen.stderr is not None:
            popen.stderr.close()


def _environment(environ: Mapping[str, str] | None) -> dict[str, str]:
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    return {**kept, **(environ or {})}
