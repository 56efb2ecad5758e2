"""The public conformance suite: what passes at a server alone has to pass through the gateway as well."""

import asyncio
import re
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx2
import pytest

from integration.mcp_gateway import SERVERS, http, mounted, node, node_package

SUITE = node_package("@modelcontextprotocol/conformance")
LOCAL = (
    'allowed_hosts = ["127.0.0.1:*", "localhost:*"]\n'
    'allowed_origins = ["http://127.0.0.1:*", "http://localhost:*"]\nsessions = true\n'
)
LINE = re.compile(r"^[✓✗] (\S+): (\d+) passed, (\d+) failed$", re.MULTILINE)
UNSCORED = re.compile(r"^  [✓✗] (\S+) \(", re.MULTILINE)

pytestmark = [
    pytest.mark.skipif(SUITE is None, reason="the conformance suite is not installed: make clients"),
    pytest.mark.timeout(180),
]

Counts = dict[str, tuple[int, int]]
"""Checks passed and failed, by scenario."""


@asynccontextmanager
async def _fixture() -> AsyncGenerator[str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, SERVERS / "conformance.py", "0", stdout=asyncio.subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        yield f"http://127.0.0.1:{int(await process.stdout.readline())}/mcp"
    finally:
        process.kill()
        await process.wait()


async def _suite(url: str, revision: str, folder: Path) -> tuple[Counts, set[str]]:
    """Run the checks a revision requires; gives the counts and the scenarios that do not count."""
    assert SUITE is not None
    process = await asyncio.create_subprocess_exec(
        node(),
        SUITE / "dist" / "index.js",
        "server",
        "--url",
        url,
        "--requirements",
        revision,
        cwd=folder,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output = (await process.communicate())[0].decode()
    counts = {name: (int(passed), int(failed)) for name, passed, failed in LINE.findall(output)}
    assert counts, output[-2000:]
    return counts, set(UNSCORED.findall(output))


@pytest.mark.parametrize("revision", ["2025-11-25", "2026-07-28"])
async def test_the_gateway_passes_what_the_server_passes_alone(revision: str, tmp_path: Path) -> None:
    async with _fixture() as url:
        alone, unscored = await _suite(url, revision, tmp_path)
        toml = f'[mcp]\nmode = "direct"\nprefix = false\n{LOCAL}{http("fixture", url)}'
        async with mounted(toml) as gateway:
            through, _ = await _suite(f"{gateway.url}/mcp", revision, tmp_path)
    required = {name: counts for name, counts in alone.items() if name not in unscored and not counts[1]}
    assert len(required) > 25
    assert {name: through[name] for name in required} == required


async def test_the_search_mode_passes_lifecycle_and_transport(tmp_path: Path) -> None:
    scenarios = {
        "2025-11-25": (
            "server-initialize",
            "ping",
            "tools-list",
            "server-sse-multiple-streams",
            "dns-rebinding-protection",
        ),
        "2026-07-28": ("tools-list", "caching", "dns-rebinding-protection", "sep-2164-resource-not-found"),
    }
    async with _fixture() as url, mounted(f"[mcp]\n{LOCAL}{http('fixture', url)}") as gateway:
        async with httpx2.AsyncClient() as client:
            assert (await client.get(f"{gateway.url}/mcp")).status_code == 405
        for revision, names in scenarios.items():
            counts, _ = await _suite(f"{gateway.url}/mcp", revision, tmp_path)
            assert {name: counts[name][1] for name in names} == dict.fromkeys(names, 0)
            assert sum(counts[name][0] for name in names) >= len(names)
