"""From text to `Config`: parse, expand, validate, check.

Every mistake is collected; only a syntax error stands alone.
"""

import copy
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path as File
from typing import cast

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from nexus.config import checks, limits, lines, pending, unknown, words
from nexus.config.expand import Expansion, expand
from nexus.config.finding import Finding
from nexus.config.path import Path, touches, write
from nexus.config.root import Config
from nexus.errors import ConfigError, Problem

_POSITION = re.compile(r" \(at (?:line (\d+), column (\d+)|end of document)\)$")
_ROUNDS = 5


@dataclass(frozen=True, slots=True)
class Loaded:
    """A configuration that may be used."""

    config: Config
    warnings: tuple[str, ...]
    """What is worth telling; held back until there is a log."""
    origin: str = ""
    """Where it came from."""


def load(path: File, environ: Mapping[str, str]) -> Loaded:
    """Read a file, check that the files it names are there, refuse what this version cannot do.

    Raises:
        ConfigError: it cannot be used; all reasons at once.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        cure = "name another file with --config" if isinstance(error, FileNotFoundError) else ""
        raise ConfigError(
            [Problem("", f"cannot read the file: {error.strerror or error}", cure)], str(path)
        ) from None
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise ConfigError(
            [Problem("", "the file is not UTF-8", "save it as UTF-8", line)], str(path)
        ) from None
    return _read(text, environ, str(path), files=True, pending_too=True)


def loads(text: str, environ: Mapping[str, str], source: str = "", *, pending: bool = True) -> Loaded:
    """Read a text; `pending=False` also accepts what this version cannot do yet.

    Raises:
        ConfigError: it cannot be used; all reasons at once.
    """
    return _read(text, environ, source, files=False, pending_too=pending)


def _read(text: str, environ: Mapping[str, str], source: str, *, files: bool, pending_too: bool) -> Loaded:
    try:
        return _Load(text, environ, source).run(files=files, pending_too=pending_too)
    except RecursionError:
        raise ConfigError([Problem("", "not valid TOML: nested too deeply")], source) from None


class _Load:
    """One run over one text."""

    def __init__(self, text: str, environ: Mapping[str, str], source: str) -> None:
        self.source = source
        self.text = text
        self.expansion: Expansion = expand(_parse(text, source), environ)
        self.broken: set[Path] = set(self.expansion.failures)
        self.problems: list[Problem] = []

    def run(self, *, files: bool, pending_too: bool) -> Loaded:
        for path, message in self.expansion.failures.items():
            self._add(path, message, "set the variable, or write the value itself")
        config = self._validate()
        warnings: list[str] = []
        if config is not None:
            found = [*checks.problems(config), *limits.problems(config)]
            found += checks.check_files(config) if files else ()
            found += pending.problems(config) if pending_too else ()
            for finding in found:
                self._judge(finding)
            noted = [*unknown.warnings(config), *limits.warnings(config)]
            noted += pending.warnings(config) if pending_too else ()
            warnings = [self._warning(finding) for finding in noted]
        if self.problems or config is None:
            raise ConfigError(sorted(self.problems, key=lambda problem: problem.line or 0), self.source)
        return Loaded(config, tuple(warnings), self.source)

    def _validate(self) -> Config | None:
        """Validate; where something is wrong take it out and go on, so that the rest can be checked too."""
        document = self.expansion.document
        told: set[tuple[Path, str]] = set()
        for _ in range(_ROUNDS):
            config, errors = _build(document)
            for error in errors:
                path = words.place(document, error)
                self._schema(path, error, told)
            if config is not None:
                return config
            document = _without(document, [words.place(document, error) for error in errors])
        return None

    def _schema(self, path: Path, error: ErrorDetails, told: set[tuple[Path, str]]) -> None:
        caused = any(touches(path, broken) for broken in self.expansion.failures) and error["type"] not in (
            "extra_forbidden",
            "missing",
        )
        # what was taken out in an earlier round is missed in a later one
        removed = error["type"] == "missing" and any(touches(path, broken) for broken in self.broken)
        if caused or removed or (path, error["type"]) in told:
            self.broken.add(path)
            return
        told.add((path, error["type"]))
        self.broken.add(path)
        tainted = any(touches(path, place) for place in self.expansion.tainted)
        message, cure = words.explain(Config, path, error, secret=tainted)
        self._add(path, message, cure)

    def _judge(self, finding: Finding) -> None:
        if any(touches(needed, broken) for needed in finding.needs for broken in self.broken):
            return
        self._add(finding.path, self._hide(finding.message), self._hide(finding.cure))

    def _add(self, path: Path, message: str, cure: str) -> None:
        self.problems.append(Problem(write(path), message, cure, self._line(path)))

    def _warning(self, finding: Finding) -> str:
        line = self._line(finding.path)
        where = (f"line {line}: " if line else "") + (f"{write(finding.path)}: " if finding.path else "")
        return where + self._hide(finding.message + (f"; {finding.cure}" if finding.cure else ""))

    def _hide(self, message: str) -> str:
        """Take out what came from the environment, should a check have repeated it."""
        for value in sorted(self.expansion.values, key=len, reverse=True):
            if len(value) > 2:
                message = message.replace(value, "…")
        return message

    def _line(self, path: Path) -> int | None:
        # a missing key has no line: its table has
        return self._lines.get(path) or self._lines.get(path[:-1])

    @cached_property
    def _lines(self) -> dict[Path, int]:
        return lines.index(self.text)


def _parse(text: str, source: str) -> dict[str, object]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError([_syntax(text, str(error))], source) from None


def _syntax(text: str, message: str) -> Problem:
    position = _POSITION.search(message)
    if position is None:
        return Problem("", f"not valid TOML: {message}")
    reason = message[: position.start()]
    reason = reason[:1].lower() + reason[1:]
    if position[1] is None:
        return Problem("", f"not valid TOML: {reason} at the end of the file", line=text.count("\n") + 1)
    return Problem("", f"not valid TOML: {reason} (column {position[2]})", line=int(position[1]))


def _build(document: dict[str, object]) -> tuple[Config | None, list[ErrorDetails]]:
    try:
        return Config.model_validate(document), []
    except ValidationError as error:
        return None, error.errors(include_url=False)


def _without(document: dict[str, object], paths: Iterable[Path]) -> dict[str, object]:
    document = copy.deepcopy(document)
    for path in sorted(paths, key=len, reverse=True):
        _remove(document, path)
    return document


def _remove(document: dict[str, object], path: Path) -> None:
    """Take out what a path names; what is not there, or stands in an array, takes its table along."""
    here: object = document
    last: tuple[dict[str | int, object], str | int] | None = None
    for part in path:
        if isinstance(here, dict) and part in here:
            table = cast("dict[str | int, object]", here)
            last = table, part
            here = table[part]
        elif isinstance(here, list) and isinstance(part, int):
            here = cast("list[object]", here)[part]
        else:
            break
    if last is None:
        document.clear()
    else:
        last[0].pop(last[1], None)
