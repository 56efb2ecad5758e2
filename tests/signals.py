"""Every metric and every span there is: written to docs/reference/metrics.md, and held against a gateway at work by a test.

Metrics are read from the instruments themselves; spans are made where their work is done, and listed here.
"""

import sys
from collections.abc import Iterator
from dataclasses import dataclass

from nexus import config
from nexus.server.app import Gateway
from nexus.telemetry import prometheus
from nexus.telemetry.instruments import AnyInstrument, Gauge, Histogram

EVERYTHING = """
llm.providers.up = { type = "openai", api_key = "k" }
mcp.servers.tools.cmd = ["tools"]
telemetry.prometheus.enabled = true
[server.rate_limits]
enabled = true
global = { limit = 1, interval = "1s" }
storage = { type = "redis", url = "redis://127.0.0.1:1" }
"""
CLIENT = ("client.id", "client.group")


@dataclass(frozen=True)
class Listed:
    """Spans that are alike."""

    names: tuple[str, ...]
    parent: str
    about: str
    attributes: tuple[str, ...]
    kind: str = "internal"


SPANS = (
    Listed(
        ("METHOD route",),
        "the caller's, if it told",
        "A request, to the last byte of its answer; its status is an error from 500 on.",
        (
            "http.request.method",
            "http.route",
            "http.response.status_code",
            "url.full",
            "url.scheme",
            "server.address",
            *CLIENT,
            "error",
        ),
        "server",
    ),
    Listed(
        (
            "llm:chat_completion",
            "llm:chat_completion_stream",
            "llm:embeddings",
            "llm:count_tokens",
            "llm:list_models",
        ),
        "the request",
        "A call of a model. Other endpoints have spans named after their path.",
        (
            "gen_ai.operation.name",
            "gen_ai.provider.name",
            "gen_ai.request.model",
            "gen_ai.request.max_tokens",
            "gen_ai.request.temperature",
            "gen_ai.request.has_tools",
            "gen_ai.request.tool_count",
            "gen_ai.response.model",
            "gen_ai.response.finish_reason",
            "gen_ai.response.time_to_first_chunk",
            "gen_ai.usage.input_tokens",
            "gen_ai.usage.output_tokens",
            "gen_ai.usage.total_tokens",
            "gen_ai.usage.cache_read.input_tokens",
            "gen_ai.usage.cache_creation.input_tokens",
            "gen_ai.usage.reasoning.output_tokens",
            "gen_ai.input.messages",
            "gen_ai.output.messages",
            "llm.stream",
            "llm.auth_forwarded",
            "llm.count_tokens.input",
            "llm.count_tokens.cache_creation",
            "llm.count_tokens.cache_read",
            "nexus.dropped",
            *CLIENT,
            "error",
            "error.type",
        ),
    ),
    Listed(
        (
            "tools/list",
            "tools/call",
            "prompts/list",
            "prompts/get",
            "resources/list",
            "resources/templates/list",
            "resources/read",
        ),
        "the request",
        "A request of MCP, by its method.",
        (
            "mcp.method",
            "mcp.auth_forwarded",
            "mcp.tool.name",
            "mcp.tool.type",
            "mcp.search.keywords",
            "mcp.search.keyword_count",
            "mcp.execute.target_tool",
            "mcp.execute.target_server",
            "mcp.prompt.name",
            "mcp.resource.uri",
            *CLIENT,
            "error",
            "mcp.error.code",
        ),
    ),
    Listed(("index:search",), "`tools/call`", "The search among the tools a client may see.", ()),
    Listed(
        ("downstream:execute",), "`tools/call`", "Running a tool, once it was found and allowed.", ("error",)
    ),
    Listed(
        ("downstream:call_tool", "downstream:get_prompt", "downstream:resources/read"),
        "`downstream:execute`; of prompts and resources the request of MCP",
        "A request to an MCP server, to its answer.",
        ("mcp.method", "mcp.server", "mcp.transport", "error"),
        "client",
    ),
    Listed(
        (
            "redis:check_and_consume:global",
            "redis:check_and_consume:ip",
            "redis:check_and_consume:server",
            "redis:check_and_consume:tool",
            "redis:check_and_consume_tokens",
        ),
        "the request; of servers and tools `tools/call`, of tokens the call of the model",
        "A decision about a limit in Redis.",
        (
            "redis.operation",
            "redis.pool.size",
            "redis.pool.in_use",
            "redis.pool.available",
            "rate_limit.scope",
            "rate_limit.limit",
            "rate_limit.interval_ms",
            "rate_limit.tokens",
            "rate_limit.allowed",
            "rate_limit.retry_after_ms",
            "client.address_hash",
            "mcp.server",
            "mcp.tool",
            "llm.provider",
            "llm.model",
            "error",
            "error.type",
        ),
    ),
)


def instruments() -> list[AnyInstrument]:
    """Give every instrument of a gateway that has something of everything."""
    gateway = Gateway(config.loads(EVERYTHING, {}).config)
    metrics = gateway.telemetry.metrics
    for gauge in gateway.gauges:
        metrics.show(gauge)
    return sorted(metrics.all(), key=lambda one: one.name)


def kind(one: AnyInstrument) -> str:
    """Name the kind of an instrument, as Prometheus has it."""
    if isinstance(one, Histogram):
        return "histogram"
    return (
        one.kind
        if isinstance(one, Gauge) and one.kind == "counter"
        else "gauge"
        if isinstance(one, Gauge)
        else "counter"
    )


def page() -> str:
    """Write the page."""
    return "\n".join((*_metrics(), *_spans())) + "\n"


def _metrics() -> Iterator[str]:
    yield "# Metrics and spans"
    yield ""
    yield "<!-- written by tests/signals.py (`make docs`); not by hand -->"
    yield ""
    yield "What [telemetry](../telemetry.md) tells, by name. An attribute that does not apply is left out."
    yield ""
    yield "## Metrics"
    yield ""
    yield "| metric | kind | unit | attributes | |"
    yield "|---|---|---|---|---|"
    found = instruments()
    for one in found:
        yield f"| `{one.name}` | {kind(one)} | {one.unit or '1'} | {_listed(one.attributes)} | {one.description} |"
    yield ""
    yield "### For Prometheus"
    yield ""
    yield "| metric | buckets of a histogram |"
    yield "|---|---|"
    for one in found:
        bounds = (
            ", ".join(f"{bound:g}" if bound < 1e5 else str(bound) for bound in one.bounds)
            if isinstance(one, Histogram)
            else ""
        )
        yield f"| `{prometheus.name(one)}` | {bounds} |"


def _spans() -> Iterator[str]:
    yield ""
    yield "## Spans"
    yield ""
    yield "| span | below | kind | attributes | |"
    yield "|---|---|---|---|---|"
    for one in SPANS:
        yield f"| {_listed(one.names)} | {one.parent} | {one.kind} | {_listed(one.attributes)} | {one.about} |"
    yield ""
    yield "`gen_ai.input.messages` and `gen_ai.output.messages` only with `telemetry.content = true`."


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join(f"`{name}`" for name in names)


if __name__ == "__main__":
    sys.stdout.write(page())
