"""Write the bill of materials of what is installed with Nexus, by CycloneDX's own tool: `make sbom`.

The tool lives in an environment of its own, from a lock of its own (`sbom.txt`): nothing of it is needed to work on Nexus.
"""

import os
import sys
import tempfile
from pathlib import Path

import tomlkit

from nexus import __version__
from release.build import epoch
from release.contents import ROOT
from release.tryout import LOCK, Environment, run

_TOOL = ROOT / "release" / "sbom.txt"
_FORMAT = "1.6"


def write(file: Path) -> None:
    """Describe an environment with everything that is locked; the tool checks the result by the format's schema."""
    with tempfile.TemporaryDirectory() as scratch:
        tool = Environment.made(Path(scratch) / "tool")
        tool.install("--require-hashes", "-r", _TOOL)
        described = Environment.made(Path(scratch) / "described")
        described.install("--require-hashes", "-r", LOCK)
        root = Path(scratch) / "pyproject.toml"
        root.write_text(_with_everything())
        options = ["--spec-version", _FORMAT, "--output-reproducible", "--validate", "--output-file", file]
        command = [
            tool.command("cyclonedx-py"),
            "environment",
            "--pyproject",
            root,
            *options,
            described.python,
        ]
        run(command, env={**os.environ, "SOURCE_DATE_EPOCH": epoch()})


def _with_everything() -> str:
    """Write our own project file with its version said and the extras among the dependencies, as the lock has them."""
    project = tomlkit.parse((ROOT / "pyproject.toml").read_text()).unwrap()["project"]
    extras = project.pop("optional-dependencies")
    needed = [*project["dependencies"], *(one for extra in extras.values() for one in extra)]
    said = {**project, "version": __version__, "dependencies": needed}
    del said["dynamic"], said["readme"], said["license-files"]
    return tomlkit.dumps({"project": said})


def main() -> None:
    """Write it beside the archives."""
    file = ROOT / "dist" / f"nexus_ai_gateway-{__version__}.cdx.json"
    file.parent.mkdir(exist_ok=True)
    write(file)
    print(file.relative_to(ROOT))


if __name__ == "__main__":
    sys.exit(main())
