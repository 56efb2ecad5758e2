"""Every metric there is, and how a record becomes some of them. docs/telemetry.md lists them; a test holds the two together.

The names and attributes of the contract come first; what newer conventions add stands beside them under its own names.
https://github.com/open-telemetry/semantic-conventions-genai, https://opentelemetry.io/docs/specs/semconv/http/http-metrics/
"""

from collections.abc import Iterable, Sequence
from functools import cached_property

from nexus.telemetry.instruments import (
    MAX_POINTS,
    AnyInstrument,
    Counter,
    Gauge,
    Histogram,
    Key,
    Spread,
    Total,
)
from nexus.telemetry.records import RequestRecord, Tokens, ToolRecord, UsageRecord
from nexus.telemetry.redact import redact_name

SYSTEM = "nexus.llm"
COUNT_TOKENS = "count_tokens"
LIST_MODELS = "list_models"

HTTP = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10)
MODEL = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92)
CHUNKS = (0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1, 2.5)
TOKENS = (1, 4, 16, 64, 256, 1024, 4096, 16384, 65536, 262144, 1048576, 4194304, 16777216, 67108864)
MCP = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60, 120, 300)
STORE = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1, 5, 10)

_CLIENT = ("client.id", "client.group")
_MODEL = ("gen_ai.system", "gen_ai.operation.name", "gen_ai.request.model")
_SERVED = ("gen_ai.operation.name", "gen_ai.provider.name", "gen_ai.request.model", "gen_ai.response.model")
_LISTS = ("method", "status", "error.type", *_CLIENT)
_METHODS = {
    "tools/list": "list_tools",
    "prompts/list": "list_prompts",
    "prompts/get": "get_prompt",
    "resources/list": "list_resources",
    "resources/templates/list": "list_resource_templates",
    "resources/read": "read_resource",
}


MAX_STRANGE = 100
"""Names that never worked, and are told apart all the same."""
OTHER = "_OTHER"


class Metrics:
    """All instruments of one process."""

    def __init__(self) -> None:
        self._gauges: dict[str, Gauge] = {}
        self.requests = Histogram(
            "http.server.request.duration",
            "s",
            "Time to answer a request, to its last byte.",
            HTTP,
            "http.request.method",
            "http.route",
            "http.response.status_code",
        )
        self.model = Model()
        self.tools = Tools()
        self.store = Histogram(
            "redis.command.duration",
            "s",
            "Time of a decision about limits in Redis.",
            STORE,
            "operation",
            "status",
            "error.type",
            "tokens",
        )

    def show(self, gauge: Gauge) -> None:
        """Show a value that is kept elsewhere; it takes the place of an older one of that name."""
        self._gauges[gauge.name] = gauge

    def hide(self, gauge: Gauge) -> None:
        """Show it no more, unless another has taken its place."""
        if self._gauges.get(gauge.name) is gauge:
            del self._gauges[gauge.name]

    def all(self) -> Iterable[AnyInstrument]:
        """Give every instrument."""
        yield self.requests
        yield from self.model.all()
        yield from self.tools.all()
        yield self.store
        yield from tuple(self._gauges.values())

    def take(self, records: Sequence[RequestRecord]) -> None:
        """Count what became of some requests."""
        for record in records:
            self.requests.record(record.duration, (record.method, record.route, record.status))
            work = record.work
            if isinstance(work, UsageRecord):
                self.model.take(work)
            elif isinstance(work, ToolRecord):
                self.tools.take(work, _who(record.client, record.group))


class Names:
    """Names that clients choose: those that worked as they are, of others so many, all the rest as one.

    Else a client that asks for what is not there, again and again by another name, would fill the points of everybody.
    """

    def __init__(self) -> None:
        self._worked: set[str] = set()
        self._strange: set[str] = set()

    def of(self, asked: str, *, worked: bool) -> str:
        """Give what to call a name, redacted."""
        name = redact_name(asked)
        known = self._worked if worked else self._strange
        if name in self._worked or name in known:
            return name
        if len(known) >= (MAX_POINTS if worked else MAX_STRANGE):
            return OTHER
        known.add(name)
        return name


