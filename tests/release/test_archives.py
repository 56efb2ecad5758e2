"""What is published: the same bytes from the same sources, everything that belongs in it, nothing else."""

import email
import os
import shutil
import tomllib
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest

from nexus import __version__
from release import contents
from release.build import build

pytestmark = pytest.mark.skipif(
    not (contents.ROOT / ".git").exists(), reason="git says what belongs into the archives"
)
PROJECT = tomllib.loads((contents.ROOT / "pyproject.toml").read_text())["project"]


@dataclass(frozen=True)
class Built:
    tree: Path
    files: set[str]
    sdist: Path
    wheel: Path


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """Build from a copy: somebody may be at work on the tree."""
    tree, folder = tmp_path_factory.mktemp("tree"), tmp_path_factory.mktemp("dist")
    files = contents.known(new=True)
    for name in files:
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(contents.ROOT / name, tree / name)
    return Built(tree, files, *build(tree, folder))


def test_the_archives_hold_what_git_knows_and_nothing_else(built: Built) -> None:
    held = contents.of_sdist(built.sdist), contents.of_wheel(built.wheel)
    assert contents.faults(*held, contents.known() & built.files, built.files) == []


def test_a_stray_file_and_a_missing_one_are_told() -> None:
    files = {"src/nexus/a.py", "LICENSE"}
    wheel = {"nexus/a.py", "dist-info/METADATA", "dist-info/WHEEL", "dist-info/RECORD"}
    wheel |= {"dist-info/entry_points.txt", "dist-info/licenses/LICENSE"}
    assert contents.faults({"src/nexus/a.py", "LICENSE", "PKG-INFO"}, wheel, files, files) == []
    found = contents.faults({"src/nexus/a.py", "nexus.toml"}, wheel - {"nexus/a.py"}, files, files)
    assert found == [
        "nexus.toml is in the sdist, and git does not know it",
        "LICENSE is not in the sdist; see [tool.hatch.build] in pyproject.toml",
        "nexus/a.py is not in the wheel; see [tool.hatch.build] in pyproject.toml",
    ]


def test_two_builds_of_the_same_sources_give_the_same_bytes(built: Built, tmp_path: Path) -> None:
    copy = tmp_path / "elsewhere"
    for name in sorted(built.files, reverse=True):
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(built.tree / name, copy / name)  # without its time
        os.chmod(copy / name, 0o600 | ((built.tree / name).stat().st_mode & 0o100))
    again = build(copy, tmp_path)
    assert [one.read_bytes() for one in again] == [built.sdist.read_bytes(), built.wheel.read_bytes()]


def test_the_wheel_is_typed_carries_its_data_and_says_what_it_is(built: Built) -> None:
    data = {
        "nexus/ratelimit/window.lua",
        "nexus_agents/registry/models.toml",
        "nexus_agents/experts/panel.toml",
    }
    assert contents.of_wheel(built.wheel) >= {"nexus/py.typed", "nexus_agents/py.typed", *data}
    with zipfile.ZipFile(built.wheel) as opened:
        described = opened.read(f"nexus_ai_gateway-{__version__}.dist-info/METADATA").decode()
    said = email.message_from_string(described)
    assert (said["Name"], said["Version"]) == (PROJECT["name"], __version__)
    assert said["License-Expression"] == "Apache-2.0"
    assert set(said.get_all("Provides-Extra", [])) == set(PROJECT["optional-dependencies"])
    assert said.get_payload() == (built.tree / "README.md").read_text()
