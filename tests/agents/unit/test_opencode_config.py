"""Which of OpenCode's files count, and what a child gets to see."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from nexus_agents.opencode import config, environment


def write(path: Path, content: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else msgspec.json.encode(content).decode())


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    return {"HOME": str(tmp_path / "home")}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "project" / ".git").mkdir(parents=True)
    (tmp_path / "project" / "sub").mkdir()
    return tmp_path / "project"


def test_every_place_counts_and_later_ones_win(
    tmp_path: Path, environ: dict[str, str], project: Path
) -> None:
    """The order `opencode debug config` of OpenCode 1.18 shows for the same files."""
    places = [
        tmp_path / "home/.config/opencode/config.json",
        tmp_path / "home/.config/opencode/opencode.json",
        tmp_path / "home/.config/opencode/opencode.jsonc",
        tmp_path / "named.json",
        project / "opencode.json",
        project / "opencode.jsonc",
        project / "sub/opencode.json",
        project / "sub/.opencode/opencode.json",
    ]
    for at, place in enumerate(places):
        write(place, {"username": str(at), "provider": {"p": {"options": {f"o{at}": 1}}}})
    write(tmp_path / "opencode.json", {"username": "above the repository"})
    environ["OPENCODE_CONFIG"] = str(tmp_path / "named.json")
    for at, place in reversed(list(enumerate(places))):
        found = config.read(environ, project / "sub")
        assert found.merged["username"] == str(at)
        assert found.merged["provider"]["p"]["options"] == {f"o{each}": 1 for each in range(at + 1)}
        place.unlink()


def test_content_in_a_variable_wins_over_files(environ: dict[str, str], project: Path) -> None:
    write(project / "opencode.json", {"model": "a/b", "instructions": ["a", "b"]})
    environ["OPENCODE_CONFIG_CONTENT"] = '{"model": "c/d", "instructions": ["c"]}'
    found = config.read(environ, project)
    assert found.model == "c/d"
    assert found.merged["instructions"] == ["c"], "lists are replaced"


def test_variables_named_anywhere_are_found_once(environ: dict[str, str], project: Path) -> None:
    write(
        project / "opencode.jsonc",
        '{ // {env:COMMENTED}\n "a": "{env:CUSTOM_API_KEY}/{env:X_1}", "b": "{env:X_1}",}',
    )
    assert config.read(environ, project).variables == ("COMMENTED", "CUSTOM_API_KEY", "X_1")


def test_a_broken_file_is_a_problem_with_its_place(environ: dict[str, str], project: Path) -> None:
    write(project / "opencode.json", '{\n  "a": \n}')
    write(project / "sub/opencode.json", {"model": "x/y"})
    (project / "opencode.jsonc").write_bytes(b"\xff\xfe")
    found = config.read(environ, project / "sub")
    assert found.model == "x/y"
    assert len(found.problems) == 2
    assert any("opencode.json" in problem and "line 3, column 1" in problem for problem in found.problems)


SECRETS = {"AWS_SECRET_ACCESS_KEY": "a", "GITHUB_TOKEN": "b", "NEXUS_CUSTOM_API_KEY": "c", "CLAUDECODE": "1"}


def test_a_child_sees_what_its_configuration_names_and_no_other_secret() -> None:
    environ = {"PATH": "/bin", "CUSTOM_API_KEY": "k", "LC_ALL": "C", "OPENCODE_X": "1", **SECRETS}
    made = environment.child(environ, ["CUSTOM_API_KEY", "UNSET"], Path("/p"), allow_edits=True)
    assert made == {
        "PATH": "/bin",
        "CUSTOM_API_KEY": "k",
        "LC_ALL": "C",
        "OPENCODE_X": "1",
        "PWD": "/p",
        "NEXUS_SUBPROCESS_DEPTH": "1",
    }


def test_a_user_may_hand_on_more() -> None:
    environ = {"NEXUS_SUBPROCESS_EXTRA_ENV": "GITHUB_TOKEN, OTHER", **SECRETS}
    made = environment.child(environ, (), Path("/p"), allow_edits=True)
    assert made["GITHUB_TOKEN"] == "b"
    assert "AWS_SECRET_ACCESS_KEY" not in made


def test_a_child_may_only_look_unless_edits_are_allowed() -> None:
    environ = {"OPENCODE_PERMISSION": '{"*":"allow"}'}
    denied = msgspec.json.decode(
        environment.child(environ, (), Path("/"), allow_edits=False)["OPENCODE_PERMISSION"]
    )
    assert denied["*"] == "deny"
    assert (
        environment.child(environ, (), Path("/"), allow_edits=True)["OPENCODE_PERMISSION"] == '{"*":"allow"}'
    )


@pytest.mark.parametrize(
    ("text", "depth"), [("", 0), ("0", 0), ("1", 1), (" 2 ", 2), ("-1", 99), ("x", 99), ("1e9", 99)]
)
def test_a_depth_that_is_no_number_counts_as_deep(text: str, depth: int) -> None:
    assert environment.depth({"NEXUS_SUBPROCESS_DEPTH": text}) == depth


def test_each_child_is_one_deeper() -> None:
    made = environment.child({"NEXUS_SUBPROCESS_DEPTH": "3"}, (), Path("/"), allow_edits=False)
    assert made["NEXUS_SUBPROCESS_DEPTH"] == "4"
