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

from nexus.config import checks, limits, lines, unknown, vendors, words
from nexus.config.expand import Expansion, expand
from nexus.config.finding import Finding
from nexus.config.path import Path, touches, write
from nexus.config.root import Config
from nexus.errors import ConfigError, Problem

_PATH = re.compile(r"\('[^()]*\)")
"""How tomllib writes the name of a table."""
_POSITION = re.compile(r" \(at (?:line (\d+), column (\d+)|end of document)\)$")
_ROUNDS = 8
_NOTHING = object()


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
    return _read(text, environ, str(path), files=True)


def loads(text: str, environ: Mapping[str, str], source: str = "") -> Loaded:
    """Read a text.

    Raises:
        ConfigError: it cannot be used; all reasons at once.
    """
    return _read(text, environ, source, files=False)


def _read(text: str, environ: Mapping[str, str], source: str, *, files: bool) -> Loaded:
    try:
        return _Load(text, environ, source).run(files=files)
    except RecursionError:
        raise ConfigError([Problem("", "not valid TOML: nested too deeply")], source) from None


class _Load:
    """One run over one text."""

    def __init__(self, text: str, environ: Mapping[str, str], source: str) -> None:
        self.source = source
        self.text = text
        self.expansion: Expansion = expand(_parse(text, source), environ)
        _borrow(self.expansion, environ)
        self.broken: set[Path] = set(self.expansion.failures)
        self.removed: set[Path] = set()
        self.problems: list[Problem] = []

    def run(self, *, files: bool) -> Loaded:
        for path, message in self.expansion.failures.items():
            self._add(path, message, "set the variable, or write the value itself")
        config = self._validate()
        warnings: list[str] = []
        if config is not None:
            found = [*checks.problems(config), *limits.problems(config)]
            found += checks.check_files(config) if files else ()
            for finding in found:
                self._judge(finding)
            noted = [*unknown.warnings(config), *checks.warnings(config), *limits.warnings(config)]
            warnings = [self._warning(finding) for finding in noted]
        if self.problems or config is None:
            raise ConfigError(sorted(self.problems, key=lambda problem: problem.line or 0), self.source)
        return Loaded(config, tuple(warnings), self.source)

    def _validate(self) -> Config | None:
        """Validate; where something is wrong take it out and go on, so that the rest can be checked too."""
        document = self.expansion.document
        for _ in range(_ROUNDS):
            config, errors = _build(document)
            if config is not None:
                return config
            found = [(words.place(document, error), error) for error in errors]
            for path, error in [each for each in found if not self._follows(*each)]:
                tainted = any(touches(path, place) for place in self.expansion.tainted)
                message, cure = words.explain(Config, path, error, secret=tainted)
                self._add(path, message, cure)
            self.removed.update(path for path, _ in found)
            self.broken |= self.removed
            document = _without(document, [path for path, _ in found])
        return None

    def _follows(self, path: Path, error: ErrorDetails) -> bool:
        """Tell whether an error is but the consequence of a mistake already told."""
        if error["type"] == "extra_forbidden":
            return False
        if error["type"] == "missing" and any(path[:-1] == taken[:-1] for taken in self.removed):
            return True  # what was taken out decided which keys the table needs, or was the key itself
        if error["type"] == "missing":
            return False
        return any(touches(path, known) for known in self.broken)

    def _judge(self, finding: Finding) -> None:
        if any(touches(needed, broken) for needed in finding.needs for broken in self.broken):
            return
        self._add(finding.path, self._hide(finding.message), finding.cure)

    def _add(self, path: Path, message: str, cure: str) -> None:
        self.problems.append(Problem(write(path), message, cure, self._line(path)))

    def _warning(self, finding: Finding) -> str:
        line = self._line(finding.path)
        where = (f"line {line}: " if line else "") + (f"{write(finding.path)}: " if finding.path else "")
        return where + self._hide(finding.message) + (f"; {finding.cure}" if finding.cure else "")

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


def _borrow(expansion: Expansion, environ: Mapping[str, str]) -> None:
    """Add the providers of the environment, where the file asks for them and does not name them itself."""
    llm = expansion.document.get("llm")
    if not isinstance(llm, dict) or cast("dict[str, object]", llm).get("from_environment") is not True:
        return
    providers = cast("dict[str, object]", llm).setdefault("providers", {})
    if not isinstance(providers, dict):
        return
    for name, (vendor, variable) in vendors.found(environ).items():
        if name in providers:
            continue
        providers[name] = vendors.provider(vendor, variable, environ)
        expansion.values.add(environ[variable].strip())
        expansion.tainted |= {("llm", "providers", name, "api_key"), ("llm", "providers", name, "base_url")}


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
    reason = _PATH.sub(lambda path: ".".join(re.findall(r"'([^']*)'", path[0])), reason)
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
    """Take out what the paths name; what is not there, or stands in an array, takes its table along."""
    targets = {_target(document, path) for path in paths}
    if () in targets:
        return {}
    document = copy.deepcopy(document)
    for target in targets:
        here: object = document
        for part in target[:-1]:
            here = _step(here, part)
        if isinstance(here, dict):
            cast("dict[str | int, object]", here).pop(target[-1], None)
    return document


def _target(document: dict[str, object], path: Path) -> Path:
    """Shorten a path to the last key of a table that is there."""
    here: object = document
    target: Path = ()
    for length, part in enumerate(path, 1):
        inner = _step(here, part)
        if inner is _NOTHING:
            break
        if isinstance(here, dict):
            target = path[:length]
        here = inner
    return target


def _step(here: object, part: str | int) -> object:
    if isinstance(here, dict):
        return cast("dict[str | int, object]", here).get(part, _NOTHING)
    if isinstance(here, list) and isinstance(part, int) and part < len(cast("list[object]", here)):
        return cast("list[object]", here)[part]
    return _NOTHING
