"""Restart one replica after another under load, and count what clients see of it: `make rolling`.

`rolling.py [--rounds 5] [--delay 1s]`; ends with status 1 when a request fails or a stream breaks.
"""

import argparse
import asyncio
import contextlib
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncGenerator, Iterable
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))

from deploy.topology import Topology, request, topology
from gateway import Answer, provider, read_answer
from upstreams.scripted import Asked, Told, upstream

PLAIN = Path(__file__).parents[1] / "integration/mcp_servers/plain.py"
CHAT = "/llm/openai/v1/chat/completions"
ASKED = b'{"model":"gpt-4o","messages":[{"role":"user","content":"hello"}]%s}'
EVENTS = 20
PAUSE = 0.05
EXECUTE = msgspec.json.encode(
    {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "tools/call",
        "params": {"name": "execute", "arguments": {"name": "plain__adder", "arguments": {"a": 2, "b": 3}}},
    }
)
BOTH = "application/json, text/event-stream"


def config(url: str, delay: str) -> str:
    """Write a configuration with one provider and one MCP server."""
    return (
        f'[server]\nshutdown_delay = "{delay}"\nshutdown_timeout = "20s"\n'
        + provider(url)
        + f'[mcp.servers.plain]\ncmd = ["{sys.executable}", "{PLAIN}"]\n'
    )


def script(asked: Asked) -> Told:
    """Answer at once, or with events one after the other."""
    if not asked.json.get("stream"):
        return Told(pieces=(b'{"model":"gpt-4o","choices":[{"message":{"content":"hi"}}]}',))
    return Told(content_type="text/event-stream", pieces=_paced())


def _paced() -> Iterable[bytes | asyncio.Event]:
    loop = asyncio.get_running_loop()
    for number in range(EVENTS):
        yield b'data: {"model":"gpt-4o","choices":[{"index":0,"delta":{"content":"%d"}}]}\n\n' % number
        later = asyncio.Event()
        loop.call_later(PAUSE, later.set)
        yield later
    yield b"data: [DONE]\n\n"


@dataclass
class Load:
    """Clients that ask until told to stop, each on one connection for as long as the other side keeps it."""

    port: int
    done: Counter[str] = field(default_factory=Counter[str])
    """Answers as they should be, by kind."""
    failed: list[str] = field(default_factory=list[str])
    slowest: float = 0.0
    _over: bool = False

    async def client(self, kind: str) -> None:
        body, path = {
            "whole": (ASKED % b"", CHAT),
            "streams": (ASKED % b',"stream":true', CHAT),
            "tool calls": (EXECUTE, "/mcp"),
        }[kind]
        message = request("POST", path, body, accept=BOTH)
        while not self._over:
            reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
            with contextlib.closing(writer):
                while not self._over and await self._ask(kind, message, reader, writer):
                    pass

    async def _ask(
        self, kind: str, message: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> bool:
        """Ask once; tells whether the connection can be used again."""
        began = time.monotonic()
        writer.write(message)
        answer = await read_answer(reader)
        if not answer.whole and not answer.status and reader.at_eof():
            self.failed.append(f"{kind}: no answer")
            return False
        if _good(kind, answer):
            self.done[kind] += 1
            if kind != "streams":
                self.slowest = max(self.slowest, time.monotonic() - began)
        else:
            self.failed.append(f"{kind}: {answer.status}, whole: {answer.whole}, {answer.body[-200:]!r}")
        return answer.whole and answer.headers.get("connection") != "close"

    def stop(self) -> None:
        self._over = True


def _good(kind: str, answer: Answer) -> bool:
    if answer.status != 200 or not answer.whole:
        return False
    if kind == "streams":
        whole = answer.body.count(b'"content"') == EVENTS and answer.body.endswith(b"data: [DONE]\n\n")
        return whole and answer.body.index(b'"content":"0"') < answer.body.index(b'"content":"19"')
    return (b'"sum":5' if kind == "tool calls" else b'"hi"') in answer.body.replace(b" ", b"")


@contextlib.asynccontextmanager
async def load(port: int, each: int = 8) -> AsyncGenerator[Load]:
    """Keep `each` clients of every kind busy until the end of the block, and let them finish what they began."""
    made = Load(port)
    clients = [
        asyncio.create_task(made.client(kind))
        for kind in ("whole", "streams", "tool calls")
        for _ in range(each)
    ]
    try:
        yield made
    finally:
        made.stop()
        await asyncio.gather(*clients)


async def roll(run: Topology) -> list[int]:
    """Restart every replica, one after the other; gives the exit statuses."""
    return [await replica.restart() for replica in run.replicas]


async def main(rounds: int, delay: str) -> int:
    with tempfile.TemporaryDirectory() as folder:
        async with upstream(script) as up, topology(config(up.url, delay), Path(folder)) as run:
            began = time.monotonic()
            async with load(run.port) as clients:
                for _ in range(rounds):
                    statuses = await roll(run)
                    assert statuses == [0, 0, 0], statuses
            seconds = time.monotonic() - began
            troubles = run.troubles
    counts = ", ".join(f"{count:,} {kind}" for kind, count in clients.done.items())
    print(f"{rounds * 3} restarts in {seconds:.0f} s with a shutdown_delay of {delay}: {counts}")
    print(f"failed: {len(clients.failed)}; slowest answer {clients.slowest * 1000:.0f} ms")
    for why, count in Counter(clients.failed).most_common(5):
        print(f"  {count} times {why}")
    print("\n".join(troubles[:10]), end="")
    return 1 if clients.failed else 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--delay", default="1s")
    options = parser.parse_args()
    sys.exit(asyncio.run(main(options.rounds, options.delay)))
