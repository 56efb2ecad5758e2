"""Durations: every way to write them that the contract names, and nothing else."""

import contextlib
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nexus.config import duration

SECONDS = {
    "ns": 1e-9,
    "us": 1e-6,
    "µs": 1e-6,
    "usec": 1e-6,
    "microsecond": 1e-6,
    "microseconds": 1e-6,
    "ms": 1e-3,
    "msec": 1e-3,
    "millisecond": 1e-3,
    "milliseconds": 1e-3,
    "s": 1,
    "sec": 1,
    "second": 1,
    "seconds": 1,
    "m": 60,
    "min": 60,
    "minute": 60,
    "minutes": 60,
    "h": 3600,
    "hr": 3600,
    "hour": 3600,
    "hours": 3600,
    "d": 86400,
    "day": 86400,
    "days": 86400,
    "w": 604800,
    "week": 604800,
    "weeks": 604800,
    "mon": 2592000,
    "month": 2592000,
    "months": 2592000,
    "y": 31536000,
    "year": 31536000,
    "years": 31536000,
}
units = st.sampled_from(sorted(SECONDS))
amounts = st.integers(0, 100)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("500ms", 0.5),
        ("100ms", 0.1),
        ("1s", 1),
        ("60s", 60),
        ("5m", 300),
        ("1h", 3600),
        ("2h", 7200),
        ("0", 0),
        ("90", 90),
        ("1h30m", 5400),
        ("1h 30m", 5400),
        (" 1h + 30m ", 5400),
        ("1m+31", 91),
        ("1m*60", 3600),
        ("2*3s", None),
        ("1M", 60),
        ("3 Hours", 10800),
        ("2 * 3", 6),
    ],
)
def test_text_reads_as_seconds(text: str, seconds: float | None) -> None:
    if seconds is None:
        with pytest.raises(ValueError, match="duration"):
            duration.parse(text)
        return
    assert duration.parse(text) == seconds


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "s",
        "-1s",
        "1.5s",
        "1x",
        "1s+2*3",
        "1s*2+3",
        "+1s",
        "*2",
        "1s+",
        "1s,2s",
        "1_000",
        "9" * 30,
        "9" * 19 + "y",
        "\u06f5s",
    ],
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="a duration such as"):
        duration.parse(text)


@given(amounts, units)
def test_one_part_is_amount_times_unit(amount: int, unit: str) -> None:
    assert math.isclose(duration.parse(f"{amount}{unit}"), amount * SECONDS[unit])


@given(st.lists(st.tuples(amounts, units), min_size=1, max_size=5), st.sampled_from(["", " ", "+", " + "]))
def test_parts_add_up(parts: list[tuple[int, str]], glue: str) -> None:
    text = glue.join(f"{amount}{unit}" for amount, unit in parts)
    assert math.isclose(duration.parse(text), sum(amount * SECONDS[unit] for amount, unit in parts))


@given(amounts, units, st.integers(0, 9))
def test_a_factor_multiplies(amount: int, unit: str, factor: int) -> None:
    assert math.isclose(duration.parse(f"{amount}{unit}*{factor}"), amount * SECONDS[unit] * factor)


@given(st.integers(0, 10**15))
def test_what_is_shown_reads_back(nanoseconds: int) -> None:
    seconds = nanoseconds / 1e9
    assert math.isclose(duration.parse(duration.show(seconds)), seconds, abs_tol=1e-9)


@given(st.text(max_size=20))
def test_no_text_crashes(text: str) -> None:
    with contextlib.suppress(ValueError):
        assert duration.parse(text) >= 0


def test_a_whole_number_means_seconds() -> None:
    assert duration.read(5) == 5.0


@pytest.mark.parametrize("value", [True, -1, [], None, -0.5, 10**30])
def test_other_values_are_refused(value: object) -> None:
    with pytest.raises(ValueError, match="a duration such as"):
        duration.read(value)
