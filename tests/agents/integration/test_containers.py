"""The containers without Docker: their smoke test against a stand-in, and what their files say of each other."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from agents.fake_opencode import FakeOpenCode
from nexus_agents.registry import load
from nexus_agents.settings import File

ROOT = Path(__file__).parents[3]
SMOKE = ROOT / "docker" / "opencode" / "smoke_test.py"
CONFIG = ROOT / "docker" / "opencode" / "opencode.json"
CONNECTED = "\x1b[0m\n●  ✓ nexus-agents \x1b[90mconnected\n│      \x1b[90m/opt/nexus/bin/python\n"


def smoke(
    home: Path, *arguments: str, mcp: str = CONNECTED, version: str = "1.2.15"
) -> subprocess.CompletedProcess[str]:
    fake = FakeOpenCode(home / "bin")
    fake.plan(mcp=mcp, version=version)
    return subprocess.run(
        [sys.executable, str(SMOKE), *arguments],
        env={"PATH": fake.path, "HOME": str(home), "NEXUS_DATA_DIR": str(home / "data")},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.fixture
def home(tmp_path: Path) -> Path:
    directory = tmp_path / ".config" / "opencode"
    directory.mkdir(parents=True)
    shutil.copy(CONFIG, directory)
    return tmp_path


def test_the_five_checks_pass(home: Path) -> None:
    done = smoke(home)
    assert done.returncode == 0, done.stdout
    assert done.stdout.count("PASS") == 5
    assert done.stdout.endswith("=== Results: 5 passed, 0 failed ===\n")


@pytest.mark.parametrize(
    "line",
    [
        "●  ✗ nexus-agents disconnected\n",
        "●  ✗ nexus-agents not connected\n",
        "●  ✗ nexus-agents failed\n    was connected\n",
        "●  ✓ other connected\n●  ✗ nexus-agents failed\n",
        "No MCP servers configured\n",
        "",
    ],
)
def test_a_server_that_is_not_connected_fails_the_fourth_check(line: str, home: Path) -> None:
    done = smoke(home, mcp=line)
    assert done.returncode == 1
    assert "FAIL  OpenCode is connected" in done.stdout
    assert "=== Results: 4 passed, 1 failed ===" in done.stdout


def test_each_check_can_fail(home: Path) -> None:
    assert "FAIL  OpenCode is version" in smoke(home, version="1.3.0").stdout
    (home / ".config/opencode/opencode.json").write_text('{"mcp": {}, "provider": {"custom": {}}}')
    done = smoke(home)
    assert "FAIL  opencode.json names nexus-agents" in done.stdout
    assert "FAIL  opencode.json names the providers" in done.stdout
    (home / ".config/opencode/opencode.json").unlink()
    assert "FileNotFoundError" in smoke(home).stdout


def test_the_health_check_speaks_with_the_server(home: Path) -> None:
    done = smoke(home, "--only", "server")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "PASS  the MCP server lists its tools" in done.stdout


@pytest.mark.parametrize("name", ["Dockerfile.opencode", "Dockerfile.sandbox"])
def test_what_an_image_copies_is_there_and_not_ignored(name: str) -> None:
    allowed = {
        line[1:] for line in (ROOT / f"{name}.dockerignore").read_text().splitlines() if line.startswith("!")
    }
    copied = re.findall(r"^COPY (?!--from)(?:--chown=\S+ )?(.*) \S+$", (ROOT / name).read_text(), re.M)
    for source in " ".join(copied).split():
        assert (ROOT / source).exists(), source
        assert source.split("/")[0] in allowed, source


def test_no_step_of_an_image_hides_its_failure() -> None:
    for name in ("Dockerfile.opencode", "Dockerfile.sandbox"):
        assert not re.search(r"\|\| true|exit 0|; *\\$", (ROOT / name).read_text(), re.M)


def test_the_version_is_the_same_everywhere() -> None:
    versions = re.findall(r"OPENCODE_VERSION=(\d[\d.]+)", (ROOT / "Dockerfile.opencode").read_text())
    default = re.search(r'"OPENCODE_VERSION", "([\d.]+)"', SMOKE.read_text())
    assert default
    assert {*versions, default[1]} == {"1.2.15"}


@pytest.mark.parametrize("name", ["opencode.json", "sandbox.json"])
def test_images_start_the_server_as_setup_does(name: str) -> None:
    entry = msgspec.json.decode((ROOT / "docker" / "opencode" / name).read_bytes())["mcp"]["nexus-agents"]
    assert entry["command"][1:] == ["-m", "nexus_agents", "--mode=server"]
    assert entry["enabled"] is True


def test_the_image_has_the_models_of_the_registry_and_of_the_guide() -> None:
    models = msgspec.json.decode(CONFIG.read_bytes())["provider"]["custom"]["models"]
    registry = load(File()).profiles
    for name in ("opencode-custom-opus", "opencode-custom-sonnet"):
        assert registry[name].model.removeprefix("custom/") in models
    assert {"claude-opus", "claude-sonnet"} <= set(models)


def test_the_files_hold_no_secret() -> None:
    for name in (
        "Dockerfile.opencode",
        "Dockerfile.sandbox",
        "docker-compose.opencode.yml",
        "docker/opencode/opencode.json",
    ):
        text = (ROOT / name).read_text()
        assert not re.search(r"sk-[A-Za-z0-9]|KEY[\"']?\s*[:=]\s*[\"']?(?![\"'$\s{])\w", text), name
    assert os.access(SMOKE, os.R_OK)
