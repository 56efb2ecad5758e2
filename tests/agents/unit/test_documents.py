"""What the pages about the agents show is true."""

import re
from pathlib import Path

import msgspec
import pytest

from nexus_agents.experts import panel
from nexus_agents.registry import load
from nexus_agents.settings import KNOWN, File
from nexus_agents.workflows import NAMES

PAGES = sorted((Path(__file__).parents[3] / "docs" / "agents").glob("*.md"))
TEXT = "\n".join(page.read_text() for page in PAGES)


@pytest.mark.parametrize(
    "block", re.findall(r"^```toml nexus-agents\.toml\n(.*?)^```", TEXT, re.DOTALL | re.MULTILINE)
)
def test_configuration_shown_loads(block: str):
    load(msgspec.toml.decode(block, type=File))


def test_every_variable_shown_is_read_and_every_main_one_is_shown():
    source = "\n".join(
        path.read_text() for path in (Path(__file__).parents[3] / "src" / "nexus_agents").rglob("*.py")
    )
    for name in set(re.findall(r"\bNEXUS_[A-Z_]+\b", TEXT)):
        assert name in source, name
    for name in (
        "NEXUS_CUSTOM_API_BASE_URL",
        "NEXUS_OPENROUTER_MODEL",
        "NEXUS_GATEWAY_URL",
        "NEXUS_DATA_DIR",
    ):
        assert name in TEXT
        assert name in KNOWN


def test_every_workflow_and_seat_is_shown():
    for name in (*NAMES, *(seat.name for seat in panel())):
        assert name in TEXT


def test_every_command_shown_exists():
    from nexus_agents.cli import COMMANDS

    shown = set(re.findall(r"^nexus-agents ([a-z]+)", TEXT, re.MULTILINE))
    assert shown <= set(COMMANDS)
