"""This machine: the programs beside us, where data is kept, what is set."""

import platform
import sqlite3
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from nexus_agents import setup
from nexus_agents.doctor.check import Check
from nexus_agents.errors import AdapterError, AgentsError
from nexus_agents.opencode import OpenCode, config

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


async def opencode(environ: Mapping[str, str], cwd: Path) -> list[Check]:
    """Look at OpenCode and its configuration."""
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


def clients(environ: Mapping[str, str], cwd: Path) -> list[Check]:
    """Tell which clients found here know these agents."""
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


def storage(data_dir: Path) -> list[Check]:
    """Try whether data can be kept."""
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


def keys(environ: Mapping[str, str]) -> Check:
    """Name the keys that are set, never their values."""
    present = [name for name in KEYS if environ.get(name, "").strip()]
    return Check(name="Keys", state="ok" if present else "off", detail=", ".join(present) or "none is set")


def python() -> Check:
    """Name the interpreter."""
    return Check(name="Python", state="ok", detail=f"{platform.python_version()} at {sys.executable}")