def _who(client: str | None, group: str | None) -> Key:
    """Name who asked: where clients are told apart by their keys, not by these."""
    shown = redact_name(client) if client is not None else None
    return shown, redact_name(group) if group is not None else None


class Model:
    """Calls of models."""

    def __init__(self) -> None:
        base, usage = (*_MODEL, *_CLIENT), ("gen_ai.system", "gen_ai.request.model", *_CLIENT)
        prefix, split = "gen_ai.client.", (*_SERVED, "gen_ai.token.modality")
        self.duration = Histogram(
            prefix + "operation.duration",
            "s",
            "Time of a call of a model, to its last byte.",
            MODEL,
            *base,
            "gen_ai.response.finish_reason",
            "error.type",
        )
        self.first = Histogram(
            prefix + "time_to_first_token",
            "s",
            "Time until the first piece of a stream that holds content or a tool call.",
            MODEL,
            *base,
        )
        self.counted = Histogram(
            prefix + "count_tokens.duration",
            "s",
            "Time to count the tokens of a request.",
            MODEL,
            *base,
            "gen_ai.response",
            "error.type",
        )
        self.input = Counter(prefix + "input.token.usage", "{token}", "Tokens of requests.", *usage)
        self.output = Counter(prefix + "output.token.usage", "{token}", "Tokens written.", *usage)
        self.total = Counter(
            prefix + "total.token.usage", "{token}", "Tokens of requests and written.", *usage
        )
        self.usage = Histogram(
            prefix + "token.usage",
            "{token}",
            "Tokens of one call, by kind.",
            TOKENS,
            *_SERVED,
            "gen_ai.token.type",
        )
        self.chunk = Histogram(
            prefix + "operation.time_per_output_chunk",
            "s",
            "Time between two pieces of a stream, after its first token.",
            CHUNKS,
            *_SERVED,
        )
        split_by = prefix + "inference.usage."
        self.cache_read = Counter(
            split_by + "cache_read.input_tokens", "{token}", "Those of the requests from a cache.", *split
        )
        self.cache_write = Counter(
            split_by + "cache_write.input_tokens", "{token}", "Those of the requests into a cache.", *split
        )
        self.reasoning = Counter(
            split_by + "reasoning.output_tokens", "{token}", "Those written that were thoughts.", *split
        )
        self.dropped = Counter(
            "nexus.llm.dropped_fields",
            "{field}",
            "Fields of requests that were left out, the provider having no words for them.",
            "gen_ai.provider.name",
        )

        self._names = Names()
        self._series: dict[Key, _Series] = {}

    def all(self) -> Iterable[AnyInstrument]:
        """Give every instrument."""
        yield from (self.duration, self.first, self.counted, self.input, self.output, self.total)
        yield from (self.usage, self.chunk, self.cache_read, self.cache_write, self.reasoning, self.dropped)

    def take(self, one: UsageRecord) -> None:
        """Count one call."""
        key = (
            one.operation,
            one.asked,
            one.provider,
            one.served,
            one.client,
            one.group,
            one.finish,
            one.error,
        )
        if (series := self._series.get(key)) is None:
            if len(self._series) >= MAX_POINTS:
                self._series.clear()
            series = self._series[key] = self._open(one)
        series.duration.record(one.duration)
        if one.first_token is not None:
            series.first.record(one.first_token)
        if one.dropped:
            self.dropped.add(len(one.dropped), (one.provider,))
        if one.chunks is not None:
            series.chunk.merge(one.chunks.counts, one.chunks.seconds)
        if one.tokens is not None:
            series.count(one.tokens)

    def _open(self, one: UsageRecord) -> "_Series":
        """Find the points that calls such as this one belong to."""
        asked = self._names.of(one.asked, worked=one.error is None) or None
        operation = one.operation
        who = _who(one.client, one.group)
        base: Key = (SYSTEM, operation, asked, *who)
        if operation in _NOT_GENERATION:
            outcome = "success" if one.error is None else "error"
            key = (SYSTEM, "chat.completions", asked, *who, outcome, one.error)
            duration = self.counted.point(key) if operation == COUNT_TOKENS else Spread(MODEL)
            return _Series(self, duration, base, base)
        duration = self.duration.point((*base, one.finish, one.error))
        served = redact_name(one.served) or None
        split: Key = (_CONVENTIONAL.get(operation, operation), one.provider, asked, served)
        return _Series(self, duration, base, split)


