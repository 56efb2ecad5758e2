"""The real OpenCode, Claude Code and Codex with these agents: driven by them, and with them as their MCP server.

Not run with the rest: `pytest tests/agents/real/clients.py`, after `make agents` installed them (or with them on the PATH).
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Generator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from agents.fakes import Asked, Told
from agents.fakes import Gateway as Fake
from gateway import process
from nexus_agents.options import OrchestrateOptions, VoteOptions
from nexus_agents.services import Services

BIN = Path(__file__).parents[2] / "clients" / "agents" / "node_modules" / ".bin"
NODE = str(Path(shutil.which("node") or "/usr/bin/node").parent)
PATH = f"{os.environ.get('PATH', '')}{os.pathsep}{BIN}"
OPUS = "claude-opus-4-5"
ECHO = '[llm.providers.echo]\ntype = "echo"\n'


def program(name: str) -> str:
    found = shutil.which(name, path=PATH)
    if found is None:
        pytest.skip(f"{name} is not installed; `make agents` does")
    return found


def environment(home: Path, **more: str) -> dict[str, str]:
    found = (shutil.which(name, path=PATH) for name in ("opencode", "claude", "codex"))
    programs = dict.fromkeys(str(Path(each).parent) for each in found if each)
    path = os.pathsep.join([*programs, NODE, "/usr/bin", "/bin"])
    return {
        "PATH": path,
        "HOME": str(home),
        "TERM": "dumb",
        "NEXUS_DATA_DIR": str(home / "data"),
        "OPENCODE_DISABLE_MODELS_FETCH": "1",
        "CUSTOM_API_KEY": "sk-custom-secret",
        **more,
    }


def run(
    *argv: str, home: Path, timeout: float = 120, environ: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    project = home / "project"
    project.mkdir(exist_ok=True)
    return subprocess.run(
        argv, cwd=project, env=environment(home, **(environ or {})), stdin=subprocess.DEVNULL, capture_output=True,
        text=True, timeout=timeout, check=False,
    )  # fmt: skip


def agents(*arguments: str, home: Path, timeout: float = 120) -> subprocess.CompletedProcess[str]:
    return run(sys.executable, "-m", "nexus_agents", *arguments, home=home, timeout=timeout)


def configured(home: Path, base: str, model: str, **more: Any) -> None:
    """Write the configuration of the custom provider, with the comments people write."""
    provider = {
        "npm": "@ai-sdk/openai-compatible",
        "name": "Custom Gateway",
        "options": {"baseURL": base, "apiKey": "{env:CUSTOM_API_KEY}"},
        "models": {OPUS: {"id": model, "name": "Opus", "limit": {"context": 8192, "output": 256}}},
    }
    settings = {
        "$schema": "https://opencode.ai/config.json",
        "autoupdate": False,
        "share": "disabled",
        "provider": {"custom": provider},
        **more,
    }
    text = msgspec.json.format(msgspec.json.encode(settings)).decode()
    (home / "project").mkdir(exist_ok=True)
    (home / "project" / "opencode.jsonc").write_text(f"// mine\n{text[:-2]},\n}} // the end\n")


@pytest.fixture(scope="module")
def nexus() -> Generator[str]:
    with process("--config", _file(ECHO)) as running:
        yield running.url


def _file(toml: str) -> str:
    import tempfile

    with tempfile.NamedTemporaryFile("w", suffix=".toml", delete=False) as file:
        file.write(toml)
    return file.name


def test_opencode_is_driven_through_nexus(nexus: str, tmp_path: Path) -> None:
    program("opencode")
    configured(tmp_path, f"{nexus}/llm/openai/v1", "echo/echo")
    done = agents(
        "orchestrate",
        "--model",
        "opencode-custom-opus",
        "--format",
        "json",
        "Print the string OK-41",
        home=tmp_path,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    answer = msgspec.json.decode(done.stdout)
    assert "OK-41" in answer["text"]
    assert {(call["adapter"], call["model"]) for call in answer["trace"]} == {("opencode", f"custom/{OPUS}")}
    assert "sk-custom-secret" not in done.stdout + done.stderr


def test_a_model_opencode_does_not_have_is_not_replaced(nexus: str, tmp_path: Path) -> None:
    program("opencode")
    configured(tmp_path, f"{nexus}/llm/openai/v1", "echo/echo")
    done = agents("orchestrate", "--model", "opencode-custom-sonnet", "Print OK", home=tmp_path)
    assert done.returncode != 0
    assert "opencode-custom-sonnet" in done.stderr


def test_doctor_lists_opencode(nexus: str, tmp_path: Path) -> None:
    program("opencode")
    configured(tmp_path, f"{nexus}/llm/openai/v1", "echo/echo")
    done = agents("doctor", home=tmp_path)
    assert done.returncode == 0, done.stdout
    assert "OpenCode" in done.stdout.split("Available adapters\n")[1].split("\n\n")[0]


def event(delta: dict[str, Any], finish: str | None = None) -> bytes:
    chunk = {
        "id": "c", "object": "chat.completion.chunk", "created": 1, "model": "told-model",
        "choices": [{"index": 0, "delta": delta, "finish_reason": finish}],
    }  # fmt: skip
    return b"data: " + msgspec.json.encode(chunk) + b"\n\n"


def streamed(*events: bytes) -> Told:
    usage = {
        "prompt_tokens": 7,
        "completion_tokens": 10,
        "total_tokens": 17,
        "completion_tokens_details": {"reasoning_tokens": 4},
    }
    last: dict[str, Any] = {
        "id": "c",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "told-model",
        "choices": [],
        "usage": usage,
    }
    body = b"".join(events) + b"data: " + msgspec.json.encode(last) + b"\n\ndata: [DONE]\n\n"
    return Told(body=body, headers={"content-type": "text/event-stream"})


def calling(tool: str, **arguments: Any) -> Told:
    function = {"name": tool, "arguments": msgspec.json.encode(arguments).decode()}
    call = {"index": 0, "id": "call_1", "type": "function", "function": function}
    return streamed(event({"role": "assistant", "tool_calls": [call]}), event({}, "tool_calls"))


def saying(text: str) -> Told:
    return streamed(event({"role": "assistant", "content": text}), event({}, "stop"))


class Model:
    """Calls one tool when it is offered and tells what came of it."""

    def __init__(self, tool: str, **arguments: Any) -> None:
        self.tool = tool
        self.arguments = arguments
        self.offered: list[str] = []
        self.results: list[str] = []

    def __call__(self, asked: Asked) -> Told:
        body = asked.json
        names = [tool["function"]["name"] for tool in body.get("tools", [])]
        self.offered += [name for name in names if name not in self.offered]
        results = [str(each["content"]) for each in body["messages"] if each["role"] == "tool"]
        if results:
            self.results = results
            return saying("I was told.")
        return calling(self.tool, **self.arguments) if self.tool in names else saying("Hello.")


def test_opencode_calls_our_tools(tmp_path: Path) -> None:
    opencode = program("opencode")
    model = Model("nexus-agents_list_experts", format="names")
    with Fake(model).listening() as fake:
        configured(tmp_path, fake.url, "told-model")
        assert agents("setup", "--client", "opencode", "--scope", "project", home=tmp_path).returncode == 0
        listed = run(opencode, "mcp", "list", home=tmp_path)
        assert "nexus-agents" in listed.stdout
        assert "connected" in listed.stdout.split("nexus-agents")[1].splitlines()[0]
        done = run(
            opencode, "run", "--format", "json", "-m", f"custom/{OPUS}", "List the experts", home=tmp_path
        )
    assert "I was told." in done.stdout, done.stdout + done.stderr
    assert len([name for name in model.offered if name.startswith("nexus-agents_")]) == 24
    assert "security_expert" in model.results[0]


def test_opencode_driven_by_agents_may_look_and_not_touch(tmp_path: Path) -> None:
    program("opencode")
    model = Model("write", filePath=str(tmp_path / "project" / "made.txt"), content="x")
    with Fake(model).listening() as fake:
        configured(tmp_path, fake.url, "told-model")
        read_only = agents("orchestrate", "--model", "opencode-custom-opus", "Write it", home=tmp_path)
        assert sorted(model.offered) == ["glob", "grep", "read"]
        assert not (tmp_path / "project" / "made.txt").exists()
        assert read_only.returncode == 0
        agents("orchestrate", "--allow-edits", "--model", "opencode-custom-opus", "Write it", home=tmp_path)
    assert (tmp_path / "project" / "made.txt").read_text() == "x"


def test_agents_that_run_opencode_that_runs_agents_come_to_an_end(tmp_path: Path) -> None:
    """Both halves at once, which is a loop if nobody minds it; the inner server has no tools that call models."""
    program("opencode")
    model = Model("nexus-agents_orchestrate", task="again")
    with Fake(model).listening() as fake:
        configured(tmp_path, fake.url, "told-model")
        agents("setup", "--client", "opencode", "--scope", "project", home=tmp_path)
        done = agents(
            "orchestrate", "--allow-edits", "--model", "opencode-custom-opus", "Go on", home=tmp_path
        )
    assert done.returncode == 0, done.stdout + done.stderr
    ours = {name for name in model.offered if name.startswith("nexus-agents_")}
    assert "nexus-agents_list_experts" in ours
    assert not any("orchestrate" in name or "vote" in name for name in ours)


def test_usage_of_a_run_is_what_the_gateway_counted(tmp_path: Path) -> None:
    program("opencode")
    with Fake(Model("glob", pattern="*")).listening() as fake:
        configured(tmp_path, fake.url, "told-model")
        done = agents(
            "orchestrate", "--format", "json", "--model", "opencode-custom-opus", "Look", home=tmp_path
        )
    answer = msgspec.json.decode(done.stdout)
    turns = [chat for chat in fake.chats if chat.json.get("tools")]
    assert len(turns) == len(fake.chats) == 2, "no third call for a title"
    assert (answer["usage"]["inputTokens"], answer["usage"]["outputTokens"]) == (14, 20)


def test_claude_code_calls_our_tools(tmp_path: Path) -> None:
    claude = program("claude")
    model = Model("mcp__nexus-agents__list_experts", format="names")
    with Fake(model).listening() as fake:
        toml = f"""
