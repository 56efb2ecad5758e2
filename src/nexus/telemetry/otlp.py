"""Our points, spans and lines in the messages of OTLP. Imported only where something is sent, used by the threads that send.

https://opentelemetry.io/docs/specs/otlp/
"""

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from itertools import islice

from google.protobuf.message import Message
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (  # pyright: ignore[reportMissingTypeStubs]  # the two below have some
    ExportLogsServiceRequest,
    ExportLogsServiceResponse,
)
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, InstrumentationScope, KeyValue
from opentelemetry.proto.logs.v1 import logs_pb2 as logs  # pyright: ignore[reportMissingTypeStubs]  # as above
from opentelemetry.proto.metrics.v1 import metrics_pb2 as metrics
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1 import trace_pb2 as traces

from nexus import __version__
from nexus.telemetry.instruments import AnyInstrument, Gauge, Histogram, Instrument, Key, Number, Spread
from nexus.telemetry.lines import Line
from nexus.telemetry.trace import Span

Value = str | int | float | bool
ANSWERS: Mapping[str, type[Message]] = {
    "traces": ExportTraceServiceResponse,
    "metrics": ExportMetricsServiceResponse,
    "logs": ExportLogsServiceResponse,
}
"""What a collector answers, by signal."""
_SCOPE = InstrumentationScope(name="nexus", version=__version__)
_KINDS = {
    "internal": traces.Span.SPAN_KIND_INTERNAL,
    "server": traces.Span.SPAN_KIND_SERVER,
    "client": traces.Span.SPAN_KIND_CLIENT,
}
_FAILED = traces.Status(code=traces.Status.STATUS_CODE_ERROR)
_LOCAL = traces.SPAN_FLAGS_CONTEXT_HAS_IS_REMOTE_MASK
_REMOTE = _LOCAL | traces.SPAN_FLAGS_CONTEXT_IS_REMOTE_MASK
_SAMPLED = 1
_SEVERITIES = {"ERROR": 17, "WARN": 13, "INFO": 9, "DEBUG": 5, "TRACE": 1}
_SHORT = 128
"""Characters of a value that is likely to come again."""


def of_spans(batch: Sequence[Span], resource: Mapping[str, str], limit: int | None = None) -> bytes:
    """Write some spans, each with so many attributes at most."""
    scope = traces.ScopeSpans(scope=_SCOPE, spans=[_span(one, limit) for one in batch])
    whole = traces.ResourceSpans(resource=_resource(resource), scope_spans=[scope])
    return ExportTraceServiceRequest(resource_spans=[whole]).SerializeToString()


def of_lines(batch: Sequence[Line], resource: Mapping[str, str]) -> bytes:
    """Write some log lines."""
    scope = logs.ScopeLogs(scope=_SCOPE, log_records=[_line(one) for one in batch])
    whole = logs.ResourceLogs(resource=_resource(resource), scope_logs=[scope])
    return ExportLogsServiceRequest(resource_logs=[whole]).SerializeToString()


def of_metrics(found: Iterable[AnyInstrument], resource: Mapping[str, str], now: int) -> bytes:
    """Write every point there is, as it is now, in nanoseconds since the epoch."""
    written = [metric for one in found if (metric := _metric(one, now)) is not None]
    scope = metrics.ScopeMetrics(scope=_SCOPE, metrics=written)
    whole = metrics.ResourceMetrics(resource=_resource(resource), scope_metrics=[scope])
    return ExportMetricsServiceRequest(resource_metrics=[whole]).SerializeToString()


def _resource(attributes: Mapping[str, str]) -> Resource:
    return Resource(attributes=[_pair(name, value) for name, value in attributes.items()])


def _span(one: Span, limit: int | None) -> traces.Span:
    span = traces.Span(
        trace_id=one.trace_id.to_bytes(16, "big"),
        span_id=one.span_id.to_bytes(8, "big"),
        parent_span_id=one.parent_id.to_bytes(8, "big") if one.parent_id else b"",
        trace_state=one.state,
        name=_clean(one.name),
        kind=_KINDS[one.kind],
        start_time_unix_nano=one.start,
        end_time_unix_nano=one.end,
        dropped_attributes_count=max(len(one.attributes) - limit, 0) if limit is not None else 0,
        status=_FAILED if one.failed else None,
        flags=_SAMPLED | (_REMOTE if one.remote else _LOCAL),
    )
    span.MergeFromString(_attributes(traces.Span, one.attributes, limit))
    return span


