"""`nexus-agents doctor`."""

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from nexus_agents.doctor import Check, Report, examine
from nexus_agents.results import AdapterStatus, LiveCheck

_MARKS = {
    "ok": "[OK]",
    "usable": "[OK]",
    "warning": "[!] ",
    "failed": "[X] ",
    "broken": "[X] ",
    "off": "[ ] ",
    "skipped": "[ ] ",
}


def command(
    live: Annotated[
        bool, typer.Option("--live", help="Call a model of each adapter with a tiny prompt; may cost.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print everything as JSON.")] = False,
) -> None:
    """Check what is configured and whether it works; no model is called unless with --live.

    Leaves with 0 when an adapter can be used and nothing that was configured is broken, with 3 when nothing is configured,
    else with 1.
    """
    report = asyncio.run(_examined(live))
    if as_json:
        typer.echo(msgspec.json.format(msgspec.json.encode(report)).decode())
    else:
        typer.echo("\n".join(_lines(report)))
    if not report.ready:
        raise typer.Exit(1 if report.adapters else 3)


async def _examined(live: bool) -> Report:
    from nexus_agents.services import Services

    async with Services(os.environ) as services:
        return await examine(services, os.environ, Path.cwd(), live=live)


def _lines(report: Report) -> Iterator[str]:
    yield "Available adapters"
    for adapter in report.adapters:
        if adapter.state == "usable":
            yield from _adapter(adapter)
    if not any(adapter.state == "usable" for adapter in report.adapters):
        yield "  none"
    broken = [adapter for adapter in report.adapters if adapter.state == "broken"]
    if broken:
        yield ""
        yield "Configured and broken"
        for adapter in broken:
            yield from _adapter(adapter)
    if report.live:
        yield ""
        yield "Live"
        yield from map(_live, report.live)
    yield ""
    yield "Checks"
    width = max(len(check.name) for check in report.checks) + 1
    for check in report.checks:
        yield from _check(check, width)
    yield ""
    yield f"Status: {_summary(report)}"


def _adapter(adapter: AdapterStatus) -> Iterator[str]:
    facts = [adapter.source, adapter.host]
    facts += (
        [f"{adapter.models} model{'' if adapter.models == 1 else 's'}"] if adapter.models is not None else []
    )
    facts += [f"pinned to {adapter.pinned}"] if adapter.pinned else []
    yield f"  {_MARKS[adapter.state]} {adapter.title} ({', '.join(fact for fact in facts if fact)})"
    if adapter.error:
        yield f"       {adapter.error}"
    if adapter.fix:
        yield f"       Fix: {adapter.fix}"
    for warning in adapter.warnings:
        yield f"       Note: {warning}"


def _live(check: LiveCheck) -> str:
    spent = f" ({check.duration_ms} ms)" if check.duration_ms is not None else ""
    return f"  {_MARKS[check.status]} {check.name}: {check.status}{spent} {check.detail}".rstrip()


def _check(check: Check, width: int) -> Iterator[str]:
    yield f"  {_MARKS[check.state]} {check.name + ':':<{width}} {check.detail}"
    if check.fix:
        yield f"       Fix: {check.fix}"


def _summary(report: Report) -> str:
    if report.ready:
        return "Ready"
    if not report.adapters:
        return "nothing is configured that could answer; set OPENROUTER_API_KEY or NEXUS_CUSTOM_API_BASE_URL and its key"
    wrong = [adapter.title for adapter in report.adapters if adapter.state == "broken" and adapter.explicit]
    wrong += [check.name for check in report.checks if check.state == "failed"]
    wrong += [check.name for check in report.live if check.status == "failed"]
    return f"{len(wrong)} to mend: {', '.join(wrong)}" if wrong else "no adapter can be used"