_NOT_GENERATION = (COUNT_TOKENS, LIST_MODELS)


class _Series:
    """The points of all calls that are alike, found once."""

    def __init__(self, model: Model, duration: Spread, base: Key, split: Key) -> None:
        self.duration = duration
        self._model = model
        self._base = base
        self._split = split

    @cached_property
    def first(self) -> Spread:
        """Times to the first token."""
        return self._model.first.point(self._base)

    @cached_property
    def chunk(self) -> Spread:
        """Times between pieces of streams."""
        return self._model.chunk.point(self._split)

    def count(self, tokens: Tokens) -> None:
        """Count tokens."""
        input, output, total, read, written = self._counted
        input.value += tokens.input
        output.value += tokens.output
        total.value += tokens.input + tokens.output
        read.record(tokens.input)
        written.record(tokens.output)
        if tokens.cache_read or tokens.cache_write or tokens.reasoning:
            self._count_parts(tokens)

    @cached_property
    def _counted(self) -> tuple[Total, Total, Total, Spread, Spread]:
        model, split = self._model, self._split
        system, _, *rest = self._base
        key = (system, *rest)
        usage = (model.usage.point((*split, "input")), model.usage.point((*split, "output")))
        return (model.input.point(key), model.output.point(key), model.total.point(key), *usage)

    def _count_parts(self, tokens: Tokens) -> None:
        model, key = self._model, (*self._split, "unknown")
        for counter, amount in (
            (model.cache_read, tokens.cache_read),
            (model.cache_write, tokens.cache_write),
            (model.reasoning, tokens.reasoning),
        ):
            if amount:
                counter.add(amount, key)


_CONVENTIONAL = {"chat.completions": "chat", "completions": "text_completion"}
"""What the conventions call an operation the contract has another name for."""


class Tools:
    """Requests of MCP."""

    def __init__(self) -> None:
        self.calls = Histogram(
            "mcp.tool.call.duration",
            "s",
            "Time of a call of a tool.",
            MCP,
            "tool_type",
            "tool_name",
            "status",
            "server_name",
            "keyword_count",
            "result_count",
            "error.type",
            *_CLIENT,
        )
        self.lists = Histogram("mcp.tools.list.duration", "s", "Time to list the tools.", MCP, *_LISTS)
        self.prompts = Histogram(
            "mcp.prompt.request.duration", "s", "Time to list or get prompts.", MCP, *_LISTS
        )
        self.resources = Histogram(
            "mcp.resource.request.duration", "s", "Time to list or read resources.", MCP, *_LISTS
        )
        self._names = Names()
        self._of = {
            "tools/list": self.lists,
            "prompts/list": self.prompts,
            "prompts/get": self.prompts,
            "resources/list": self.resources,
            "resources/templates/list": self.resources,
            "resources/read": self.resources,
        }

    def all(self) -> Iterable[AnyInstrument]:
        """Give every instrument."""
        return (self.calls, self.lists, self.prompts, self.resources)

    def take(self, one: ToolRecord, who: Key) -> None:
        """Count one request."""
        status = "success" if one.error is None else "error"
        if one.method == "tools/call":
            kind = "builtin" if one.builtin else "downstream"
            name = self._names.of(one.tool or "execute", worked=one.error is None)
            server = one.server if one.error is None else None
            self.calls.record(
                one.duration, (kind, name, status, server, one.keywords, one.results, one.error, *who)
            )
        elif (histogram := self._of.get(one.method)) is not None:
            histogram.record(one.duration, (_METHODS[one.method], status, one.error, *who))
