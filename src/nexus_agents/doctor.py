"""What is configured and whether it works: each check tells what it found and, where something is wrong, what to do."""

import asyncio
import platform
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Literal

import httpx2
import msgspec

from nexus_agents import guard, setup
from nexus_agents.adapters.nexus import llm_base
from nexus_agents.errors import AdapterError, AgentsError
from nexus_agents.opencode import OpenCode, config
from nexus_agents.redact import redact, secrets
from nexus_agents.results import AdapterStatus, LiveCheck
from nexus_agents.services import Services

KEYS = (
    "OPENROUTER_API_KEY",
    "NEXUS_CUSTOM_API_KEY",
    "NEXUS_GATEWAY_KEY",
    "OPENAI_API_KEY",
    "ANTHROPIC_API_KEY",
    "GOOGLE_AI_API_KEY",
    "GEMINI_API_KEY",
    "CUSTOM_API_KEY",
)
SKEW = 60.0
"""Seconds two clocks may differ before signed tokens and retry times go wrong."""
_GATEWAY_TIMEOUT = 10.0

State = Literal["ok", "warning", "failed", "off"]


class Check(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One thing looked at."""

    name: str
    state: State
    detail: str
    fix: str | None = None


class Report(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Everything."""

    ready: bool
    """At least one adapter can be used, and nothing the user configured is broken."""
    adapters: tuple[AdapterStatus, ...]
    checks: tuple[Check, ...]
    live: tuple[LiveCheck, ...] = ()


async def examine(
    services: Services,
    environ: Mapping[str, str],
    cwd: Path,
    *,
    live: bool = False,
    clock: Callable[[], float] = time.time,
) -> Report:
    """Look at everything. Calls models only when `live`, and then with a tiny prompt each."""
    adapters = tuple(await services.adapters())
    called = tuple(await services.live()) if live else ()
    groups = await asyncio.gather(_opencode(environ, cwd), _gateway(services, clock))
    checks = (
        *(check for group in groups for check in group),
        *_clients(environ, cwd),
        *_storage(services.data_dir),
        *await _runs(services),
        _keys(environ),
        *(Check(name="Settings", state="warning", detail=warning) for warning in services.warnings),
        _python(),
    )
    broken = any(each.explicit and each.state == "broken" for each in adapters)
    usable = any(each.state == "usable" for each in adapters)
    failed = any(check.state == "failed" for check in checks) or any(
        each.status == "failed" for each in called
    )
    report = Report(ready=usable and not broken and not failed, adapters=adapters, checks=checks, live=called)
    return _shown(report, environ)


def _shown(report: Report, environ: Mapping[str, str]) -> Report:
    """Nothing secret leaves, whichever check let it in."""
    text = redact(msgspec.json.encode(report).decode(), secrets(environ))
    return msgspec.json.decode(text, type=Report)


async def _opencode(environ: Mapping[str, str], cwd: Path) -> list[Check]:
    program = OpenCode(environ, cwd)
    try:
        found = Check(name="OpenCode", state="ok", detail=f"version {await program.version()}")
    except AdapterError as error:
        if "not on the PATH" in error.message:
            return [Check(name="OpenCode", state="off", detail="not installed")]
        return [
            Check(
                name="OpenCode", state="failed", detail=error.message, fix=error.cure or "Install it again."
            )
        ]
    read = config.read(environ, cwd)
    unset = [name for name in read.variables if not environ.get(name)]
    checks = [found]
    checks += [
        Check(name="OpenCode", state="failed", detail=problem, fix="Mend the file.")
        for problem in read.problems
    ]
    if unset:
        detail = f"its configuration names variables that are not set: {', '.join(unset)}"
        checks.append(
            Check(name="OpenCode", state="warning", detail=detail, fix="Set them, or take them out.")
        )
    return checks


async def _gateway(services: Services, clock: Callable[[], float]) -> list[Check]:
    place = services.tools_at()
    if place is None:
        return [Check(name="Gateway", state="off", detail="no Nexus gateway is configured or found here")]
    url, policy, headers = place
    base = url.removesuffix("/mcp")
    async with guard.client(policy, timeout=_GATEWAY_TIMEOUT) as client:
        client.headers.update(headers)
        checks = [
            await _endpoint(client, "Gateway health", f"{base}/health", clock),
            await _endpoint(client, "Gateway models", f"{llm_base(base)}/models", clock),
        ]
    return [*checks, await _tools(url, policy, headers)]


class _Models(msgspec.Struct):
    data: list[msgspec.Raw]


async def _endpoint(client: httpx2.AsyncClient, name: str, url: str, clock: Callable[[], float]) -> Check:
    try:
        answer = await client.get(url)
    except (httpx2.HTTPError, guard.Refused) as error:
        return Check(
            name=name,
            state="failed",
            detail=str(error) or type(error).__name__,
            fix="Check NEXUS_GATEWAY_URL.",
        )
    if answer.status_code != 200:
        fix = "Check NEXUS_GATEWAY_KEY." if answer.status_code in (401, 403) else None
        return Check(name=name, state="failed", detail=f"{url} answers {answer.status_code}", fix=fix)
    if (skew := _skew(answer.headers.get("date", ""), clock())) > SKEW:
        detail = f"its clock and ours differ by {skew:.0f} seconds"
        return Check(name=name, state="warning", detail=detail, fix="Set the clocks by NTP.")
    return Check(name=name, state="ok", detail=_counted(answer.content))


def _counted(content: bytes) -> str:
    try:
        return f"{len(msgspec.json.decode(content, type=_Models).data)} models"
    except msgspec.DecodeError:
        return "answers"


def _skew(date: str, now: float) -> float:
    try:
        return abs(parsedate_to_datetime(date).timestamp() - now)
    except (ValueError, TypeError):
        return 0.0


async def _tools(url: str, policy: guard.Policy, headers: dict[str, str]) -> Check:
    from mcp import Client, MCPError
    from mcp.client.streamable_http import streamable_http_client

    http = guard.client(policy, timeout=_GATEWAY_TIMEOUT)
    http.headers.update(headers)
    try:
        async with asyncio.timeout(_GATEWAY_TIMEOUT):
            async with http, Client(streamable_http_client(url, http_client=http)) as client:
                names = [tool.name for tool in (await client.list_tools()).tools]
    except (MCPError, httpx2.HTTPError, OSError, AgentsError, ExceptionGroup):
        return Check(
            name="Gateway tools",
            state="warning",
            detail="no MCP server answers there",
            fix="Switch [mcp] on in its configuration.",
        )
    return Check(name="Gateway tools", state="ok", detail=f"{len(names)}: {', '.join(names[:8])}")


def _clients(environ: Mapping[str, str], cwd: Path) -> list[Check]:
    return [_client(client, environ, cwd) for client in setup.found(environ)]


def _client(client: setup.Client, environ: Mapping[str, str], cwd: Path) -> Check:
    name, fix = f"Client {client}", f"nexus-agents setup --client {client}"
    try:
        plan = setup.plan(client, environ, cwd)
    except AgentsError as error:
        return Check(name=name, state="warning", detail=error.message, fix=error.cure or None)
    if plan.changes:
        return Check(name=name, state="off", detail="not connected to these agents", fix=fix)
    return Check(name=name, state="ok", detail=f"connected in {plan.path}")


def _storage(data_dir: Path) -> list[Check]:
    checks = list[Check]()
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=data_dir):
            pass
        checks.append(Check(name="Data", state="ok", detail=str(data_dir)))
    except OSError as error:
        detail = f"{data_dir} cannot be written: {error.strerror}"
        checks.append(
            Check(
                name="Data", state="failed", detail=detail, fix="Set NEXUS_DATA_DIR to a directory of yours."
            )
        )
    try:
        with sqlite3.connect(":memory:") as database:
            database.execute("CREATE VIRTUAL TABLE words USING fts5(word)")
        database.close()
    except sqlite3.Error:
        detail = f"SQLite {sqlite3.sqlite_version} has no full-text search (FTS5)"
        checks.append(
            Check(name="SQLite", state="failed", detail=detail, fix="Use a Python whose SQLite has it.")
        )
    return checks


async def _runs(services: Services) -> list[Check]:
    try:
        runs = await services.runs(50)
    except (AgentsError, sqlite3.Error) as error:
        return [Check(name="Runs", state="failed", detail=str(error), fix="Move the data directory away.")]
    left = [run for run in runs if run.status == "interrupted"]
    if not left:
        return []
    detail = f"{len(left)} interrupted, the latest {left[0].run_id}"
    return [
        Check(name="Runs", state="warning", detail=detail, fix=f"nexus-agents trace resume {left[0].run_id}")
    ]


def _keys(environ: Mapping[str, str]) -> Check:
    present = [name for name in KEYS if environ.get(name, "").strip()]
    return Check(name="Keys", state="ok" if present else "off", detail=", ".join(present) or "none is set")


def _python() -> Check:
    return Check(name="Python", state="ok", detail=f"{platform.python_version()} at {sys.executable}")
