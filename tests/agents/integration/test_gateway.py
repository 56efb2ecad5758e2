"""A real Nexus between the agents and their models: found, asked, and its tools used by experts."""

import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from agents.fakes import Asked, Gateway, Told, environment, listing, said
from gateway import process
from nexus.llm.providers import local
from nexus_agents.options import OrchestrateOptions, VoteOptions
from nexus_agents.services import Services

PLAIN = Path(__file__).parents[2] / "integration" / "mcp_servers" / "plain.py"
SERVER = f'\n[mcp]\nenabled = true\n[mcp.servers.plain]\ncmd = ["{sys.executable}", "{PLAIN}"]\n'
ECHO = '[llm.providers.echo]\ntype = "echo"\n'


def config(home: Path, text: str) -> str:
    path = home / "nexus.toml"
    path.write_text(text)
    return str(path)


def behind(gateway: Gateway) -> str:
    return f'[llm.providers.up]\ntype = "openai"\napi_key = "k"\nbase_url = "{gateway.url}"\n'


def call(name: str, arguments: dict[str, Any]) -> dict[str, Any]:
    function = {"name": name, "arguments": msgspec.json.encode(arguments).decode()}
    return {"id": "call_1", "type": "function", "function": function}


async def test_a_gateway_on_this_machine_is_found_by_itself(tmp_path: Path):
    with process("--config", config(tmp_path, ECHO)) as nexus:
        environ = environment(tmp_path, NEXUS_LISTEN_ADDRESS=nexus.url.removeprefix("http://"))
        async with Services(environ, cwd=tmp_path) as services:
            (status,) = await services.adapters()
            done = await services.orchestrate("say this", OrchestrateOptions())
    assert (status.title, status.source, status.state, status.explicit) == (
        "Nexus",
        "found on this machine",
        "usable",
        False,
    )
    assert (done.success, done.trace[0].title) == (True, "Nexus")
    assert "say this" in done.text


async def test_something_else_that_listens_there_is_no_gateway(tmp_path: Path):
    with Gateway(lambda _: said("OK")).listening() as other:
        async with Services(
            environment(tmp_path, NEXUS_LISTEN_ADDRESS=f"127.0.0.1:{other.port}")
        ) as services:
            assert await services.adapters() == []


async def test_what_was_configured_is_not_looked_past(tmp_path: Path):
    with (
        process("--config", config(tmp_path, ECHO)) as nexus,
        Gateway(lambda _: said("OK")).listening() as other,
    ):
        environ = environment(
            tmp_path,
            NEXUS_LISTEN_ADDRESS=nexus.url.removeprefix("http://"),
            NEXUS_CUSTOM_API_BASE_URL=other.url,
            NEXUS_CUSTOM_API_KEY="k",
            NEXUS_CUSTOM_API_ALLOW_PRIVATE="1",
        )
        async with Services(environ) as services:
            assert [one.name for one in await services.adapters()] == ["custom-openai"]


async def test_an_expert_uses_a_tool_of_the_gateway_and_answers_with_its_result(tmp_path: Path):
    def script(asked: Asked) -> Told:
        last = asked.json["messages"][-1]
        if last["role"] == "tool":
            return said(f"The tool says {last['content']}")
        assert {tool["function"]["name"] for tool in asked.json["tools"]} == {"search", "execute"}
        return said(
            "",
            finish="tool_calls",
            tool_calls=[call("execute", {"name": "plain__adder", "arguments": {"a": 2, "b": 3}})],
        )

    with Gateway(script, listing("gpt-4o")).listening() as upstream:
        with process("--config", config(tmp_path, behind(upstream) + SERVER), ready="plain is up") as nexus:
            async with Services(environment(tmp_path, NEXUS_GATEWAY_URL=nexus.url)) as services:
                done = await services.orchestrate(
                    "add 2 and 3", OrchestrateOptions(expert="code", tools=True)
                )
                trace = await services.trace(done.run_id, "tool")
    assert done.success, done.error
    assert done.text.startswith("The tool says")
    assert not any("Error:" in str(message.get("content")) for message in upstream.chats[-1].json["messages"])
    assert [(event.data["name"], event.data["failed"]) for event in trace.events] == [("execute", False)]


