"""Build the archives so that everybody who builds the same commit gets the same bytes."""

import os
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

from release.contents import ROOT

_HOOK = "import sys, hatchling.build; print(hatchling.build.build_{kind}(sys.argv[1]))"


def build(source: Path, folder: Path) -> tuple[Path, Path]:
    """Build the sdist from the tree and the wheel from the sdist, as who installs from the sdist does."""
    sdist = _built(source, folder, "sdist")
    with tempfile.TemporaryDirectory() as scratch:
        with tarfile.open(sdist) as opened:
            opened.extractall(scratch, filter="data")
        [unpacked] = Path(scratch).iterdir()
        return sdist, _built(unpacked, folder, "wheel")


def _built(source: Path, folder: Path, kind: str) -> Path:
    """Call hatchling, which is in the lock of the tools, as any front end would."""
    command = [sys.executable, "-c", _HOOK.format(kind=kind), str(folder)]
    environ = {**os.environ, "SOURCE_DATE_EPOCH": epoch()}
    done = subprocess.run(command, cwd=source, env=environ, check=True, stdout=subprocess.PIPE, text=True)
    return folder / done.stdout.split()[-1]


def epoch() -> str:
    """Take the time of the last commit for that of every file."""
    if given := os.environ.get("SOURCE_DATE_EPOCH"):
        return given
    command = ["git", "-C", str(ROOT), "log", "-1", "--format=%ct"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
