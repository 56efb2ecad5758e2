"""What comes with Nexus: licences that may be passed on, hashes, and no code that runs by being installed."""

from importlib.metadata import PackageNotFoundError, files
from pathlib import Path

import pytest

from release import licences
from release.contents import ROOT

PACKAGES = licences.locked()
LOCKS = [*sorted((ROOT / "requirements").glob("*.txt")), ROOT / "release" / "sbom.txt"]


def test_every_licence_may_be_passed_on() -> None:
    assert len(PACKAGES) > 50
    assert licences.refused(PACKAGES) == []


@pytest.mark.parametrize(
    ("expression", "good"),
    [
        ("MIT", True),
        ("(MIT OR GPL-3.0-only)", True),
        ("BSD-3-Clause AND (Apache-2.0)", True),
        ("MIT AND LGPL-2.1-only", False),
        ("GPL-2.0-only AND (MIT OR ISC)", False),
        ("GPL-3.0-or-later", False),
        ("Proprietary", False),
        ("", False),
    ],
)
def test_a_licence_that_binds_is_refused(expression: str, good: bool) -> None:
    assert licences.allowed(expression) is good


def test_a_package_nobody_has_read_is_refused() -> None:
    [said] = licences.refused([licences.Locked("never-heard-of", "1.0", "")])
    assert said.startswith("never-heard-of 1.0: no licence named; ")


def test_the_list_of_licences_is_current() -> None:
    assert licences.PAGE.read_text() == "\n".join(licences.page(PACKAGES)) + "\n"


def test_no_dependency_runs_code_whenever_python_starts() -> None:
    looked_at = 0
    for one in PACKAGES:
        try:
            held = files(one.name) or []
        except PackageNotFoundError:
            assert one.marker, f"{one.name} is not installed"
            continue
        looked_at += 1
        assert [str(file) for file in held if file.suffix == ".pth"] == []
    assert looked_at > 50


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.name)
def test_everything_locked_has_a_version_and_hashes_and_no_address(lock: Path) -> None:
    text = lock.read_text()
    entries = [entry for entry in text.split("\n") if entry and not entry.startswith((" ", "#"))]
    assert entries
    assert [entry for entry in entries if "==" not in entry or not entry.endswith("\\")] == []
    assert "://" not in text
