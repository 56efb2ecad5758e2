"""Use a wheel as a stranger would: in an empty environment, with an empty home, from a folder of its own."""

import os
import re
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from release.contents import ROOT

LOCK = ROOT / "requirements" / "run.txt"
_UV = Path(sys.executable).with_name("uv")
_ONLY_WHEELS = ("--only-binary", ":all:")
"""Nothing that is installed may run code while it is."""
_SECONDS = 60
_FILE = """
[llm.providers.parrot]
type = "echo"

[mcp.servers.none]
url = "http://127.0.0.1:1/mcp"
"""


@dataclass(frozen=True)
class Environment:
    """A virtual environment, and a folder to run its programs in."""

    python: Path
    folder: Path

    @staticmethod
    def made(folder: Path) -> "Environment":
        """Make an empty one."""
        folder.mkdir()
        run([_UV, "venv", "--quiet", "--python", sys.executable, folder / "venv"])
        return Environment(folder / "venv" / "bin" / "python", folder)

    def install(self, *arguments: str | Path) -> None:
        """Install, wheels only."""
        run([_UV, "pip", "install", "--quiet", "--python", self.python, *_ONLY_WHEELS, *arguments])

    def command(self, program: str) -> str:
        """Give the path of one of its programs."""
        return str(self.python.with_name(program))

    @property
    def environ(self) -> dict[str, str]:
        """Nothing of ours: no keys, no home, no path to our code."""
        return {"PATH": os.defpath, "HOME": str(self.folder), "LANG": "C.UTF-8"}

    def output(self, program: str, *arguments: str) -> str:
        """Run one of its programs to its end; gives what it printed."""
        return run([self.command(program), *arguments], cwd=self.folder, env=self.environ).strip()


def everything(folder: Path, wheel: Path) -> Environment:
    """Install what is locked, every hash checked, then the wheel."""
    made = Environment.made(folder)
    made.install("--require-hashes", "-r", LOCK)
    made.install("--no-deps", "--no-index", wheel)
    return made


def least(folder: Path, wheel: Path) -> Environment:
    """Install the wheel without any extra, its dependencies in the locked versions."""
    made = Environment.made(folder)
    made.install("--constraints", LOCK, wheel)
    return made


def use(made: Environment, version: str) -> None:
    """Ask both programs for their version, check a file, serve it, and ask it once in each half.

    Raises:
        RuntimeError: something did not say what it should.
    """
    _expect(made.output("nexus", "--version"), f"nexus {version}")
    _expect(made.output("nexus-agents", "--version"), f"nexus-agents {version}")
    (made.folder / "nexus.toml").write_text(_FILE)
    made.output("nexus", "check", "nexus.toml")
    command = [made.command("nexus"), "--listen-address", "127.0.0.1:0"]
    with subprocess.Popen(
        command,
        cwd=made.folder,
        env=made.environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as serving:
        try:
            _ask(_address(serving), version)
        finally:
            serving.send_signal(signal.SIGTERM)
        _expect(str(serving.wait(_SECONDS)), "0")


def _address(serving: subprocess.Popen[str]) -> str:
    """Read what it logs up to the line that says it is ready; the address is in one before."""
    assert serving.stdout is not None
    said = ""
    for line in serving.stdout:
        said += line
        if "Ready: " in line and (found := re.search(r"http://127\.0\.0\.1:\d+", said)):
            return found[0]
    raise RuntimeError(f"it did not become ready:\n{said}")


def _ask(address: str, version: str) -> None:
    question = {"model": "parrot/echo", "messages": [{"role": "user", "content": "Are you there?"}]}
    answered = _posted(f"{address}/llm/openai/v1/chat/completions", question)
    _expect(answered["choices"][0]["message"]["content"], "Are you there?")
    hello = {
        "protocolVersion": "2025-06-18",
        "capabilities": {},
        "clientInfo": {"name": "tryout", "version": version},
    }
    greeted = _posted(f"{address}/mcp", {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": hello})
    _expect(greeted["result"]["serverInfo"]["version"], version)


def _posted(url: str, body: object) -> Any:
    headers = {"content-type": "application/json", "accept": "application/json, text/event-stream"}
    request = urllib.request.Request(url, msgspec.json.encode(body), headers)
    with urllib.request.urlopen(request, timeout=_SECONDS) as answer:
        received = answer.read()
    return msgspec.json.decode(received[received.index(b"{") :].strip())


def _expect(seen: str, wanted: str) -> None:
    if seen != wanted:
        raise RuntimeError(f"it says {seen!r} instead of {wanted!r}")


def run(command: Sequence[str | Path], cwd: Path | None = None, env: dict[str, str] | None = None) -> str:
    """Run a program to its end; gives what it printed.

    Raises:
        RuntimeError: it ended with another status than 0.
    """
    done = subprocess.run(
        command, cwd=cwd, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=600
    )
    if done.returncode:
        raise RuntimeError(f"{command[0]} ended with status {done.returncode}\n{done.stdout}")
    return done.stdout
