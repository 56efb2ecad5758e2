"""One gateway does a bit of everything, once; then every metric and every span is looked up by its name."""

import asyncio
import logging
from collections.abc import Generator, Sequence
from dataclasses import dataclass

import msgspec
import pytest

import signals
from gateway import Running, gateway, provider
from integration.mcp_gateway import stdio
from integration.telemetry_gateway import (
    ANTHROPIC,
    CHAT,
    IDENTIFIED,
    STREAM,
    WHO,
    ask_mcp,
    call,
    chat,
    event,
    otlp,
    until,
)
from nexus.telemetry.instruments import Histogram
from upstreams.otlp import Metric, Received, Receiver, by_grpc
from upstreams.redis import redis
from upstreams.scripted import Asked, Told, upstream

# what the contract names: the metric, its kind, its unit, its attributes
CONTRACT = {
    "http.server.request.duration": (
        "histogram",
        "s",
        "http.route http.request.method http.response.status_code",
    ),
    "mcp.tool.call.duration": (
        "histogram",
        "s",
        "tool_name tool_type status keyword_count result_count server_name error.type client.id client.group",
    ),
    "mcp.tools.list.duration": ("histogram", "s", "method status client.id client.group"),
    "mcp.prompt.request.duration": ("histogram", "s", "method status error.type client.id client.group"),
    "mcp.resource.request.duration": ("histogram", "s", "method status error.type client.id client.group"),
    "gen_ai.client.operation.duration": (
        "histogram",
        "s",
        "gen_ai.system gen_ai.operation.name gen_ai.request.model gen_ai.response.finish_reason client.id client.group"
        " error.type",
    ),
    "gen_ai.client.time_to_first_token": (
        "histogram",
        "s",
        "gen_ai.system gen_ai.operation.name gen_ai.request.model client.id client.group",
    ),
    "gen_ai.client.count_tokens.duration": (
        "histogram",
        "s",
        "gen_ai.system gen_ai.operation.name gen_ai.request.model gen_ai.response error.type client.id client.group",
    ),
    "gen_ai.client.input.token.usage": (
        "sum",
        "{token}",
        "gen_ai.system gen_ai.request.model client.id client.group",
    ),
    "gen_ai.client.output.token.usage": (
        "sum",
        "{token}",
        "gen_ai.system gen_ai.request.model client.id client.group",
    ),
    "gen_ai.client.total.token.usage": (
        "sum",
        "{token}",
        "gen_ai.system gen_ai.request.model client.id client.group",
    ),
    "redis.command.duration": ("histogram", "s", "operation status tokens error.type"),
    "redis.pool.connections.in_use": ("sum", "{connection}", ""),
    "redis.pool.connections.available": ("sum", "{connection}", ""),
}
WORDS = {
    "status": {"success", "error"},
    "tool_type": {"builtin", "downstream"},
    "gen_ai.system": {"nexus.llm"},
    "gen_ai.response": {"success", "error"},
    "gen_ai.token.type": {"input", "output"},
    "operation": {"check_and_consume", "check_and_consume_tokens"},
    "http.connection.state": {"active", "idle"},
}
RARE = {"mcp.tools.list.duration": {"error.type"}}
"""What is told only where a client leaves just then."""
MODEL_FAILURES = {
    "invalid_request",
    "authentication_failed",
    "insufficient_quota",
    "model_not_found",
    "rate_limit_exceeded",
    "invalid_model_format",
    "provider_not_found",
    "internal_error",
    "provider_api_error",
    "connection_error",
    "client_disconnected",
}
USAGE = (
    b'{"prompt_tokens":100,"completion_tokens":20,"total_tokens":120,"prompt_tokens_details":{"cached_tokens":64,'
    b'"cache_write_tokens":3},"completion_tokens_details":{"reasoning_tokens":5}}'
)
LIMITS = """
[server.rate_limits]
enabled = true
global = {{ limit = 1000, interval = "60s" }}
per_ip = {{ limit = {most}, interval = "600s" }}
[server.rate_limits.storage]
type = "redis"
url = "{url}"
[llm.providers.up.models.small]
rate_limits.per_user = {{ input_token_limit = 10, interval = "60s" }}
[llm.providers.up.rate_limits.per_user]
input_token_limit = 1000000
interval = "60s"
[llm.providers.gone]
type = "openai"
api_key = "k"
base_url = "http://127.0.0.1:1"
discovery = false
[llm.providers.claude]
type = "anthropic"
api_key = "k"
base_url = "{claude}"
[llm.protocols.anthropic]
enabled = true
"""
TOOL_LIMITS = """
[mcp.servers.math.rate_limits]
limit = 100
interval = "60s"
tools.fail = { limit = 1, interval = "60s" }
"""
REFUSED = (400, 401, 403, 404, 422, 429, 500)
_LEAVE = "stay"


