"""The `[telemetry]` section: what is measured and where it is sent."""

from typing import Annotated, Literal, cast

from pydantic import BeforeValidator, Field, SecretStr, WithJsonSchema, model_validator

from nexus.config.base import (
    Count,
    Expected,
    Flag,
    HttpUrl,
    Listen,
    Positive,
    Route,
    Section,
    header_name,
    header_value,
)
from nexus.config.duration import Duration, Interval


def _pairs(value: object) -> list[tuple[object, object]]:
    if isinstance(value, dict):
        return list(cast("dict[object, object]", value).items())
    if isinstance(value, list):
        items = [
            cast("dict[str, object]", item) for item in cast("list[object]", value) if isinstance(item, dict)
        ]
        if len(items) == len(cast("list[object]", value)) and all(
            "name" in item and "value" in item for item in items
        ):
            return [(item["name"], item["value"]) for item in items]
    raise Expected("a table of headers, or an array of { name, value }")


def _headers(value: object) -> dict[str, SecretStr]:
    headers: dict[str, SecretStr] = {}
    for name, content in _pairs(value):
        content = content.get_secret_value() if isinstance(content, SecretStr) else content
        headers[header_name(name).lower()] = SecretStr(header_value(content))
    return headers


def _metadata(value: object) -> dict[str, SecretStr]:
    headers = _headers(value)
    if any(name.startswith("grpc-") for name in headers):
        raise ValueError("gRPC metadata key cannot start with 'grpc-' (reserved)")
    return headers


_MAP = WithJsonSchema(
    {
        "anyOf": [
            {"type": "object", "additionalProperties": {"type": "string"}},
            {
                "type": "array",
                "items": {
                    "type": "object",
                    "properties": {
                        "name": {"type": "string", "description": "Name of the header."},
                        "value": {"type": "string", "description": "Its value."},
                    },
                    "required": ["name", "value"],
                },
            },
        ]
    }
)
HeaderMap = Annotated[dict[str, SecretStr], BeforeValidator(_headers), _MAP]
MetadataMap = Annotated[dict[str, SecretStr], BeforeValidator(_metadata), _MAP]


class CollectorTls(Section):
    """TLS to the collector."""

    domain_name: str | None = None
    """Name the collector's certificate must carry."""
    key: str | None = None
    """PEM file of our certificate's key."""
    cert: str | None = None
    """PEM file of our certificate."""
    ca: str | None = None
    """PEM file of the authority that signed the collector's certificate; those the system trusts if unset."""


class GrpcExport(Section):
    """Settings of the gRPC exporter."""

    headers: MetadataMap = Field(default={})
    """Metadata sent along: a table, or an array of `{ name, value }`."""
    tls: CollectorTls | None = None
    """TLS to the collector."""


class HttpExport(Section):
    """Settings of the HTTP exporter."""

    headers: HeaderMap = Field(default={})
    """Headers sent along: a table, or an array of `{ name, value }`."""
    tls: CollectorTls | None = None
    """TLS to the collector."""


class BatchExport(Section):
    """How records are gathered before they are sent."""

    scheduled_delay: Interval = 5.0
    """Time between two batches."""
    max_queue_size: Positive = 2048
    """Records waiting at most; more are dropped."""
    max_export_batch_size: Positive = 512
    """Records in one batch."""
    max_concurrent_exports: Positive = 1
    """Batches on their way at once."""


class OtlpConfig(Section):
    """An OTLP collector."""

    enabled: Flag = False
    """Whether anything is sent to it."""
    endpoint: HttpUrl = "http://localhost:4317"
    """Where it listens."""
    protocol: Literal["grpc", "http"] = "grpc"
    """What it speaks."""
    timeout: Duration = 60.0
    """Longest time one export may take."""
    batch_export: BatchExport = BatchExport()
    """How records are gathered before they are sent."""
    grpc: GrpcExport | None = None
    """Settings of the gRPC exporter."""
    http: HttpExport | None = None
    """Settings of the HTTP exporter."""

    @model_validator(mode="after")
    def _protocol_matches(self) -> "OtlpConfig":
        # both tables side by side are a file that keeps the other choice at hand: `idle_table` is warned about
        if self.idle_table is not None and getattr(self, self.protocol) is None:
            raise ValueError(self.mismatch)
        return self

    @property
    def idle_table(self) -> str | None:
        """The table of settings for the protocol that is not spoken, if there is one."""
        other = "http" if self.protocol == "grpc" else "grpc"
        return other if getattr(self, other) is not None else None

    @property
    def mismatch(self) -> str:
        """What is wrong with the idle table."""
        found = "HTTP" if self.protocol == "grpc" else "gRPC"
        return f"{found} configuration found but protocol is set to '{self.protocol}'"


class Exporters(Section):
    """Where a signal is sent."""

    otlp: OtlpConfig | None = None
    """An OTLP collector."""


class SignalConfig(Section):
    """One signal, sent elsewhere than the rest."""

    exporters: Exporters = Exporters()
    """Where it is sent; to `telemetry.exporters` if unset."""


class Collect(Section):
    """How much one span may hold. Ours hold attributes; the limits of events and links are accepted, and never reached."""

    max_events_per_span: Count = 128
    """Events of a span."""
    max_attributes_per_span: Count = 128
    """Attributes of a span."""
    max_links_per_span: Count = 128
    """Links of a span."""
    max_attributes_per_event: Count = 128
    """Attributes of an event."""
    max_attributes_per_link: Count = 128
    """Attributes of a link."""


class Propagation(Section):
    """Which headers may continue a caller's trace, and who is told of it."""

    trace_context: Flag | None = None
    """Continue W3C `traceparent`; yes if unset."""
    aws_xray: Flag | None = None
    """Continue AWS X-Ray headers; yes if unset."""
    upstream: Flag = False
    """Pass `traceparent` and `tracestate` on to providers and MCP servers."""


def _share(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise Expected("a number between 0.0 and 1.0")
    if not 0 <= value <= 1:
        raise ValueError(f"sampling rate must be between 0.0 and 1.0, got {value}")
    return float(value)


class TracingConfig(SignalConfig):
    """Traces."""

    sampling: Annotated[
        float, BeforeValidator(_share), WithJsonSchema({"type": "number", "minimum": 0, "maximum": 1})
    ] = 0.15
    """Share of requests that are traced."""
    parent_based_sampler: Flag = False
    """Follow the caller's decision where it made one."""
    collect: Collect = Collect()
    """How much one span may hold."""
    propagation: Propagation = Propagation()
    """Which headers may continue a caller's trace, and who is told of it."""


class PrometheusConfig(Section):
    """Metrics for Prometheus to scrape."""

    enabled: Flag = False
    """Whether they can be scraped."""
    path: Route = "/metrics"
    """Where."""
    listen: Listen | None = None
    """Answer scrapes on this address instead of the main one; each further worker takes the port after it."""


class TelemetryConfig(Section):
    """What is measured and where it is sent."""

    service_name: str | None = None
    """Name this gateway reports; `nexus` if unset."""
    resource_attributes: dict[str, str] = Field(default={})
    """Attributes on everything reported."""
    exporters: Exporters = Exporters()
    """Where all signals are sent that have no exporter of their own."""
    metrics: SignalConfig = SignalConfig()
    """Metrics."""
    logs: SignalConfig = SignalConfig()
    """Logs."""
    tracing: TracingConfig = TracingConfig()
    """Traces."""
    prometheus: PrometheusConfig = PrometheusConfig()
    """Metrics for Prometheus to scrape."""
    content: Flag = False
    """Put prompts and completions into spans. They hold what your users say: think of who reads your traces."""
