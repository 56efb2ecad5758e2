"""What leaves by OTLP: our points, spans and lines in the words of the OpenTelemetry SDK, whose exporters send them.

The only module that imports the SDK, and imported only where something is exported. On the way of a request nothing of the SDK
runs: it is used by the threads that send.
"""

import logging
import os
import ssl
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, Protocol, cast
from urllib.parse import urlsplit

from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.sdk._logs import ReadableLogRecord
from opentelemetry.sdk._logs.export import LogRecordExportResult
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    Gauge,
    Histogram,
    HistogramDataPoint,
    Metric,
    MetricExportResult,
    MetricsData,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
    Sum,
)
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExportResult
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import (
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    TraceState,
    set_span_in_context,
)

from nexus import __version__
from nexus.config.telemetry import OtlpConfig
from nexus.telemetry import instruments
from nexus.telemetry.lines import Line
from nexus.telemetry.trace import Span

Signal = Literal["traces", "metrics", "logs"]
_SCOPE = InstrumentationScope("nexus", __version__)
_KINDS = {"internal": SpanKind.INTERNAL, "server": SpanKind.SERVER, "client": SpanKind.CLIENT}
_FAILED, _UNSET = Status(StatusCode.ERROR), Status(StatusCode.UNSET)
_SAMPLED = TraceFlags(TraceFlags.SAMPLED)
_SEVERITIES = {
    "ERROR": SeverityNumber.ERROR,
    "WARN": SeverityNumber.WARN,
    "INFO": SeverityNumber.INFO,
    "DEBUG": SeverityNumber.DEBUG,
    "TRACE": SeverityNumber.TRACE,
}


class Exporter(Protocol):
    """What the SDK's exporters have in common."""

    def export(self, batch: Any, /) -> Any:
        """Send and wait."""
        ...

    def shutdown(self) -> Any:
        """Send no more, and give up what is being sent."""
        ...


class Collector:
    """One signal's way to one collector."""

    def __init__(
        self, signal: Signal, config: OtlpConfig, resource: Mapping[str, str], limit: int | None = None
    ) -> None:
        # it tells of each failed try; one warning by us says as much
        logging.getLogger("opentelemetry").setLevel(logging.CRITICAL + 1)
        self._exporter = _exporter(signal, config)
        self._resource = Resource(dict(resource))
        self._limit = limit
        """Attributes of one span."""

    def metrics(self, found: Sequence[instruments.AnyInstrument], now: int) -> bool:
        """Send every point there is."""
        metrics = [metric for one in found if (metric := _metric(one, now)) is not None]
        data = MetricsData([ResourceMetrics(self._resource, [ScopeMetrics(_SCOPE, metrics, "")], "")])
        return self._exporter.export(data) is MetricExportResult.SUCCESS

    def spans(self, batch: Sequence[Span]) -> bool:
        """Send some spans."""
        return self._exporter.export([self._span(one) for one in batch]) is SpanExportResult.SUCCESS

    def lines(self, batch: Sequence[Line]) -> bool:
        """Send some log lines."""
        return self._exporter.export([self._line(one) for one in batch]) is LogRecordExportResult.SUCCESS

    def close(self) -> None:
        """Send no more."""
        self._exporter.shutdown()

    def _span(self, one: Span) -> ReadableSpan:
        state = TraceState.from_header([one.state]) if one.state else None
        parent = (
            SpanContext(one.trace_id, one.parent_id, one.remote, _SAMPLED, state) if one.parent_id else None
        )
        return ReadableSpan(
            name=one.name,
            context=SpanContext(one.trace_id, one.span_id, False, _SAMPLED, state),
            parent=parent,
            resource=self._resource,
            attributes=dict(list(one.attributes.items())[: self._limit]),
            kind=_KINDS[one.kind],
            status=_FAILED if one.failed else _UNSET,
            start_time=one.start,
            end_time=one.end,
            instrumentation_scope=_SCOPE,
        )

    def _line(self, one: Line) -> ReadableLogRecord:
        context = None
        if one.trace_id:
            place = SpanContext(one.trace_id, one.span_id, False, _SAMPLED)
            context = set_span_in_context(NonRecordingSpan(place))
        record = LogRecord(
            timestamp=one.time,
            observed_timestamp=one.time,
            context=context,
            severity_text=one.level,
            severity_number=_SEVERITIES.get(one.level, SeverityNumber.INFO),
            body=one.text,
            attributes=one.attributes,
        )
        return ReadableLogRecord(record, self._resource, _SCOPE)


