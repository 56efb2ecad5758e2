"""What `execute` adds to a tool call: the official client straight to a server over HTTP, and through the gateway.

The server and the gateway are processes of their own on loopback; every figure is a median of calls one after another.
"""

import asyncio
import statistics
import sys
import time

from fleet import GATEWAY_CORE, OTHER_CORE, Fleet
from mcp import Client

_FIRST = 50
"""Calls that are not counted."""

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


def measure(ships: Fleet, calls: int) -> str:
    """Start a server and a gateway, call a tool by both ways, and tell what each took."""
    server = _started(ships, OTHER_CORE, _SERVER)
    toml = f'[mcp.servers.bench]\nurl = "http://127.0.0.1:{server}/mcp"\n'
    direct, executed = asyncio.run(_compare(server, _started(ships, GATEWAY_CORE, _GATEWAY, toml), calls))
    return f"straight {direct:.2f} ms, by `execute` {executed:.2f} ms, added {executed - direct:.2f} ms (p50)"


def _started(ships: Fleet, core: int, program: str, *arguments: str) -> int:
    """Start a program that says its port."""
    process = ships.start([sys.executable, "-c", program, *arguments], core, piped=True)
    assert process.stdout is not None
    said = process.stdout.readline()
    if not said:
        raise RuntimeError(f"it did not start\n{ships.said(process)}")
    return int(said)


async def _compare(server: int, gateway: int, calls: int) -> tuple[float, float]:
    numbers: dict[str, object] = {"a": 1, "b": 2}
    async with _client(server) as straight, _client(gateway) as through:
        direct = await _median(straight, calls, "add", numbers)
        return direct, await _median(through, calls, "execute", {"name": "bench__add", "arguments": numbers})


def _client(port: int) -> Client:
    return Client(f"http://127.0.0.1:{port}/mcp", mode="legacy", cache=None)


async def _median(client: Client, calls: int, name: str, arguments: dict[str, object]) -> float:
    """Give the median of calls one after another, in milliseconds, without the first ones."""
    times: list[float] = []
    for at in range(_FIRST + calls):
        start = time.perf_counter()
        await client.call_tool(name, arguments)
        if at >= _FIRST:
            times.append((time.perf_counter() - start) * 1000)
    return statistics.median(times)


if __name__ == "__main__":
    with Fleet() as ships:
        print(measure(ships, 500))
