"""How models did lately on this machine: a small, bounded voice in routing, and the weather report."""

import sqlite3
import time
from collections.abc import Callable
from typing import Any

RECENT = 7 * 86_400.0
ENOUGH = 5
"""Outcomes below this number say nothing."""
MOST = 3.0
"""Points an adjustment may add or take."""


class Outcomes:
    """The outcomes of calls, newest 7 days."""

    def __init__(self, database: sqlite3.Connection, now: Callable[[], float] = time.time) -> None:
        self._database = database
        self._now = now

    def record(self, adapter: str, model: str, category: str, ok: bool, duration_ms: int) -> None:
        """Write down one outcome, and forget those of the model that are too old to count."""
        self._database.execute(
            "DELETE FROM outcomes WHERE adapter = ? AND model = ? AND at <= ?",
            (adapter, model, self._now() - RECENT),
        )
        self._database.execute(
            "INSERT INTO outcomes (adapter, model, category, ok, duration_ms, at) VALUES (?, ?, ?, ?, ?, ?)",
            (adapter, model, category, ok, duration_ms, self._now()),
        )

    def learned(self, adapter: str, model: str) -> float:
        """Tell what routing should add for a model: 0 at four of five right, never more than 3 either way."""
        row = self._database.execute(
            "SELECT count(*) AS n, avg(ok) AS rate FROM outcomes WHERE adapter = ? AND model = ? AND at > ?",
            (adapter, model, self._now() - RECENT),
        ).fetchone()
        if row["n"] < ENOUGH:
            return 0.0
        return max(-MOST, min(MOST, (row["rate"] - 0.8) * 5))

    def report(self, adapter: str | None, category: str | None) -> list[dict[str, Any]]:
        """Give the success rate and average duration of each model and category."""
        rows = self._database.execute(
            "SELECT adapter, model, category, count(*) AS calls, avg(ok) AS rate, avg(duration_ms) AS duration"
            " FROM outcomes WHERE at > ? AND adapter = coalesce(?, adapter) AND category = coalesce(?, category)"
            " GROUP BY adapter, model, category ORDER BY calls DESC, adapter, model",
            (self._now() - RECENT, adapter, category),
        )
        return [
            {
                "adapter": row["adapter"],
                "model": row["model"],
                "category": row["category"],
                "calls": row["calls"],
                "successRate": round(row["rate"], 3),
                "averageMs": round(row["duration"]),
                "adjustment": round(self.learned(row["adapter"], row["model"]), 2),
            }
            for row in rows.fetchall()
        ]