@pytest.mark.parametrize(
    "name", ["agents__orchestrate", "agents__consensus_vote", "x__execute_expert", "orchestrate"]
)
async def test_an_expert_cannot_start_agents_through_the_gateway(tmp_path: Path, name: str):
    def script(asked: Asked) -> Told:
        last = asked.json["messages"][-1]
        if last["role"] == "tool":
            return said(last["content"])
        return said("", finish="tool_calls", tool_calls=[call("execute", {"name": name, "arguments": {}})])

    with Gateway(script, listing("gpt-4o")).listening() as upstream:
        with process("--config", config(tmp_path, behind(upstream) + SERVER), ready="plain is up") as nexus:
            async with Services(environment(tmp_path, NEXUS_GATEWAY_URL=nexus.url)) as services:
                done = await services.orchestrate("loop", OrchestrateOptions(expert="code", tools=True))
    assert "agents do not start agents" in done.text


async def test_a_model_that_never_stops_calling_tools_has_to_answer(tmp_path: Path):
    def script(asked: Asked) -> Told:
        if "tools" not in asked.json:
            return said("enough")
        return said("", finish="tool_calls", tool_calls=[call("search", {"keywords": ["add"]})])

    with Gateway(script, listing("gpt-4o")).listening() as upstream:
        with process("--config", config(tmp_path, behind(upstream) + SERVER), ready="plain is up") as nexus:
            async with Services(environment(tmp_path, NEXUS_GATEWAY_URL=nexus.url)) as services:
                done = await services.orchestrate("loop", OrchestrateOptions(expert="code", tools=True))
    assert (done.text, len(upstream.chats)) == ("enough", 9)


async def test_tools_that_are_not_there_are_said_to_be_missing(tmp_path: Path):
    with Gateway(lambda _: said("OK")).listening() as gateway:
        environ = environment(
            tmp_path,
            NEXUS_CUSTOM_API_BASE_URL=gateway.url,
            NEXUS_CUSTOM_API_KEY="k",
            NEXUS_CUSTOM_API_ALLOW_PRIVATE="1",
        )
        async with Services(environ) as services:
            done = await services.orchestrate("x", OrchestrateOptions(tools=True))
    assert done.success
    assert "NEXUS_GATEWAY_URL" in done.warnings[0]


@pytest.mark.local
@pytest.mark.timeout(600)
@pytest.mark.skipif(
    not local.server_is_installed() or local.find_model() is None,
    reason=f"needs the local model: {local.INSTALL}",
)
async def test_a_task_of_several_steps_and_a_vote_go_through_nexus_to_a_real_model(tmp_path: Path):
    text = '[llm.providers.here]\ntype = "local"\ncontext = 16384\n'
    overlay = '[models.tiny]\nnames = ["smollm*"]\ncontext = 4096\noutput = 200\nreasoning = 1\ncode = 1\n'
    (tmp_path / "nexus-agents.toml").write_text(overlay)
    with process("--config", config(tmp_path, text), ready="is up") as nexus:
        async with Services(environment(tmp_path, NEXUS_GATEWAY_URL=nexus.url), cwd=tmp_path) as services:
            steps = {"bug": "The sum of an empty list is None and not 0.", "code": "def total(xs): ..."}
            done = await services.orchestrate("What is the capital of France?", OrchestrateOptions())
            flow = await services.run_workflow("bug-fix", steps)
            voted = await services.vote("Use SQLite as the store of a small tool", VoteOptions(quick=True))
            trace = await services.trace(flow.run_id or "")
    assert "Paris" in done.text
    assert flow.success, flow.error
    assert [step.status for step in flow.steps] == ["done"] * 3
    assert {event.type for event in trace.events} >= {
        "plan",
        "step_started",
        "step_done",
        "attempt",
        "run_done",
    }
    assert voted.vote_counts.error == 0
    assert voted.decision in ("approved", "rejected", "no_quorum")
