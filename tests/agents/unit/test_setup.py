"""Setting up clients: only the entry changes, twice is once, and nothing is lost on the way."""

import difflib
import os
import stat
import tomllib
from pathlib import Path

import pytest

from nexus_agents.errors import Misuse
from nexus_agents.opencode import jsonc
from nexus_agents.setup import CLIENTS, Client, Plan, Scope, Unwritable, apply, found, plan

PYTHON = "/opt/python"
COMMAND = [PYTHON, "-m", "nexus_agents", "--mode=server"]

OPENCODE = """\
{
  // which models
  "$schema": "https://opencode.ai/config.json",
  "provider": { "custom": { "options": { "apiKey": "{env:CUSTOM_API_KEY}", }, }, },
  "mcp": {
    "github": { "type": "remote", "url": "https://example.com/mcp" }, // mine
  },
}
"""
CLAUDE = '{\n  "numStartups": 7,\n  "mcpServers": {},\n  "projects": {"/a": {"history": []}}\n}\n'
CODEX = """\
# my settings
model = "gpt-5"   # the big one

[mcp_servers.other]
command = "x"

[model_providers.gw]
name = 'gw'

[mcp_servers."third one"]
command = "y"
"""
WITH: dict[Client, str] = {"opencode": OPENCODE, "claude": CLAUDE, "codex": CODEX, "cursor": CLAUDE}
FILES: dict[Client, str] = {
    "opencode": ".config/opencode/opencode.jsonc",
    "claude": ".claude.json",
    "codex": ".codex/config.toml",
    "cursor": ".cursor/mcp.json",
}


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "home").mkdir()
    (tmp_path / "project").mkdir()
    return tmp_path / "home"


def planned(client: Client, home: Path, scope: Scope = "user", **environ: str) -> Plan:
    return plan(client, {"HOME": str(home), **environ}, home.parent / "project", scope, PYTHON)


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode())
    return path


def entry(client: Client, text: str) -> object:
    if client == "codex":
        return tomllib.loads(text)["mcp_servers"]["nexus-agents"]
    return jsonc.loads(text)["mcp" if client == "opencode" else "mcpServers"]["nexus-agents"]


def command(client: Client, text: str) -> list[str]:
    has = entry(client, text)
    assert isinstance(has, dict)
    return has["command"] if client == "opencode" else [has["command"], *has["args"]]  # pyright: ignore[reportUnknownVariableType] any JSON


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_only_the_entry_is_added(client: Client, newline: str, home: Path) -> None:
    before = WITH[client].replace("\n", newline)
    path = write(home / FILES[client], before)
    assert apply(planned(client, home)) == path.with_name(path.name + ".bak")
    after = path.read_bytes().decode()
    assert command(client, after) == COMMAND
    changed = [line for line in difflib.ndiff(before.split(newline), after.split(newline)) if line[0] == "-"]
    assert all("mcpServers" in line for line in changed), "an empty object may open, nothing else goes"
    assert "\n" not in after.replace("\r\n", "") or newline == "\n"


@pytest.mark.parametrize("client", CLIENTS)
def test_a_second_time_changes_nothing(client: Client, home: Path) -> None:
    path = write(home / FILES[client], WITH[client])
    apply(planned(client, home))
    again = planned(client, home)
    assert not again.changes
    before = path.stat().st_mtime_ns
    assert apply(again) is None
    assert path.stat().st_mtime_ns == before


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("scope", ["user", "project"])
def test_a_file_that_is_not_there_is_made(client: Client, scope: Scope, home: Path) -> None:
    made = planned(client, home, scope)
    assert made.path.is_relative_to(home if scope == "user" else home.parent / "project")
    assert apply(made) is None
    assert command(client, made.path.read_text()) == COMMAND
    assert not planned(client, home, scope).changes


@pytest.mark.parametrize("client", CLIENTS)
def test_planning_writes_nothing(client: Client, home: Path) -> None:
    assert planned(client, home).changes
    assert list(home.iterdir()) == []


BROKEN: dict[Client, tuple[str, str]] = {
    "opencode": ('{\n  "mcp": {\n}\n', "line 4, column 1"),
    "claude": ('{\n  "mcpServers": [}\n', "line 2, column 18"),
    "codex": ("[mcp_servers\nx = 1\n", "line 1"),
    "cursor": ("{} {}", "line 1, column 4"),
}


