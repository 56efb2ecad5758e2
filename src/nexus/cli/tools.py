"""`nexus tools`: look at the tools of the configured MCP servers, find them, call them, measure the search."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
from mcp.shared.exceptions import MCPError
from mcp_types import METHOD_NOT_FOUND
from rich.console import Console
from rich.table import Table

from nexus.cli.source import find
from nexus.config.mcp import ChildServer, McpServer
from nexus.errors import ConfigError
from nexus.mcp.access import Access
from nexus.mcp.caller import NOBODY
from nexus.mcp.client import Client
from nexus.mcp.evaluate import evaluate, read
from nexus.mcp.pool import Pool
from nexus.mcp.service import Service
from nexus.mcp.view import View, shapes
from nexus.telemetry import logs


class _Servers:
    """The servers of a configuration, as long as a command runs."""

    def __init__(self, pool: Pool, path: str) -> None:
        self.pool = pool
        self.view = View(shapes(pool.config)[path], pool, Access(pool.config.servers))
        self.service = Service(self.view, pool)


def listed(file: Path | None, environ: Mapping[str, str]) -> int:
    """Print every tool; gives 1 when a server does not work."""
    return _with(file, environ, _list)


def search(file: Path | None, environ: Mapping[str, str], words: Sequence[str]) -> int:
    """Print what a search finds."""

    async def work(servers: _Servers, out: Console) -> int:
        toolbox = await servers.view.toolbox(NOBODY)
        names = toolbox.names()
        table = Table("score", "tool", "description", box=None, pad_edge=False)
        for one in (await toolbox.index()).search(words):
            name = names[one.position]
            table.add_row(f"{one.score:.4f}", name, _first(toolbox.tools[name].raw.get("description")))
        out.print(table)
        _complain(servers)
        return 0

    return _with(file, environ, work)


def call(file: Path | None, environ: Mapping[str, str], name: str, arguments: str) -> int:
    """Run a tool and print its result as JSON; gives 1 when it fails."""
    try:
        given = msgspec.json.decode(arguments)
    except msgspec.DecodeError as error:
        logs.complain(f"the arguments are not JSON: {error}")
        return 1

    async def work(servers: _Servers, out: Console) -> int:
        try:
            result = await servers.service.handle(
                "tools/call", {"name": "execute", "arguments": {"name": name, "arguments": given}}, Client()
            )
        except MCPError as error:
            _complain(servers)
            missing = f"there is no tool {name}; `nexus tools list` shows all"
            logs.complain(missing if error.code == METHOD_NOT_FOUND else error.message)
            return 1
        out.print(msgspec.json.format(msgspec.json.encode(result), indent=2).decode(), markup=False)
        return 1 if result.get("isError") else 0

    return _with(file, environ, work)


def measure(file: Path | None, environ: Mapping[str, str], queries: Path) -> int:
    """Print how well the search does on queries with known answers, one JSON object per line."""
    try:
        wanted = read(queries.read_bytes())
    except (OSError, msgspec.MsgspecError) as error:
        logs.complain(f"{queries}: {error}")
        return 1

    async def work(servers: _Servers, out: Console) -> int:
        documents = (await servers.view.toolbox(NOBODY)).documents()
        quality = evaluate(wanted, documents)
        recall = ", ".join(f"recall@{k} {value:.3f}" for k, value in quality.recall.items())
        out.print(f"{quality.queries} queries over {len(documents)} tools: {recall}, MRR {quality.mrr:.3f}")
        out.print(f"bytes shown to a model: {quality.listed:,} for all tools, {quality.found:,} for a search")
        for query, found in quality.missed:
            out.print(
                f"missed: {' '.join(query.keywords)} -> {', '.join(found[:3]) or 'nothing'}", markup=False
            )
        return 0

    return _with(file, environ, work)


async def _list(servers: _Servers, out: Console) -> int:
    table = Table("tool", "description", box=None, pad_edge=False)
    for name, one in (await servers.view.toolbox(NOBODY)).tools.items():
        table.add_row(name, _first(one.raw.get("description")))
    out.print(table)
    return 1 if _complain(servers) else 0


def _complain(servers: _Servers) -> bool:
    """Name the servers that do not work, and why."""
    troubled = [one for one in servers.pool.shared.values() if one.trouble is not None]
    for one in troubled:
        said = one.last_words or _cure(servers.pool.config.servers[one.name])
        logs.complain(f"{one.name}: {one.trouble}{said}")
    return bool(troubled)


def _cure(server: McpServer) -> str:
    hidden = isinstance(server, ChildServer) and server.stderr == "null"
    return '\n  → stderr = "inherit" in its table shows what it says' if hidden else ""


def _first(text: Any) -> str:
    return str(text or "").strip().partition("\n")[0][:100]


def _with(
    file: Path | None, environ: Mapping[str, str], work: Callable[[_Servers, Console], Awaitable[int]]
) -> int:
    logs.setup(logs.Level.OFF, None)  # what is wrong is told at the end
    try:
        loaded, _ = find(file, environ)
    except ConfigError as error:
        logs.complain(str(error))
        return 1

    async def run() -> int:
        pool = Pool(loaded.config.mcp)
        pool.start()
        try:
            await asyncio.gather(*(one.settled.wait() for one in pool.shared.values()))
            return await work(
                _Servers(pool, loaded.config.mcp.path), Console(soft_wrap=True, highlight=False)
            )
        finally:
            await pool.close()

    return asyncio.run(run())
