"""Build the archives into `dist/`, see what they hold, and use them in empty environments: `make dist`."""

import hashlib
import sys
import tempfile
from pathlib import Path

from nexus import __version__
from release import contents, tryout
from release.build import build

DIST = contents.ROOT / "dist"


def main() -> int:
    """Do it all; gives the exit status."""
    sdist, wheel = build(contents.ROOT, DIST)
    kept = contents.known()
    found = contents.faults(contents.of_sdist(sdist), contents.of_wheel(wheel), kept, kept)
    for fault in found:
        print(fault, file=sys.stderr)
    if found:
        return 1
    with tempfile.TemporaryDirectory() as scratch:
        for name, install in (("with every extra", tryout.everything), ("with no extra", tryout.least)):
            tryout.use(install(Path(scratch) / name.replace(" ", "-"), wheel), __version__)
            print(f"installed {name}, checked, served and asked")
    for archive in (sdist, wheel):
        print(f"{hashlib.sha256(archive.read_bytes()).hexdigest()}  {archive.relative_to(contents.ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