def _line(one: Line) -> logs.LogRecord:
    line = logs.LogRecord(
        time_unix_nano=one.time,
        observed_time_unix_nano=one.time,
        severity_text=one.level,
        severity_number=logs.SeverityNumber.ValueType(_SEVERITIES.get(one.level, _SEVERITIES["INFO"])),
        body=AnyValue(string_value=_clean(one.text)),
        trace_id=one.trace_id.to_bytes(16, "big") if one.trace_id else b"",
        span_id=one.span_id.to_bytes(8, "big") if one.trace_id else b"",
        flags=_SAMPLED if one.trace_id else 0,
    )
    line.MergeFromString(_attributes(logs.LogRecord, one.attributes))
    return line


def _metric(one: AnyInstrument, now: int) -> metrics.Metric | None:
    metric = metrics.Metric(name=one.name, description=one.description, unit=one.unit)
    if isinstance(one, Histogram):
        spreads = [_spread(one, key, point, now) for key, point in one.points()]
        metric.histogram.aggregation_temporality = metrics.AGGREGATION_TEMPORALITY_CUMULATIVE
        metric.histogram.data_points.extend(spreads)
        return metric if spreads else None
    numbers = [_number(one, key, value, now) for key, value in one.points()]
    kind = one.kind if isinstance(one, Gauge) else "counter"
    if kind == "value":
        metric.gauge.data_points.extend(numbers)
    else:
        metric.sum.aggregation_temporality = metrics.AGGREGATION_TEMPORALITY_CUMULATIVE
        metric.sum.is_monotonic = kind == "counter"
        metric.sum.data_points.extend(numbers)
    return metric if numbers else None


def _spread(one: Histogram, key: Key | None, point: Spread, now: int) -> metrics.HistogramDataPoint:
    counts = tuple(point.counts)
    written = metrics.HistogramDataPoint(
        start_time_unix_nano=one.began,
        time_unix_nano=now,
        count=sum(counts),
        sum=point.sum,
        bucket_counts=counts,
        explicit_bounds=one.bounds,
    )
    written.MergeFromString(_attributes(metrics.HistogramDataPoint, one.named(key)))
    return written


def _number(one: Instrument, key: Key | None, value: Number, now: int) -> metrics.NumberDataPoint:
    written = metrics.NumberDataPoint(start_time_unix_nano=one.began, time_unix_nano=now)
    if isinstance(value, int):
        written.as_int = _fit(value)
    else:
        written.as_double = value
    written.MergeFromString(_attributes(metrics.NumberDataPoint, one.named(key)))
    return written


def _attributes(message: type[Message], values: Mapping[str, Value], limit: int | None = None) -> bytes:
    """Write the attributes of a message as bytes to be merged into it."""
    return b"".join(
        [
            _attribute(message, name, value)
            if isinstance(value, str) and len(value) > _SHORT
            else _again(message, name, value)
            for name, value in islice(values.items(), limit)
        ]
    )


def _attribute(message: type[Message], name: str, value: Value) -> bytes:
    return message(attributes=[_pair(name, value)]).SerializeToString()


_again = lru_cache(8192, typed=True)(_attribute)
"""Nearly all attributes have been written before, and writing them is nearly all the work there is."""


def _pair(name: str, value: Value) -> KeyValue:
    if isinstance(value, str):
        return KeyValue(key=name, value=AnyValue(string_value=_clean(value)))
    if isinstance(value, bool):
        return KeyValue(key=name, value=AnyValue(bool_value=value))
    if isinstance(value, int):
        return KeyValue(key=name, value=AnyValue(int_value=_fit(value)))
    return KeyValue(key=name, value=AnyValue(double_value=value))


def _fit(value: int) -> int:
    """Bound what OTLP has no room for; clients and providers name numbers, and one must not take a batch with it."""
    return max(min(value, 2**63 - 1), -(2**63))


def _clean(text: str) -> str:
    """Replace what UTF-8 has no bytes for; one such name must not take a batch with it."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()
