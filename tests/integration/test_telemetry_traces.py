"""Spans and log lines of every kind of request: their tree, what they say, whose trace they continue."""

import logging

import msgspec
import pytest

from gateway import gateway, provider
from integration.mcp_gateway import stdio
from integration.telemetry_gateway import (
    ANTHROPIC,
    CHAT,
    IDENTIFIED,
    STREAM,
    WHO,
    WHOLE,
    aggregating,
    ask_mcp,
    call,
    chat,
    event,
    otlp,
    says,
    telling,
    until,
)
from upstreams.otlp import Received, by_grpc, by_http
from upstreams.redis import redis
from upstreams.scripted import Asked, Told, upstream


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


async def test_a_trace_of_aws_is_continued_unless_that_is_switched_off() -> None:
    headers = {
        "X_Amzn_Trace_Id": "Root=1-4bf92f35-77b34da6a3ce929d0e0e4736;Parent=00f067aa0ba902b7;Sampled=1"
    }
    for flag, continued in (("", True), ("propagation.aws_xray = false", False)):
        with by_grpc() as receiver:
            async with telling(receiver, tracing=f"sampling = 1.0\n{flag}") as (nexus, _):
                await chat(nexus, headers=WHO | headers)
                await until(lambda receiver=receiver: len(receiver.spans) == 2, receiver)
            request = next(one for one in receiver.spans if one.name.startswith("POST"))
        place = (request.trace_id, request.parent_id)
        assert (place == ("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7")) is continued


async def test_a_span_has_no_more_attributes_than_it_may() -> None:
    with by_grpc() as receiver:
        tracing = "sampling = 1.0\ncollect.max_attributes_per_span = 3"
        async with telling(receiver, tracing=tracing) as (nexus, _):
            await chat(nexus)
            await until(lambda: len(receiver.spans) == 2, receiver)
        assert [len(one.attributes) for one in receiver.spans] == [3, 3]


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


async def test_log_lines_of_a_traced_request_say_where_they_belong(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "nexus")

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
    assert broke.attributes["code.namespace"].startswith("nexus.server.")
    assert (access.level, access.severity) == ("INFO", 9)
    assert (access.trace_id, access.span_id) == (request.trace_id, request.span_id)
    assert access.attributes["model"] == "up/gpt-4o"


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
    "host": "sk-HOST-5d4c3b2a190817161514",
    "id": "sk-ID-9f8e7d6c5b4a39281706",
    "uri": "MARKED-URI-2ac4",
    "collector": "MARKED-COLLECTOR-TOKEN-88de",
}


@pytest.mark.parametrize("stream", [False, True])
async def test_no_secret_and_no_word_of_a_conversation_is_in_any_signal(
    stream: bool, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    caplog.set_level(logging.DEBUG, "nexus")

    def answers(asked: Asked) -> Told:
        if asked.json.get("user") == "fail":
            return Told(status=400, pieces=(msgspec.json.encode({"error": {"message": SECRETS["error"]}}),))
        if asked.method == "GET" or asked.target.endswith(("/count_tokens", "/embeddings")):
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
        "host": f"{SECRETS['host']}.test",
        "x_client_id": SECRETS["id"],  # clients may be told apart by their keys
        "x_group_id": "pro",
    }
    path = f"?key={SECRETS['query']}&x={SECRETS['client']}"
    with by_grpc() as receiver, by_http() as other:
        collectors = (
            f'[telemetry.logs.exporters.otlp]\nenabled = true\nprotocol = "http"\nendpoint = "{other.url}"\n'
            'batch_export.scheduled_delay = "100ms"\n'
        )
        toml = (
            "[telemetry.prometheus]\nenabled = true\n[llm.protocols.anthropic]\nenabled = true\n"
            f'[telemetry.exporters.otlp.grpc]\nheaders.authorization = "Bearer {SECRETS["collector"]}"\n'
            + collectors
            + stdio("math", "plain")
            + "[llm.proxy.anthropic]\nenabled = true\n"
        )
        async with (
            upstream(answers) as up,
            gateway(
                provider(up.url, "passthrough = true").replace("test-key", SECRETS["provider"])
                + IDENTIFIED
                + otlp(receiver, f'{toml}base_url = "{up.url.removesuffix("/v1")}"\n')
            ) as nexus,
        ):
            for chosen in (CHAT, ANTHROPIC):
                for user in ("ok", "fail"):
                    body = {"model": "up/gpt-4o", "max_tokens": 9, "stream": stream, "messages": messages}
                    body |= {"user": user} if chosen is CHAT else {"metadata": {"user_id": user}}
                    await nexus.ask("POST", chosen + path, msgspec.json.encode(body), **headers)
            await chat(nexus, SECRETS["model"], headers=headers)
            await chat(nexus, f"up/{SECRETS['model']}", headers=headers)
            await nexus.ask("POST", CHAT, b'{"model": "%s"' % SECRETS["prompt"].encode(), **headers)
            await nexus.ask("GET", f"/{SECRETS['path']}{path}", b"", **headers)
            asked = {"model": "up/e", "input": SECRETS["prompt"], "messages": messages}
            for one in ("/llm/openai/v1/embeddings", "/llm/openai/v1/responses", f"{ANTHROPIC}/count_tokens"):
                await nexus.ask("POST", one, msgspec.json.encode(asked), **headers)
            await nexus.ask("GET", f"/llm/openai/v1/models{path}", b"", **headers)
            for one in ("/passthrough/up/chat/completions", "/proxy/anthropic/v1/messages"):
                passed = {**asked, "model": SECRETS["model"], "max_tokens": 9, "stream": stream}
                await nexus.ask("POST", one + path, msgspec.json.encode(passed), **headers)
                await nexus.ask("POST", one, b'{"model": "%s"' % SECRETS["prompt"].encode(), **headers)
            await nexus.ask("GET", f"/passthrough/up/{SECRETS['path']}?{SECRETS['client']}", b"", **headers)
            await ask_mcp(nexus, "prompts/get", {"name": "hello", "arguments": {"a": SECRETS["thought"]}})
            await ask_mcp(nexus, "prompts/get", {"name": SECRETS["client"]})
            await ask_mcp(nexus, "resources/read", {"uri": f"plain://{SECRETS['uri']}"})
            await call(nexus, "search", {"keywords": [SECRETS["client"]]})
            await call(nexus, "execute", {"name": "math__adder", "arguments": {"a": SECRETS["thought"]}})
            await call(nexus, "execute", {"name": f"math__{SECRETS['client']}", "arguments": {}})
            scraped = await nexus.ask("GET", "/metrics")
            await until(lambda: len(receiver.spans) >= 30 and receiver.metrics, receiver)
            await until(lambda: len(other.lines) >= 18, other)
            assert up.last.headers["authorization"] == f"Bearer {SECRETS['provider']}"
            assert receiver.headers[0]["authorization"] == f"Bearer {SECRETS['collector']}"
        told = capfd.readouterr()
        signals = receiver.everything + other.everything + scraped.body
        printed = (told.out + told.err + caplog.text).encode()
    assert b"up/gpt-4o" in signals
    assert b"llm:chat_completion" in signals
    places = {one.attributes["server.address"] for one in receiver.spans if one.kind == 2}
    assert "[redacted]" in places
    assert "[redacted]" in {one.attributes.get("client.id") for one in receiver.spans}
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
