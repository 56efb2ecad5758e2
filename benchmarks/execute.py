"""What `execute` adds to a tool call: the official client straight to a server over HTTP, and through the gateway.

The server and the gateway are processes of their own on loopback; every figure is a median of calls one after another.
"""

import asyncio
import contextlib
import statistics
import subprocess
import sys
import time
from collections.abc import AsyncGenerator, Generator
from pathlib import Path

from mcp import Client

HERE = Path(__file__).parent
_CALLS = 500

_SERVER = """
import asyncio, socket, sys
import uvicorn
from mcp.server.mcpserver import MCPServer

server = MCPServer("bench", log_level="ERROR")

@server.tool()
def add(a: int, b: int) -> int:
    "Adds two numbers"
    return a + b

app = server.streamable_http_app(stateless_http=True, json_response=True)
bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)  # only then asyncio turns Nagle off
bound.bind(("127.0.0.1", 0))
print(bound.getsockname()[1], flush=True)
asyncio.run(uvicorn.Server(uvicorn.Config(app, log_level="critical")).serve([bound]))
"""

_GATEWAY = """
import asyncio, sys, tomllib
import uvloop
from nexus.config import Config
from nexus.server.listener import Listener, bind
from nexus.server.mcp import Mcp

async def main():
    mcp = Mcp(Config.model_validate(tomllib.loads(sys.argv[1])))
    bound = bind("127.0.0.1", 0)
    listener = Listener(bound, mcp, None, 65536)
    await listener.start()
    await mcp.start()
    await asyncio.gather(*(one.settled.wait() for one in mcp.pool.shared.values()))
    print(bound.getsockname()[1], flush=True)
    await asyncio.Event().wait()

uvloop.run(main())
"""


@contextlib.contextmanager
def _process(program: str, *arguments: str) -> Generator[int]:
    """Run a program that says its port."""
    process = subprocess.Popen([sys.executable, "-c", program, *arguments], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield int(process.stdout.readline())
    finally:
        process.kill()
        process.wait()


@contextlib.asynccontextmanager
async def _client(port: int) -> AsyncGenerator[Client]:
    async with Client(f"http://127.0.0.1:{port}/mcp", mode="legacy", cache=None) as client:
        yield client


async def _median(client: Client, name: str, arguments: dict[str, object]) -> float:
    times: list[float] = []
    for at in range(_CALLS + 50):
        start = time.perf_counter()
        await client.call_tool(name, arguments)
        if at >= 50:
            times.append((time.perf_counter() - start) * 1000)
    return statistics.median(times)


async def main() -> None:
    numbers: dict[str, object] = {"a": 1, "b": 2}
    with _process(_SERVER) as server:
        toml = f'[mcp.servers.bench]\nurl = "http://127.0.0.1:{server}/mcp"\n'
        with _process(_GATEWAY, toml) as gateway:
            async with _client(server) as straight, _client(gateway) as through:
                direct = await _median(straight, "add", numbers)
                executed = await _median(through, "execute", {"name": "bench__add", "arguments": numbers})
    print(f"straight {direct:.2f} ms, by execute {executed:.2f} ms, added {executed - direct:.2f} ms (p50)")


if __name__ == "__main__":
    asyncio.run(main())
