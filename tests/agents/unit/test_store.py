"""The data file: made once, shared by processes, never half-written."""

import multiprocessing
import os
import sqlite3
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from nexus_agents.errors import AgentsError, Misuse
from nexus_agents.outcomes import Outcomes
from nexus_agents.results import Attempt
from nexus_agents.store import connect
from nexus_agents.trace import Planned, Runs


def attempt(**more: object) -> Attempt:
    known = {
        "step": "s",
        "kind": "work",
        "adapter": "a",
        "model": "m",
        "host": "",
        "attempt": 1,
        "status": "ok",
        "duration_ms": 1,
    }
    return Attempt(**{**known, **more})  # pyright: ignore[reportArgumentType]  # a test may say anything


def _write(home: str, number: int) -> None:
    runs = Runs(connect(Path(home)), Path(home))
    runs.begin(f"r{number}", "orchestrate", "task", {})
    for _ in range(20):
        runs.attempt(f"r{number}", attempt(input_tokens=1))


def test_many_processes_make_and_write_it_at_once(tmp_path: Path):
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=_write, args=(str(tmp_path), number)) for number in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(50)
        assert worker.exitcode == 0
    runs = Runs(connect(tmp_path), tmp_path)
    assert [run.input_tokens for run in runs.latest(10)] == [20] * 4


def test_only_its_owner_may_read_it(tmp_path: Path):
    connect(tmp_path / "data").close()
    assert (tmp_path / "data" / "agents.db").stat().st_mode & 0o077 == 0


def test_a_file_of_a_later_version_is_left_alone(tmp_path: Path):
    connect(tmp_path).close()
    database = sqlite3.connect(tmp_path / "agents.db")
    database.execute("PRAGMA user_version = 99")
    database.close()
    with pytest.raises(AgentsError, match="later version"):
        connect(tmp_path)


def test_a_file_that_is_no_database_is_named(tmp_path: Path):
    (tmp_path / "agents.db").write_bytes(b"this is not a database at all, not even a little" * 50)
    with pytest.raises(AgentsError, match="NEXUS_DATA_DIR"):
        connect(tmp_path)


def test_a_plan_is_stored_whole_or_not_at_all(tmp_path: Path):
    runs = Runs(connect(tmp_path), tmp_path)
    runs.begin("r", "orchestrate", "task", {})
    runs.plan("r", (Planned(id="a", title="A", task="t", expert="code"),), {})
    twice = Planned(id="b", title="B", task="t", expert="code")
    with pytest.raises(sqlite3.IntegrityError):
        runs.plan("r", (twice, twice), {})
    assert [step.id for step in runs.steps("r")] == ["a"]


def test_a_run_is_held_by_one_process_and_given_back_by_its_death(tmp_path: Path):
    runs = Runs(connect(tmp_path), tmp_path)
    runs.begin("r", "orchestrate", "task", {})
    code = (
        "import sys; from pathlib import Path; from nexus_agents.store import connect; from nexus_agents.trace import Runs\n"
        "home = Path(sys.argv[1])\n"
        "with Runs(connect(home), home).locks.hold('r'):\n"
        "    print('held', flush=True); sys.stdin.read()"
    )
    other = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert other.stdin is not None
    assert other.stdout is not None
    with other:
        assert other.stdout.readline() == "held\n"
        assert runs.latest(1)[0].status == "running"
        with pytest.raises(Misuse, match="still going on"), runs.locks.hold("r"):
            pass
        other.kill()
        other.wait()
    assert runs.latest(1)[0].status == "interrupted"
    with runs.locks.hold("r"):
        assert runs.latest(1)[0].status == "running"
    assert list((tmp_path / "runs").iterdir()) == []


def test_a_run_is_forgotten_with_all_that_is_written_about_it_and_one_that_goes_on_stays(tmp_path: Path):
    database = connect(tmp_path)
    runs = Runs(database, tmp_path)
    for name in ("r1", "r2", "r3"):
        runs.begin(name, "orchestrate", "task", {})
        runs.plan(name, (Planned(id="a", title="A", task="t", expert="code"),), {})
    with runs.locks.hold("r2"):
        assert runs.forget(days=1).count == 0
        assert runs.forget(run_id="r1").count == 1
        with pytest.raises(Misuse, match="still going on"):
            runs.forget(run_id="r2")
        database.execute("UPDATE runs SET created = '2020-01-01T00:00:00.000Z'")
        assert runs.forget(days=30).count == 1
    for table in ("runs", "steps", "events"):
        column = "id" if table == "runs" else "run"
        assert {row[0] for row in database.execute(f"SELECT {column} FROM {table}")} == {"r2"}


def test_costs_add_up_and_one_unknown_makes_the_sum_unknown(tmp_path: Path):
    runs = Runs(connect(tmp_path), tmp_path)
    runs.begin("r", "orchestrate", "task", {})
    runs.attempt("r", attempt(cost_usd=0.25))
    runs.attempt("r", attempt(status="server"))
    runs.attempt("r", attempt(cost_usd=0.5))
    assert runs.latest(1)[0].cost_usd == 0.75
    runs.attempt("r", attempt(cost_usd=None))
    assert runs.latest(1)[0].cost_usd is None


def test_outcomes_speak_softly_and_only_when_there_are_some(tmp_path: Path):
    now = [1_000_000.0]
    outcomes = Outcomes(connect(tmp_path), lambda: now[0])
    for _ in range(4):
        outcomes.record("a", "bad", "general", False, 10)
    assert outcomes.learned("a", "bad") == 0
    for _ in range(20):
        outcomes.record("a", "bad", "general", False, 10)
        outcomes.record("a", "good", "vote", True, 30)
    assert outcomes.learned("a", "bad") == -3
    assert 0 < outcomes.learned("a", "good") <= 3
    rows = outcomes.report(None, "vote")
    assert [(row["model"], row["calls"], row["successRate"], row["averageMs"]) for row in rows] == [
        ("good", 20, 1.0, 30)
    ]
    now[0] += 8 * 86_400
    assert outcomes.learned("a", "bad") == 0
    outcomes.record("a", "bad", "general", True, 10)
    now[0] -= 8 * 86_400
    assert sum(row["calls"] for row in outcomes.report("a", "general")) == 1, "the old ones are gone"


def test_the_file_is_never_readable_by_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing(file: Path, mode: int) -> None: ...

    monkeypatch.setattr(Path, "chmod", nothing)  # what is mended later has been read by then
    before = os.umask(0)
    try:
        connect(tmp_path).close()
    finally:
        os.umask(before)
    assert {stat.S_IMODE(file.stat().st_mode) for file in tmp_path.iterdir()} == {0o600}
