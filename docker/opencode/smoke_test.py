"""Check that OpenCode and the Nexus agents find each other. Needs no key and no model.

`--only server` is the health check of the container: the MCP server greets and lists its tools.
"""

import argparse
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec

VERSION = os.environ.get("OPENCODE_VERSION", "1.2.15")
CONFIG = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "opencode" / "opencode.json"
TOOLS = 24
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
_CONNECTED = re.compile(r"nexus-agents\W+connected\b")
_SERVER = [sys.executable, "-m", "nexus_agents", "--mode=server"]


def output(*argv: str, timeout: float, given: str = "") -> str:
    """Run a program to its end and give what it printed; its failure is ours."""
    done = subprocess.run(argv, input=given, capture_output=True, text=True, timeout=timeout, check=True)
    return _COLOURS.sub("", done.stdout + done.stderr)


def opencode_has_its_version() -> bool:
    """Ask OpenCode for its version."""
    return VERSION in output("opencode", "--version", timeout=30)


def agents_start() -> bool:
    """Ask our command line for help."""
    return "orchestrate" in output(sys.executable, "-m", "nexus_agents", "--help", timeout=10)


def configuration_names_the_agents() -> bool:
    """Look for our entry."""
    return "nexus-agents" in msgspec.json.decode(CONFIG.read_bytes())["mcp"]


def opencode_is_connected() -> bool:
    """Read the line of our server only as it is when connected: "disconnected" and "not connected" have the word too."""
    return bool(_CONNECTED.search(output("opencode", "mcp", "list", timeout=60)))


def configuration_names_the_providers() -> bool:
    """Look for the providers the image promises."""
    return {"anthropic", "custom"} <= set(msgspec.json.decode(CONFIG.read_bytes())["provider"])


def server_lists_its_tools() -> bool:
    """Greet the MCP server and ask for its tools, as any client does."""
    greeting = {
        "protocolVersion": "2025-11-25",
        "capabilities": {},
        "clientInfo": {"name": "smoke", "version": "1"},
    }
    messages = (
        {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": greeting},
        {"jsonrpc": "2.0", "method": "notifications/initialized"},
        {"jsonrpc": "2.0", "id": 2, "method": "tools/list"},
    )
    with subprocess.Popen(_SERVER, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as server:
        assert server.stdin
        assert server.stdout
        server.stdin.write(b"".join(msgspec.json.encode(message) + b"\n" for message in messages))
        server.stdin.flush()
        answers = [msgspec.json.decode(server.stdout.readline()) for _ in range(2)]
        server.stdin.close()
    return len(answers[1]["result"]["tools"]) == TOOLS


CHECKS: dict[str, tuple[str, Callable[[], bool]]] = {
    "version": (f"OpenCode is version {VERSION}", opencode_has_its_version),
    "agents": ("nexus-agents starts", agents_start),
    "entry": ("opencode.json names nexus-agents", configuration_names_the_agents),
    "connected": ("OpenCode is connected to nexus-agents", opencode_is_connected),
    "providers": ("opencode.json names the providers", configuration_names_the_providers),
}
HEALTH = {"server": ("the MCP server lists its tools", server_lists_its_tools)}


def say(line: str) -> None:
    """Print a line at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def passes(check: Callable[[], bool]) -> bool:
    """Run a check; one that breaks has failed, and says how."""
    try:
        return check()
    except (OSError, subprocess.SubprocessError, ValueError, KeyError, TypeError) as error:
        say(f"      {type(error).__name__}: {error}")
        return False


def main(arguments: list[str]) -> int:
    """Run the checks; the exit code says whether all passed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", choices=[*CHECKS, *HEALTH], help="run one check")
    only = parser.parse_args(arguments).only
    chosen = {
        name: each
        for name, each in {**CHECKS, **HEALTH}.items()
        if (name == only if only else name in CHECKS)
    }
    passed = 0
    for what, check in chosen.values():
        good = passes(check)
        passed += good
        say(f"{'PASS' if good else 'FAIL'}  {what}")
    failed = len(chosen) - passed
    say(f"=== Results: {passed} passed, {failed} failed ===")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
