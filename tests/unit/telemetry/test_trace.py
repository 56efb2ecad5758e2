"""A caller's trace is continued where it can be read, and sampled as configured."""

import pytest

from nexus.config.telemetry import TracingConfig
from nexus.telemetry.trace import Parent, Sampler, read_traceparent, read_xray

TRACE, SPAN = 0x4BF92F3577B34DA6A3CE929D0E0E4736, 0x00F067AA0BA902B7
W3C = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
XRAY = b"Root=1-4bf92f35-77b34da6a3ce929d0e0e4736;Parent=00f067aa0ba902b7;Sampled=1"


def sampler(**config: object) -> Sampler:
    return Sampler(TracingConfig.model_validate(config))


@pytest.mark.parametrize(
    ("value", "sampled"),
    [
        (W3C, True),
        (W3C[:-2] + b"00", False),
        (W3C[:-2] + b"03", True),
        (b"01" + W3C[2:], True),
        (b"cc" + W3C[2:] + b"-what-comes-later", True),
    ],
)
def test_traceparent_is_read(value: bytes, sampled: bool) -> None:
    assert read_traceparent(value) == Parent(TRACE, SPAN, sampled)


@pytest.mark.parametrize(
    "value",
    [
        b"",
        W3C.upper(),
        b"ff" + W3C[2:],
        W3C + b"-more",
        W3C[:-1],
        W3C.replace(b"4bf92f3577b34da6a3ce929d0e0e4736", b"0" * 32),
        W3C.replace(b"00f067aa0ba902b7", b"0" * 16),
        b"00_" + W3C[3:],
    ],
)
def test_a_traceparent_that_breaks_the_rules_is_none(value: bytes) -> None:
    assert read_traceparent(value) is None


def test_tracestate_goes_along_unless_it_is_no_text_or_too_long() -> None:
    assert read_traceparent(W3C, b"a=1,b=2") == Parent(TRACE, SPAN, True, "a=1,b=2")
    assert read_traceparent(W3C, b"a=\xff") == Parent(TRACE, SPAN, True)
    assert read_traceparent(W3C, b"a=" + b"x" * 600) == Parent(TRACE, SPAN, True)


@pytest.mark.parametrize(
    ("value", "sampled"),
    [
        (XRAY, True),
        (XRAY.replace(b"Sampled=1", b"Sampled=0"), False),
        (XRAY.replace(b"Sampled=1", b"Sampled=?"), None),
        (XRAY.replace(b";Sampled=1", b""), None),
        (b"Self=1-2-3; Sampled=1; Parent=00f067aa0ba902b7; Root=1-4bf92f35-77b34da6a3ce929d0e0e4736", True),
    ],
)
def test_the_header_of_xray_is_read(value: bytes, sampled: bool | None) -> None:
    assert read_xray(value) == Parent(TRACE, SPAN, sampled)


def test_a_header_of_xray_that_names_nobody_is_none() -> None:
    assert read_xray(XRAY.replace(b"Parent", b"Other")) is None
    assert read_xray(b"Root=1-4bf92f35-77b3;Parent=00f067aa0ba902b7") is None


def test_w3c_goes_before_xray_and_each_can_be_switched_off() -> None:
    other = XRAY.replace(b"4bf92f35", b"11111111")
    both = [(b"traceparent", W3C), (b"x-amzn-trace-id", other)]
    first = sampler().parent(both)
    assert first is not None
    assert first.trace_id == TRACE
    second = sampler(propagation={"trace_context": False}).parent(both)
    assert second is not None
    assert f"{second.trace_id:032x}".startswith("11111111")
    assert sampler(propagation={"trace_context": False, "aws_xray": False}).parent(both) is None


def test_nothing_is_traced_at_zero_and_everything_at_one() -> None:
    assert all(sampler(sampling=0.0).begin(()) is None for _ in range(100))
    traces = [sampler(sampling=1.0).begin(()) for _ in range(100)]
    ids = {trace.trace_id for trace in traces if trace is not None and trace.sampled}
    assert len(ids) == 100


def test_a_share_is_traced() -> None:
    one = sampler(sampling=0.25)
    share = sum(one.begin(()) is not None for _ in range(4000)) / 4000
    assert 0.2 < share < 0.3


@pytest.mark.parametrize(
    ("flag", "follows", "share", "sampled"),
    [
        (b"00", False, 1.0, True),
        (b"00", True, 1.0, False),
        (b"01", True, 0.0, True),
        (b"01", False, 0.0, False),
    ],
)
def test_a_callers_decision_counts_only_where_it_is_to(
    flag: bytes, follows: bool, share: float, sampled: bool
) -> None:
    one = sampler(sampling=share, parent_based_sampler=follows)
    trace = one.begin([(b"traceparent", W3C[:-2] + flag)])
    assert trace is not None
    assert (trace.trace_id, trace.parent_id, trace.sampled) == (TRACE, SPAN, sampled)
    assert (trace.span_id != SPAN) is sampled
    assert trace.traceparent(trace.span_id).endswith("-01" if sampled else "-00")
