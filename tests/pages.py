"""The pages a reader finds, and the blocks of code in them."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
SITE = sorted(DOCS.glob("**/*.md"))
PAGES = [*sorted(ROOT.glob("*.md")), *SITE, *ROOT.glob("examples/**/*.md"), *ROOT.glob("benchmarks/*.md")]


def keys(text: str) -> dict[str, str]:
    """Give every variable of the environment that a file asks for."""
    return dict.fromkeys(re.findall(r"\{\{ *env\.(\w+) *\}\}", text), "k")


def named(page: Path) -> str:
    return str(page.relative_to(ROOT))


def blocks(page: Path, kind: str) -> list[str]:
    """Give the blocks of a kind, those within lists too."""
    found = re.findall(rf"^( *)```{kind}\n(.*?)^ *```$", page.read_text(), re.DOTALL | re.MULTILINE)
    return [re.sub(f"^{indent}", "", block, flags=re.MULTILINE) for indent, block in found]
