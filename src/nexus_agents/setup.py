"""Put this MCP server into the configuration of a client, and change nothing else there.

A change is worked out first (`plan`) and written after (`apply`): whole, by rename, the mode kept, the old file beside it.
"""

import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

import tomlkit
import tomlkit.exceptions

from nexus_agents.errors import AgentsError, Misuse
from nexus_agents.opencode import config as opencode
from nexus_agents.opencode import jsonc

Client = Literal["opencode", "claude", "codex", "cursor"]
Scope = Literal["user", "project"]
CLIENTS: tuple[Client, ...] = ("opencode", "claude", "codex", "cursor")
NAME = "nexus-agents"
_ARGUMENTS = ("-m", "nexus_agents", "--mode=server")
_VARIABLES = (
    "OPENROUTER_API_KEY",
    "NEXUS_OPENROUTER_MODEL",
    "NEXUS_CUSTOM_API_BASE_URL",
    "NEXUS_CUSTOM_API_KEY",
    "NEXUS_CUSTOM_MODEL",
    "NEXUS_CUSTOM_API_ALLOW_PRIVATE",
    "NEXUS_GATEWAY_URL",
    "NEXUS_GATEWAY_KEY",
    "NEXUS_DATA_DIR",
)
"""What Codex hands on only when told; it starts servers with hardly any environment."""


class Unwritable(AgentsError):
    """The file cannot be read or written."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What would be written where."""

    client: Client
    path: Path
    before: str | None
    """None where there is no file yet."""
    after: str

    @property
    def changes(self) -> bool:
        return self.before != self.after


@dataclass(frozen=True, slots=True)
class Place:
    """Where a client keeps its MCP servers, and how an entry gets in."""

    path: Path
    edit: Callable[[str, str], str]
    """From the text there is (empty: none) and the interpreter to run, the text there should be."""


def found(environ: Mapping[str, str]) -> Sequence[Client]:
    """List the clients this machine has."""
    home = opencode.home(environ)
    marks: dict[Client, Path] = {
        "opencode": opencode.global_directory(environ),
        "claude": _claude_file(environ),
        "codex": _codex_home(environ),
        "cursor": home / ".cursor",
    }
    programs = environ.get("PATH", "")
    return [name for name in CLIENTS if shutil.which(name, path=programs) or marks[name].exists()]


def plan(
    client: Client,
    environ: Mapping[str, str],
    cwd: Path,
    scope: Scope = "user",
    python: str = sys.executable,
) -> Plan:
    """Work out what setting up a client would change.

    Raises:
        Misuse: its file is broken; the message says where.
        Unwritable: its file cannot be read.
    """
    place = _places(environ, cwd, scope)[client]
    path = place.path.resolve()  # the file a link stands for is changed, the link stays
    try:
        with path.open(encoding="utf-8", newline="") as file:
            before = file.read()
    except FileNotFoundError:
        before = None
    except (OSError, UnicodeDecodeError) as error:
        raise Unwritable(f"{place.path} cannot be read: {_why(error)}.") from error
    try:
        after = place.edit(before or "", python)
    except jsonc.Broken as error:
        raise Misuse(f"{place.path} is not changed: {error.message}.", "Mend it first.") from error
    except tomlkit.exceptions.TOMLKitError as error:
        raise Misuse(f"{place.path} is not changed: {error}.", "Mend it first.") from error
    return Plan(client, path, before, after)


def apply(plan: Plan) -> Path | None:
    """Write a plan; gives the copy of what was there before.

    Raises:
        Unwritable: it cannot be written. What was there is still there.
    """
    if not plan.changes:
        return None
    try:
        plan.path.parent.mkdir(parents=True, exist_ok=True)
        backup = _kept(plan)
        _replace(plan.path, plan.after)
    except OSError as error:
        raise Unwritable(f"{plan.path} cannot be written: {_why(error)}.") from error
    return backup


def _kept(plan: Plan) -> Path | None:
    if plan.before is None:
        return None
    backup = plan.path.with_name(plan.path.name + ".bak")
    shutil.copy2(plan.path, backup)
    return backup


def _replace(path: Path, text: str) -> None:
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(name, path.stat().st_mode & 0o7777 if path.exists() else 0o600)
        os.replace(name, path)
    except BaseException:
        os.unlink(name)
        raise


