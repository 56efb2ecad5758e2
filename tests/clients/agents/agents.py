"""Coding agents through the gateway to every vendor: `make agents`. Too heavy for every run: they are 1 GB on the disk.

Each runs three real commands of a shell, two of them at once, and says what came of it. aimock stands for the vendors.
"""

import subprocess
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest

from vendors import CLIENTS, MODELS, Vendors, node, vendors

BIN = Path(__file__).parent / "node_modules" / ".bin"
EVERYTHING = (
    CLIENTS / "mcp" / "node_modules" / "@modelcontextprotocol" / "server-everything" / "dist" / "index.js"
)
"""An MCP server for tests, of the protocol's own authors."""
RESULTS = ("one-42", "two-48", "three-54")
COMPATIBLE, ANTHROPIC, OPENAI = "@ai-sdk/openai-compatible", "@ai-sdk/anthropic", "@ai-sdk/openai"
every_vendor = pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Generator[Vendors]:
    fixtures = Path(__file__).parent / "fixtures.json"
    with vendors(fixtures, tmp_path_factory.mktemp("vendors")) as running:
        yield running


@dataclass
class Agent:
    """One agent in a home of its own, so that nobody's settings play a part."""

    home: Path
    command: list[str | Path]
    environ: dict[str, str]

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run it to its end."""
        path = f"{node().parent}:/usr/bin:/bin"
        return subprocess.run(
            [*self.command, *arguments],
            cwd=self.home,
            env={"PATH": path, "HOME": str(self.home), "TERM": "dumb", **self.environ},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=50,
            check=False,
        )


def claude(served: Vendors, model: str, home: Path) -> Agent:
    environ = {
        "ANTHROPIC_BASE_URL": f"{served.nexus}/llm/anthropic",
        "ANTHROPIC_AUTH_TOKEN": "k",
        "ANTHROPIC_MODEL": model,
        "CLAUDE_CODE_MAX_RETRIES": "0",
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
    }
    return Agent(home, [BIN / "claude", "--allowedTools", "Bash"], environ)


def codex(served: Vendors, model: str, home: Path) -> Agent:
    (home / ".codex").mkdir()
    (home / ".codex" / "config.toml").write_text(
        f"""
model = "{model}"
model_provider = "nexus"

[model_providers.nexus]
name = "Nexus"
base_url = "{served.nexus}/llm/openai/v1"
env_key = "NEXUS_KEY"
wire_api = "responses"
request_max_retries = 0
stream_max_retries = 0
"""
    )
    free = ["--skip-git-repo-check", "--dangerously-bypass-approvals-and-sandbox"]
    return Agent(home, [BIN / "codex", "exec", *free], {"NEXUS_KEY": "k"})


def opencode(served: Vendors, model: str, home: Path, package: str) -> Agent:
    base = "llm/anthropic/v1" if package == ANTHROPIC else "llm/openai/v1"
    provider = {
        "npm": package,
        "name": "Nexus",
        "options": {"baseURL": f"{served.nexus}/{base}", "apiKey": "k"},
        "models": {model: {"name": model, "limit": {"context": 128000, "output": 4096}}},
    }
    settings = {
        "$schema": "https://opencode.ai/config.json",
        "autoupdate": False,
        "share": "disabled",
        "model": f"nexus/{model}",
        "small_model": f"nexus/{model}",
        "provider": {"nexus": provider},
    }
    (home / "opencode.json").write_bytes(msgspec.json.encode(settings))
    return Agent(home, [BIN / "opencode", "run"], {"OPENCODE_DISABLE_MODELS_FETCH": "1"})


def assert_done(ended: subprocess.CompletedProcess[str]) -> None:
    """See that it came to its end, which the vendor tells only when it has heard what each command before it gave."""
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "All done." in ended.stdout


def assert_told(bodies: list[dict[str, Any]]) -> None:
    """See that the vendor was told in one request what each command gave."""
    told = [[str(one["content"]) for one in body["messages"] if one["role"] == "tool"] for body in bodies]
    assert [True] * 3 in [[any(result in one for one in said) for result in RESULTS] for said in told]


@every_vendor
def test_claude_code(served: Vendors, model: str, tmp_path: Path) -> None:
    assert_done(claude(served, model, tmp_path).run("-p", "LOOP"))


@every_vendor
def test_codex(served: Vendors, model: str, tmp_path: Path) -> None:
    before = len(served.told())
    assert_done(codex(served, model, tmp_path).run("LOOP"))
    assert_told(served.told()[before:])


@pytest.mark.parametrize(
    ("way", "package"),
    [
        ("google", COMPATIBLE),
        ("anthropic", COMPATIBLE),
        ("responses", ANTHROPIC),
        ("converse", ANTHROPIC),
        ("invoke", OPENAI),
        ("chat", OPENAI),
    ],
)
def test_opencode(served: Vendors, way: str, package: str, tmp_path: Path) -> None:
    before = len(served.told())
    assert_done(opencode(served, MODELS[way], tmp_path, package).run("LOOP"))
    assert_told(served.told()[before:])


@every_vendor
def test_claude_code_goes_on_with_a_conversation(served: Vendors, model: str, tmp_path: Path) -> None:
    agent = claude(served, model, tmp_path)
    agent.command += ["--tools", "Bash"]  # all of them make a request larger than what the stand-in keeps
    assert_done(agent.run("-p", "LOOP"))
    assert "Hello from the other side." in agent.run("-c", "-p", "Hi").stdout
    assert_told(served.told()[-1:])


@every_vendor
def test_codex_goes_on_with_a_conversation(served: Vendors, model: str, tmp_path: Path) -> None:
    agent = codex(served, model, tmp_path)
    assert_done(agent.run("LOOP"))
    assert "Hello from the other side." in agent.run("resume", "--last", "Hi").stdout
    assert_told(served.told()[-1:])


@every_vendor
def test_agents_are_told_what_a_vendor_refused(served: Vendors, model: str, tmp_path: Path) -> None:
    (tmp_path / "claude").mkdir()
    (tmp_path / "codex").mkdir()
    assert "slow down" in claude(served, model, tmp_path / "claude").run("-p", "SLOW").stdout
    told = codex(served, model, tmp_path / "codex").run("SLOW")
    assert "429 Too Many Requests, request id: req-" in told.stdout + told.stderr


@pytest.mark.parametrize("way", [way for way in MODELS if way != "responses"])
def test_codex_calls_a_tool_of_a_group(served: Vendors, way: str, tmp_path: Path) -> None:
    """The tools of an MCP server come as a group, which only the Responses API has; aimock does not know it."""
    agent = codex(served, MODELS[way], tmp_path)
    with (tmp_path / ".codex" / "config.toml").open("a") as file:
        file.write(f'[mcp_servers.everything]\ncommand = "{node()}"\nargs = ["{EVERYTHING}", "stdio"]\n')
    assert_done(agent.run("ECHO"))


def test_claude_code_counts_tokens_without_asking_the_model(served: Vendors, tmp_path: Path) -> None:
    """Where tokens cannot be counted, it asks the model, which costs."""
    before = len(served.told())
    told = claude(served, MODELS["chat"], tmp_path).run("-p", "/context")
    assert "System tools" in told.stdout
    assert len(served.told()) == before
