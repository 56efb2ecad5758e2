"""A real Nexus between the agents and their models: found, asked, and its tools used by experts."""

import sys
from pathlib import Path
from typing import Any

import msgspec

from agents.fakes import Asked, Gateway, Told, environment, listing, said
from gateway import process
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
    return {"id": f"call_{name}_{arguments.get('name')}", "type": "function", "function": function}


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


async def test_an_expert_cannot_start_agents_through_the_gateway(tmp_path: Path):
    names = ["agents__orchestrate", "agents__consensus_vote", "x__execute_expert", "orchestrate"]

    def script(asked: Asked) -> Told:
        results = [each["content"] for each in asked.json["messages"] if each["role"] == "tool"]
        if results:
            return said(" / ".join(results))
        calls = [call("execute", {"name": name, "arguments": {}}) for name in names]
        return said("", finish="tool_calls", tool_calls=calls)

    with Gateway(script, listing("gpt-4o")).listening() as upstream:
        with process("--config", config(tmp_path, behind(upstream) + SERVER), ready="plain is up") as nexus:
            async with Services(environment(tmp_path, NEXUS_GATEWAY_URL=nexus.url)) as services:
                done = await services.orchestrate("loop", OrchestrateOptions(expert="code", tools=True))
    assert done.text.count("agents do not start agents") == len(names)


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


def told(asked: Asked) -> Told:
    """Play the planner, the experts, the reviewer, the one who writes the answer, and three voters."""
    if asked.system.startswith("You plan work"):
        steps = [
            {"id": f"s{n}", "title": f"T{n}", "task": f"TASK-{n}", "expert": "code", "depends_on": after}
            for n, after in ((1, []), (2, []), (3, ["s1", "s2"]))
        ]
        return said(msgspec.json.encode({"steps": steps}).decode())
    if asked.system.startswith("You review"):
        return said('{"ok": true}')
    if "Judge the proposal" in asked.system:
        return said('{"decision": "approve", "reasoning": "It is small and enough.", "confidence": 0.9}')
    return said("THE END" if asked.system.startswith("You give the final answer") else "DONE")


async def test_a_task_of_several_steps_and_a_vote_go_through_nexus_and_end_with_a_trace(tmp_path: Path):
    with Gateway(told, listing("gpt-4o", "gpt-5")).listening() as upstream:
        with process("--config", config(tmp_path, behind(upstream))) as nexus:
            async with Services(environment(tmp_path, NEXUS_GATEWAY_URL=nexus.url)) as services:
                task = "Compare three queues. Then write the migration; finally document the decision."
                done = await services.orchestrate(task, OrchestrateOptions())
                voted = await services.vote(
                    "Use SQLite as the store of a small tool", VoteOptions(quick=True)
                )
                traces = [await services.trace(one.run_id) for one in (done, voted)]
    assert (done.text, [step.status for step in done.steps]) == ("THE END", ["done"] * 3)
    assert {one.adapter for one in done.trace} == {"nexus"}
    assert {event.type for event in traces[0].events} >= {
        "plan",
        "step_started",
        "step_done",
        "attempt",
        "reviewed",
        "run_done",
    }
    assert (voted.decision, voted.vote_counts.approve, voted.distinct_models) == ("approved", 3, 2)
    assert {event.type for event in traces[1].events} >= {"attempt", "vote", "run_done"}
