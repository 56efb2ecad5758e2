"""What a gateway tells of itself, as a receiver of it gets it: by gRPC and by HTTP, with TLS, of every kind of request."""

import asyncio
import contextlib
import logging
import re
import subprocess
import sys
import time
import urllib.request
from collections.abc import AsyncGenerator, Callable, Generator
from pathlib import Path

import msgspec
import pytest

from gateway import Answer, Running, gateway, process, provider
from integration.mcp_gateway import ACCEPT, answer, stdio
from nexus.server.app import Gateway
from nexus.telemetry import observation
from nexus.telemetry.metrics import MODEL
from upstreams.otlp import Received, Receiver, Tls, by_grpc, by_http
from upstreams.redis import redis
from upstreams.scripted import Asked, Told, Upstream, upstream

CHAT = "/llm/openai/v1/chat/completions"
IDENTIFIED = """
[server.client_identification]
enabled = true
client_id.http_header = "X-Client-ID"
group_id.http_header = "X-Group-ID"
validation.group_values = ["pro"]
"""
USAGE = (
    b'{"prompt_tokens":100,"completion_tokens":20,"total_tokens":120,"prompt_tokens_details":{"cached_tokens":64},'
    b'"completion_tokens_details":{"reasoning_tokens":5}}'
)
WHOLE = (
    b'{"id":"1","model":"gpt-4o-2024","choices":[{"message":{"content":"hi"},"finish_reason":"stop"}],"usage":%s}'
    % USAGE
)
WHO = {"X_Client_ID": "alice", "X_Group_ID": "pro"}


def event(delta: str, finish: str = "null", usage: bytes = b"null") -> bytes:
    return (
        b'data: {"id":"1","object":"chat.completion.chunk","model":"gpt-4o-2024","choices":[{"index":0,"delta":%s,'
        b'"finish_reason":%s}],"usage":%s}\n\n' % (delta.encode(), finish.encode(), usage)
    )


STREAM = (
    event('{"role":"assistant","content":""}'),
    event('{"content":"he"}'),
    event('{"content":"llo"}'),
    event("{}", '"tool_calls"'),
    b'data: {"id":"1","object":"chat.completion.chunk","model":"gpt-4o-2024","choices":[],"usage":%s}\n\n'
    % USAGE,
    b"data: [DONE]\n\n",
)


def says(asked: Asked) -> Told:
    if asked.json.get("stream"):
        later = asyncio.Event()  # else all of it is read at once
        asyncio.get_running_loop().call_later(0.05, later.set)
        return Told(content_type="text/event-stream", pieces=(*STREAM[:2], later, *STREAM[2:]))
    return Told(pieces=(WHOLE,))


def otlp(receiver: Receiver, more: str = "", tracing: str = "sampling = 1.0") -> str:
    spoken = "http" if "HTTP" in more else "grpc"
    return f"""
[telemetry]
service_name = "test-nexus"
resource_attributes = {{ environment = "test" }}
[telemetry.exporters.otlp]
enabled = true
endpoint = "{receiver.url}"
protocol = "{spoken}"
timeout = "5s"
[telemetry.exporters.otlp.batch_export]
scheduled_delay = "100ms"
[telemetry.tracing]
{tracing}
{more.replace("HTTP", "")}
"""


async def chat(
    nexus: Running, model: str = "up/gpt-4o", path: str = CHAT, headers: dict[str, str] = WHO, **more: object
) -> Answer:
    body = msgspec.json.encode({"model": model, "messages": [{"role": "user", "content": "Hello"}], **more})
    return await nexus.ask("POST", path, body, **headers)


async def until(condition: Callable[[], object], receiver: Receiver) -> None:
    """Wait for what a receiver has got to satisfy a condition, while the gateway goes on."""
    await asyncio.to_thread(receiver.wait, condition)


@pytest.fixture
def lines() -> Generator[None]:
    """Let lines of Nexus be written at info, as the command line would."""
    logger = logging.getLogger("nexus")
    before = logger.level
    logger.setLevel(logging.INFO)
    yield
    logger.setLevel(before)


@contextlib.asynccontextmanager
async def telling(
    receiver: Receiver, script: Callable[[Asked], Told] = says, more: str = "", **options: str
) -> AsyncGenerator[tuple[Running, Upstream]]:
    async with (
        upstream(script) as up,
        gateway(provider(up.url) + IDENTIFIED + otlp(receiver, more, **options)) as nexus,
    ):
        yield nexus, up