def says(asked: Asked) -> Told:
    if asked.target.endswith("/count_tokens"):
        counted = b'{"input_tokens":3,"cache_creation_input_tokens":1,"cache_read_input_tokens":2}'
        return Told(pieces=(counted,)) if b"refuse" not in asked.body else Told(status=400)
    if asked.target.endswith("/embeddings"):
        return Told(
            pieces=(b'{"object":"list","data":[],"model":"e","usage":{"prompt_tokens":2,"total_tokens":2}}',)
        )
    if asked.method == "GET":
        return Told(pieces=(b'{"object":"list","data":[]}',))
    told = asked.json
    user = str(told.get("user", ""))
    if user.isdigit():
        return Told(status=int(user), pieces=(b'{"error":{"message":"no"}}',))
    if user == _LEAVE:
        return Told(content_type="text/event-stream", pieces=(*STREAM[:2], asyncio.Event()))
    if told.get("stream"):
        later = asyncio.Event()
        asyncio.get_running_loop().call_later(0.02, later.set)
        last = event("{}", '"stop"', USAGE)
        return Told(
            content_type="text/event-stream", pieces=(*STREAM[:2], later, *STREAM[2:3], last, STREAM[-1])
        )
    return Told(
        pieces=(
            b'{"id":"1","model":"gpt-4o-2024","choices":[{"message":{"content":"hi"},"finish_reason":"stop"}],"usage":%s}'
            % USAGE,
        )
    )


@dataclass
class Seen:
    """What the receiver has got."""

    metrics: dict[str, Metric]
    spans: Sequence[Received]


@pytest.fixture(scope="module")
def seen() -> Generator[Seen]:
    level = logging.getLogger("nexus").level
    with by_grpc() as receiver:
        yield asyncio.run(everything(receiver))
    logging.getLogger("nexus").setLevel(level)


async def everything(receiver: Receiver) -> Seen:
    """Do a bit of everything, and wait until it was told."""
    async with redis() as server, upstream(says) as up:
        most = 46
        limits = LIMITS.format(url=server.url, claude=up.url, most=most)
        told = otlp(receiver).replace("[telemetry]\n", "[telemetry]\ncontent = true\n")
        toml = (
            provider(up.url)
            + IDENTIFIED
            + limits
            + stdio("math", "plain", "uri=tool://one")
            + TOOL_LIMITS
            + stdio("more", "plain")
            + told
        )
        async with gateway(toml) as nexus:
            assert nexus.gateway.mcp is not None
            servers = nexus.gateway.mcp.pool.shared.values()
            await asyncio.wait_for(asyncio.gather(*(one.settled.wait() for one in servers)), 20)
            await models(nexus)
            await tools(nexus)
            while (await chat(nexus)).status != 429:  # the limit of this address
                most -= 1
                assert most
            await server.kill()
            await chat(nexus)
            await until(lambda: _at_the_end(receiver), receiver)
            return Seen(receiver.metrics, receiver.spans)


def _at_the_end(receiver: Receiver) -> bool:
    """Tell whether the last request, for which there was no Redis any more, has arrived."""
    commands = receiver.metrics.get("redis.command.duration")
    told = commands is not None and any(point.attributes["status"] == "error" for point in commands.points)
    return told and any(
        "error.type" in span.attributes for span in receiver.spans if span.name.startswith("redis:")
    )


async def models(nexus: Running) -> None:
    """Call models: whole and streamed, relayed and translated, with success and with every failure."""
    tool: list[object] = [{"type": "function", "function": {"name": "f"}}]
    await chat(nexus, temperature=0.5, max_tokens=7, tools=tool)
    await chat(nexus, stream=True)
    body = {"max_tokens": 9, "messages": [{"role": "user", "content": "x"}]}
    for more in ({"model": "up/gpt-4o", "container": "c"}, {"model": "up/gpt-4o", "stream": True}):
        await nexus.ask("POST", ANTHROPIC, msgspec.json.encode(body | more), **WHO)
    for model in ("claude/a", "claude/refuse"):
        counted = msgspec.json.encode({"model": model, "messages": body["messages"]})
        await nexus.ask("POST", f"{ANTHROPIC}/count_tokens", counted, **WHO)
    embedded = msgspec.json.encode({"model": "up/e", "input": "x"})
    await nexus.ask("POST", "/llm/openai/v1/embeddings", embedded, **WHO)
    await nexus.ask("GET", "/llm/openai/v1/models", b"", **WHO)
    for status in REFUSED:
        await chat(nexus, user=str(status))
    await chat(nexus, user="429", stream=True)
    for model in ("nobody/x", "up/", "gone/x", "up/small"):
        await chat(nexus, model)
    await leave(nexus)


async def leave(nexus: Running) -> None:
    """Go in the middle of a stream."""
    reader, writer = await asyncio.open_connection("127.0.0.1", nexus.port)
    body = msgspec.json.encode({"model": "up/gpt-4o", "stream": True, "user": _LEAVE, "messages": []})
    head = f"POST {CHAT} HTTP/1.1\r\nhost: x\r\nx-client-id: a\r\ncontent-type: application/json\r\n"
    writer.write(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body)
    await reader.readuntil(b'"he"')
    writer.close()
    await writer.wait_closed()


