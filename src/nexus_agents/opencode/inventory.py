"""The models OpenCode last listed, kept for a while: asking takes it some seconds, and every command would wait for it."""

import contextlib
import hashlib
import os
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import msgspec

from nexus_agents.opencode.config import Config

FRESH = 600.0
"""Seconds a list is believed."""
_MOST = 16


class _Entry(msgspec.Struct, frozen=True):
    at: float
    models: tuple[str, ...]


_decoder = msgspec.json.Decoder(dict[str, _Entry])


def key(program: str, directory: Path, config: Config, environ: Mapping[str, str]) -> str:
    """Name what a list depends on: the program, where it runs, what is configured, and which keys it sees, not their values."""
    try:
        changed = Path(program).stat().st_mtime_ns
    except OSError:
        changed = 0
    facts = [program, str(changed), str(directory), *sorted(environ)]
    facts += [part for source in config.sources for part in (source.name, source.text)]
    return hashlib.sha256("\0".join(facts).encode()).hexdigest()


class Inventory:
    """One file of lists. What goes wrong with it only costs time."""

    def __init__(self, path: Path, clock: Callable[[], float] = time.time) -> None:
        self._path = path
        self._clock = clock

    def read(self, key: str) -> tuple[str, ...] | None:
        """Give a list that is still believed."""
        entry = self._entries().get(key)
        return entry.models if entry and 0 <= self._clock() - entry.at < FRESH else None

    def write(self, key: str, models: Iterable[str]) -> None:
        """Keep a list; the oldest ones go."""
        entries = {**self._entries(), key: _Entry(self._clock(), tuple(models))}
        latest = sorted(entries.items(), key=lambda item: item[1].at)[-_MOST:]
        with contextlib.suppress(OSError):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(dir=self._path.parent, prefix=f".{self._path.name}.")
            with os.fdopen(handle, "wb") as file:
                file.write(msgspec.json.encode(dict(latest)))
            os.replace(name, self._path)

    def _entries(self) -> dict[str, _Entry]:
        try:
            return _decoder.decode(self._path.read_bytes())
        except (OSError, msgspec.DecodeError):
            return {}
