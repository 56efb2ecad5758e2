"""The version is said in one place, and everybody else repeats it."""

import re
import tomllib
from importlib.metadata import version

from typer.testing import CliRunner

import nexus.cli
import nexus.mcp.shown
import nexus_agents.cli
import nexus_agents.server
from nexus import __version__
from release.contents import ROOT

_SAID = re.compile(f"[\"']{re.escape(__version__)}[\"']")


def test_the_version_is_written_once() -> None:
    code = [*(ROOT / "src").rglob("*.py"), *(ROOT / "src").rglob("*.toml")]
    said = [str(file.relative_to(ROOT)) for file in code if _SAID.search(file.read_text())]
    assert said == ["src/nexus/__init__.py"]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert project["tool"]["hatch"]["version"] == {"path": said[0]}


def test_everything_that_tells_a_version_tells_that_one() -> None:
    assert version("nexus-ai-gateway") == __version__
    assert CliRunner().invoke(nexus.cli.app, ["--version"]).output == f"nexus {__version__}\n"
    agents = CliRunner().invoke(nexus_agents.cli.app, ["--version"])
    assert agents.output == f"nexus-agents {__version__}\n"
    assert nexus_agents.server.version() == __version__
    assert nexus.mcp.shown.info(()) == {"name": "Tool Aggregator", "version": __version__}


def test_a_chart_deploys_the_version_it_is_released_with() -> None:
    for chart in (ROOT / "deploy").rglob("Chart.yaml"):
        assert re.search(rf'^appVersion: "?{re.escape(__version__)}"?$', chart.read_text(), re.MULTILINE)