async def tools(nexus: Running) -> None:
    """Use MCP: with success and with failure."""
    await call(nexus, "search", {"keywords": ["adds", "numbers"]})
    await call(nexus, "search", {"words": 1})
    for tool in ("math__adder", "math__refuse", "nobody__nothing", "math__fail", "math__fail"):
        await call(nexus, "execute", {"name": tool, "arguments": {"a": 1, "b": 2}})
    for method in ("tools/list", "prompts/list", "resources/list", "resources/templates/list"):
        await ask_mcp(nexus, method)
    for prompt in ("math__hello", "none"):
        await ask_mcp(nexus, "prompts/get", {"name": prompt})
    for uri in ("tool://one", "file:///none"):
        await ask_mcp(nexus, "resources/read", {"uri": uri})


@pytest.mark.parametrize("name", CONTRACT)
def test_a_metric_of_the_contract_is_told_with_its_kind_its_unit_and_its_attributes(
    name: str, seen: Seen
) -> None:
    kind, unit, attributes = CONTRACT[name]
    found = seen.metrics[name]
    assert (found.kind, found.unit) == (kind, unit)
    told = {attribute for point in found.points for attribute in point.attributes}
    assert set(attributes.split()) <= told


@pytest.mark.parametrize("one", signals.instruments(), ids=lambda one: one.name)
def test_a_metric_of_the_reference_is_told_as_it_is_listed(one: object, seen: Seen) -> None:
    assert isinstance(one, signals.AnyInstrument)
    found = seen.metrics[one.name]
    told = {attribute for point in found.points for attribute in point.attributes}
    assert told == set(one.attributes) - RARE.get(one.name, set())
    assert found.unit == one.unit
    assert all(point.bounds == one.bounds for point in found.points if isinstance(one, Histogram))
    for point in found.points:
        for attribute, value in point.attributes.items():
            assert value in WORDS.get(attribute, {value}), attribute


def test_no_metric_is_told_that_is_not_in_the_reference(seen: Seen) -> None:
    assert seen.metrics.keys() == {one.name for one in signals.instruments()}


def test_calls_of_models_fail_with_every_word_there_is(seen: Seen) -> None:
    points = seen.metrics["gen_ai.client.operation.duration"].points
    assert {point.attributes.get("error.type") for point in points} == MODEL_FAILURES | {None}


@pytest.mark.parametrize(
    ("name", "word"),
    [
        ("mcp.tool.call.duration", "method_not_found"),
        ("mcp.tool.call.duration", "invalid_params"),
        ("mcp.tool.call.duration", "rate_limit_exceeded"),
        ("mcp.tool.call.duration", "server_error"),
        ("mcp.prompt.request.duration", "method_not_found"),
        ("mcp.resource.request.duration", "method_not_found"),
        ("redis.command.duration", "script_execution"),
    ],
)
def test_other_requests_fail_with_words_of_their_own(name: str, word: str, seen: Seen) -> None:
    failed = [point for point in seen.metrics[name].points if point.attributes.get("error.type") == word]
    assert failed
    assert {point.attributes["status"] for point in failed} == {"error"}


def listed(span: Received) -> signals.Listed:
    """Find a span in the reference."""
    name = span.name if span.kind != 2 else "METHOD route"
    return next(one for one in signals.SPANS if name in one.names)


@pytest.mark.parametrize("one", signals.SPANS, ids=lambda one: one.names[0])
def test_spans_of_the_reference_are_told_with_their_attributes_and_no_other(
    one: signals.Listed, seen: Seen
) -> None:
    spans = [span for span in seen.spans if listed(span) is one]
    if one.kind != "server":
        assert {span.name for span in spans} == set(one.names)
    assert {span.kind for span in spans} == {{"internal": 1, "server": 2, "client": 3}[one.kind]}
    assert {attribute for span in spans for attribute in span.attributes} == set(one.attributes)


PARENTS = {
    "llm:": ("POST ", "GET "),
    "tools/": ("POST /mcp",),
    "prompts/": ("POST /mcp",),
    "resources/": ("POST /mcp",),
    "index:search": ("tools/call",),
    "downstream:execute": ("tools/call",),
    "downstream:call_tool": ("downstream:execute",),
    "downstream:get_prompt": ("prompts/get",),
    "downstream:resources": ("resources/read",),
    "redis:check_and_consume:global": ("POST ", "GET "),
    "redis:check_and_consume:ip": ("POST ", "GET "),
    "redis:check_and_consume:server": ("tools/call",),
    "redis:check_and_consume:tool": ("tools/call",),
    "redis:check_and_consume_tokens": ("llm:",),
}


@pytest.mark.parametrize("begins", PARENTS)
def test_a_span_is_below_what_it_is_part_of(begins: str, seen: Seen) -> None:
    ids = {span.span_id: span for span in seen.spans}
    spans = [span for span in seen.spans if span.name.startswith(begins)]
    assert spans
    for span in spans:
        parent = ids[span.parent_id]
        assert parent.name.startswith(PARENTS[begins])
        assert parent.trace_id == span.trace_id
