"""What is sent is what the protocol's own messages read."""

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest  # pyright: ignore[reportMissingTypeStubs]
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from nexus.telemetry import otlp
from nexus.telemetry.instruments import Counter, Gauge, Histogram
from nexus.telemetry.lines import Line
from nexus.telemetry.trace import Attribute, Span

RESOURCE = {"service.name": "a"}


def span(attributes: dict[str, Attribute], **more: object) -> Span:
    values: dict[str, object] = {"trace_id": 1, "span_id": 2, "parent_id": 0, "start": 3, "end": 4, **more}
    return Span(name="n", attributes=attributes, **values)  # pyright: ignore[reportArgumentType]  # of many types


def test_a_span_is_written_with_all_it_says() -> None:
    one = span(
        {"text": "x", "whole": 1, "part": 0.5, "long": "y" * 1000},
        parent_id=5,
        kind="server",
        failed=True,
        remote=True,
        state="a=1",
    )
    read = ExportTraceServiceRequest.FromString(otlp.of_spans([one, one], RESOURCE))
    (resource,) = read.resource_spans
    first, second = resource.scope_spans[0].spans
    assert first == second
    assert resource.resource.attributes[0].value.string_value == "a"
    assert (first.trace_id.hex(), first.span_id.hex(), first.parent_span_id.hex()) == (
        f"{1:032x}",
        f"{2:016x}",
        f"{5:016x}",
    )
    assert (first.kind, first.status.code, first.flags, first.trace_state) == (2, 2, 0x301, "a=1")
    values = {pair.key: pair.value for pair in first.attributes}
    assert (values["text"].string_value, values["long"].string_value) == ("x", "y" * 1000)
    assert (values["whole"].int_value, values["part"].double_value) == (1, 0.5)


def test_equal_values_of_different_types_stay_apart() -> None:
    read = ExportTraceServiceRequest.FromString(otlp.of_spans([span({"v": 1}), span({"v": 1.0})], RESOURCE))
    whole, part = (one.attributes[0].value for one in read.resource_spans[0].scope_spans[0].spans)
    assert (whole.WhichOneof("value"), part.WhichOneof("value")) == ("int_value", "double_value")


def test_of_more_attributes_than_a_span_may_have_the_rest_is_counted() -> None:
    read = ExportTraceServiceRequest.FromString(otlp.of_spans([span({"a": 1, "b": 2, "c": 3})], RESOURCE, 2))
    (one,) = read.resource_spans[0].scope_spans[0].spans
    assert [pair.key for pair in one.attributes] == ["a", "b"]
    assert one.dropped_attributes_count == 1


def test_a_text_that_has_no_bytes_takes_no_batch_with_it() -> None:
    broken = "a\ud800b"
    read = ExportTraceServiceRequest.FromString(
        otlp.of_spans([span({"x": broken, "y": broken * 100})], RESOURCE)
    )
    (one,) = read.resource_spans[0].scope_spans[0].spans
    assert one.attributes[0].value.string_value == "a?b"
    line = Line(1, "INFO", broken, {"x": broken})
    assert ExportLogsServiceRequest.FromString(otlp.of_lines([line], RESOURCE))


def test_a_line_is_written_with_its_place_in_a_trace() -> None:
    lines = [Line(1, "WARN", "t", {"a": "b"}, 7, 8), Line(1, "INFO", "t", {})]
    read = ExportLogsServiceRequest.FromString(otlp.of_lines(lines, RESOURCE))
    first, second = read.resource_logs[0].scope_logs[0].log_records
    assert (first.severity_number, first.severity_text, first.body.string_value) == (13, "WARN", "t")
    assert (first.trace_id.hex(), first.span_id.hex(), first.flags) == (f"{7:032x}", f"{8:016x}", 1)
    assert (second.trace_id, second.span_id, second.flags) == (b"", b"", 0)


def test_points_are_written_as_what_they_are() -> None:
    counter, spread = Counter("c", "{x}", "C.", "who"), Histogram("h", "s", "H.", (1, 2))
    counter.add(3, ("a",))
    for value in (0.5, 1.5, 5):
        spread.record(value)
    kinds = ("value", "sum", "counter")
    gauges = [Gauge(kind, "", "G.", read=lambda: [((), 0.5)], kind=kind) for kind in kinds]
    untouched = Counter("never", "", "N.")
    read = ExportMetricsServiceRequest.FromString(
        otlp.of_metrics([counter, spread, *gauges, untouched], RESOURCE, 99)
    )
    found = {one.name: one for one in read.resource_metrics[0].scope_metrics[0].metrics}
    assert "never" not in found
    assert found["c"].sum.is_monotonic
    assert found["c"].sum.data_points[0].as_int == 3
    point = found["h"].histogram.data_points[0]
    assert (point.count, point.sum, [*point.bucket_counts], [*point.explicit_bounds]) == (
        3,
        7,
        [1, 1, 1],
        [1, 2],
    )
    assert (point.start_time_unix_nano, point.time_unix_nano) == (spread.began, 99)
    assert found["value"].gauge.data_points[0].as_double == 0.5
    assert not found["sum"].sum.is_monotonic
    assert found["counter"].sum.is_monotonic
