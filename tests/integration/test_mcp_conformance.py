"""The public conformance suite: what passes at a server alone has to pass through the gateway as well, check by check."""

import asyncio
import re
import sys
from collections import Counter
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import msgspec
import pytest

from integration.mcp_gateway import NO_TLS, SERVERS, http, mounted, node, node_package

SUITE = node_package("@modelcontextprotocol/conformance")
LOCAL = (
    'allowed_hosts = ["127.0.0.1:*", "localhost:*"]\n'
    'allowed_origins = ["http://127.0.0.1:*", "http://localhost:*"]\nsessions = true\n'
)
DIRECT = f'[mcp]\nmode = "direct"\nprefix = false\n{LOCAL}'
SEARCH = f"[mcp]\n{LOCAL}"
REQUIRED = {"2025-11-25": 70, "2026-07-28": 120}
"""Checks that the fixture passes alone, of those the revision requires; all of them have to pass through the gateway."""
IN_SEARCH_MODE = {"2025-11-25": 15, "2026-07-28": 39}
"""Checks of lifecycle and transport that pass in search mode; the others want tools of the fixture to be listed."""
TRANSPORT = (
    *("server-initialize", "server-session-lifecycle", "server-stateless", "server-sse-multiple-streams"),
    *("dns-rebinding-protection", "ping", "caching", "tools-list"),
)
"""Scenarios about lifecycle and transport, of both revisions."""
_DATE = re.compile(r"-\d{4}-\d\d-\d\dT.*")
OUTSIDE = ("added-after-release", "extension", "pending")

pytestmark = [
    pytest.mark.skipif(SUITE is None, reason="the conformance suite is not installed: make clients"),
    pytest.mark.timeout(180),
]


@dataclass(frozen=True)
class Report:
    """What the suite found: the checks of each scenario, and the scenarios that a revision does not require."""

    checks: Mapping[str, list[dict[str, Any]]]
    outside: frozenset[str]

    def passed(self) -> Counter[tuple[str, str, str]]:
        """Count the checks that passed, by scenario, id and name."""
        return Counter(
            (scenario, one["id"], one["name"])
            for scenario, checks in self.checks.items()
            for one in checks
            if one["status"] == "SUCCESS"
        )


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


async def _suite(url: str, revision: str, folder: Path) -> Report:
    assert SUITE is not None
    process = await asyncio.create_subprocess_exec(
        *(node(), SUITE / "dist" / "index.js", "server", "--url", url),
        *("--requirements", revision, "-o", folder),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output = (await process.communicate())[0].decode()
    checks: dict[str, list[dict[str, Any]]] = {}
    for file in folder.glob("*/checks.json"):
        scenario = _DATE.sub("", file.parent.name.removeprefix("server-"))
        checks[scenario] = msgspec.json.decode(file.read_bytes())
    assert checks, output[-2000:]
    outside = {
        line.split()[1]
        for line in output.splitlines()
        if line.startswith("  ") and line.rstrip().endswith(tuple(f"({one})" for one in OUTSIDE))
    }
    return Report(checks, frozenset(outside))


async def _through(toml: str, url: str, revision: str, folder: Path) -> Report:
    async with mounted(toml + http("fixture", url)) as gateway:
        return await _suite(f"{gateway.url}/mcp", revision, folder)


@pytest.mark.parametrize("revision", ["2025-11-25", "2026-07-28"])
async def test_what_passes_alone_passes_directly_and_transport_passes_in_search_mode(
    revision: str, tmp_path: Path
) -> None:
    async with _fixture() as url:
        alone, direct, search = await asyncio.gather(
            _suite(url, revision, tmp_path / "alone"),
            _through(DIRECT, url, revision, tmp_path / "direct"),
            _through(SEARCH, url, revision, tmp_path / "search"),
        )
    required = Counter({key: count for key, count in alone.passed().items() if key[0] not in alone.outside})
    assert required.total() == REQUIRED[revision]
    assert required - direct.passed() == Counter()
    checks = [one for name in TRANSPORT for one in search.checks.get(name, ())]
    assert sum(one["status"] == "SUCCESS" for one in checks) == IN_SEARCH_MODE[revision]
    failed = [one["errorMessage"] for one in checks if one["status"] == "FAILURE"]
    assert [error for error in failed if "Not testable: server does not list" not in error] == []


async def test_in_search_mode_only_post_is_allowed() -> None:
    async with _fixture() as url, mounted(SEARCH + http("fixture", url)) as gateway:
        async with httpx2.AsyncClient(verify=NO_TLS) as client:
            assert (await client.get(f"{gateway.url}/mcp")).status_code == 405
