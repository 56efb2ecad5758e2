"""Log lines for people and machines, on standard error.

Every line is redacted on its way, and those of a request that is traced say to which.
"""

import logging
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from enum import StrEnum
from typing import TextIO

import msgspec

from nexus.telemetry import observation
from nexus.telemetry.lines import Line
from nexus.telemetry.redact import redact, visible

TRACE = 5
ACCESS = logging.getLogger("nexus.access")
"""Whether lines about requests are wanted; they are written by `access`, many in one go."""


class Level(StrEnum):
    """How much is said of Nexus itself; libraries only speak up at warn."""

    OFF = "off"
    ERROR = "error"
    WARN = "warn"
    INFO = "info"
    DEBUG = "debug"
    TRACE = "trace"


class Style(StrEnum):
    """How a line looks."""

    COLOR = "color"
    TEXT = "text"
    JSON = "json"


_LEVELS = {
    Level.ERROR: logging.ERROR,
    Level.WARN: logging.WARNING,
    Level.INFO: logging.INFO,
    Level.DEBUG: logging.DEBUG,
    Level.TRACE: TRACE,
}
_NAMES = {logging.CRITICAL: "ERROR", logging.ERROR: "ERROR", logging.WARNING: "WARN", TRACE: "TRACE"}
_COLORS = {"ERROR": 31, "WARN": 33, "INFO": 32, "DEBUG": 34, "TRACE": 35}
_NOT_EXPORTED = ("opentelemetry", "grpc", "urllib3", "requests", "nexus.telemetry")
"""Who speaks while lines are exported: their lines would beget lines."""
encode = msgspec.json.Encoder().encode
_trace = logging.Formatter()


def setup(level: Level, style: Style | None, stream: TextIO | None = None) -> None:
    """Send log records to `stream`, standard error by default; without a style, colours where a person looks on."""
    out = stream or sys.stderr
    root = logging.getLogger()
    root.handlers.clear()
    if level is Level.OFF:
        logging.disable(logging.CRITICAL)
        return
    logging.disable(logging.NOTSET)
    root.addHandler(_Handler(out, style or (Style.COLOR if out.isatty() else Style.TEXT)))
    root.setLevel(max(logging.WARNING, _LEVELS[level]))
    logging.getLogger("nexus").setLevel(_LEVELS[level])
    logging.getLogger("uvicorn").setLevel(logging.CRITICAL)  # it repeats what `recover` has said


def style() -> tuple[TextIO, Style] | None:
    """Tell where lines go and how they look; None where `setup` was not asked for any."""
    for handler in logging.getLogger().handlers:
        if isinstance(handler, _Handler):
            return handler.stream, handler.look
    return None


def shown_level(level: str, look: Style) -> str:
    """Write a level."""
    shown = f"{level:>5}"
    return f"\x1b[{_COLORS.get(level, 0)}m{shown}\x1b[0m" if look is Style.COLOR else shown


def shown_time(seconds: float) -> str:
    """Write a time."""
    return f"{datetime.fromtimestamp(seconds, UTC).isoformat(timespec='microseconds')[:-6]}Z"


class _Handler(logging.StreamHandler[TextIO]):
    """Writes to a stream, in one style."""

    def __init__(self, stream: TextIO, look: Style) -> None:
        super().__init__(stream)
        self.look = look
        self.setFormatter(_Json() if look is Style.JSON else _Line(look))


class Export(logging.Handler):
    """Gives every line of Nexus to a collector as well."""

    def __init__(self, put: Callable[[list[Line]], None]) -> None:
        super().__init__()
        self._put = put

    def emit(self, record: logging.LogRecord) -> None:
        """Take one line."""
        if record.name.startswith(_NOT_EXPORTED):
            return
        trace_id, span_id = _place()
        attributes: dict[str, str | int | float] = {
            "code.namespace": record.name,
            "code.filepath": record.pathname,
            "code.lineno": str(record.lineno),
        }
        if record.exc_info:
            attributes["exception.stacktrace"] = redact(_trace.formatException(record.exc_info))
        self._put(
            [Line(int(record.created * 1e9), _level(record), _text(record), attributes, trace_id, span_id)]
        )


def _level(record: logging.LogRecord) -> str:
    return _NAMES.get(record.levelno, record.levelname)


def _text(record: logging.LogRecord) -> str:
    return "\n".join(map(visible, redact(record.getMessage()).split("\n")))


def _place() -> tuple[int, int]:
    """Give trace and span of the request that is being answered; zeros where it is not traced."""
    seen = observation.current()
    if seen is None or seen.trace is None or not seen.trace.sampled:
        return 0, 0
    return seen.trace.trace_id, seen.active


class _Line(logging.Formatter):
    """Time, level, message."""

    def __init__(self, look: Style) -> None:
        super().__init__()
        self._look = look

    def format(self, record: logging.LogRecord) -> str:
        line = f"{shown_time(record.created)} {shown_level(_level(record), self._look)}  {_text(record)}"
        return f"{line}\n{redact(self.formatException(record.exc_info))}" if record.exc_info else line


class _Json(logging.Formatter):
    """One object a line."""

    def format(self, record: logging.LogRecord) -> str:
        fields = {
            "time": shown_time(record.created),
            "level": _level(record).lower(),
            "message": _text(record),
        }
        trace_id, span_id = _place()
        if trace_id:
            fields |= {"trace_id": f"{trace_id:032x}", "span_id": f"{span_id:016x}"}
        if record.exc_info:
            fields["exception"] = redact(self.formatException(record.exc_info))
        return encode(fields).decode()


def complain(text: str) -> None:
    """Tell a person on standard error why nothing was started; there is no logger yet."""
    sys.stderr.write(f"{text.rstrip()}\n")
