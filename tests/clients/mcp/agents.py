"""Coding agents with Nexus as their MCP server, behind a token of a real issuer: `make agents`. As their pages say.

Each adds two numbers by a tool it has never seen listed: aimock, as its model, calls `execute`, and says when it has the sum.
"""

import asyncio
import subprocess
import sys
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest

from gateway import process
from upstreams.oidc import Issuer
from vendors import aimock, node

HERE = Path(__file__).parent
BIN = HERE.parent / "agents" / "node_modules" / ".bin"
SUMS = HERE.parents[2] / "examples" / "08-mcp" / "sums.py"
CONFIG = """
[llm.protocols.anthropic]
enabled = true

[llm.providers.compatible]
type = "openai"
api_key = "test-key"
base_url = "{mock}/v1"
models = {{ gpt-4o = {{}} }}

[mcp.servers.sums]
cmd = ["{python}", "{sums}"]
"""
MODEL = "compatible/gpt-4o"


@dataclass(frozen=True)
class Served:
    """A gateway that wants a token, and one it takes."""

    url: str
    token: str


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Generator[Served]:
    if not (BIN / "claude").exists():
        pytest.skip("the agents are not installed: make agents")
    issuer = Issuer()
    file = tmp_path_factory.mktemp("nexus") / "nexus.toml"
    with aimock(HERE / "agents.json") as mock, asyncio.Runner() as runner:
        try:
            runner.run(issuer.start())
            file.write_text(CONFIG.format(mock=mock, python=sys.executable, sums=SUMS) + issuer.oauth)
            with process("--config", str(file)) as nexus:
                yield Served(nexus.url, runner.run(issuer.token()))
        finally:
            runner.run(issuer.stop())


def _run(home: Path, environ: dict[str, str], *command: str | Path) -> str:
    path = f"{node().parent}:/usr/bin:/bin"
    ended = subprocess.run(
        command,
        cwd=home,
        env={"PATH": path, "HOME": str(home), "TERM": "dumb", **environ},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=50,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout
    return ended.stdout


@pytest.mark.parametrize("taken", [True, False])
def test_claude_code(served: Served, tmp_path: Path, taken: bool) -> None:
    environ = {
        "ANTHROPIC_BASE_URL": f"{served.url}/llm/anthropic",
        "ANTHROPIC_AUTH_TOKEN": served.token,
        "ANTHROPIC_MODEL": MODEL,
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
    }
    claude = BIN / "claude"
    header = f"Authorization: Bearer {served.token if taken else 'none'}"
    added = ("mcp", "add", "--transport", "http", "nexus", f"{served.url}/mcp", "--header", header)
    _run(tmp_path, environ, claude, *added)
    listed = _run(tmp_path, environ, claude, "mcp", "list")
    assert ("Connected" in listed) is taken
    if taken:
        assert "All done." in _run(tmp_path, environ, claude, "-p", "ADD", "--allowedTools", "mcp__nexus")


def test_codex(served: Served, tmp_path: Path) -> None:
    (tmp_path / ".codex").mkdir()
    (tmp_path / ".codex" / "config.toml").write_text(
        f"""
model = "{MODEL}"
model_provider = "nexus"

[model_providers.nexus]
name = "Nexus"
base_url = "{served.url}/llm/openai/v1"
env_key = "NEXUS_KEY"
wire_api = "responses"

[mcp_servers.nexus]
url = "{served.url}/mcp"
bearer_token_env_var = "NEXUS_KEY"
"""
    )
    environ = {"NEXUS_KEY": served.token}
    free = ("--skip-git-repo-check", "--dangerously-bypass-approvals-and-sandbox")
    assert "All done." in _run(tmp_path, environ, BIN / "codex", "exec", *free, "ADD")


def test_opencode(served: Served, tmp_path: Path) -> None:
    provider = {
        "npm": "@ai-sdk/openai-compatible",
        "name": "Nexus",
        "options": {"baseURL": f"{served.url}/llm/openai/v1", "apiKey": served.token},
        "models": {MODEL: {"name": MODEL, "limit": {"context": 128000, "output": 4096}}},
    }
    server = {
        "type": "remote",
        "url": f"{served.url}/mcp",
        "enabled": True,
        "oauth": False,
        "headers": {"Authorization": "Bearer {env:NEXUS_TOKEN}"},
    }
    settings = {
        "$schema": "https://opencode.ai/config.json",
        "autoupdate": False,
        "share": "disabled",
        "model": f"nexus/{MODEL}",
        "small_model": f"nexus/{MODEL}",
        "provider": {"nexus": provider},
        "mcp": {"nexus": server},
    }
    (tmp_path / "opencode.json").write_bytes(msgspec.json.encode(settings))
    environ = {"OPENCODE_DISABLE_MODELS_FETCH": "1", "NEXUS_TOKEN": served.token}
    assert "connected" in _run(tmp_path, environ, BIN / "opencode", "mcp", "list")
    assert "All done." in _run(tmp_path, environ, BIN / "opencode", "run", "ADD")