def _metric(one: instruments.AnyInstrument, now: int) -> Metric | None:
    points = list(one.points())
    if not points:
        return None
    cumulative = AggregationTemporality.CUMULATIVE
    if isinstance(one, instruments.Histogram):
        spread = [
            _bucketed(one, key, point, now) for key, point in points if isinstance(point, instruments.Spread)
        ]
        return Metric(one.name, one.description, one.unit, Histogram(spread, cumulative))
    numbers = [
        NumberDataPoint(one.named(key), one.began, now, point)
        for key, point in points
        if not isinstance(point, instruments.Spread)
    ]
    kind = one.kind if isinstance(one, instruments.Gauge) else "counter"
    data = Gauge(numbers) if kind == "value" else Sum(numbers, cumulative, is_monotonic=kind == "counter")
    return Metric(one.name, one.description, one.unit, data)


def _bucketed(
    one: instruments.Histogram, key: instruments.Key | None, point: instruments.Spread, now: int
) -> HistogramDataPoint:
    counts = tuple(point.counts)
    none = cast("float", None)  # optional in OTLP, and so in what encodes it
    return HistogramDataPoint(
        one.named(key), one.began, now, sum(counts), point.sum, counts, one.bounds, min=none, max=none
    )


def _exporter(signal: Signal, config: OtlpConfig) -> Exporter:
    return _by_grpc(signal, config) if config.protocol == "grpc" else _by_http(signal, config)


def _by_http(signal: Signal, config: OtlpConfig) -> Exporter:
    import requests  # noqa: TID251  # it is the exporter's
    from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    classes: dict[Signal, Callable[..., Any]] = {
        "traces": OTLPSpanExporter,
        "metrics": OTLPMetricExporter,
        "logs": OTLPLogExporter,
    }
    headers = config.http.headers if config.http is not None else {}
    session = requests.Session()
    # of the environment only its proxies: what else it says of TLS would win over the authorities of the system
    session.trust_env, session.proxies = False, requests.utils.get_environ_proxies(config.endpoint)
    return classes[signal](
        session=session,
        endpoint=target(config.endpoint, signal),
        certificate_file=os.environ.get("SSL_CERT_FILE") or ssl.get_default_verify_paths().cafile,
        headers={name: value.get_secret_value() for name, value in headers.items()},
        timeout=config.timeout,
    )


def target(endpoint: str, signal: Signal) -> str:
    """Give where a signal is posted to: a base URL gets the path of the protocol, any other path is taken as it is."""
    return endpoint if urlsplit(endpoint).path.strip("/") else f"{endpoint.rstrip('/')}/v1/{signal}"


def _by_grpc(signal: Signal, config: OtlpConfig) -> Exporter:
    from grpc import ssl_channel_credentials  # pyright: ignore[reportMissingTypeStubs]
    from opentelemetry.exporter.otlp.proto.grpc._log_exporter import OTLPLogExporter
    from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter
    from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter

    classes: dict[Signal, Callable[..., Any]] = {
        "traces": OTLPSpanExporter,
        "metrics": OTLPMetricExporter,
        "logs": OTLPLogExporter,
    }
    given = config.grpc
    headers = given.headers if given is not None else {}
    tls = given.tls if given is not None else None
    options: tuple[tuple[str, str], ...] = ()
    credentials: Any = None
    if config.endpoint.lower().startswith("https://"):
        both = tls is not None and tls.key is not None and tls.cert is not None
        credentials = ssl_channel_credentials(
            _read(tls.ca if tls is not None else None),
            _read(tls.key) if tls is not None and both else None,
            _read(tls.cert) if tls is not None and both else None,
        )
        if tls is not None and tls.domain_name is not None:
            options = (("grpc.ssl_target_name_override", tls.domain_name),)
    return classes[signal](
        endpoint=config.endpoint,
        insecure=credentials is None,
        credentials=credentials,
        headers=tuple((name, value.get_secret_value()) for name, value in headers.items()),
        timeout=config.timeout,
        channel_options=options or None,
    )


def _read(file: str | None) -> bytes | None:
    if file is None:
        return None
    with open(file, "rb") as opened:
        return opened.read()
