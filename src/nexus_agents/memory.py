"""What agents remember: entries with full-text search, of one project or of all, that can be taken out and forgotten."""

import hashlib
import math
import re
import sqlite3
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any, get_args

import msgspec

from nexus_agents.errors import Misuse
from nexus_agents.options import Confidence, MemoryKind
from nexus_agents.results import Forgotten, MemoryEntry, MemoryFound, MemoryStats, MemoryWritten

KINDS: tuple[MemoryKind, ...] = get_args(MemoryKind)
"""What the tools call backends: here they are kinds of entries in one table."""
GLOBAL = "global"
_CONFIDENCE: dict[Confidence, float] = {"high": 0.9, "medium": 0.7, "low": 0.4}
_HALF_LIFE = 30 * 86_400.0
_WORD = re.compile(r"\w+")
_LONGEST = {"key": 200, "content": 5_000, "query": 500}


class Memory:
    """The entries a project sees: its own and the global ones."""

    def __init__(
        self, database: sqlite3.Connection, project: Path, path: Path, now: Callable[[], float] = time.time
    ) -> None:
        self._database = database
        self._scope = scope_of(project)
        self._path = path
        self._now = now

    def write(
        self,
        key: str,
        content: str,
        *,
        kind: str = "session",
        confidence: Confidence = "medium",
        metadata: Mapping[str, Any] = MappingProxyType({}),
        everywhere: bool = False,
    ) -> MemoryWritten:
        """Remember something; the same key and content of a kind is one entry, written again.

        Raises:
            Misuse: a kind there is not, or a text that is empty or too long.
        """
        _check(kind)
        key, content = _text("key", key), _text("content", content)
        tags = metadata.get("tags", ())
        words = [str(tag) for tag in tags] if isinstance(tags, (list, tuple)) else []  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
        scope, now = GLOBAL if everywhere else self._scope, self._now()
        known = self._database.execute(
            "SELECT id FROM memory WHERE kind = ? AND scope = ? AND key = ? AND content = ?",
            (kind, scope, key, content),
        ).fetchone()
        row = self._database.execute(
            "INSERT INTO memory (kind, scope, key, content, confidence, tags, metadata, created, updated)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (kind, scope, key, content) DO UPDATE SET"
            " confidence = excluded.confidence, tags = excluded.tags, metadata = excluded.metadata, updated = excluded.updated"
            " RETURNING id",
            (
                kind,
                scope,
                key,
                content,
                _CONFIDENCE[confidence],
                " ".join(words),
                msgspec.json.encode(dict(metadata)).decode(),
                now,
                now,
            ),
        ).fetchall()[0]
        return MemoryWritten(
            success=True, backend=kind, key=key, id=row["id"], deduplicated=known is not None
        )

    def find(self, query: str, *, limit: int = 10, kind: str | None = None) -> MemoryFound:
        """Find what fits best: by its words, how sure it is and how lately it was written.

        Raises:
            Misuse: a kind there is not, or a query that is empty or too long.
        """
        if kind is not None:
            _check(kind)
        words = _WORD.findall(_text("query", query).lower())
        # quoted, so that no word is taken for an operator
        match = " OR ".join(f'"{word}"' for word in dict.fromkeys(words))
        rows = (
            self._database.execute(
                "SELECT memory.*, bm25(memory_text, 2.0, 1.0, 1.5) AS rank FROM memory_text"
                " JOIN memory ON memory.id = memory_text.rowid"
                " WHERE memory_text MATCH ? AND scope IN (?, ?) AND kind = coalesce(?, kind) ORDER BY rank LIMIT 200",
                (match, self._scope, GLOBAL, kind),
            ).fetchall()
            if match
            else []
        )
        scored = sorted(
            ((self._relevance(row), row) for row in rows), key=lambda one: (-one[0], one[1]["id"])
        )
        best = scored[: max(1, min(limit, 50))]
        self._database.executemany(
            "UPDATE memory SET uses = uses + 1 WHERE id = ?", [(row["id"],) for _, row in best]
        )
        found = tuple(self._entry(row, relevance) for relevance, row in best)
        return MemoryFound(query=query, results=found, count=len(found), source=kind or "all")

    def forget(self, *, entry: int | None = None, key: str | None = None) -> Forgotten:
        """Delete an entry, or all with a key, of what this project sees.

        Raises:
            Misuse: neither or both were given.
        """
        if (entry is None) == (key is None):
            raise Misuse("Forgetting takes either an entry's number or a key.")
        done = self._database.execute(
            "DELETE FROM memory WHERE (id = ? OR key = ?) AND scope IN (?, ?)",
            (entry, key, self._scope, GLOBAL),
        )
        return Forgotten(count=done.rowcount)

    def stats(self) -> MemoryStats:
        """Count entries."""
        by = {
            column: {
                row[0]: row[1]
                for row in self._database.execute(f"SELECT {column}, count(*) FROM memory GROUP BY {column}")
            }
            for column in ("kind", "scope")
        }
        return MemoryStats(
            backends={kind: by["kind"].get(kind, 0) for kind in KINDS},
            total=sum(by["kind"].values()),
            scopes=by["scope"],
            size_bytes=self._path.stat().st_size if self._path.exists() else 0,
            path=str(self._path),
            collected_at=_iso(self._now()),
        )

    def export(self) -> str:
        """Write everything this project sees as Markdown."""
        rows = self._database.execute(
            "SELECT * FROM memory WHERE scope IN (?, ?) ORDER BY scope, kind, key, id", (self._scope, GLOBAL)
        ).fetchall()
        parts, heading = ["# Memory"], ""
        for row in rows:
            entry = self._entry(row, 0.0)
            here = f"## {'Everywhere' if entry.scope == GLOBAL else 'This project'}: {entry.source}"
            if here != heading:
                parts.append(here)
                heading = here
            tags = f" · {', '.join(entry.tags)}" if entry.tags else ""
            body = "\n".join(f"> {line}" for line in entry.content.splitlines())
            parts.append(
                f"### {entry.key}\n\n{body}\n\n{entry.confidence} confidence · {entry.timestamp}{tags}"
            )
        return "\n\n".join(parts) + "\n"

    def _relevance(self, row: sqlite3.Row) -> float:
        """Weigh words 6, confidence 2, recency 2, to a number between 0 and 1."""
        words = 1 - math.exp(row["rank"])  # bm25 is negative, the lower the better
        words = max(0.0, min(1.0, words + 0.3))
        recency = 0.5 ** ((self._now() - row["updated"]) / _HALF_LIFE)
        return round(0.6 * words + 0.2 * row["confidence"] + 0.2 * recency, 4)

    def _entry(self, row: sqlite3.Row, relevance: float) -> MemoryEntry:
        sure = min(_CONFIDENCE, key=lambda name: abs(_CONFIDENCE[name] - row["confidence"]))
        return MemoryEntry(
            id=row["id"],
            source=row["kind"],
            key=row["key"],
            content=row["content"],
            confidence=sure,
            scope=row["scope"],
            tags=tuple(row["tags"].split()),
            relevance=relevance,
            created=_iso(row["created"]),
            timestamp=_iso(row["updated"]),
            uses=row["uses"],
            metadata=msgspec.json.decode(row["metadata"]),
        )


def scope_of(project: Path) -> str:
    """Name a project: the directory that holds its repository, or the one given."""
    root = next((one for one in (project, *project.parents) if (one / ".git").exists()), project)
    return f"{root.name}-{hashlib.sha256(str(root.resolve()).encode()).hexdigest()[:12]}"


def _check(kind: str) -> None:
    if kind not in KINDS:
        raise Misuse(f'There is no memory "{kind}".', f"There are {', '.join(KINDS)}.")


def _text(name: str, text: str) -> str:
    text = text.strip()
    if not 1 <= len(text) <= _LONGEST[name]:
        raise Misuse(f"A {name} has 1 to {_LONGEST[name]} characters; this one has {len(text)}.")
    return text


def _iso(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
