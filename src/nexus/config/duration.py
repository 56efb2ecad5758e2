"""Durations as people write them, `500ms` or `1h30m`, to seconds."""

import re
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, WithJsonSchema

from nexus.config.base import Expected

_NANO = 1_000_000_000
_UNITS = {
    1: "ns nsec nanosecond nanoseconds",
    1_000: "us µs μs usec microsecond microseconds",
    1_000_000: "ms msec millisecond milliseconds",
    _NANO: "s sec second seconds",
    60 * _NANO: "m min minute minutes",
    3_600 * _NANO: "h hr hour hours",
    86_400 * _NANO: "d day days",
    7 * 86_400 * _NANO: "w week weeks",
    30 * 86_400 * _NANO: "mon month months",
    365 * 86_400 * _NANO: "y year years",
}
_SIZE = {name: size for size, names in _UNITS.items() for name in names.split()}
_PART = re.compile(r"\s*(?:([+*])\s*)?([0-9]+)\s*([^\W\d_]+)?\s*")
_LONGEST = 1_000 * 365 * 86_400 * _NANO
_FORM = 'a duration such as "60s"'


def parse(text: str) -> float:
    """Turn `1h30m`, `1m+31`, `1m*60`, `5 min` or `0` into seconds.

    Raises:
        ValueError: the text is no duration.
    """
    operators: set[str] = set()
    total: int | None = None
    end = 0
    for part in _PART.finditer(text):
        if part.start() != end:
            break
        end = part.end()
        operator, amount, unit = part.groups()
        if total is None:
            total = _start(operator, amount, unit)
            continue
        operators.add(operator or "+")
        # a factor has no unit of its own: `1m*60` is sixty minutes
        total = total * _number(amount, unit) if operator == "*" else total + _length(amount, unit)
        if total > _LONGEST:
            raise Expected(_FORM)
    if total is None or end != len(text) or len(operators) > 1 or total > _LONGEST:
        raise Expected(_FORM)
    return total / _NANO


def _start(operator: str | None, amount: str, unit: str | None) -> int:
    if operator:
        raise Expected(_FORM)
    return _length(amount, unit)


def _length(amount: str, unit: str | None) -> int:
    if unit is None:
        return _number(amount, None) * _NANO
    size = _SIZE.get(unit.lower())
    if size is None:
        raise Expected(_FORM)
    return _number(amount, None) * size


def _number(amount: str, unit: str | None) -> int:
    if unit is not None or len(amount) > 20:
        raise Expected(_FORM)
    return int(amount)


def read(value: object) -> float:
    """Read what the file holds: a text, or a whole number of seconds."""
    if isinstance(value, str):
        return parse(value)
    if isinstance(value, bool):
        raise Expected(_FORM)
    if isinstance(value, int):
        if not 0 <= value * _NANO <= _LONGEST:
            raise Expected(_FORM)
        return float(value)
    if isinstance(value, float) and 0 <= value <= _LONGEST / _NANO:
        return value  # never from a file: a default, or a caller that builds the model itself
    raise Expected(_FORM)


def show(seconds: float) -> str:
    """Write seconds the way the file would."""
    if seconds == int(seconds):
        return f"{int(seconds)}s"
    if seconds * 1_000 == int(seconds * 1_000):
        return f"{int(seconds * 1_000)}ms"
    return f"{round(seconds * _NANO)}ns"


def _not_zero(seconds: float) -> float:
    if seconds < 0.001:
        raise ValueError("must be at least one millisecond")
    return seconds


_SCHEMA = {"type": ["string", "integer"], "x-duration": True, "examples": ["500ms", "60s", "1h30m"]}

Duration = Annotated[float, BeforeValidator(read), WithJsonSchema(_SCHEMA)]
"""Seconds; zero is allowed."""
Interval = Annotated[float, AfterValidator(_not_zero), BeforeValidator(read), WithJsonSchema(_SCHEMA)]
"""Seconds a limit or a time-out spans: a millisecond or more."""
