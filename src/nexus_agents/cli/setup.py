"""`nexus-agents setup`."""

import difflib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated

import typer

from nexus_agents import setup
from nexus_agents.errors import AgentsError, Misuse

_NEXT = {
    "opencode": "opencode mcp list",
    "claude": "claude mcp list",
    "codex": "codex mcp list",
    "cursor": "Settings, MCP",
}


def command(
    client: Annotated[
        setup.Client | None, typer.Option(help="Whom to connect to; without, all that are found here.")
    ] = None,
    scope: Annotated[setup.Scope, typer.Option(help="For every project of yours, or for this one.")] = "user",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would change; change nothing.")
    ] = False,
) -> None:
    """Connect the agents, as an MCP server, to OpenCode, Claude Code, Codex or Cursor. Only their own entry is touched."""
    clients: Sequence[setup.Client] = [client] if client else setup.found(os.environ)
    if not clients:
        raise Misuse("None of OpenCode, Claude Code, Codex and Cursor is here.", "Name one with --client.")
    failed = [each for each in clients if not _connected(each, scope, dry_run)]
    if failed:
        raise typer.Exit(1)


def _connected(client: setup.Client, scope: setup.Scope, dry_run: bool) -> bool:
    try:
        plan = setup.plan(client, os.environ, Path.cwd(), scope)
        backup = None if dry_run else setup.apply(plan)
    except AgentsError as error:
        typer.echo(f"[X]  {client}: {error}", err=True)
        return False
    if not plan.changes:
        typer.echo(f"[OK] {client}: already connected in {plan.path}")
    elif dry_run:
        typer.echo(f"[ ]  {client}: would change {plan.path}")
        for line in _difference(plan):
            typer.echo(line)
    else:
        kept = f"; what was there is in {backup.name}" if backup else ""
        typer.echo(f"[OK] {client}: connected in {plan.path}{kept}. To see it: {_NEXT[client]}")
    return True


def _difference(plan: setup.Plan) -> Iterator[str]:
    before = (plan.before or "").splitlines()
    return (line.rstrip() for line in difflib.unified_diff(before, plan.after.splitlines(), "now", "then"))
