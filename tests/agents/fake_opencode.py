"""A program that stands for OpenCode: plays what it was told to, and writes down how it was called."""

import os
import stat
import sys
from pathlib import Path
from typing import Any

import msgspec

RUNS = Path(__file__).parent / "opencode_runs"
LISTED = ("custom/claude-opus-4-5", "custom/claude-sonnet-4-5", "anthropic/claude-sonnet-4-6")

PROGRAM = """#!{python}
import json, os, pathlib, subprocess, sys, time
here = pathlib.Path(__file__).parent
plan = json.loads((here / "plan.json").read_text())
call = {{"argv": sys.argv[1:], "env": dict(os.environ), "cwd": os.getcwd(), "stdin": sys.stdin.read()}}
with (here / "calls.jsonl").open("a") as calls:
    calls.write(json.dumps(call) + "\\n")
if sys.argv[1:] == ["--version"]:
    print(plan["version"])
    sys.exit(0)
if sys.argv[1:2] == ["models"]:
    if plan["models"] is None:
        sys.exit("no models today")
    print("\\n".join(plan["models"]))
    sys.exit(0)
if sys.argv[1:] == ["mcp", "list"]:
    sys.stdout.write(plan["mcp"])
    sys.exit(0)
turn = plan["turns"][0]
if len(plan["turns"]) > 1:
    rest = here / f"plan.{{os.getpid()}}"
    rest.write_text(json.dumps({{**plan, "turns": plan["turns"][1:]}}))
    rest.replace(here / "plan.json")
if turn.get("child"):
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    (here / "child.pid").write_text(str(child.pid))
if turn.get("hang"):
    import signal
    if turn["hang"] == "stubborn":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    (here / "hanging").write_text(str(os.getpid()))
    time.sleep(600)
sys.stdout.write(turn["stdout"])
sys.stdout.flush()
sys.stderr.write(turn["stderr"])
sys.exit(turn["code"])
"""


class FakeOpenCode:
    """An `opencode` in a directory of its own, to be put on the PATH."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        directory.mkdir(parents=True, exist_ok=True)
        program = directory / "opencode"
        program.write_text(PROGRAM.format(python=sys.executable))
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
        self.plan()

    @property
    def path(self) -> str:
        return f"{self.directory}{os.pathsep}/usr/bin{os.pathsep}/bin"

    def plan(
        self,
        *turns: dict[str, Any],
        models: tuple[str, ...] | None = LISTED,
        version: str = "1.2.15",
        mcp: str = "",
    ) -> None:
        """Say what the next runs do; the last one is repeated."""
        whole = [{"stdout": "", "stderr": "", "code": 0, **turn} for turn in turns or (played("thinking"),)]
        plan = {"version": version, "models": models, "mcp": mcp, "turns": whole}
        (self.directory / "plan.json").write_bytes(msgspec.json.encode(plan))

    @property
    def calls(self) -> list[dict[str, Any]]:
        path = self.directory / "calls.jsonl"
        lines = path.read_bytes().splitlines() if path.exists() else []
        return [msgspec.json.decode(line) for line in lines]

    @property
    def runs(self) -> list[dict[str, Any]]:
        return [call for call in self.calls if call["argv"][0] == "run"]


def played(name: str, **more: Any) -> dict[str, Any]:
    """Play what the real program printed, as kept in `opencode_runs`."""
    return {"stdout": (RUNS / f"{name}.ndjson").read_text(), **more}