@pytest.mark.parametrize("spoken", ["grpc", "http"])
async def test_all_three_signals_arrive(spoken: str, lines: None) -> None:
    receive, more = (by_grpc, "") if spoken == "grpc" else (by_http, "HTTP")
    with receive() as receiver:
        async with telling(receiver, more=more) as (nexus, _):
            assert (await chat(nexus)).status == 200
            await until(lambda: receiver.spans and receiver.lines, receiver)
            await until(lambda: "gen_ai.client.operation.duration" in receiver.metrics, receiver)
        for signal in ("metrics", "traces", "logs"):
            resource = receiver.resource(signal)
            assert resource["service.name"] == "test-nexus"
            assert resource["environment"] == "test"
            assert resource["service.instance.id"]
        assert {span.name for span in receiver.spans} == {f"POST {CHAT}", "llm:chat_completion"}
        assert any("model=up/gpt-4o" in line.text for line in receiver.lines)


async def test_tls_by_grpc_wants_both_sides_certificates(tmp_path: Path) -> None:
    tls = Tls(tmp_path, name="collector.test")
    files = f'ca = "{tls.ca}"\ncert = "{tls.certificate}"\nkey = "{tls.key}"\ndomain_name = "collector.test"'
    table = "[telemetry.exporters.otlp.grpc"
    more = f'{table}]\nheaders = {{ authorization = "Bearer t" }}\n{table}.tls]\n{files}'
    with by_grpc(tls) as receiver:
        async with telling(receiver, more=more) as (nexus, _):
            await chat(nexus)
            await until(lambda: receiver.spans and receiver.metrics, receiver)
        assert receiver.headers[0]["authorization"] == "Bearer t"


async def test_tls_by_http_trusts_what_the_system_trusts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tls = Tls(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(tls.ca))
    more = 'HTTP[telemetry.exporters.otlp.http]\nheaders = [{ name = "X-Shard", value = "1" }]'
    with by_http(tls) as receiver:
        async with telling(receiver, more=more) as (nexus, _):
            await chat(nexus)
            await until(lambda: receiver.spans and receiver.metrics, receiver)
        assert receiver.headers[0]["x-shard"] == "1"


@pytest.mark.parametrize("stream", [False, True])
async def test_a_chat_is_counted_with_its_tokens(stream: bool) -> None:
    with by_grpc() as receiver:
        async with telling(receiver) as (nexus, _):
            assert (await chat(nexus, stream=stream)).status == 200
            await until(lambda: "gen_ai.client.input.token.usage" in receiver.metrics, receiver)
        found = receiver.metrics
    base = {
        "gen_ai.system": "nexus.llm",
        "gen_ai.request.model": "up/gpt-4o",
        "client.id": "alice",
        "client.group": "pro",
    }
    for name, value in (("input", 100), ("output", 20), ("total", 120)):
        one = found[f"gen_ai.client.{name}.token.usage"]
        assert (one.kind, one.monotonic, one.unit) == ("sum", True, "{token}")
        assert [(point.attributes, point.value) for point in one.points] == [(base, value)]
    duration = found["gen_ai.client.operation.duration"]
    assert (duration.kind, duration.unit) == ("histogram", "s")
    point = duration.points[0]
    finish = "tool_calls" if stream else "stop"
    assert point.attributes == base | {
        "gen_ai.operation.name": "chat.completions",
        "gen_ai.response.finish_reason": finish,
    }
    assert (point.count, point.bounds) == (1, MODEL)
    assert 0 < point.value < 5
    request = found["http.server.request.duration"].at(http__route=CHAT)
    assert request.attributes == {
        "http.request.method": "POST",
        "http.route": CHAT,
        "http.response.status_code": 200,
    }
    served = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "up",
        "gen_ai.response.model": "gpt-4o-2024",
    }
    assert found["gen_ai.client.token.usage"].at(gen_ai__token__type="input").value == 100
    assert (
        served.items()
        <= found["gen_ai.client.token.usage"].at(gen_ai__token__type="output").attributes.items()
    )
    assert found["gen_ai.client.inference.usage.cache_read.input_tokens"].points[0].value == 64
    assert found["gen_ai.client.inference.usage.reasoning.output_tokens"].points[0].value == 5
    first = found.get("gen_ai.client.time_to_first_token")
    chunks = found.get("gen_ai.client.operation.time_per_output_chunk")
    if stream:
        assert first is not None
        assert chunks is not None
        assert first.points[0].attributes == base | {"gen_ai.operation.name": "chat.completions"}
        assert first.points[0].count == 1
        assert chunks.points[0].count >= 1
    else:
        assert first is None
        assert chunks is None


ANTHROPIC = "/llm/anthropic/v1/messages"


