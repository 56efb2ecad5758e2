"""The MCP server over the services as they are: listed tools, checked input, failures as results, progress, both transports."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import AsyncGenerator, Callable, Generator
from pathlib import Path
from typing import Any, cast

import httpx2
import msgspec
import pytest
import uvicorn
from mcp import Client, MCPError
from mcp.client.streamable_http import streamable_http_client
from mcp_types import CallToolResult, TextContent
from mcp_types.version import HANDSHAKE_PROTOCOL_VERSIONS

from agents.fake_opencode import FakeOpenCode
from agents.fakes import environment
from nexus_agents.errors import AdapterError, Kind, Misuse
from nexus_agents.options import OnProgress, OrchestrateOptions, Progress, VoteOptions
from nexus_agents.results import Consensus, Orchestration, VoteCounts
from nexus_agents.server import greeting
from nexus_agents.server.front import BURST, Front, build
from nexus_agents.server.http import TOKEN, application
from nexus_agents.server.tools import ALL
from nexus_agents.services import Services

NAMES = {
    "orchestrate", "create_expert", "execute_expert", "run_workflow", "delegate_to_model", "consensus_vote", "list_experts",
    "list_workflows", "research_query", "research_add", "research_discover", "research_analyze", "research_catalog_review",
    "memory_query", "memory_stats", "memory_write", "weather_report", "issue_triage", "run_graph_workflow", "execute_spec",
    "registry_import", "query_trace", "repo_analyze", "repo_security_plan",
}  # fmt: skip


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    return environment(tmp_path, PATH=str(tmp_path))


@contextlib.asynccontextmanager
async def served(
    environ: dict[str, str],
    cwd: Path,
    services: Callable[..., Services] = Services,
    *,
    clock: Callable[[], float] = time.monotonic,
    beat: float = 5.0,
) -> AsyncGenerator[Client]:
    async with services(environ, cwd=cwd) as made:
        async with Client(build(Front(made, environ, clock=clock, beat=beat))) as client:
            yield client


def text(result: CallToolResult, at: int = 0) -> str:
    part = result.content[at]
    assert isinstance(part, TextContent)
    return part.text


async def called(client: Client, name: str, **arguments: Any) -> dict[str, Any]:
    result = await client.call_tool(name, arguments)
    assert not result.is_error, text(result)
    assert msgspec.json.decode(text(result)) == result.structured_content
    return cast(dict[str, Any], result.structured_content)


async def refused(client: Client, name: str, **arguments: Any) -> str:
    result = await client.call_tool(name, arguments)
    assert result.is_error
    return text(result)


async def test_exactly_the_24_tools_are_listed_with_their_schemas(
    environ: dict[str, str], tmp_path: Path
) -> None:
    async with served(environ, tmp_path) as client:
        tools = (await client.list_tools()).tools
    assert len(tools) == 24
    assert {tool.name for tool in tools} == NAMES
    for tool in tools:
        assert tool.input_schema["type"] == "object"
        assert tool.description
        assert "$ref" not in msgspec.json.encode(tool.input_schema).decode()


async def test_an_agent_that_an_agent_runs_gets_no_tools_that_call_models(
    environ: dict[str, str], tmp_path: Path
) -> None:
    environ["NEXUS_SUBPROCESS_DEPTH"] = "1"
    async with served(environ, tmp_path) as client:
        names = {tool.name for tool in (await client.list_tools()).tools}
        with pytest.raises(MCPError, match="Unknown tool"):
            await client.call_tool("orchestrate", {"task": "x"})
    assert names == {tool.name for tool in ALL if not tool.models}
    assert "list_experts" in names


CALLS: list[tuple[str, dict[str, Any]]] = [
    ("list_experts", {}),
    ("list_workflows", {}),
    ("run_workflow", {"template": "code-review", "inputs": {"code": "x = 1"}, "dryRun": True}),
    ("run_graph_workflow", {"workflow": "list"}),
    ("execute_spec", {"spec": "# A\n\nDo a.\n\n# B\n\nDo b.", "dryRun": True}),
    ("research_query", {"action": "stats"}),
    ("research_analyze", {"focus": "gaps"}),
    ("research_catalog_review", {"action": "list"}),
    ("memory_query", {"query": "anything"}),
    ("memory_stats", {}),
    ("memory_write", {"key": "k", "content": "c"}),
    ("weather_report", {}),
    ("registry_import", {"provider": "custom", "modelId": "m"}),
]


@pytest.mark.parametrize(("name", "arguments"), CALLS, ids=[name for name, _ in CALLS])
async def test_what_needs_no_model_answers_in_an_empty_environment(
    name: str, arguments: dict[str, Any], environ: dict[str, str], tmp_path: Path
) -> None:
    async with served(environ, tmp_path) as client:
        result = await client.call_tool(name, arguments)
    assert not result.is_error, text(result)


async def test_experts_are_listed_in_full_and_by_name(environ: dict[str, str], tmp_path: Path) -> None:
    async with served(environ, tmp_path) as client:
        full = await called(client, "list_experts")
        names = await called(client, "list_experts", format="names")
    assert full["count"] == names["count"] == 10
    assert {row["role"] for row in full["experts"]} >= {"code_expert", "security_expert", "ux_expert"}
    assert all(row["capabilities"] for row in full["experts"])
    assert not any(row["capabilities"] for row in names["experts"])
    for name, row in zip(names["experts"], full["experts"], strict=True):
        assert row["description"].startswith(name["description"])


async def test_what_is_remembered_is_found(environ: dict[str, str], tmp_path: Path) -> None:
    async with served(environ, tmp_path) as client:
        assert (
            await called(
                client, "memory_write", key="deploy", content="We deploy on Fridays.", backend="belief"
            )
        )["success"]
        found = await called(client, "memory_query", query="deploy", source="belief")
        assert [row["content"] for row in found["results"]] == ["We deploy on Fridays."]
        assert (await called(client, "memory_query", query="deploy", source="session"))["count"] == 0


MODELS = [
    ("orchestrate", {"task": "x"}),
    ("execute_expert", {"expertId": "code_expert", "task": "x"}),
    ("consensus_vote", {"proposal": "x"}),
    ("create_expert", {"role": "code_expert"}),
]


@pytest.mark.parametrize(("name", "arguments"), MODELS, ids=[name for name, _ in MODELS])
async def test_without_a_model_a_call_says_what_to_set(
    name: str, arguments: dict[str, Any], environ: dict[str, str], tmp_path: Path
) -> None:
    async with served(environ, tmp_path) as client:
        said = await refused(client, name, **arguments)
    assert "OPENROUTER_API_KEY" in said


async def test_an_allowed_mock_is_marked_as_one(environ: dict[str, str], tmp_path: Path) -> None:
    environ["NEXUS_ALLOW_MOCK_ORCHESTRATION"] = "true"
    async with served(environ, tmp_path) as client:
        answer = await called(client, "orchestrate", task="Write a parser and then test it")
    assert answer["mock"] is True
    assert answer["metadata"]["tokensUsed"] == 0


INVALID: list[tuple[str, dict[str, Any], str]] = [
    ("orchestrate", {}, "task"),
    ("orchestrate", {"task": ""}, "task: "),
    ("orchestrate", {"task": "x", "timeout": 5}, "timeout: "),
    ("orchestrate", {"task": ["x"]}, "task: "),
    ("consensus_vote", {"proposal": "x" * 4001}, "proposal: "),
    ("consensus_vote", {"proposal": "x", "strategy": "most"}, "strategy: "),
    ("memory_query", {"query": "x", "limit": 51}, "limit: "),
    ("memory_write", {"key": "k", "content": "c", "backend": "mobimem"}, "backend: "),
    ("research_query", {"action": "delete"}, "action: "),
    ("delegate_to_model", {"task": "x", "model_hint": "m" * 101}, "model_hint: "),
]


@pytest.mark.parametrize(("name", "arguments", "place"), INVALID)
async def test_bad_input_is_told_by_field_and_the_server_goes_on(
    name: str, arguments: dict[str, Any], place: str, environ: dict[str, str], tmp_path: Path
) -> None:
    async with served(environ, tmp_path) as client:
        said = await refused(client, name, **arguments)
        assert said.startswith("Validation error: ")
        assert place in said
        assert (await called(client, "list_experts"))["count"] == 10


async def test_an_argument_nobody_reads_is_told(environ: dict[str, str], tmp_path: Path) -> None:
    async with served(environ, tmp_path) as client:
        result = await client.call_tool("memory_stats", {"includeDecay": True})
    assert not result.is_error
    assert text(result, 1) == "Arguments not used: includeDecay"


async def test_a_tool_there_is_not_is_an_error_of_the_protocol(
    environ: dict[str, str], tmp_path: Path
) -> None:
    async with served(environ, tmp_path) as client:
        with pytest.raises(MCPError, match="Unknown tool: rm"):
            await client.call_tool("rm", {})


async def test_a_loop_is_slowed_down(environ: dict[str, str], tmp_path: Path) -> None:
    now = 0.0
    async with served(environ, tmp_path, clock=lambda: now) as client:
        for _ in range(BURST):
            await called(client, "list_experts", format="names")
        assert await refused(client, "list_experts") == "Rate limit exceeded. Try again in 100ms."
        now = 0.1
        await called(client, "list_experts")
        assert "Rate limit" in await refused(client, "list_experts")


async def test_a_recommendation_follows_the_hint(environ: dict[str, str], tmp_path: Path) -> None:
    fake = FakeOpenCode(tmp_path / "bin")
    environ["PATH"] = fake.path
    async with served(environ, tmp_path) as client:
        answer = await called(client, "delegate_to_model", task="Do it", model_hint="opencode-custom-opus")
        said = await client.call_tool(
            "delegate_to_model", {"task": "Do it", "model_hint": "opencode-custom-opius"}
        )
    assert answer["recommended_model"] == "opencode-custom-opus"
    assert said.is_error or "opencode-custom-opius" in text(said), (
        "an unknown hint is never passed over in silence"
    )
    assert fake.runs == [], "a recommendation runs nothing"


DONE = Orchestration(run_id="orch-1", success=True, model="m", duration_ms=5, text="done")


class Scripted(Services):
    """Services whose long work does what a test says."""

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self.options: list[OrchestrateOptions | VoteOptions] = []
        self.begun, self.given_up = asyncio.Event(), asyncio.Event()

    async def orchestrate(
        self, task: str, options: OrchestrateOptions, progress: OnProgress | None = None
    ) -> Orchestration:
        self.options.append(options)
        match task:
            case "progress":
                assert progress
                for at in range(3):
                    progress(Progress(run_id="r", message=f"step {at} with sk-12345678901"))
                    await asyncio.sleep(0.01)
            case "silence":
                await asyncio.sleep(0.2)
            case "refuse":
                raise AdapterError(Kind.AUTHENTICATION, "the key sk-custom-secret is wrong")
            case "break":
                raise ZeroDivisionError("secret inside")
            case "fail":
                return msgspec.structs.replace(
                    DONE, success=False, error="no model answered", error_kind="failed"
                )
            case "forever":
                self.begun.set()
                try:
                    await asyncio.sleep(3600)
                finally:
                    self.given_up.set()
            case _:
                pass
        return DONE

    async def vote(
        self, proposal: str, options: VoteOptions, progress: OnProgress | None = None
    ) -> Consensus:
        self.options.append(options)
        return Consensus(
            run_id="v", proposal=proposal, strategy=options.strategy, decision="approved", approval_percentage=100.0,
            vote_counts=VoteCounts(approve=6), votes=(), minority=(), distinct_models=1, duration_ms=1, policy_reason="",
        )  # fmt: skip


@pytest.fixture
def made(environ: dict[str, str]) -> tuple[Callable[..., Services], list[Scripted]]:
    kept: list[Scripted] = []

    def make(*args: Any, **more: Any) -> Services:
        kept.append(Scripted(*args, **more))
        return kept[-1]

    environ["CUSTOM_API_KEY"] = "sk-custom-secret"
    return make, kept


Made = tuple[Callable[..., Services], list[Scripted]]


async def test_an_answer_has_the_shape_the_tool_promises(
    environ: dict[str, str], tmp_path: Path, made: Made
) -> None:
    async with served(environ, tmp_path, made[0]) as client:
        answer = await called(
            client,
            "orchestrate",
            task="go",
            maxIterations=3,
            timeout=2000,
            variant="high",
            thinking="true",
            workDir="x",
        )
    assert {"taskId", "result", "stepsCompleted", "metadata", "analysis", "routing"} <= set(answer)
    assert (answer["taskId"], answer["result"]) == ("orch-1", "done")
    (options,) = made[1][0].options
    assert isinstance(options, OrchestrateOptions)
    assert (options.max_calls, options.timeout, options.variant, options.work_dir) == (3, 2.0, "high", "x")
    assert options.thinking is False, "a string is not true"
    assert options.allow_edits is False


async def test_true_thinking_is_handed_on(environ: dict[str, str], tmp_path: Path, made: Made) -> None:
    async with served(environ, tmp_path, made[0]) as client:
        await called(client, "orchestrate", task="go", thinking=True)
    assert cast(OrchestrateOptions, made[1][0].options[0]).thinking is True


@pytest.mark.parametrize(
    ("arguments", "strategy"),
    [
        ({}, "simple_majority"),
        ({"threshold": "majority"}, "simple_majority"),
        ({"threshold": "unanimous"}, "unanimous"),
        ({"threshold": "unanimous", "strategy": "supermajority"}, "supermajority"),
    ],
)
async def test_a_strategy_goes_before_the_older_threshold(
    arguments: dict[str, str], strategy: str, environ: dict[str, str], tmp_path: Path, made: Made
) -> None:
    async with served(environ, tmp_path, made[0]) as client:
        await called(client, "consensus_vote", proposal="p", **arguments)
    assert cast(VoteOptions, made[1][0].options[0]).strategy == strategy


async def test_progress_is_passed_on_in_order_and_without_keys(
    environ: dict[str, str], tmp_path: Path, made: Made
) -> None:
    heard: list[tuple[float, str | None]] = []

    async def hear(progress: float, total: float | None, message: str | None) -> None:
        heard.append((progress, message))

    async with served(environ, tmp_path, made[0]) as client:
        await client.call_tool("orchestrate", {"task": "progress"}, progress_callback=hear)
    assert [number for number, _ in heard] == [1, 2, 3]
    assert heard[0][1] == "step 0 with [redacted]"


async def test_a_silent_call_says_that_it_goes_on(
    environ: dict[str, str], tmp_path: Path, made: Made
) -> None:
    heard: list[float] = []

    async def hear(progress: float, total: float | None, message: str | None) -> None:
        heard.append(progress)

    async with served(environ, tmp_path, made[0], beat=0.02) as client:
        await client.call_tool("orchestrate", {"task": "silence"}, progress_callback=hear)
    assert len(heard) > 2
    assert heard == sorted(set(heard))


async def test_a_failure_is_a_result_without_secrets(
    environ: dict[str, str], tmp_path: Path, made: Made, caplog: pytest.LogCaptureFixture
) -> None:
    async with served(environ, tmp_path, made[0]) as client:
        said = await refused(client, "orchestrate", task="refuse")
        assert "sk-custom-secret" not in said
        assert "is wrong" in said
        said = await refused(client, "orchestrate", task="break")
        assert "secret inside" not in said
        assert "ZeroDivisionError" in caplog.text
        failed = await refused(client, "orchestrate", task="fail")
        assert msgspec.json.decode(failed)["error"] == "no model answered"
        assert (await called(client, "orchestrate", task="go"))["result"] == "done"


async def test_calls_run_side_by_side_and_one_that_is_given_up_harms_no_other(
    environ: dict[str, str], tmp_path: Path, made: Made
) -> None:
    async with served(environ, tmp_path, made[0]) as client:
        forever = asyncio.create_task(client.call_tool("orchestrate", {"task": "forever"}))
        await called(client, "orchestrate", task="go")
        (services,) = made[1]
        await services.begun.wait()
        forever.cancel()
        with pytest.raises(asyncio.CancelledError):
            await forever
        await services.given_up.wait()
        await called(client, "orchestrate", task="go")


# stdio


def request(number: int, method: str, **params: Any) -> bytes:
    return msgspec.json.encode({"jsonrpc": "2.0", "id": number, "method": method, "params": params}) + b"\n"


def initialize(version: str = "2025-11-25", number: int = 0) -> bytes:
    return request(
        number,
        "initialize",
        protocolVersion=version,
        capabilities={},
        clientInfo={"name": "t", "version": "1"},
    )


INITIALIZED = b'{"jsonrpc":"2.0","method":"notifications/initialized"}\n'


@contextlib.contextmanager
def started(environ: dict[str, str], cwd: Path) -> Generator[subprocess.Popen[bytes]]:
    argv = [sys.executable, "-m", "nexus_agents", "--mode=server"]
    with subprocess.Popen(
        argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environ, cwd=cwd
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def ask(process: subprocess.Popen[bytes], *messages: bytes) -> dict[str, Any]:
    assert process.stdin
    assert process.stdout
    process.stdin.write(b"".join(messages))
    process.stdin.flush()
    return msgspec.json.decode(process.stdout.readline())


def test_a_client_is_greeted_served_and_left_by_stdio(environ: dict[str, str], tmp_path: Path) -> None:
    with started(environ, tmp_path) as process:
        greeted = ask(process, initialize())
        assert greeted["id"] == 0
        assert greeted["result"]["protocolVersion"] == "2025-11-25"
        listed = ask(process, INITIALIZED, request(1, "tools/list"))
        assert listed["id"] == 1, "one greeting, not two"
        assert {tool["name"] for tool in listed["result"]["tools"]} == NAMES
        answer = ask(process, request(2, "tools/call", name="list_experts", arguments={}))
        assert answer["result"]["structuredContent"]["count"] == 10
        assert process.stdin
        process.stdin.close()
        assert process.wait(20) == 0
        assert process.stdout
        assert process.stdout.read() == b""


def test_everything_sent_at_once_is_answered(environ: dict[str, str], tmp_path: Path) -> None:
    with started(environ, tmp_path) as process:
        ask(process, b"\n", initialize(), INITIALIZED, request(1, "ping"), request(2, "tools/list"))
        assert process.stdout
        numbers = {msgspec.json.decode(process.stdout.readline())["id"] for _ in range(2)}
    assert numbers == {1, 2}


def test_a_first_message_that_is_no_greeting_is_answered_by_the_sdk(
    environ: dict[str, str], tmp_path: Path
) -> None:
    with started(environ, tmp_path) as process:
        assert ask(process, request(7, "ping"))["id"] == 7
        assert ask(process, initialize(number=8))["result"]["serverInfo"]["name"] == "nexus-agents"


def test_nonsense_at_first_ends_nothing(environ: dict[str, str], tmp_path: Path) -> None:
    with started(environ, tmp_path) as process:
        assert ask(process, b"hello?\n", initialize())["result"]["serverInfo"]["name"] == "nexus-agents"


def test_agents_below_agents_below_agents_leave_quietly(environ: dict[str, str], tmp_path: Path) -> None:
    with started({**environ, "NEXUS_SUBPROCESS_DEPTH": "2"}, tmp_path) as process:
        out, err = process.communicate(initialize(), timeout=20)
    assert (process.returncode, out, err) == (0, b"", b"")


def test_settings_that_make_no_sense_are_told_before_anybody_is_greeted(
    environ: dict[str, str], tmp_path: Path
) -> None:
    with started({**environ, "NEXUS_BUDGET_TOKENS": "many"}, tmp_path) as process:
        out, err = process.communicate(initialize(), timeout=20)
    assert (process.returncode, out) == (2, b"")
    assert err.decode().startswith("NEXUS_BUDGET_TOKENS")


def test_an_interruption_ends_without_a_traceback(environ: dict[str, str], tmp_path: Path) -> None:
    with started(environ, tmp_path) as process:
        ask(process, initialize())
        ask(process, INITIALIZED, request(1, "tools/list"))
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 130
        assert process.stderr
        assert b"Traceback" not in process.stderr.read()


def test_what_a_call_started_ends_with_the_server(environ: dict[str, str], tmp_path: Path) -> None:
    fake = FakeOpenCode(tmp_path / "bin")
    fake.plan({"hang": "yes"})
    task = {"task": "x", "model": "opencode-custom-opus"}
    with started({**environ, "PATH": fake.path}, tmp_path) as process:
        ask(process, initialize())
        assert process.stdin
        process.stdin.write(INITIALIZED + request(1, "tools/call", name="orchestrate", arguments=task))
        process.stdin.flush()
        hanging = tmp_path / "bin" / "hanging"
        eventually(lambda: hanging.exists() and bool(hanging.read_text()))
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 128 + signal.SIGTERM
        eventually(lambda: gone(int(hanging.read_text())))


def eventually(holds: Callable[[], bool]) -> None:
    """Wait for another process, which tells nobody."""
    for _ in range(2000):
        if holds():
            return
        threading.Event().wait(0.01)
    raise AssertionError("it never came to be")


def gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def test_the_greeting_comes_before_anything_slow(environ: dict[str, str], tmp_path: Path) -> None:
    """Before the SDK, the data directory or any network is touched: 90 ms on an idle machine."""
    probe = (
        "import os, sys; from nexus_agents.server import greeting; answer = greeting.answer(greeting.first_line(0));"
        "os.write(1, answer); sys.stderr.write(' '.join(sorted(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", probe], input=initialize(), capture_output=True, env=environ, check=True
    )
    assert b"2025-11-25" in done.stdout
    loaded = {name.partition(".")[0] for name in done.stderr.decode().split()}
    assert not loaded & {"mcp", "mcp_types", "pydantic", "httpx2", "openai", "typer", "sqlite3"}
    assert not (tmp_path / "data").exists()
    assert any(greeted_within(0.3, environ, tmp_path) for _ in range(10)), (
        "not once in ten, on a machine however busy"
    )


def greeted_within(seconds: float, environ: dict[str, str], cwd: Path) -> bool:
    begun = time.perf_counter()
    with started(environ, cwd) as process:
        ask(process, initialize())
        return time.perf_counter() - begun < seconds


@pytest.mark.parametrize("version", [*HANDSHAKE_PROTOCOL_VERSIONS, "1999-01-01", "2026-07-28"])
async def test_the_greeting_is_what_the_sdk_would_have_said(
    version: str, environ: dict[str, str], tmp_path: Path
) -> None:
    import anyio
    import mcp_types
    from mcp.shared.message import SessionMessage

    ours = greeting.answer(initialize(version))
    assert ours is not None
    theirs = ""
    incoming, read = anyio.create_memory_object_stream[SessionMessage | Exception](1)
    write, outgoing = anyio.create_memory_object_stream[SessionMessage](1)
    async with (
        Services(environ, cwd=tmp_path) as services,
        incoming,
        outgoing,
        anyio.create_task_group() as group,
    ):
        server = build(Front(services, environ))
        group.start_soon(server.run, read, write, server.create_initialization_options())
        message = mcp_types.jsonrpc_message_adapter.validate_json(initialize(version), by_name=False)
        await incoming.send(SessionMessage(message))
        theirs = (await outgoing.receive()).message.model_dump_json(by_alias=True, exclude_unset=True)
        group.cancel_scope.cancel()
    assert msgspec.json.decode(ours) == msgspec.json.decode(theirs)


# streamable HTTP


@contextlib.asynccontextmanager
async def listening(environ: dict[str, str], cwd: Path) -> AsyncGenerator[str]:
    async with Services(environ, cwd=cwd) as services:
        server = uvicorn.Server(
            uvicorn.Config(
                application(services, environ, "127.0.0.1"), port=0, log_level="error", lifespan="on"
            )
        )
        task = asyncio.create_task(server.serve())
        while not server.started:
            await asyncio.sleep(0.01)
        try:
            yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
        finally:
            server.should_exit = True
            await task


@contextlib.asynccontextmanager
async def connected(url: str, **headers: str) -> AsyncGenerator[Client]:
    async with httpx2.AsyncClient(headers=headers) as http:
        async with Client(streamable_http_client(f"{url}/mcp", http_client=http)) as client:
            yield client


async def test_the_tools_are_served_by_http(environ: dict[str, str], tmp_path: Path) -> None:
    async with listening(environ, tmp_path) as url, connected(url) as client:
        assert {tool.name for tool in (await client.list_tools()).tools} == NAMES
        assert (await called(client, "list_experts"))["count"] == 10


async def test_a_depth_in_the_header_takes_the_models_away(environ: dict[str, str], tmp_path: Path) -> None:
    async with listening(environ, tmp_path) as url:
        for depth in ("1", "7", "-1", "many"):
            async with connected(url, **{"X-Nexus-Depth": depth}) as client:
                assert "orchestrate" not in {tool.name for tool in (await client.list_tools()).tools}


async def test_a_token_is_asked_for_where_one_is_set(environ: dict[str, str], tmp_path: Path) -> None:
    environ[TOKEN] = "s3cret-token"
    async with listening(environ, tmp_path) as url:
        async with httpx2.AsyncClient() as http:
            for given in ({}, {"authorization": "Bearer wrong"}, {"authorization": "Basic s3cret-token"}):
                answer = await http.post(f"{url}/mcp", content=initialize(), headers=given)
                assert answer.status_code == 401
            assert (await http.get(f"{url}/health")).json() == {"status": "ok"}
        async with connected(url, Authorization="Bearer s3cret-token") as client:
            await called(client, "list_experts")


async def test_a_page_of_another_host_is_refused(environ: dict[str, str], tmp_path: Path) -> None:
    async with listening(environ, tmp_path) as url, httpx2.AsyncClient() as http:
        for headers in ({"host": "evil.example.com"}, {"origin": "https://evil.example.com"}):
            answer = await http.post(
                f"{url}/mcp",
                content=initialize(),
                headers={
                    "content-type": "application/json",
                    "accept": "application/json, text/event-stream",
                    **headers,
                },
            )
            assert answer.status_code in (403, 421)


def test_the_network_is_not_served_without_a_token(environ: dict[str, str], tmp_path: Path) -> None:
    services = Services(environ, cwd=tmp_path)
    with pytest.raises(Misuse, match=r"0\.0\.0\.0"):
        application(services, environ, "0.0.0.0")
    assert application(services, {**environ, TOKEN: "t"}, "0.0.0.0")
    assert os.environ.get(TOKEN) is None