[llm.protocols.anthropic]
enabled = true

[llm.providers.up]
type = "openai"
api_key = "k"
base_url = "{fake.url}"
models = {{ told-model = {{}} }}
"""
        with process("--config", _file(toml)) as running:
            environ = {
                "ANTHROPIC_BASE_URL": f"{running.url}/llm/anthropic",
                "ANTHROPIC_AUTH_TOKEN": "k",
                "ANTHROPIC_MODEL": "up/told-model",
                "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
                "MCP_CONNECTION_NONBLOCKING": "0",  # without a terminal it begins with the tools it has at once
                "MCP_CONNECT_TIMEOUT_MS": "60000",
            }
            assert agents("setup", "--client", "claude", home=tmp_path).returncode == 0
            listed = run(claude, "mcp", "list", home=tmp_path, environ=environ)
            assert "Connected" in listed.stdout.split("nexus-agents:")[1].splitlines()[0]
            done = run(
                claude,
                "--allowedTools",
                "mcp__nexus-agents__list_experts",
                "-p",
                "List the experts",
                home=tmp_path,
                environ=environ,
            )
    assert "I was told." in done.stdout, done.stdout + done.stderr
    assert "security_expert" in model.results[0]


def test_codex_knows_our_server(tmp_path: Path) -> None:
    codex = program("codex")
    assert agents("setup", "--client", "codex", home=tmp_path).returncode == 0
    shown = run(codex, "mcp", "get", "nexus-agents", "--json", home=tmp_path)
    server = msgspec.json.decode(shown.stdout[shown.stdout.index("{") :])
    assert server["transport"]["args"] == ["-m", "nexus_agents", "--mode=server"]
    assert "NEXUS_CUSTOM_API_KEY" in server["transport"]["env_vars"]


def test_the_merge_is_what_opencode_itself_makes_of_the_files(nexus: str, tmp_path: Path) -> None:
    opencode = program("opencode")
    configured(tmp_path, f"{nexus}/llm/openai/v1", "echo/echo", username="project")
    directory = tmp_path / ".config" / "opencode"
    directory.mkdir(parents=True)
    (directory / "opencode.json").write_text('{"username": "global", "model": "custom/a",}')
    (directory / "opencode.jsonc").write_text('{"model": "custom/b" /* wins */}')
    from nexus_agents.opencode import config

    shown = msgspec.json.decode(run(opencode, "debug", "config", home=tmp_path).stdout)
    ours = config.read(environment(tmp_path), tmp_path / "project").merged
    assert (ours["username"], ours["model"]) == (shown["username"], shown["model"]) == ("project", "custom/b")


@pytest.mark.local
@pytest.mark.timeout(600)
def test_opencode_is_driven_through_nexus_to_the_local_model(tmp_path: Path) -> None:
    from nexus.llm.providers import local

    program("opencode")
    if not local.server_is_installed() or local.find_model() is None:
        pytest.skip(f"needs the local model: {local.INSTALL}")
    with process("--config", _file('[llm.providers.here]\ntype = "local"\ncontext = 8192\n')) as running:
        configured(tmp_path, f"{running.url}/llm/openai/v1", "here/smollm2-135m-instruct")
        done = agents(
            "orchestrate", "--format", "json", "--model", "opencode-custom-opus", "What is the capital of France?",
            home=tmp_path, timeout=300,
        )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    answer = msgspec.json.decode(done.stdout)
    assert answer["text"]
    assert answer["usage"]["outputTokens"] > 0


@pytest.mark.local
@pytest.mark.timeout(1200)
async def test_several_steps_and_a_vote_through_nexus_to_the_local_model_end_with_a_trace(
    tmp_path: Path,
) -> None:
    from nexus.llm.providers import local

    if not local.server_is_installed() or local.find_model() is None:
        pytest.skip(f"needs the local model: {local.INSTALL}")
    small = '[models.tiny]\nnames = ["smollm*"]\ncontext = 4096\noutput = 200\nreasoning = 1\ncode = 1\n'
    (tmp_path / "nexus-agents.toml").write_text(small)
    here = '[llm.providers.here]\ntype = "local"\ncontext = 16384\n'
    with process("--config", _file(here), ready="is up") as running:
        environ = {**environment(tmp_path), "PATH": "/nonexistent", "NEXUS_GATEWAY_URL": running.url}
        async with Services(environ, cwd=tmp_path) as services:
            done = await services.orchestrate("What is the capital of France?", OrchestrateOptions())
            planned = await services.orchestrate(
                "Name three fruits. Then describe each of them; finally say which is best.",
                OrchestrateOptions(plan="always", max_steps=2),
            )
            inputs = {"bug": "The sum of an empty list is None and not 0.", "code": "def total(xs): ..."}
            flow = await services.run_workflow("bug-fix", inputs)
            voted = await services.vote("Use SQLite as the store of a small tool", VoteOptions(quick=True))
            ids = (planned.run_id, flow.run_id or "", voted.run_id)
            traces = [{event.type for event in (await services.trace(one)).events} for one in ids]
    assert "Paris" in done.text
    assert planned.success, planned.error
    assert [step.status for step in flow.steps] == ["done"] * 3, flow.error
    assert voted.vote_counts.error == 0
    assert all({"run_started", "attempt", "run_done"} <= trace for trace in traces)
    assert {"plan", "step_started", "step_done"} <= traces[1]
    assert "vote" in traces[2]
    print(
        f"planned into {[step.title for step in planned.steps]}, {planned.warnings}; voted {voted.decision}"
    )