async def test_a_translated_stream_is_counted_alike() -> None:
    async def ask(nexus: Running) -> None:
        body = {
            "model": "up/gpt-4o",
            "max_tokens": 9,
            "stream": True,
            "messages": [{"role": "user", "content": "x"}],
        }
        assert (await nexus.ask("POST", ANTHROPIC, msgspec.json.encode(body), **WHO)).status == 200

    with by_grpc() as receiver:
        async with telling(receiver, more="[llm.protocols.anthropic]\nenabled = true") as (nexus, _):
            await ask(nexus)
            await until(lambda: "gen_ai.client.time_to_first_token" in receiver.metrics, receiver)
        found = receiver.metrics
        span = next(one for one in receiver.spans if one.name == "llm:chat_completion_stream")
    assert found["gen_ai.client.total.token.usage"].points[0].value == 120
    assert found["gen_ai.client.inference.usage.cache_read.input_tokens"].points[0].value == 64
    assert found["http.server.request.duration"].at(http__route=ANTHROPIC).count == 1
    assert span.attributes["gen_ai.response.model"] == "gpt-4o-2024"
    assert span.attributes["gen_ai.response.finish_reason"] == "tool_calls"
    assert span.attributes["gen_ai.request.max_tokens"] == 9


FAILURES = {
    400: ("invalid_request", "invalid_request_error"),
    401: ("authentication_failed", "authentication_error"),
    403: ("insufficient_quota", "insufficient_quota"),
    404: ("model_not_found", "not_found_error"),
    422: ("provider_api_error", "api_error"),
    429: ("rate_limit_exceeded", "rate_limit_error"),
    500: ("internal_error", "internal_error"),
    503: ("provider_api_error", "api_error"),
}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("status", "words"), FAILURES.items())
async def test_what_a_provider_refuses_is_counted_by_its_kind(
    status: int, words: tuple[str, str], stream: bool
) -> None:
    def refuses(_: Asked) -> Told:
        return Told(status=status, pieces=(b'{"error":{"message":"no"}}',))

    with by_grpc() as receiver:
        async with telling(receiver, refuses) as (nexus, _):
            await chat(nexus, stream=stream)
            await until(
                lambda: "gen_ai.client.operation.duration" in receiver.metrics and receiver.spans, receiver
            )
        point = receiver.metrics["gen_ai.client.operation.duration"].points[0]
        span = next(one for one in receiver.spans if one.name.startswith("llm:"))
        assert "gen_ai.client.input.token.usage" not in receiver.metrics
    assert point.attributes["error.type"] == words[0]
    assert "gen_ai.response.finish_reason" not in point.attributes
    assert (span.attributes["error"], span.attributes["error.type"]) == ("true", words[1])
    assert span.status == 0


@pytest.mark.parametrize(
    ("model", "word"),
    [("nobody/x", "provider_not_found"), ("up/", "invalid_model_format"), ("strange", "model_not_found")],
)
async def test_what_never_leaves_is_counted_by_its_kind(model: str, word: str) -> None:
    with by_grpc() as receiver:
        async with telling(receiver) as (nexus, _):
            assert (await chat(nexus, model)).status in (400, 404)
            await until(lambda: "gen_ai.client.operation.duration" in receiver.metrics, receiver)
        assert receiver.metrics["gen_ai.client.operation.duration"].at(error__type=word).count == 1


async def test_a_provider_that_is_gone_and_a_stream_that_breaks_are_connection_errors() -> None:
    def breaks(asked: Asked) -> Told:
        return Told(content_type="text/event-stream", pieces=STREAM[:2], cut=True)

    with by_grpc() as receiver:
        async with telling(receiver, breaks) as (nexus, up):
            await chat(nexus, stream=True)
            await up.close()
            assert (await chat(nexus)).status == 502
            wanted = "gen_ai.client.operation.duration"
            await until(
                lambda: wanted in receiver.metrics and receiver.metrics[wanted].points[0].count == 2, receiver
            )
        assert receiver.metrics[wanted].at(error__type="connection_error").count == 2


async def test_a_client_that_leaves_is_told_of_once() -> None:
    silent = asyncio.Event()

    def waits(_: Asked) -> Told:
        return Told(content_type="text/event-stream", pieces=(*STREAM[:2], silent))

    with by_grpc() as receiver:
        async with telling(receiver, waits) as (nexus, up):
            reader, writer = await asyncio.open_connection("127.0.0.1", nexus.port)
            body = msgspec.json.encode({"model": "up/gpt-4o", "stream": True, "messages": []})
            head = f"POST {CHAT} HTTP/1.1\r\nhost: x\r\nx-client-id: a\r\ncontent-type: application/json\r\n"
            writer.write(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body)
            await reader.readuntil(b'"he"')
            writer.close()
            await asyncio.wait_for(up.left.wait(), 10)
            await until(lambda: "gen_ai.client.operation.duration" in receiver.metrics, receiver)
        point = receiver.metrics["gen_ai.client.operation.duration"].at(error__type="client_disconnected")
        assert point.count == 1


