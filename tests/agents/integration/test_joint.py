"""Both halves together: the gateway with the agents as one of its MCP servers, the agents with the gateway as their model."""

import asyncio
import sys
from pathlib import Path
from typing import Any, cast

import httpx2
import msgspec
import pytest
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from mcp_types import CallToolResult, TextContent

from agents.fakes import environment
from gateway import Running, gateway, process
from nexus.config import loads
from nexus.config.mcp import BuiltinServer
from nexus.errors import ConfigError
from nexus_agents.doctor import examine
from nexus_agents.services import Services

PLAIN = Path(__file__).parents[2] / "integration" / "mcp_servers" / "plain.py"


def configuration(home: Path) -> str:
    return f"""
[llm.providers.echo]
type = "echo"

[mcp.servers.agents]
builtin = "agents"
env = {{ HOME = "{home}", NEXUS_DATA_DIR = "{home}/data" }}
"""


def text(result: CallToolResult) -> str:
    assert isinstance(result.content[0], TextContent)
    return result.content[0].text


async def call(url: str, tool: str, **arguments: Any) -> dict[str, Any]:
    async with httpx2.AsyncClient() as http:
        async with Client(streamable_http_client(f"{url}/mcp", http_client=http)) as client:
            result = await client.call_tool(tool, arguments)
    assert not result.is_error, text(result)
    return cast(dict[str, Any], result.structured_content or msgspec.json.decode(text(result)))


async def execute(url: str, name: str, **arguments: Any) -> dict[str, Any]:
    return await call(url, "execute", name=name, arguments=arguments)


async def ready(nexus: Running, *servers: str) -> None:
    """Wait until the gateway has connected to its servers; it serves before."""
    async with httpx2.AsyncClient() as http:
        for _ in range(1000):
            parts = (await http.get(f"{nexus.url}/ready")).json()["parts"]
            if not any(f"mcp.servers.{name}" in parts for name in servers):
                return
            await asyncio.sleep(0.01)
    raise AssertionError("the gateway never became ready")


async def test_the_gateway_offers_the_agents_tools(tmp_path: Path) -> None:
    async with gateway(configuration(tmp_path)) as nexus:
        await ready(nexus, "agents")
        assert (await execute(nexus.url, "agents__list_experts", format="names"))["count"] == 10
        await execute(nexus.url, "agents__memory_write", key="k", content="through the gateway")
        found = await execute(nexus.url, "agents__memory_query", query="gateway")
    assert [row["content"] for row in found["results"]] == ["through the gateway"]


async def test_the_builtin_agents_ask_the_gateway_that_started_them_and_nobody_else(tmp_path: Path) -> None:
    path = tmp_path / "nexus.toml"
    path.write_text(configuration(tmp_path))
    environ = {"OPENROUTER_API_KEY": "sk-or-v1-secret", "NEXUS_ALLOW_MOCK_ORCHESTRATION": "true"}
    with process("--config", str(path), environ=environ, ready="agents is up") as nexus:
        found = await call(nexus.url, "search", keywords=["orchestrate", "task"])
        assert found["results"][0]["name"] == "agents__orchestrate"
        done = await execute(nexus.url, "agents__orchestrate", task="say this")
    assert "say this" in done["result"], done
    assert "mock" not in done or not done["mock"]
    assert [(one["adapter"], one["model"]) for one in done["trace"]] == [("nexus", "echo/echo")]
    assert {one["adapter"] for one in done["routing"]["candidates"]} == {"nexus"}


def test_a_builtin_is_configured_like_any_program() -> None:
    toml = """
[server.client_identification]
enabled = true
client_id = { source = "http_header", http_header = "x-client" }
group_id = { source = "http_header", http_header = "x-group" }
validation.group_values = ["staff", "guests"]

[mcp.servers.a]
builtin = "agents"
cwd = "/tmp"
stderr = "pipe"
allow = ["staff"]
tools.memory_write.deny = ["guests"]
env.NEXUS_GATEWAY_KEY = "k"
"""
    server = loads(toml, {}).config.mcp.servers["a"]
    assert isinstance(server, BuiltinServer)
    assert server.cmd == (sys.executable, "-m", "nexus_agents", "--mode=server")
    assert (server.cwd, server.stderr, server.allow) == (Path("/tmp"), "pipe", frozenset({"staff"}))
    assert server.tools["memory_write"].deny == frozenset({"guests"})


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ('builtin = "agent"', "did you mean 'agents'?"),
        ('builtin = "x"', "expected one of `agents`"),
        ('builtin = "agents"\ncmd = ["x"]', "one of `builtin`, `cmd`, `url` and `openapi`"),
        ('builtin = "agents"\nurl = "http://x"', "one of `builtin`, `cmd`, `url` and `openapi`"),
    ],
)
def test_a_builtin_there_is_not_is_refused_with_the_cure(line: str, told: str) -> None:
    with pytest.raises(ConfigError) as refused:
        loads(f"[mcp.servers.a]\n{line}", {})
    assert "mcp.servers.a" in str(refused.value)
    assert told in str(refused.value)


async def test_the_doctor_examines_a_gateway_and_every_server_behind_it(tmp_path: Path) -> None:
    servers = f'[mcp.servers.plain]\ncmd = ["{sys.executable}", "{PLAIN}"]\n[mcp.servers.gone]\ncmd = ["/nonexistent"]\n'
    async with gateway(configuration(tmp_path) + servers) as nexus:
        await ready(nexus, "agents", "plain")
        environ = environment(tmp_path, NEXUS_GATEWAY_URL=nexus.url)
        async with Services(environ, cwd=tmp_path) as services:
            report = await examine(services, environ, tmp_path)
    states = {check.name: (check.state, check.detail) for check in report.checks}
    assert states["Gateway health"] == ("ok", "answers, and its clock is right")
    assert states["Gateway models"] == ("ok", "1 model")
    assert states["Gateway tools"] == ("ok", "2: search, execute")
    assert states["Gateway upstream agents"] == ("ok", "up, 24 tools")
    assert states["Gateway upstream plain"] == ("ok", "up, 8 tools")
    assert states["Gateway upstream gone"] == (
        "warning",
        "it could not be started: No such file or directory",
    )
    assert [(each.title, each.state) for each in report.adapters] == [("Nexus", "usable")]
    assert report.ready
