"""Values are kept by their attributes, in bounded memory, and written as Prometheus reads them."""

from nexus.telemetry import prometheus
from nexus.telemetry.instruments import MAX_POINTS, OVERFLOW, Counter, Gauge, Histogram


def text(*instruments: Counter | Gauge | Histogram) -> str:
    return prometheus.write(instruments, {"service.name": "a"}).decode().split("\n", 3)[3]


def test_a_bound_belongs_to_the_bucket_below_it() -> None:
    one = Histogram("h", "s", "H.", (1, 2))
    for value in (0.5, 1, 1.5, 2, 3):
        one.record(value)
    ((_, point),) = one.points()
    assert (point.counts, point.sum) == ([2, 2, 1], 8)


def test_points_beyond_the_limit_are_one() -> None:
    counter = Counter("c", "{x}", "C.", "name")
    histogram = Histogram("h", "s", "H.", (1,), "name")
    for number in range(MAX_POINTS + 50):
        counter.add(1, (str(number),))
        histogram.record(1, (str(number),))
    assert len(counter.points()) == len(histogram.points()) == MAX_POINTS + 1
    assert dict(counter.points())[None] == 50
    assert counter.named(None) == OVERFLOW
    counter.add(1, ("0",))
    assert dict(counter.points())[("0",)] == 2


def test_absent_attributes_are_left_out() -> None:
    assert Counter("c", "", "C.", "a", "b", "d").named(("x", None, 0)) == {"a": "x", "d": 0}


def test_a_counter_is_written() -> None:
    one = Counter("gen_ai.client.input.token.usage", "{token}", "Tokens.", "client.id")
    one.add(3, ('a"\\\n',))
    assert text(one) == (
        "# HELP gen_ai_client_input_token_usage_total Tokens.\n"
        "# TYPE gen_ai_client_input_token_usage_total counter\n"
        'gen_ai_client_input_token_usage_total{client_id="a\\"\\\\\\n"} 3\n'
    )


def test_a_histogram_is_written_with_its_unit() -> None:
    one = Histogram("http.server.request.duration", "s", "Time.", (0.5, 1))
    one.record(0.25)
    one.record(7)
    assert text(one) == (
        "# HELP http_server_request_duration_seconds Time.\n"
        "# TYPE http_server_request_duration_seconds histogram\n"
        'http_server_request_duration_seconds_bucket{le="0.5"} 1\n'
        'http_server_request_duration_seconds_bucket{le="1"} 1\n'
        'http_server_request_duration_seconds_bucket{le="+Inf"} 2\n'
        "http_server_request_duration_seconds_sum 7.25\n"
        "http_server_request_duration_seconds_count 2\n"
    )


def test_a_gauge_is_read_when_it_is_written_and_what_has_no_points_is_left_out() -> None:
    values = [1, 2]
    one = Gauge("process.memory.usage", "By", "Memory.", read=lambda: [((), values.pop())])
    assert text(one).endswith("process_memory_usage_bytes 2\n")
    assert text(one).endswith("process_memory_usage_bytes 1\n")
    assert text(Counter("c", "", "C.")) == ""