async def test_spans_of_a_chat_are_a_tree_and_say_what_the_contract_lists() -> None:
    tools: list[object] = [{"type": "function", "function": {"name": "f"}}]
    with by_grpc() as receiver:
        async with telling(receiver) as (nexus, _):
            await chat(nexus, temperature=0.5, max_tokens=7, tools=tools, path=f"{CHAT}?key=hush")
            await until(lambda: len(receiver.spans) == 2, receiver)
        request, call = sorted(receiver.spans, key=lambda span: span.name)
    assert (request.name, request.parent_id, request.kind, request.status) == (f"POST {CHAT}", "", 2, 0)
    assert request.attributes == {
        "http.request.method": "POST",
        "http.route": CHAT,
        "url.full": f"{CHAT}?key=[redacted]",
        "url.scheme": "http",
        "server.address": "test",
        "http.response.status_code": 200,
        "client.id": "alice",
        "client.group": "pro",
    }
    assert (call.name, call.parent_id, call.trace_id) == (
        "llm:chat_completion",
        request.span_id,
        request.trace_id,
    )
    assert call.attributes == {
        "gen_ai.request.model": "up/gpt-4o",
        "gen_ai.request.max_tokens": 7,
        "gen_ai.request.temperature": 0.5,
        "gen_ai.request.has_tools": "true",
        "gen_ai.request.tool_count": 1,
        "gen_ai.operation.name": "chat.completions",
        "gen_ai.provider.name": "up",
        "gen_ai.response.model": "gpt-4o-2024",
        "gen_ai.response.finish_reason": "stop",
        "gen_ai.usage.input_tokens": 100,
        "gen_ai.usage.output_tokens": 20,
        "gen_ai.usage.total_tokens": 120,
        "gen_ai.usage.cache_read.input_tokens": 64,
        "gen_ai.usage.reasoning.output_tokens": 5,
        "client.id": "alice",
        "client.group": "pro",
        "llm.auth_forwarded": "false",
    }
    assert 0 < call.seconds <= request.seconds


