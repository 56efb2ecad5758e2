"""The one SQLite file: traces, outcomes, memory and research. It knows tables and nothing of what they mean."""

import os
import sqlite3
from pathlib import Path

from nexus_agents.errors import AgentsError

_SCHEMA = (
    """
    CREATE TABLE runs (
        id TEXT PRIMARY KEY, kind TEXT NOT NULL, task TEXT NOT NULL, options TEXT NOT NULL, status TEXT NOT NULL,
        created TEXT NOT NULL, finished TEXT, text TEXT NOT NULL DEFAULT '', error TEXT,
        input_tokens INTEGER NOT NULL DEFAULT 0, output_tokens INTEGER NOT NULL DEFAULT 0, cost_usd REAL,
        calls INTEGER NOT NULL DEFAULT 0, unpriced INTEGER NOT NULL DEFAULT 0
    ) STRICT;
    CREATE INDEX runs_by_time ON runs (created);
    CREATE TABLE steps (
        run TEXT NOT NULL REFERENCES runs (id) ON DELETE CASCADE, id TEXT NOT NULL, position INTEGER NOT NULL,
        title TEXT NOT NULL, task TEXT NOT NULL, expert TEXT NOT NULL, depends_on TEXT NOT NULL, status TEXT NOT NULL,
        output TEXT NOT NULL DEFAULT '', model TEXT, PRIMARY KEY (run, id)
    ) STRICT;
    CREATE TABLE events (
        run TEXT NOT NULL REFERENCES runs (id) ON DELETE CASCADE, seq INTEGER NOT NULL, at TEXT NOT NULL,
        type TEXT NOT NULL, step TEXT, data TEXT NOT NULL, PRIMARY KEY (run, seq)
    ) STRICT;
    CREATE TABLE outcomes (
        adapter TEXT NOT NULL, model TEXT NOT NULL, category TEXT NOT NULL, ok INTEGER NOT NULL,
        duration_ms INTEGER NOT NULL, at REAL NOT NULL
    ) STRICT;
    CREATE INDEX outcomes_by_model ON outcomes (adapter, model, at);
    CREATE TABLE memory (
        id INTEGER PRIMARY KEY, kind TEXT NOT NULL, scope TEXT NOT NULL, key TEXT NOT NULL, content TEXT NOT NULL,
        confidence REAL NOT NULL, tags TEXT NOT NULL, metadata TEXT NOT NULL, created REAL NOT NULL,
        updated REAL NOT NULL, uses INTEGER NOT NULL DEFAULT 0, UNIQUE (kind, scope, key, content)
    ) STRICT;
    CREATE VIRTUAL TABLE memory_text USING fts5 (
        key, content, tags, content='memory', content_rowid='id', tokenize='porter unicode61'
    );
    CREATE TRIGGER memory_added AFTER INSERT ON memory BEGIN
        INSERT INTO memory_text (rowid, key, content, tags) VALUES (new.id, new.key, new.content, new.tags);
    END;
    CREATE TRIGGER memory_gone AFTER DELETE ON memory BEGIN
        INSERT INTO memory_text (memory_text, rowid, key, content, tags)
        VALUES ('delete', old.id, old.key, old.content, old.tags);
    END;
    CREATE TRIGGER memory_changed AFTER UPDATE OF key, content, tags ON memory BEGIN
        INSERT INTO memory_text (memory_text, rowid, key, content, tags)
        VALUES ('delete', old.id, old.key, old.content, old.tags);
        INSERT INTO memory_text (rowid, key, content, tags) VALUES (new.id, new.key, new.content, new.tags);
    END;
    CREATE TABLE papers (
        id TEXT PRIMARY KEY, title TEXT NOT NULL, url TEXT NOT NULL, summary TEXT NOT NULL, authors TEXT NOT NULL,
        published TEXT NOT NULL, topics TEXT NOT NULL, priority TEXT, status TEXT NOT NULL, added TEXT NOT NULL
    ) STRICT;
    CREATE TABLE pending (
        id TEXT PRIMARY KEY, title TEXT NOT NULL, url TEXT NOT NULL, source TEXT NOT NULL, topic TEXT NOT NULL,
        state TEXT NOT NULL, found TEXT NOT NULL
    ) STRICT;
    """,
)
"""One script for each version; never edit one that was released, add the next."""


def connect(data_dir: Path) -> sqlite3.Connection:
    """Open the file, making or upgrading it. Several processes may have it open.

    Raises:
        AgentsError: the directory cannot be written, or the file is of a later version or no database.
    """
    path = data_dir / "agents.db"
    try:
        data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        # never readable by others, not even for a moment
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
        path.chmod(0o600)
        database = sqlite3.connect(path, timeout=10, isolation_level=None)
        database.row_factory = sqlite3.Row
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = NORMAL")
        database.execute("PRAGMA foreign_keys = ON")
        _upgrade(database, path)
    except (OSError, sqlite3.Error) as error:
        raise AgentsError(
            f"The data file {path} cannot be used: {error}.", "Set NEXUS_DATA_DIR to a writable directory."
        ) from error
    return database


def _upgrade(database: sqlite3.Connection, path: Path) -> None:
    version: int = database.execute("PRAGMA user_version").fetchone()[0]
    if version > len(_SCHEMA):
        raise AgentsError(f"{path} was written by a later version.")
    if version == len(_SCHEMA):
        return
    # another process may have upgraded while this one waited for the lock
    database.execute("BEGIN EXCLUSIVE")
    version = database.execute("PRAGMA user_version").fetchone()[0]
    scripts = "".join(_SCHEMA[version:])
    if version < len(_SCHEMA):
        for statement in _statements(scripts):
            database.execute(statement)
        database.execute(f"PRAGMA user_version = {len(_SCHEMA)}")
    database.execute("COMMIT")


def _statements(script: str) -> list[str]:
    """Cut a script into statements: `executescript` would commit in between."""
    found, begun = list[str](), ""
    for line in script.splitlines():
        begun += line + "\n"
        if sqlite3.complete_statement(begun):
            found.append(begun)
            begun = ""
    return found