def _places(environ: Mapping[str, str], cwd: Path, scope: Scope) -> dict[Client, Place]:
    home = opencode.home(environ)
    if scope == "project":
        return {
            "opencode": Place(_opencode_file(environ, cwd, scope), _opencode),
            "claude": Place(cwd / ".mcp.json", _servers),
            "codex": Place(cwd / ".codex" / "config.toml", _codex),
            "cursor": Place(cwd / ".cursor" / "mcp.json", _servers),
        }
    return {
        "opencode": Place(_opencode_file(environ, cwd, scope), _opencode),
        "claude": Place(_claude_file(environ), _servers),
        "codex": Place(_codex_home(environ) / "config.toml", _codex),
        "cursor": Place(home / ".cursor" / "mcp.json", _servers),
    }


def _opencode_file(environ: Mapping[str, str], cwd: Path, scope: Scope) -> Path:
    """Choose the file that has the entry already, else `OPENCODE_CONFIG` or the usual one; `.jsonc` goes before `.json`."""
    directory = opencode.global_directory(environ) if scope == "user" else cwd
    usual = [directory / "opencode.jsonc", directory / "opencode.json"]
    if scope == "user" and (named := environ.get("OPENCODE_CONFIG")):
        usual.insert(0, cwd / Path(named).expanduser())
    there = [path for path in usual if path.is_file()]
    return next((path for path in there if _has_entry(path)), there[0] if there else usual[-1])


def _has_entry(path: Path) -> bool:
    try:
        return NAME in jsonc.loads(path.read_text(encoding="utf-8")).get("mcp", {})
    except (jsonc.Broken, OSError, UnicodeDecodeError, AttributeError, TypeError):
        return False


def _claude_file(environ: Mapping[str, str]) -> Path:
    chosen = environ.get("CLAUDE_CONFIG_DIR")
    return (Path(chosen) if chosen else opencode.home(environ)) / ".claude.json"


def _codex_home(environ: Mapping[str, str]) -> Path:
    chosen = environ.get("CODEX_HOME")
    return Path(chosen) if chosen else opencode.home(environ) / ".codex"


def _opencode(text: str, python: str) -> str:
    """https://opencode.ai/docs/mcp-servers; what an entry has besides is the user's."""
    command = [python, *_ARGUMENTS]
    if not text.strip():
        entry = {"type": "local", "command": command, "enabled": True}
        return jsonc.dumps({"$schema": "https://opencode.ai/config.json", "mcp": {NAME: entry}})
    path = ("mcp", NAME)
    if not _has(text, path):
        return jsonc.put(text, path, {"type": "local", "command": command, "enabled": True})
    return jsonc.put(jsonc.put(text, (*path, "type"), "local"), (*path, "command"), command)


def _servers(text: str, python: str) -> str:
    """Edit the `mcpServers` of Claude Code and Cursor."""
    path = ("mcpServers", NAME)
    if not text.strip() or not _has(text, path):
        return jsonc.put(
            text if text.strip() else "{}\n",
            path,
            {"type": "stdio", "command": python, "args": [*_ARGUMENTS]},
        )
    return jsonc.put(jsonc.put(text, (*path, "command"), python), (*path, "args"), [*_ARGUMENTS])


def _has(text: str, path: Sequence[str]) -> bool:
    node = jsonc.loads(text)
    for key in path:
        if not isinstance(node, dict) or key not in node:
            return False
        node = cast(dict[str, Any], node)[key]
    return True


def _codex(text: str, python: str) -> str:
    """Edit `mcp_servers` as https://developers.openai.com/codex/mcp has it; what an entry has besides is the user's."""
    document: Any = tomlkit.parse(text)
    servers: Any = document.get("mcp_servers", {})
    if not isinstance(servers, Mapping):
        raise Misuse("mcp_servers is not a table.", "Mend it first.")
    entry = cast(Mapping[str, Any], servers).get(NAME)
    if entry is None:
        return _appended(text, python)
    if entry.get("command") != python or entry.get("args") != list(_ARGUMENTS):
        entry["command"], entry["args"] = python, list(_ARGUMENTS)
    return tomlkit.dumps(document)


def _appended(text: str, python: str) -> str:
    """Add a table at the end, where TOML lets one stand whatever goes before."""
    entry = tomlkit.dumps({"command": python, "args": list(_ARGUMENTS), "env_vars": list(_VARIABLES)})
    newline = "\r\n" if "\r\n" in text else "\n"
    table = f"[mcp_servers.{NAME}]\n{entry}".replace("\n", newline)
    gap = "" if not text else newline if text.endswith("\n") else newline * 2
    tomlkit.parse(text + gap + table)  # an inline mcp_servers cannot be added to
    return text + gap + table


def _why(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or type(error).__name__