async def test_a_callers_trace_is_continued_and_told_to_nobody() -> None:
    headers = {"traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "tracestate": "a=1"}
    with by_grpc() as receiver:
        async with telling(receiver) as (nexus, up):
            await chat(nexus, headers=WHO | headers)
            await until(lambda: len(receiver.spans) == 2, receiver)
            assert not {"traceparent", "tracestate"} & up.last.headers.keys()
        request = next(one for one in receiver.spans if one.name.startswith("POST"))
    assert (request.trace_id, request.parent_id) == ("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7")
    assert request.state == "a=1"


async def test_upstreams_are_told_of_the_trace_where_that_is_configured() -> None:
    with by_grpc() as receiver:
        async with telling(receiver, tracing="sampling = 1.0\npropagation.upstream = true") as (nexus, up):
            await chat(nexus)
            await until(lambda: len(receiver.spans) == 2, receiver)
            told = up.last.headers["traceparent"]
        call = next(one for one in receiver.spans if one.name.startswith("llm:"))
    assert told == f"00-{call.trace_id}-{call.span_id}-01"


async def test_the_decision_of_a_caller_is_followed_where_that_is_configured() -> None:
    headers = {"traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00"}
    with by_grpc() as receiver:
        tracing = "sampling = 1.0\nparent_based_sampler = true"
        async with telling(receiver, tracing=tracing) as (nexus, _):
            await chat(nexus, headers=WHO | headers)
            await chat(nexus)
            await until(lambda: len(receiver.spans) == 2, receiver)
        assert {one.trace_id for one in receiver.spans} != {"4bf92f3577b34da6a3ce929d0e0e4736"}


async def test_log_lines_of_a_traced_request_say_where_they_belong(lines: None) -> None:
    def breaks(asked: Asked) -> Told:
        return Told(content_type="application/octet-stream", pieces=(b"a",), cut=True)

    with by_grpc() as receiver:
        async with telling(receiver, breaks) as (nexus, _):
            await chat(nexus)
            await until(lambda: receiver.spans and len(receiver.lines) >= 2, receiver)
        request = next(one for one in receiver.spans if one.name.startswith("POST"))
        broke = next(one for one in receiver.lines if "broke off" in one.text)
        access = next(one for one in receiver.lines if one.text.startswith("POST"))
    assert (broke.level, broke.severity, broke.trace_id) == ("WARN", 13, request.trace_id)
    assert broke.attributes["code.namespace"] == "nexus.server.llm"
    assert (access.level, access.severity) == ("INFO", 9)
    assert (access.trace_id, access.span_id) == (request.trace_id, request.span_id)
    assert access.attributes["model"] == "up/gpt-4o"


async def test_a_signal_with_a_collector_of_its_own_goes_there_and_one_that_is_off_nowhere() -> None:
    with by_grpc() as everything, by_http() as traces:
        own = (
            f'[telemetry.tracing.exporters.otlp]\nenabled = true\nprotocol = "http"\nendpoint = "{traces.url}"\n'
            'batch_export.scheduled_delay = "100ms"\n[telemetry.metrics.exporters.otlp]\nenabled = false\n'
        )
        async with telling(everything, more=own) as (nexus, _):
            await chat(nexus)
            await until(lambda: len(traces.spans) == 2, traces)
        assert {signal for signal, _ in traces.requests} == {"traces"}
        assert {signal for signal, _ in everything.requests} <= {"logs"}


@pytest.mark.parametrize("receive", [by_grpc, by_http])
async def test_a_collector_that_hangs_or_refuses_slows_nobody_and_is_told_of_once(
    receive: Callable[[], contextlib.AbstractContextManager[Receiver]], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "nexus")
    more = "HTTP" if receive is by_http else ""
    with receive() as receiver:
        receiver.refuses = True
        async with telling(receiver, more=more) as (nexus, _):
            began = time.perf_counter()
            for _ in range(20):
                assert (await chat(nexus)).status == 200
            assert time.perf_counter() - began < 5
            await until(lambda: receiver.asked >= 9, receiver)
            receiver.held.clear()
            assert (await chat(nexus)).status == 200
            receiver.refuses = False
            receiver.held.set()
            for _ in range(3):
                await chat(nexus)
            await until(lambda: receiver.spans and receiver.metrics, receiver)
        dropped = receiver.metrics["nexus.telemetry.dropped"]
    told = [record.getMessage() for record in caplog.records if "collector" in record.getMessage()]
    assert sorted(line.split()[0] for line in told) == ["logs", "metrics", "traces"]
    assert dropped.at(signal="traces").value >= 2


async def test_a_collector_that_is_not_there_keeps_nobody_from_starting_or_stopping() -> None:
    with by_grpc() as receiver:
        url = receiver.url
    gone = Receiver(url=url)
    began = time.perf_counter()
    async with telling(gone) as (nexus, _):
        assert (await chat(nexus)).status == 200
    assert time.perf_counter() - began < 15


async def test_limits_in_redis_are_measured_and_traced() -> None:
    limits = """
[server.rate_limits]
enabled = true
global = { limit = 100, interval = "60s" }
per_ip = { limit = 1, interval = "60s" }
[llm.providers.up.rate_limits.per_user]
input_token_limit = 10000
interval = "60s"
"""
    async with redis() as server:
        storage = f'[server.rate_limits.storage]\ntype = "redis"\nurl = "{server.url}"\n'
        with by_grpc() as receiver:
            async with telling(receiver, more=limits + storage) as (nexus, _):
                assert (await chat(nexus)).status == 200
                assert (await chat(nexus)).status == 429
                await until(
                    lambda: len(receiver.spans) >= 7 and "redis.command.duration" in receiver.metrics,
                    receiver,
                )
            commands = receiver.metrics["redis.command.duration"]
            pool = receiver.metrics["redis.pool.connections.available"]
            spans = receiver.spans
    assert commands.at(operation="check_and_consume").attributes == {
        "operation": "check_and_consume",
        "status": "success",
    }
    assert commands.at(operation="check_and_consume").count == 2
    assert commands.at(operation="check_and_consume_tokens").attributes["tokens"] == 8
    assert pool.points[0].value == 16
    by_name = {span.name: span for span in spans if span.attributes.get("rate_limit.allowed") != "false"}
    refused = next(span for span in spans if span.attributes.get("rate_limit.allowed") == "false")
    tokens, everybody = by_name["redis:check_and_consume_tokens"], by_name["redis:check_and_consume:global"]
    ids = {span.span_id: span for span in spans}
    assert ids[tokens.parent_id].name == "llm:chat_completion"
    assert ids[everybody.parent_id].name == f"POST {CHAT}"
    assert tokens.attributes["llm.provider"] == "up"
    assert tokens.attributes["llm.model"] == "gpt-4o"
    assert tokens.attributes["rate_limit.interval_ms"] == 60032
    assert refused.name == "redis:check_and_consume:ip"
    assert refused.attributes["client.address_hash"] == "f528764d624db129b32c21fbca0cb8d6"
    assert refused.attributes["rate_limit.limit"] == 1
    assert refused.status == 0


async def ask_mcp(nexus: Running, method: str, params: object = None) -> dict[str, object]:
    message = msgspec.json.encode({"jsonrpc": "2.0", "id": 1, "method": method, "params": params or {}})
    return answer((await nexus.ask("POST", "/mcp", message, accept=ACCEPT["accept"], **WHO)).body)


async def call(nexus: Running, tool: str, arguments: object) -> dict[str, object]:
    return await ask_mcp(nexus, "tools/call", {"name": tool, "arguments": arguments})


@contextlib.asynccontextmanager
async def aggregating(receiver: Receiver, more: str = "") -> AsyncGenerator[Running]:
    async with gateway(IDENTIFIED + stdio("math", "plain") + otlp(receiver, more)) as nexus:
        assert nexus.gateway.mcp is not None
        await asyncio.wait_for(nexus.gateway.mcp.pool.shared["math"].settled.wait(), 20)
        yield nexus


async def test_requests_of_mcp_are_measured() -> None:
    with by_grpc() as receiver:
        async with aggregating(receiver) as nexus:
            await call(nexus, "search", {"keywords": ["adds", "numbers"]})
            await call(nexus, "execute", {"name": "math__adder", "arguments": {"a": 1, "b": 2}})
            await call(nexus, "execute", {"name": "math__fail", "arguments": {}})
            await call(nexus, "execute", {"name": "nobody__nothing", "arguments": {}})
            await call(nexus, "search", {"words": 1})
            for method in ("tools/list", "prompts/list", "resources/list"):
                await ask_mcp(nexus, method)
            await ask_mcp(nexus, "prompts/get", {"name": "none"})
            await ask_mcp(nexus, "resources/read", {"uri": "file:///none"})
            wanted = "http.server.request.duration"
            await until(
                lambda: wanted in receiver.metrics and receiver.metrics[wanted].points[0].count == 10,
                receiver,
            )
        found = receiver.metrics
    who = {"client.id": "alice", "client.group": "pro"}
    calls = found["mcp.tool.call.duration"]
    assert calls.unit == "s"
    search = {
        "tool_type": "builtin",
        "tool_name": "search",
        "status": "success",
        "keyword_count": 2,
        "result_count": 1,
    }
    assert calls.at(keyword_count=2).attributes == search | who
    run = {"tool_type": "downstream", "tool_name": "adder", "status": "success", "server_name": "math"}
    assert calls.at(tool_name="adder").attributes == run | who
    assert calls.at(tool_name="fail").attributes["status"] == "success"
    unknown = {
        "tool_type": "downstream",
        "tool_name": "nobody__nothing",
        "status": "error",
        "error.type": "method_not_found",
    }
    assert calls.at(tool_name="nobody__nothing").attributes == unknown | who
    assert calls.at(error__type="invalid_params").attributes["tool_name"] == "search"
    for name, method in (
        ("tools.list", "list_tools"),
        ("prompt.request", "list_prompts"),
        ("resource.request", "list_resources"),
    ):
        assert (
            found[f"mcp.{name}.duration"].at(method=method).attributes
            == {"method": method, "status": "success"} | who
        )
    assert (
        found["mcp.prompt.request.duration"].at(method="get_prompt").attributes["error.type"]
        == "method_not_found"
    )
    assert found["mcp.resource.request.duration"].at(method="read_resource").attributes["status"] == "success"


async def test_what_a_gateway_knows_of_itself_is_shown() -> None:
    with by_grpc() as receiver:
        async with aggregating(receiver, '[llm.providers.up]\ntype = "echo"\n'):
            up = "mcp.upstream.up"
            await until(
                lambda: up in receiver.metrics and receiver.metrics[up].points[0].value == 1, receiver
            )
            found = receiver.metrics
    assert found["mcp.upstream.up"].points[0].attributes == {"server_name": "math"}
    assert found["nexus.provider.up"].at(gen_ai__provider__name="up").value == 1
    assert found["nexus.models"].points[0].value == 1
    assert found["http.server.active_requests"].kind == "sum"
    assert not found["http.server.active_requests"].monotonic
    assert 10e6 < found["process.memory.usage"].points[0].value < 10e9
    assert found["process.memory.usage"].unit == "By"
    assert 0 <= found["nexus.event_loop.delay"].points[0].value < 5
    assert "mcp.upstream.up" not in receiver.metrics  # what is closed is not down


async def test_spans_of_mcp_reach_down_to_the_server() -> None:
    with by_grpc() as receiver:
        async with aggregating(receiver) as nexus:
            await call(nexus, "search", {"keywords": ["adds", "numbers"]})
            await call(nexus, "execute", {"name": "math__adder", "arguments": {"a": 1, "b": 2}})
            await call(nexus, "execute", {"name": "math__nothing", "arguments": {}})
            await until(lambda: len(receiver.spans) >= 9, receiver)
        spans = receiver.spans
    ids = {span.span_id: span for span in spans}

    def above(span: Received) -> list[str]:
        names = [span.name]
        while span.parent_id:
            span = ids[span.parent_id]
            names.append(span.name)
        return names

    index = next(span for span in spans if span.name == "index:search")
    assert above(index) == ["index:search", "tools/call", "POST /mcp"]
    down = next(span for span in spans if span.name == "downstream:call_tool")
    assert above(down) == ["downstream:call_tool", "downstream:execute", "tools/call", "POST /mcp"]
    assert (down.kind, down.attributes["mcp.transport"], down.attributes["mcp.server"]) == (
        3,
        "stdio",
        "math",
    )
    searched, run, failed = [span for span in spans if span.name == "tools/call"]
    assert searched.attributes == {
        "mcp.method": "tools/call",
        "mcp.auth_forwarded": "false",
        "mcp.tool.name": "search",
        "mcp.tool.type": "builtin",
        "mcp.search.keywords": "adds,numbers",
        "mcp.search.keyword_count": 2,
        "client.id": "alice",
        "client.group": "pro",
    }
    assert run.attributes["mcp.execute.target_tool"] == "math__adder"
    assert run.attributes["mcp.execute.target_server"] == "math"
    assert (failed.attributes["error"], failed.attributes["mcp.error.code"]) == ("true", -32601)


async def test_an_mcp_server_is_told_of_the_trace_where_that_is_configured() -> None:
    with by_grpc() as receiver:
        async with aggregating(receiver, "propagation.upstream = true") as nexus:
            await call(nexus, "execute", {"name": "math__adder", "arguments": {"a": 1, "b": 2}})
            seen = msgspec.json.encode(
                await call(nexus, "execute", {"name": "math__calls", "arguments": {}})
            ).decode()
            await until(
                lambda: len([one for one in receiver.spans if one.name == "downstream:call_tool"]) == 2,
                receiver,
            )
        downs = [one for one in receiver.spans if one.name == "downstream:call_tool"]
    assert any(f"00-{one.trace_id}-{one.span_id}-01" in seen for one in downs)


SECRETS = {
    "client": "sk-CLIENT-7c1f0f6d2b8e4a55a1",
    "bearer": "eyJhbGciOiJub25lIn0.eyJzdWIiOiJtYXJrZWQifQ.MARKED",
    "query": "MARKED-QUERY-1f77",
    "path": "sk-PATH-3fb1d2c4e5a6978812",
    "prompt": "MARKED-PROMPT-91aa",
    "said": "MARKED-COMPLETION-07bb",
    "thought": "MARKED-ARGUMENT-55cc",
    "error": "MARKED-UPSTREAM-ERROR-31ff",
    "provider": "sk-PROVIDER-e1d2c3b4a596",
    "model": "sk-MODEL-0a9b8c7d6e5f4a3b2c",
}


@pytest.mark.parametrize("stream", [False, True])
async def test_no_secret_and_no_word_of_a_conversation_is_in_any_signal(
    stream: bool, lines: None, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)

    def answers(asked: Asked) -> Told:
        if asked.json.get("user") == "fail":
            return Told(status=400, pieces=(msgspec.json.encode({"error": {"message": SECRETS["error"]}}),))
        if asked.json.get("stream"):
            pieces = (event(msgspec.json.encode({"content": SECRETS["said"]}).decode()), *STREAM[3:])
            return Told(content_type="text/event-stream", pieces=pieces)
        return Told(pieces=(WHOLE.replace(b'"hi"', msgspec.json.encode(SECRETS["said"])),))

    messages = [{"role": "user", "content": SECRETS["prompt"]}]
    headers = {
        "authorization": f"Bearer {SECRETS['bearer']}",
        "x_api_key": SECRETS["client"],
        "x_provider_api_key": SECRETS["client"],
        "cookie": f"session={SECRETS['client']}",
        **WHO,
    }
    path = f"?key={SECRETS['query']}&x={SECRETS['client']}"
    with by_grpc() as receiver, by_http() as other:
        collectors = (
            f'[telemetry.logs.exporters.otlp]\nenabled = true\nprotocol = "http"\nendpoint = "{other.url}"\n'
        )
        toml = (
            "[telemetry.prometheus]\nenabled = true\n[llm.protocols.anthropic]\nenabled = true\n"
            + collectors
            + stdio("math", "plain")
        )
        async with telling(receiver, answers, toml) as (nexus, _):
            for chosen in (CHAT, ANTHROPIC):
                for user in ("ok", "fail"):
                    body = {"model": "up/gpt-4o", "max_tokens": 9, "stream": stream, "messages": messages}
                    body |= {"user": user} if chosen is CHAT else {"metadata": {"user_id": user}}
                    await nexus.ask("POST", chosen + path, msgspec.json.encode(body), **headers)
            await chat(nexus, SECRETS["model"], headers=headers)
            await chat(nexus, f"up/{SECRETS['model']}", headers=headers)
            await nexus.ask("POST", CHAT, b'{"model": "%s"' % SECRETS["prompt"].encode(), **headers)
            await nexus.ask("GET", f"/{SECRETS['path']}{path}", b"", **headers)
            await call(nexus, "search", {"keywords": [SECRETS["client"]]})
            await call(nexus, "execute", {"name": "math__adder", "arguments": {"a": SECRETS["thought"]}})
            await call(nexus, "execute", {"name": f"math__{SECRETS['client']}", "arguments": {}})
            scraped = await nexus.ask("GET", "/metrics")
            await until(lambda: len(receiver.spans) >= 16 and receiver.metrics, receiver)
            await until(lambda: len(other.lines) >= 10, other)
        told = capfd.readouterr()
        signals = receiver.everything + other.everything + scraped.body
        printed = (told.out + told.err + caplog.text).encode()
    assert b"up/gpt-4o" in signals
    assert b"llm:chat_completion" in signals
    for name, secret in SECRETS.items():
        assert secret.encode() not in signals, name
        assert secret.encode() not in printed, name


async def test_what_was_said_is_in_spans_where_that_is_configured() -> None:
    with by_grpc() as receiver:
        async with telling(receiver, more="[telemetry.tracing.exporters]\n", tracing="sampling = 1.0") as (
            nexus,
            _,
        ):
            await chat(nexus)
            await until(lambda: len(receiver.spans) == 2, receiver)
        assert b"Hello" not in receiver.everything
    with by_grpc() as receiver:
        toml = otlp(receiver).replace("[telemetry]\n", "[telemetry]\ncontent = true\n")
        async with upstream(says) as up, gateway(provider(up.url) + IDENTIFIED + toml) as nexus:
            await chat(nexus)
            await chat(nexus, stream=True)
            await until(lambda: len(receiver.spans) == 4, receiver)
        calls = [one for one in receiver.spans if one.name.startswith("llm:")]
    for one in calls:
        assert "Hello" in one.attributes["gen_ai.input.messages"]
    assert '"hi"' in calls[0].attributes["gen_ai.output.messages"]
    assert '"llo"' in calls[1].attributes["gen_ai.output.messages"]


async def test_prometheus_reads_what_is_measured() -> None:
    more = "[telemetry.prometheus]\nenabled = true\n"
    async with upstream(says) as up, gateway(provider(up.url) + IDENTIFIED + more) as nexus:
        await chat(nexus)
        answer_ = await nexus.ask("GET", "/metrics")
        again = await nexus.ask("POST", "/metrics")
    assert again.status == 405
    assert answer_.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    labels = 'gen_ai_system="nexus.llm",gen_ai_request_model="up/gpt-4o",client_id="alice",client_group="pro"'
    assert f"gen_ai_client_input_token_usage_total{{{labels}}} 100\n" in answer_.body.decode()


def test_nothing_of_opentelemetry_is_loaded_where_nothing_is_configured(tmp_path: Path) -> None:
    script = (
        "import sys, asyncio\n"
        "from nexus import config\n"
        "from nexus.server.app import Gateway\n"
        "Gateway(config.loads('llm.providers.e.type = \"echo\"', {}).config)\n"
        "assert not [one for one in sys.modules if one.startswith(('opentelemetry', 'grpc', 'google'))]\n"
    )
    file = tmp_path / "script.py"
    file.write_text(script)
    done = subprocess.run(
        [sys.executable, str(file)], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr


async def test_no_layer_looks_at_requests_where_nobody_wants_to_know() -> None:
    async with upstream(says) as up, gateway(provider(up.url)) as nexus:
        assert not nexus.gateway.telemetry.active
        assert (await chat(nexus)).status == 200
        assert observation.current() is None


def test_each_request_has_a_line_in_the_log_and_health_checks_have_none(tmp_path: Path) -> None:
    file = tmp_path / "nexus.toml"
    file.write_text('llm.providers.e.type = "echo"\n')
    body = b'{"model":"e/echo","messages":[{"role":"user","content":"a b"}]}'
    with process("-c", str(file), "--log-style", "json") as running:
        for path, data in (("/health", None), (CHAT, body)):
            request = urllib.request.Request(running.url + path, data, {"content-type": "application/json"})
            urllib.request.urlopen(request, timeout=10).read()
        line = msgspec.json.decode(running.read_until('"route"'))
    expected = {"level": "info", "method": "POST", "status": 200, "model": "e/echo", "provider": "e"}
    assert line.items() >= expected.items()
    assert (line["route"], line["input_tokens"]) == (CHAT, 2)
    assert 0 < line["duration"] < 5


async def test_a_reload_keeps_what_was_counted() -> None:
    more = "[telemetry.prometheus]\nenabled = true\n"
    async with upstream(says) as up, gateway(provider(up.url) + more) as nexus:
        await chat(nexus)
        again = Gateway(nexus.gateway.config, nexus.gateway.memory, nexus.gateway.telemetry)
        await again.start()
        nexus.current.replace(again)
        await chat(nexus)
        text = (await nexus.ask("GET", "/metrics")).body.decode()
    assert re.search(r"^gen_ai_client_input_token_usage_total\{.*\} 200$", text, re.MULTILINE)
