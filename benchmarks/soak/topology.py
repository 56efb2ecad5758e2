"""What runs: the gateway under watch, the provider, Redis and two MCP servers; all on loopback, ended together."""

import os
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import msgspec

from benchmarks import fleet

TOOLS = Path(__file__).with_name("tools.py")
_CONFIG = """
[server]
shutdown_timeout = "10s"

[server.client_identification]
enabled = true
client_id.http_header = "X-Client-ID"

[server.rate_limits]
enabled = true
global = {{ limit = 1_000_000_000, interval = "60s" }}
per_ip = {{ limit = 1_000_000_000, interval = "60s" }}

[server.rate_limits.storage]
type = "redis"
url = "redis://127.0.0.1:{redis}"
# two cores are shared by all of this: that a process waits for its turn is no fault of Redis
response_timeout = "5s"

[telemetry.exporters.otlp]
enabled = true
protocol = "http"
endpoint = "http://127.0.0.1:{collector}"

[telemetry.prometheus]
enabled = true

[llm]
keep_alive = "{changing}s"

[llm.discovery]
interval = "5s"
on_start_error = "warn"

[llm.protocols.anthropic]
enabled = true

[mcp.servers.pipe]
cmd = ["{python}", "{tools}"]
inherit_env = false

[mcp.servers.web]
url = "http://127.0.0.1:{web}/mcp"
protocol = "streamable-http"
"""
_PROVIDER = """
[llm.providers.{name}]
type = "{name}"
api_key = "sk-soak"
base_url = "http://127.0.0.1:{provider}/{name}"
timeouts = {{ connect = "4s", first_byte = "4s", idle = "4s" }}
proxy = "none"

[llm.providers.{name}.rate_limits.per_user]
input_token_limit = 1_000_000_000
interval = "60s"
"""
_SMALL = """
[llm.providers.openai.models.small.rate_limits.per_user]
input_token_limit = 100
interval = "10s"
"""


class State(msgspec.Struct, frozen=True):
    """What the provider saw."""

    asked: int
    again: dict[int, int]
    """Requests that came more than once, and how often."""
    under_way: int
    exports: int
    """Of telemetry."""


class Held(msgspec.Struct, frozen=True):
    """What the gateway says of itself."""

    tasks: dict[str, int]
    """By the name of what they run."""
    objects: int
    """Of those Python looks after: a few for each thing that is kept."""


class Topology:
    """Everything there is, started."""

    def __init__(self, ships: fleet.Fleet) -> None:
        self._ships = ships
        self.provider, self.collector, self.redis, self.web, self.port = (fleet.free_port() for _ in range(5))
        self.file = ships.folder / "nexus.toml"
        self._held = ships.folder / "tasks.json"
        self._changing = 15
        python = self._run(
            sys.executable, "-m", "benchmarks.soak.provider", str(self.provider), str(self.collector)
        )
        ships.await_answer(python, f"http://127.0.0.1:{self.provider}/state", 10)
        self.start_redis()
        self.start_web()
        self.change()
        command = ["-m", "benchmarks.soak.watched", "-c", str(self.file), "-l", f"127.0.0.1:{self.port}"]
        self.nexus = ships.start(
            [sys.executable, *command, "--log", "warn"],
            fleet.GATEWAY_CORE,
            # of an arena for each thread the allocator keeps megabytes, which would be taken for growth
            {"SOAK_HELD": str(self._held), "NO_PROXY": "127.0.0.1", "MALLOC_ARENA_MAX": "1"},
        )
        ships.await_answer(self.nexus, f"http://127.0.0.1:{self.port}/ready", 30)

    def _run(self, *command: str) -> subprocess.Popen[bytes]:
        return self._ships.start(command, fleet.OTHER_CORE)

    def start_redis(self) -> None:
        """Start Redis, empty."""
        program = fleet.find_program("redis-server")
        if program is None:
            raise SystemExit("the soak needs redis-server: apt-get install redis-server")
        options = ["--port", str(self.redis), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
        self._redis = self._run(program, *options, "--dir", str(self._ships.folder))

    def kill_redis(self) -> None:
        """End it without a word."""
        self._killed(self._redis)

    def start_web(self) -> None:
        """Start the MCP server that is reached over HTTP."""
        self._web = self._run(sys.executable, str(TOOLS), str(self.web))

    def kill_web(self) -> None:
        """End it without a word."""
        self._killed(self._web)

    def kill_pipe(self) -> None:
        """End the MCP servers that are children of the gateway."""
        for pid in self.children():
            os.kill(pid, signal.SIGKILL)

    def resident(self) -> int:
        """Give the bytes of memory the gateway alone has."""
        pages = int(Path(f"/proc/{self.nexus.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")

    def children(self) -> list[int]:
        """Name the processes below the gateway."""
        return fleet.children(self.nexus.pid)

    def change(self) -> None:
        """Write the configuration anew, another one each time; it is replaced as a whole."""
        self._changing = 31 - self._changing
        ports = {"redis": self.redis, "collector": self.collector, "web": self.web}
        text = _CONFIG.format(changing=self._changing, python=sys.executable, tools=TOOLS, **ports)
        for name in ("openai", "anthropic", "google"):
            text += _PROVIDER.format(name=name, provider=self.provider)
        self._write(text + _SMALL)

    def spoil(self) -> None:
        """Write a configuration nobody can use."""
        self._write("[llm\n")

    def hang_up(self) -> None:
        """Let the provider close the connections nobody uses."""
        _got(f"http://127.0.0.1:{self.provider}/hang_up", b"{}")

    def state(self) -> State:
        """Ask the provider what it saw."""
        return msgspec.json.decode(_got(f"http://127.0.0.1:{self.provider}/state"), type=State)

    def metrics(self) -> str:
        """Ask the gateway what it counted."""
        return _got(f"http://127.0.0.1:{self.port}/metrics").decode()

    def held(self) -> Held:
        """Ask the gateway what it is doing, and how many objects it has for that."""
        self._held.unlink(missing_ok=True)
        self.nexus.send_signal(signal.SIGUSR1)
        for _ in range(100):
            if self._held.exists():
                return msgspec.json.decode(self._held.read_bytes(), type=Held)
            fleet.pause(0.05)
        raise RuntimeError(f"the gateway does not say what it holds\n{self.said()}")

    def said(self) -> str:
        """Give what the gateway has logged."""
        place = self._ships.processes.index(self.nexus)
        return (self._ships.folder / f"{place}.log").read_text(errors="replace")

    def _write(self, text: str) -> None:
        fresh = self.file.with_suffix(".fresh")
        fresh.write_text(text)
        fresh.rename(self.file)

    def _killed(self, process: subprocess.Popen[bytes]) -> None:
        process.kill()
        process.wait()


def _got(url: str, body: bytes | None = None) -> bytes:
    with urllib.request.urlopen(url, body, timeout=10) as answer:
        return answer.read()
