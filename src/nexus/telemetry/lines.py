"""A log line as it leaves for a collector."""

import msgspec


class Line(msgspec.Struct, frozen=True):
    """One line, redacted."""

    time: int
    """Nanoseconds since the epoch."""
    level: str
    """ERROR, WARN, INFO, DEBUG or TRACE."""
    text: str
    attributes: dict[str, str | int | float]
    trace_id: int = 0
    span_id: int = 0
