"""OpenCode's configuration: which files count for a directory, in which order, and which variables they name.

The order was seen with OpenCode 1.18 (`opencode debug config`): global, `OPENCODE_CONFIG`, the project from its root down to
the directory, `.opencode`, `OPENCODE_CONFIG_CONTENT`; later wins, objects merge. https://opencode.ai/docs/config
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import msgspec

from nexus_agents.opencode import jsonc

_REFERENCE = re.compile(r"\{env:([A-Za-z_][A-Za-z0-9_]*)\}")


class Source(msgspec.Struct, frozen=True):
    """One configuration that counts."""

    name: str
    """A path, or the variable it stands in."""
    text: str


class Config(msgspec.Struct, frozen=True):
    """What all sources say together."""

    merged: dict[str, Any]
    sources: tuple[Source, ...]
    variables: tuple[str, ...]
    """Those named as `{env:NAME}` anywhere."""
    problems: tuple[str, ...] = ()
    """Files that cannot be read, with line and column."""

    @property
    def model(self) -> str:
        """The default model, where one is configured."""
        model = self.merged.get("model")
        return model if isinstance(model, str) else ""


def home(environ: Mapping[str, str]) -> Path:
    """Tell the user's home directory."""
    return Path(environ.get("HOME") or environ.get("USERPROFILE") or Path.home())


def global_directory(environ: Mapping[str, str]) -> Path:
    """Tell where the configuration for every project is kept."""
    base = environ.get("XDG_CONFIG_HOME")
    return (Path(base) if base else home(environ) / ".config") / "opencode"


def paths(environ: Mapping[str, str], directory: Path) -> Sequence[Path]:
    """List the files OpenCode would read for a directory, whether or not they exist, the weakest first."""
    anchor = global_directory(environ)
    found = [anchor / "config.json", anchor / "opencode.json", anchor / "opencode.jsonc"]
    if named := environ.get("OPENCODE_CONFIG"):
        found.append(directory / Path(named).expanduser())
    levels = list(_levels(directory))
    for level in levels:
        found += [level / "opencode.json", level / "opencode.jsonc"]
    folders = [level / ".opencode" for level in levels]
    if named := environ.get("OPENCODE_CONFIG_DIR"):
        folders.append(Path(named).expanduser())
    for folder in folders:
        found += [folder / "opencode.json", folder / "opencode.jsonc"]
    return found


def read(environ: Mapping[str, str], directory: Path) -> Config:
    """Read and merge everything; a broken file is a problem told, not an error."""
    sources, problems = list[Source](), list[str]()
    merged: dict[str, Any] = {}
    for path in paths(environ, directory):
        try:
            sources.append(Source(str(path), path.read_text(encoding="utf-8")))
        except (FileNotFoundError, NotADirectoryError):
            continue
        except (OSError, UnicodeDecodeError) as error:
            problems.append(f"{path}: {type(error).__name__}")
    if content := environ.get("OPENCODE_CONFIG_CONTENT"):
        sources.append(Source("OPENCODE_CONFIG_CONTENT", content))
    for source in sources:
        try:
            config = jsonc.loads(source.text)
        except jsonc.Broken as error:
            problems.append(f"{source.name}: {error}")
            continue
        if isinstance(config, dict):
            merged = _merge(merged, cast(dict[str, Any], config))
    named = (name for source in sources for name in _REFERENCE.findall(source.text))
    return Config(merged, tuple(sources), tuple(dict.fromkeys(named)), tuple(problems))


def _levels(directory: Path) -> Iterator[Path]:
    """Walk from the root of the project, which is that of its git repository, down to the directory."""
    upwards = [directory, *directory.parents]
    root = next((at for at, level in enumerate(upwards) if (level / ".git").exists()), None)
    yield from reversed(upwards if root is None else upwards[: root + 1])


def _merge(under: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    merged = dict(under)
    for key, value in over.items():
        old = merged.get(key)
        both = isinstance(old, dict) and isinstance(value, dict)
        merged[key] = _merge(cast(dict[str, Any], old), cast(dict[str, Any], value)) if both else value
    return merged
