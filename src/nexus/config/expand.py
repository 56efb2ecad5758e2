"""`{{ env.NAME }}` in the strings of a document, from the environment handed in and no other."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import cast

from nexus.config.path import Path, write

_TOKEN = re.compile(r"\{\{\s*([A-Za-z0-9_.]+)\s*\}\}")


@dataclass(slots=True)
class Expansion:
    """What became of a document: which strings failed, which hold something of the environment."""

    document: dict[str, object]
    failures: dict[Path, str] = field(default_factory=dict[Path, str])
    tainted: set[Path] = field(default_factory=set[Path])
    values: set[str] = field(default_factory=set[str])


def expand(document: dict[str, object], environ: Mapping[str, str]) -> Expansion:
    """Expand every string of a document; one that fails stays as it was."""
    result = Expansion(document)
    result.document = cast("dict[str, object]", _walk(document, (), environ, result))
    return result


def _walk(value: object, path: Path, environ: Mapping[str, str], result: Expansion) -> object:
    match value:
        case str():
            return _string(value, path, environ, result)
        case dict():
            table = cast("dict[str, object]", value)
            return {key: _walk(item, (*path, key), environ, result) for key, item in table.items()}
        case list():
            items = cast("list[object]", value)
            return [_walk(item, (*path, index), environ, result) for index, item in enumerate(items)]
        case _:
            return value


def _string(value: str, path: Path, environ: Mapping[str, str], result: Expansion) -> str:
    error = ""

    def replace(token: re.Match[str]) -> str:
        nonlocal error
        scope, _, name = token[1].partition(".")
        if scope != "env" or not name or "." in name:
            error = f"right now only variables scoped with 'env.' are supported: `{token[1]}`"
            return ""
        found = environ.get(name)
        if found is None:
            error = f"environment variable not found: `{name}`"
            return ""
        result.tainted.add(path)
        result.values.add(found)
        return found

    expanded = _TOKEN.sub(replace, value)
    if not error:
        return expanded
    # of several failures in one string the last is told, as it always was
    result.failures[path] = f"Failed to expand dynamic string at path '{write(path)}': {error}"
    return value
