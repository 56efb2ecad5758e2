"""What the archives hold, beside what git knows: nothing may be missing from them, and nothing may have slipped in."""

import subprocess
import tarfile
import zipfile
from collections.abc import Set
from pathlib import Path

ROOT = Path(__file__).parent.parent
_PACKAGES = ("src/nexus/", "src/nexus_agents/")
_WRITTEN_BY_THE_BUILD = {"PKG-INFO", ".gitignore"}
_RECORDS = {"METADATA", "WHEEL", "RECORD", "entry_points.txt", "licenses/LICENSE"}
_STAYS_HOME = (".ci/", ".gitignore")
"""Of no use to anybody but the repository."""


def known(*, new: bool = False) -> set[str]:
    """Name the files git keeps; with `new` also those it would keep if asked."""
    asked = ["--cached", "--others", "--exclude-standard"] if new else ["--cached"]
    command = ["git", "-C", str(ROOT), "ls-files", "-z", *asked]
    listed = subprocess.run(command, check=True, capture_output=True).stdout
    return {name for name in listed.decode().split("\0") if name and (ROOT / name).exists()}


def of_sdist(archive: Path) -> set[str]:
    """Name the files of a source archive, without the folder they are all in."""
    with tarfile.open(archive) as opened:
        return {name.partition("/")[2] for name in opened.getnames()}


def of_wheel(archive: Path) -> set[str]:
    """Name the files of a wheel; those of its own records begin with `dist-info/`."""
    with zipfile.ZipFile(archive) as opened:
        return {_without_version(name) for name in opened.namelist()}


def faults(sdist: Set[str], wheel: Set[str], kept: Set[str], allowed: Set[str]) -> list[str]:
    """Compare both archives with the files that are kept, all of which must be in them, and with those that may be."""
    found = _differences("the sdist", sdist - _WRITTEN_BY_THE_BUILD, _source(kept), _source(allowed))
    records = {f"dist-info/{name}" for name in _RECORDS}
    return found + _differences("the wheel", wheel, _code(kept) | records, _code(allowed) | records)


def _source(files: Set[str]) -> set[str]:
    return {name for name in files if not name.startswith(_STAYS_HOME)}


def _code(files: Set[str]) -> set[str]:
    return {name.removeprefix("src/") for name in files if name.startswith(_PACKAGES)}


def _differences(archive: str, has: Set[str], must: Set[str], may: Set[str]) -> list[str]:
    strays = [f"{name} is in {archive}, and git does not know it" for name in has - may]
    missing = [f"{name} is not in {archive}; see [tool.hatch.build] in pyproject.toml" for name in must - has]
    return sorted(strays) + sorted(missing)


def _without_version(name: str) -> str:
    folder, slash, rest = name.partition("/")
    return f"dist-info/{rest}" if slash and folder.endswith(".dist-info") else name
