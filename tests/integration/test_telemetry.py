"""What a gateway counts, as a receiver of it gets it, of every kind of request."""

import asyncio
import http.client
import logging
import re
import time
from pathlib import Path

import msgspec
import pytest

from gateway import Running, gateway, process, provider
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
    says,
    telling,
    until,
)
from nexus.server.app import Gateway
from nexus.server.mcp import Mcp
from nexus.telemetry.metrics import MODEL
from nexus.telemetry.records import RequestRecord, Tokens, UsageRecord
from nexus.telemetry.setup import Telemetry
from upstreams.otlp import by_grpc, by_http
from upstreams.scripted import Asked, Told, upstream


@pytest.mark.parametrize("spoken", ["grpc", "http"])
async def test_all_three_signals_arrive(spoken: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "nexus")
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


async def test_who_accounts_gets_one_record_of_each_call() -> None:
    records: list[RequestRecord] = []
    telemetry = Telemetry(None)
    telemetry.subscribe(records.extend)
    toml = IDENTIFIED + "[llm.protocols.anthropic]\nenabled = true\n"
    async with upstream(says) as up, gateway(provider(up.url) + toml, telemetry=telemetry) as nexus:
        await chat(nexus)
        await chat(nexus, stream=True)
        body = {
            "model": "up/gpt-4o",
            "max_tokens": 9,
            "container": "c",
            "messages": [{"role": "user", "content": "x"}],
        }
        await nexus.ask("POST", ANTHROPIC, msgspec.json.encode(body), **WHO)
        await until(lambda: len(records) == 3)
    whole, streamed, translated = (one.work for one in records)
    for one in (whole, streamed, translated):
        assert isinstance(one, UsageRecord)
        assert (one.client, one.group, one.asked, one.served) == (
            "alice",
            "pro",
            "up/gpt-4o",
            "gpt-4o-2024",
        )
        assert (one.provider, one.status, one.error) == ("up", 200, None)
        assert one.tokens == Tokens(input=100, output=20, cache_read=64, reasoning=5)
        assert 0 < one.duration < 5
        assert abs(one.time - time.time()) < 60
        with pytest.raises(AttributeError):
            one.status = 500  # type: ignore[misc]  # immutable is the point
    assert isinstance(whole, UsageRecord)
    assert isinstance(streamed, UsageRecord)
    assert isinstance(translated, UsageRecord)
    assert (whole.first_token, whole.dropped) == (None, ())
    assert streamed.first_token is not None
    assert 0 < streamed.first_token <= streamed.duration
    assert translated.dropped == ("container",)


async def test_a_header_that_is_no_text_spoils_no_answer() -> None:
    told = Told(headers={"x-nexus-dropped": "\xff"})
    async with upstream(lambda _: told) as up:
        toml = provider(up.url) + IDENTIFIED + "[telemetry.prometheus]\nenabled = true\n"
        async with gateway(toml) as nexus:
            assert (await chat(nexus)).status == 200


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


def test_the_log_tells_a_path_that_leads_nowhere_in_one_line_and_without_its_key(tmp_path: Path) -> None:
    (tmp_path / "nexus.toml").write_text('[llm.providers.try]\ntype = "echo"\n')
    with process(cwd=tmp_path) as nexus:
        address = nexus.url.removeprefix("http://").partition(":")
        client = http.client.HTTPConnection(address[0], int(address[2]), timeout=10)
        client.request("GET", "/v2/sk-ant-0123456789abcdef%0AERROR%20forged?token=hunter2hunter2")
        assert client.getresponse().status == 404
        client.close()
        line = nexus.read_until("GET unknown 404")
    assert "path=/v2/[redacted]%0AERROR%20forged" in line
    assert "hunter2" not in line


async def test_large_answers_are_not_kept_waiting() -> None:
    large = WHOLE[:-1] + b',"pad":"' + b"x" * 1_000_000 + b'"}'
    batches = list[int]()
    telemetry = Telemetry(None)
    telemetry.subscribe(lambda records: batches.append(len(records)))
    async with (
        upstream(lambda _: Told(pieces=(large,))) as up,
        gateway(provider(up.url), telemetry=telemetry) as nexus,
    ):
        await asyncio.gather(*(chat(nexus) for _ in range(8)))
    assert batches == [1] * 8


async def test_a_fault_that_is_answered_500_is_recorded_so(monkeypatch: pytest.MonkeyPatch) -> None:
    async def fails(*_: object) -> None:
        raise ValueError("a fault of ours")

    monkeypatch.setattr(Mcp, "_serve", fails)
    records: list[RequestRecord] = []
    telemetry = Telemetry(None)
    telemetry.subscribe(records.extend)
    async with gateway(stdio("math", "plain"), telemetry=telemetry) as nexus:
        assert (await nexus.ask("POST", "/mcp", b"{}")).status == 500
        await until(lambda: records)
    assert records[0].status == 500


async def test_what_machines_ask_again_and_again_has_no_line_wherever_it_is(tmp_path: Path) -> None:
    file = tmp_path / "nexus.toml"
    file.write_text(
        'server.health.path = "/alive"\n[telemetry.prometheus]\nenabled = true\npath = "/numbers"\n'
        '[llm.providers.e]\ntype = "echo"\n'
    )
    with process("-c", str(file), "--log-style", "text") as nexus:
        for path in ("/alive", "/ready", "/numbers", "/llm/v1/models"):
            host, port = nexus.url.removeprefix("http://").split(":")
            connection = http.client.HTTPConnection(host, int(port))
            connection.request("GET", path)
            assert connection.getresponse().status == 200
            connection.close()
        told = nexus.read_until("/llm/v1/models")
    assert "GET" in told
    assert not any(path in told for path in ("/alive 200", "/ready", "/numbers"))
