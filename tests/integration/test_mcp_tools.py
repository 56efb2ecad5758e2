"""`nexus tools`, with servers that run for real."""

from pathlib import Path

import msgspec
import pytest

from integration.mcp_gateway import stdio
from nexus.cli.tools import call, listed, measure, search
from nexus.telemetry import logs

GOOD = stdio("math", "plain")
BAD = '[mcp.servers.bad]\ncmd = ["no-such-program"]\n'


@pytest.fixture(autouse=True)
def logging_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    def leave(level: logs.Level, filter: str | None) -> None:
        """Change nothing: a process does that for good."""

    monkeypatch.setattr(logs, "setup", leave)


def _file(folder: Path, toml: str) -> Path:
    file = folder / "nexus.toml"
    file.write_text(toml)
    return file


def test_tools_are_listed_and_found(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = _file(tmp_path, GOOD)
    assert listed(file, {}) == 0
    assert "math__adder" in capsys.readouterr().out
    assert search(file, {}, ["adds", "numbers"]) == 0
    score, first, *_ = capsys.readouterr().out.splitlines()[1].split()
    assert (float(score) > 0, first) == (True, "math__adder")


def test_servers_that_do_not_work_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = _file(tmp_path, GOOD + BAD)
    assert listed(file, {}) == 1
    shown = capsys.readouterr()
    assert "math__adder" in shown.out
    assert "bad: it could not be started: No such file or directory\n" in shown.err
    assert search(file, {}, ["adder"]) == 0
    assert "bad: it could not be started" in capsys.readouterr().err


def test_a_server_that_ends_is_shown_with_its_last_words(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    toml = '[mcp.servers.bad]\ncmd = ["sh", "-c", "echo no such package >&2; exit 4"]\n'
    assert listed(_file(tmp_path, toml), {}) == 1
    assert capsys.readouterr().err == "bad: the process ended with status 4\n    no such package\n"
    assert listed(_file(tmp_path, f'{toml}stderr = "null"\n'), {}) == 1
    ended = 'bad: the process ended with status 4\n  → stderr = "inherit" in its table shows what it says\n'
    assert capsys.readouterr().err == ended


def test_a_tool_is_called_and_its_failure_is_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = _file(tmp_path, GOOD)
    assert call(file, {}, "math__adder", '{"a": 1, "b": 2}') == 0
    assert msgspec.json.decode(capsys.readouterr().out)["structuredContent"] == {"sum": 3}
    assert call(file, {}, "math__fail", "{}") == 1
    assert call(file, {}, "math__nothing", "{}") == 1
    assert "there is no tool math__nothing; `nexus tools list` shows all" in capsys.readouterr().err
    assert call(file, {}, "math__adder", "{") == 1
    assert "the arguments are not JSON" in capsys.readouterr().err


def test_the_search_is_measured(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    queries = tmp_path / "queries.jsonl"
    queries.write_text(
        '{"keywords": ["adder"], "expect": ["math__adder"]}\n{"keywords": ["zebra"], "expect": ["math__die"]}\n'
    )
    assert measure(_file(tmp_path, GOOD), {}, queries) == 0
    shown = capsys.readouterr().out
    assert "2 queries over 8 tools: recall@1 0.500, recall@3 0.500, recall@5 0.500, MRR 0.500" in shown
    assert "bytes shown to a model" in shown
    assert "missed: zebra -> nothing" in shown
    queries.write_text("{")
    assert measure(_file(tmp_path, GOOD), {}, queries) == 1
