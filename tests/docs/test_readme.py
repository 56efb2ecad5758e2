"""Every command of the README and of the first steps does what is said beside it."""

import asyncio
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from gateway import gateway, process
from pages import ROOT, blocks
from upstreams.scripted import upstream

README, START = ROOT / "README.md", ROOT / "docs" / "start.md"
ADDRESS = "http://127.0.0.1:8000"
SERVING = ("make run\n", "make setup\n. .venv/bin/activate\nnexus --version\n")
"""What the tests stand upon: it is run before them."""


def shell(block: str, cwd: Path = ROOT, **environ: str) -> str:
    """Run a block as somebody who pasted it, and give what it prints."""
    if shutil.which("curl") is None and "curl" in block:
        pytest.skip("curl is not installed")
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    command = ["bash", "-euo", "pipefail", "-c", block]
    ran = subprocess.run(
        command,
        cwd=cwd,
        env={**os.environ, "PATH": path, **environ},
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert ran.returncode == 0, f"{block}\n{ran.stdout}\n{ran.stderr}"
    return ran.stdout


def test_the_first_command_serves_the_local_model_both_protocols_and_mcp() -> None:
    assert blocks(README, "sh")[0] in SERVING
    running = subprocess.Popen(
        ["make", "-o", "setup", "run"],
        cwd=ROOT,
        env={**os.environ, "NEXUS_LISTEN_ADDRESS": "127.0.0.1:0"},
        stderr=subprocess.PIPE,
        text=True,
        process_group=0,
    )
    try:
        assert running.stderr is not None
        said = ""
        for line in running.stderr:
            said += line
            if "Ready: " in line:
                break
    finally:
        os.killpg(running.pid, signal.SIGTERM)
        running.communicate()
    for path in ("/llm/openai/v1", "/llm/anthropic", "/mcp"):
        assert re.search(rf"endpoint: http://127\.0\.0\.1:\d+{path}$", said, re.MULTILINE), said


async def test_every_request_of_the_readme_is_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    """By a model that echoes, called as the real one is; that one is run by the tests of the local provider."""
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    _, *requests, clients, _ = blocks(README, "sh")
    async with gateway((ROOT / "examples" / "01-quickstart" / "echo.toml").read_text()) as nexus:
        assert nexus.gateway.mcp is not None
        await nexus.gateway.mcp.pool.shared["sums"].settled.wait()
        chat, message, tools = [
            await asyncio.to_thread(shell, block.replace(ADDRESS, nexus.url)) for block in requests
        ]
        clients = clients.replace("client.py", f"client.py {nexus.url}")
        said = (await asyncio.to_thread(shell, clients)).splitlines()
    assert msgspec.json.decode(chat)["choices"][0]["message"]["content"] == "What is 2+2?"
    assert msgspec.json.decode(message)["content"] == [{"type": "text", "text": "Say hello."}]
    assert "sums__add_numbers" in tools
    assert '"text":"5' in tools
    assert said[0] == "What is 2+2?"
    assert said[-1] == "5.0"


async def test_the_file_of_the_readme_is_checked_listed_and_served(tmp_path: Path) -> None:
    (toml,) = blocks(README, "toml")
    *_, commands = blocks(README, "sh")
    activate, check, models, serve = (line.partition("#")[0].strip() for line in commands.splitlines())
    assert (activate, serve) == (". .venv/bin/activate", "nexus")
    async with upstream() as vendor:
        text = toml.replace('type = "openai"\n', f'type = "openai"\nbase_url = "{vendor.url}"\n', 1)
        text = re.sub(r"http://127.0.0.1:11434/v1", vendor.url, text)
        (tmp_path / "nexus.toml").write_text(text)
        key = {"OPENAI_API_KEY": "k"}
        told = await asyncio.to_thread(shell, f"{check} && {models}", tmp_path, **key)
        await asyncio.to_thread(_serve, tmp_path, key)
    assert "good (2 providers)" in told
    assert "openai/smart" in told


def _serve(cwd: Path, environ: dict[str, str]) -> None:
    with process(environ=environ, cwd=cwd) as nexus:
        assert nexus.url


async def test_the_first_steps_work_as_they_are_written(tmp_path: Path) -> None:
    setup, serve, requests, models = blocks(START, "sh")
    assert setup in SERVING
    (tmp_path / "nexus.toml").write_text(blocks(START, "toml")[0])
    check, bare = serve.splitlines()
    assert bare == "nexus"
    told = await asyncio.to_thread(shell, f"nexus --version && {check} && {models}", tmp_path)
    assert "good (1 provider)" in told
    assert re.search(r"^echo +try ", told, re.MULTILINE)
    async with gateway(blocks(START, "toml")[0]) as nexus:
        answers = await asyncio.to_thread(shell, requests.replace(ADDRESS, nexus.url))
    assert '"role":"assistant","content":"Hello!"' in answers
    assert '{"type":"text","text":"Hello!"' in answers
