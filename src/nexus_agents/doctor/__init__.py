"""What is configured and whether it works: each check tells what it found and, where something is wrong, what to do."""

import asyncio
import sqlite3
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec

from nexus_agents.doctor import gateway, machine
from nexus_agents.doctor.check import Check
from nexus_agents.errors import AgentsError
from nexus_agents.redact import redact, secrets
from nexus_agents.results import AdapterStatus, LiveCheck
from nexus_agents.services import Services

__all__ = ["Check", "Report", "examine"]


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
    groups = await asyncio.gather(machine.opencode(environ, cwd), gateway.examine(services.tools_at(), clock))
    checks = (
        *(check for group in groups for check in group),
        *machine.clients(environ, cwd),
        *machine.storage(services.data_dir),
        *await _runs(services),
        machine.keys(environ),
        *(Check(name="Settings", state="warning", detail=warning) for warning in services.warnings),
        machine.python(),
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
