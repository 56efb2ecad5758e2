"""Runs, their steps and their events, on disk as they happen: what a crash leaves can be read and resumed."""

import secrets
import sqlite3
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, cast, get_args

import msgspec

from nexus_agents.errors import UnknownRun
from nexus_agents.locks import Locks
from nexus_agents.results import Attempt, Forgotten, RunSummary, Step, Trace, TraceEvent

Status = Literal["running", "done", "failed", "interrupted", "budget"]
_STATUSES = frozenset(get_args(Status))


class Planned(msgspec.Struct, frozen=True, kw_only=True):
    """A step as it is stored: with the words its expert is given."""

    id: str
    title: str
    task: str
    expert: str
    depends_on: tuple[str, ...] = ()
    status: str = "pending"
    output: str = ""
    model: str | None = None

    def shown(self) -> Step:
        return Step(
            id=self.id,
            title=self.title,
            expert=self.expert,
            depends_on=self.depends_on,
            status=self.status,
            output=self.output,
            model=self.model,
        )


def now() -> str:
    """Give the time as it is stored: UTC, milliseconds."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def new_id(kind: str) -> str:
    """Make an id that sorts by time."""
    return f"{kind}-{datetime.now(UTC):%Y%m%d%H%M%S}-{secrets.token_hex(3)}"


class Runs:
    """Everything stored about runs. A run that goes on holds a lock; one that should and does not was interrupted."""

    def __init__(self, database: sqlite3.Connection, data_dir: Path) -> None:
        self._database = database
        self.locks = Locks(data_dir / "runs")

    def begin(self, run_id: str, kind: str, task: str, options: Mapping[str, Any]) -> None:
        """Write down a run that starts."""
        self._database.execute(
            "INSERT INTO runs (id, kind, task, options, status, created) VALUES (?, ?, ?, ?, 'running', ?)",
            (run_id, kind, task, _text(options), now()),
        )
        self.event(run_id, "run_started", {"kind": kind})

    def again(self, run_id: str) -> None:
        """Write down that a run goes on: steps that were under way start over."""
        with self._transaction():
            self._database.execute(
                "UPDATE runs SET status = 'running', error = NULL, finished = NULL WHERE id = ?", (run_id,)
            )
            self._database.execute(
                "UPDATE steps SET status = 'pending', output = '' WHERE run = ? AND status != 'done'",
                (run_id,),
            )
            self.event(run_id, "resumed", {})

    def finish(self, run_id: str, status: Status, *, text: str = "", error: str | None = None) -> None:
        """Write down how a run ended."""
        with self._transaction():
            self._database.execute(
                "UPDATE runs SET status = ?, text = ?, error = ?, finished = ? WHERE id = ?",
                (status, text, error, now(), run_id),
            )
            self.event(
                run_id, "run_done" if status == "done" else "run_failed", {"status": status, "error": error}
            )

    def plan(self, run_id: str, steps: tuple[Planned, ...], data: Mapping[str, Any]) -> None:
        """Write down the steps, all or none."""
        with self._transaction():
            self._database.execute("DELETE FROM steps WHERE run = ?", (run_id,))
            self._database.executemany(
                "INSERT INTO steps (run, id, position, title, task, expert, depends_on, status)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                [
                    (run_id, s.id, at, s.title, s.task, s.expert, _text(s.depends_on), s.status)
                    for at, s in enumerate(steps)
                ],
            )
            self.event(run_id, "plan", {"steps": [step.id for step in steps], **data})

    def step(
        self,
        run_id: str,
        step_id: str,
        status: str,
        *,
        output: str = "",
        model: str | None = None,
        why: str = "",
    ) -> None:
        """Write down what became of a step."""
        with self._transaction():
            self._database.execute(
                "UPDATE steps SET status = ?, output = ?, model = ? WHERE run = ? AND id = ?",
                (status, output, model, run_id, step_id),
            )
            kind = "step_started" if status == "running" else f"step_{status}"
            self.event(run_id, kind, {"why": why} if why else {}, step_id)

    def attempt(self, run_id: str, attempt: Attempt) -> None:
        """Write down one call to a model and add what it used to the run."""
        with self._transaction():
            self.event(run_id, "attempt", msgspec.to_builtins(attempt), attempt.step)
            self._database.execute(
                "UPDATE runs SET input_tokens = input_tokens + ?, output_tokens = output_tokens + ?, calls = calls + 1,"
                " cost_usd = coalesce(cost_usd, 0) + ?, unpriced = unpriced + ? WHERE id = ?",
                (
                    attempt.input_tokens,
                    attempt.output_tokens,
                    attempt.cost_usd or 0.0,
                    attempt.cost_usd is None and attempt.status == "ok",
                    run_id,
                ),
            )

    def event(self, run_id: str, type_: str, data: Mapping[str, Any], step: str | None = None) -> None:
        """Append an event."""
        self._database.execute(
            "INSERT INTO events (run, seq, at, type, step, data)"
            " SELECT ?, coalesce(max(seq), 0) + 1, ?, ?, ?, ? FROM events WHERE run = ?",
            (run_id, now(), type_, step, _text(data), run_id),
        )

    def steps(self, run_id: str) -> tuple[Planned, ...]:
        """Read the steps in their order."""
        rows = self._database.execute("SELECT * FROM steps WHERE run = ? ORDER BY position", (run_id,))
        return tuple(
            Planned(
                id=row["id"],
                title=row["title"],
                task=row["task"],
                expert=row["expert"],
                depends_on=msgspec.json.decode(row["depends_on"], type=tuple[str, ...]),
                status=row["status"],
                output=row["output"],
                model=row["model"],
            )
            for row in rows
        )

    def has(self, run_id: str, event_type: str) -> bool:
        """Tell whether something of a kind happened in a run."""
        found = self._database.execute(
            "SELECT 1 FROM events WHERE run = ? AND type = ? LIMIT 1", (run_id, event_type)
        )
        return found.fetchone() is not None

    def stored(self, run_id: str) -> tuple[str, dict[str, Any], RunSummary]:
        """Read a run's task, options and summary.

        Raises:
            UnknownRun: there is none, or a prefix fits several.
        """
        row = self._row(run_id)
        return row["task"], msgspec.json.decode(row["options"]), self._summary(row)

    def attempts(self, run_id: str) -> tuple[Attempt, ...]:
        """Read every call to a model."""
        rows = self._database.execute(
            "SELECT data FROM events WHERE run = ? AND type = 'attempt' ORDER BY seq", (run_id,)
        )
        return tuple(msgspec.json.decode(row["data"], type=Attempt) for row in rows)

    def latest(self, limit: int) -> tuple[RunSummary, ...]:
        """Read the newest runs first."""
        rows = self._database.execute("SELECT * FROM runs ORDER BY created DESC, id DESC LIMIT ?", (limit,))
        return tuple(self._summary(row) for row in rows.fetchall())

    def trace(self, run_id: str, event_type: str | None, limit: int) -> Trace:
        """Read a run with its steps and the first `limit` events."""
        row = self._row(run_id)
        rows = self._database.execute(
            "SELECT * FROM events WHERE run = ? AND type = coalesce(?, type) ORDER BY seq LIMIT ?",
            (row["id"], event_type, limit),
        )
        events = tuple(
            TraceEvent(
                seq=event["seq"],
                at=event["at"],
                type=event["type"],
                step=event["step"],
                data=msgspec.json.decode(event["data"]),
            )
            for event in rows
        )
        steps = tuple(step.shown() for step in self.steps(row["id"]))
        return Trace(run=self._summary(row), steps=steps, events=events, text=row["text"])

    def forget(self, *, run_id: str | None = None, days: float | None = None) -> Forgotten:
        """Delete a run, or all that began more than so many days ago; those that go on stay.

        Raises:
            UnknownRun.
            Misuse: the run goes on.
        """
        if run_id is not None:
            ids = [self._row(run_id)["id"]]
        else:
            rows = self._database.execute(
                "SELECT id FROM runs WHERE julianday(created) < julianday('now') - ?", (days,)
            ).fetchall()
            ids = [row["id"] for row in rows if not self.locks.held(row["id"])]
        for one in ids:
            with self.locks.hold(one):
                self._database.execute("DELETE FROM runs WHERE id = ?", (one,))
        return Forgotten(count=len(ids))

    def _row(self, run_id: str) -> sqlite3.Row:
        """Find a run by its id or by a beginning that only one has."""
        rows = self._database.execute(
            "SELECT * FROM runs WHERE id = ?1 OR substr(id, 1, length(?1)) = ?1 ORDER BY id = ?1 DESC LIMIT 2",
            (run_id,),
        ).fetchall()
        if not rows or not run_id:
            raise UnknownRun(
                f'There is no run "{run_id}".', "`nexus-agents trace list` shows those there are."
            )
        if len(rows) > 1 and rows[0]["id"] != run_id:
            raise UnknownRun(f'Several runs begin with "{run_id}".')
        return rows[0]

    def _summary(self, row: sqlite3.Row) -> RunSummary:
        counts = self._database.execute(
            "SELECT count(*) AS total, coalesce(sum(status = 'done'), 0) AS done FROM steps WHERE run = ?",
            (row["id"],),
        ).fetchone()
        status = row["status"] if row["status"] in _STATUSES else "failed"
        if status == "running" and not self.locks.held(row["id"]):
            status = "interrupted"
        return RunSummary(
            run_id=row["id"],
            task=row["task"][:200],
            status=cast(Status, status),
            kind=row["kind"],
            created=row["created"],
            steps_done=counts["done"],
            steps_total=counts["total"],
            input_tokens=row["input_tokens"],
            output_tokens=row["output_tokens"],
            cost_usd=None if row["unpriced"] else row["cost_usd"],
        )

    @contextmanager
    def _transaction(self) -> Generator[None]:
        self._database.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._database.execute("ROLLBACK")
            raise
        self._database.execute("COMMIT")


def _text(value: object) -> str:
    return msgspec.json.encode(value).decode()