@pytest.mark.parametrize("client", CLIENTS)
def test_a_broken_file_is_refused_with_its_place_and_kept(client: Client, home: Path) -> None:
    text, place = BROKEN[client]
    path = write(home / FILES[client], text)
    with pytest.raises(Misuse, match=place):
        planned(client, home)
    assert path.read_text() == text
    assert [each.name for each in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize(
    ("client", "text"),
    [
        ("opencode", '{"mcp": []}'),
        ("claude", '{"mcpServers": 1}'),
        ("codex", "mcp_servers = 3\n"),
        ("codex", "mcp_servers = {}\n"),
    ],
)
def test_what_is_no_table_of_servers_is_refused(client: Client, text: str, home: Path) -> None:
    write(home / FILES[client], text)
    with pytest.raises(Misuse):
        planned(client, home)


def test_what_the_user_put_into_the_entry_stays(home: Path) -> None:
    old = '{"mcp": {"nexus-agents": {"type": "local", "command": ["npx", "x"], "enabled": false, "environment": {"A": "b"}}}}'
    path = write(home / FILES["opencode"], old)
    apply(planned("opencode", home))
    assert entry("opencode", path.read_text()) == {
        "type": "local",
        "command": COMMAND,
        "enabled": False,
        "environment": {"A": "b"},
    }
    toml = write(
        home / FILES["codex"],
        '[mcp_servers.nexus-agents]\ncommand = "npx" # old\nargs = []\nenv = { A = "b" }\n',
    )
    apply(planned("codex", home))
    has = entry("codex", toml.read_text())
    assert isinstance(has, dict)
    assert has["env"] == {"A": "b"}
    assert has["command"] == PYTHON


def test_codex_hands_on_names_of_keys_and_no_values(home: Path) -> None:
    made = planned("codex", home, NEXUS_CUSTOM_API_KEY="sk-secret")
    assert "NEXUS_CUSTOM_API_KEY" in made.after
    assert "sk-secret" not in made.after


def test_the_file_that_has_the_entry_is_the_one_changed(home: Path) -> None:
    directory = home / ".config/opencode"
    write(directory / "opencode.jsonc", "{}")
    write(directory / "opencode.json", '{"mcp": {"nexus-agents": {"command": ["old"]}}}')
    assert planned("opencode", home).path == directory / "opencode.json"


def test_jsonc_goes_before_json(home: Path) -> None:
    directory = home / ".config/opencode"
    write(directory / "opencode.json", "{}")
    assert planned("opencode", home).path == directory / "opencode.json"
    write(directory / "opencode.jsonc", "{}")
    assert planned("opencode", home).path == directory / "opencode.jsonc"


def test_a_chosen_configuration_goes_before_the_usual_one(home: Path) -> None:
    chosen = write(home / "chosen.json", "{}")
    write(home / ".config/opencode/opencode.json", "{}")
    assert planned("opencode", home, OPENCODE_CONFIG=str(chosen)).path == chosen
    assert planned("opencode", home, OPENCODE_CONFIG=str(home / "none.json")).path.name == "opencode.json"


def test_homes_named_by_variables_are_used(home: Path) -> None:
    assert planned("codex", home, CODEX_HOME=str(home / "c")).path == home / "c/config.toml"
    assert planned("claude", home, CLAUDE_CONFIG_DIR=str(home / "d")).path == home / "d/.claude.json"
    assert (
        planned("opencode", home, XDG_CONFIG_HOME=str(home / "x")).path == home / "x/opencode/opencode.json"
    )


def test_the_mode_stays_and_new_files_are_the_users_own(home: Path) -> None:
    path = write(home / FILES["claude"], CLAUDE)
    path.chmod(0o640)
    apply(planned("claude", home))
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    apply(planned("cursor", home))
    assert stat.S_IMODE((home / FILES["cursor"]).stat().st_mode) == 0o600


def test_a_link_stays_a_link(home: Path) -> None:
    real = write(home / "dotfiles/opencode.json", "{}")
    link = home / ".config/opencode/opencode.json"
    link.parent.mkdir(parents=True)
    link.symlink_to(real)
    apply(planned("opencode", home))
    assert link.is_symlink()
    assert command("opencode", real.read_text()) == COMMAND


def test_a_write_that_fails_leaves_what_was_there(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(home / FILES["claude"], CLAUDE)
    made = planned("claude", home)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(Unwritable, match="No space left"):
        apply(made)
    assert path.read_text() == CLAUDE
    assert sorted(each.name for each in home.iterdir()) == [".claude.json", ".claude.json.bak"]


def test_a_file_that_is_no_text_is_not_touched(home: Path) -> None:
    path = home / FILES["claude"]
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(Unwritable):
        planned("claude", home)


def test_clients_are_found_by_their_program_or_their_files(home: Path, tmp_path: Path) -> None:
    program = write(tmp_path / "bin/codex", "#!/bin/sh\n")
    program.chmod(0o755)
    (home / ".cursor").mkdir()
    assert found({"HOME": str(home), "PATH": str(program.parent)}) == ["codex", "cursor"]
    assert found({"HOME": str(home), "PATH": ""}) == ["cursor"]
