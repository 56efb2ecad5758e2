"""Both halves together: the gateway with the agents as one of its MCP servers, the agents with the gateway as their model."""

import asyncio
import sys
from pathlib import Path
from typing import Any, cast

import httpx2
import msgspec
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from mcp_types import CallToolResult, TextContent

from agents.fakes import environment
from gateway import Running, gateway
from nexus_agents.doctor import examine
from nexus_agents.services import Services


def configuration(data: Path) -> str:
    return f"""
[llm.providers.echo]
type = "echo"

[mcp.servers.agents]
cmd = ["{sys.executable}", "-m", "nexus_agents", "--mode=server"]
env = {{ NEXUS_DATA_DIR = "{data}", HOME = "{data}", NEXUS_GATEWAY_URL = "http://127.0.0.1:1" }}
"""


def text(result: CallToolResult) -> str:
    assert isinstance(result.content[0], TextContent)
    return result.content[0].text


async def execute(nexus: Running, name: str, **arguments: Any) -> dict[str, Any]:
    async with httpx2.AsyncClient() as http:
        async with Client(streamable_http_client(f"{nexus.url}/mcp", http_client=http)) as client:
            result = await client.call_tool("execute", {"name": name, "arguments": arguments})
    assert not result.is_error, text(result)
    return cast(dict[str, Any], result.structured_content or msgspec.json.decode(text(result)))


async def ready(nexus: Running) -> None:
    """Wait until the gateway has connected to the agents; it serves before."""
    async with httpx2.AsyncClient() as http:
        for _ in range(1000):
            if "mcp.servers.agents" not in (await http.get(f"{nexus.url}/ready")).json()["parts"]:
                return
            await asyncio.sleep(0.01)
    raise AssertionError("the gateway never became ready")


async def test_the_gateway_offers_the_agents_tools(tmp_path: Path) -> None:
    async with gateway(configuration(tmp_path)) as nexus:
        await ready(nexus)
        assert (await execute(nexus, "agents__list_experts", format="names"))["count"] == 10
        await execute(nexus, "agents__memory_write", key="k", content="through the gateway")
        found = await execute(nexus, "agents__memory_query", query="gateway")
    assert [row["content"] for row in found["results"]] == ["through the gateway"]


async def test_the_doctor_examines_a_gateway_with_models_and_tools(tmp_path: Path) -> None:
    async with gateway(configuration(tmp_path)) as nexus:
        await ready(nexus)
        environ = environment(tmp_path, NEXUS_GATEWAY_URL=nexus.url)
        async with Services(environ, cwd=tmp_path) as services:
            report = await examine(services, environ, tmp_path)
    states = {check.name: (check.state, check.detail) for check in report.checks}
    assert states["Gateway health"] == ("ok", "answers")
    assert states["Gateway models"] == ("ok", "1 models")
    assert states["Gateway tools"] == ("ok", "2: search, execute")
    assert [(each.title, each.state) for each in report.adapters] == [("Nexus", "usable")]
    assert report.ready
