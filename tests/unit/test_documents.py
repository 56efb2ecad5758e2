"""What the documents show has to work: every TOML block loads, every link leads somewhere, every example file is good."""

import re
from pathlib import Path

import pytest

from nexus.config import load, loads

ROOT = Path(__file__).parents[2]
PAGES = [
    *ROOT.glob("*.md"),
    *ROOT.glob("docs/**/*.md"),
    *ROOT.glob("examples/**/*.md"),
    *ROOT.glob("benchmarks/*.md"),
]
KEYS: dict[str, str] = dict.fromkeys(
    (
        "ANTHROPIC_API_KEY",
        "AZURE_OPENAI_API_KEY",
        "GEMINI_API_KEY",
        "LITELLM_API_KEY",
        "OPENAI_API_KEY",
        "OPENROUTER_API_KEY",
        "VERTEX_TOKEN",
    ),
    "k",
)


def named(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_toml_blocks_load(page: Path) -> None:
    for block in re.findall(r"^```toml\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE):
        assert loads(block, KEYS, named(page)).warnings == ()


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#\s]+)", page.read_text()):
        assert target.startswith("https://") or (page.parent / target).exists(), target


@pytest.mark.parametrize("file", sorted(ROOT.glob("examples/**/*.toml")), ids=named)
def test_example_files_are_good(file: Path) -> None:
    assert load(file, KEYS).warnings == ()


def test_every_make_target_of_the_pages_is_there() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    told = {name for page in PAGES for name in re.findall(r"`make ([a-z]+)`", page.read_text())}
    assert told <= targets
