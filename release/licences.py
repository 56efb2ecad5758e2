"""List what we depend on with its licences, and refuse one that would bind whoever passes Nexus on: `make sbom`."""

import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, metadata

from release.contents import ROOT

LOCK = ROOT / "requirements" / "run.txt"
PAGE = ROOT / "docs" / "licences.md"
ALLOWED = {
    "0BSD",
    "Apache-2.0",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "ISC",
    "MIT",
    "MIT-0",
    "MPL-2.0",  # binds the files it stands in, not what uses them; we change none
    "PSF-2.0",
    "Unlicense",
    "Zlib",
}
"""SPDX names of licences whose terms are kept by passing their text on."""
_PLAIN = {
    "3-Clause BSD License": "BSD-3-Clause",
    "ISC License": "ISC",
    "MIT License": "MIT",
}
"""What packages write that do not write SPDX yet."""
_READ = {
    "async-timeout": "Apache-2.0",
    "colorama": "BSD-3-Clause",
    "httpx2-jsfetch": "BSD-3-Clause",
    "markdown-it-py": "MIT",
    "mdurl": "MIT",
    "python-dateutil": "Apache-2.0 OR BSD-3-Clause",
    "pywin32": "PSF-2.0",
}
"""Read by us: their metadata has no name of a licence, or they are not installed on every machine."""
_LOCKED = re.compile(r"^([a-z0-9._-]+)==(\S+)(?: ; (.+?))? \\$", re.MULTILINE)


@dataclass(frozen=True)
class Locked:
    """One package of the lock."""

    name: str
    version: str
    marker: str
    """Where it is installed at all; everywhere if empty."""

    @property
    def licence(self) -> str:
        """Its licence as an SPDX expression; empty where it does not say."""
        if self.name in _READ:
            return _READ[self.name]
        try:
            said = metadata(self.name)
        except PackageNotFoundError:
            return ""
        plain = next((said[field] for field in ("License-Expression", "License") if field in said), "")
        return _PLAIN.get(plain, plain)


def locked() -> list[Locked]:
    """Read the lock."""
    return [Locked(name, version, marker) for name, version, marker in _LOCKED.findall(LOCK.read_text())]


def allowed(expression: str) -> bool:
    """Tell whether all terms of an expression are allowed, or one of them where it leaves the choice."""
    terms = set(re.findall(r"[\w.+-]+", expression)) - {"AND", "OR"}
    if terms and terms <= ALLOWED:
        return True
    return bool(terms & ALLOWED) and not re.search(r"\b(AND|WITH)\b", expression)


def refused(packages: list[Locked]) -> list[str]:
    """Say which packages may not be among the dependencies, a line each."""
    return [
        f"{one.name} {one.version}: {one.licence or 'no licence named'}; do without it, or read it and add it here"
        for one in packages
        if not allowed(one.licence)
    ]


def page(packages: list[Locked]) -> Iterator[str]:
    """Write the lines of the list."""
    yield "<!-- written by `make sbom` from the lock and what the packages say of themselves: change release/licences.py -->\n"
    yield "# Licences\n"
    yield "Nexus is licensed under Apache-2.0 (`LICENSE`). These are the packages it is installed with, all extras included,"
    yield "as `requirements/run.txt` locks them. A test refuses any licence that asks more of whoever passes Nexus on than"
    yield "to keep its text. Several wheels carry native code of their own: their `licenses/` folders have its texts.\n"
    yield "| package | version | licence | only where |"
    yield "|---|---|---|---|"
    for one in packages:
        marker = f"`{one.marker}`" if one.marker else ""
        yield f"| {one.name} | {one.version} | {one.licence} | {marker} |"


def main() -> int:
    """Write the list; gives the exit status."""
    packages = locked()
    for line in (found := refused(packages)):
        print(line, file=sys.stderr)
    if not found:
        PAGE.write_text("\n".join(page(packages)) + "\n")
    return bool(found)


if __name__ == "__main__":
    sys.exit(main())
