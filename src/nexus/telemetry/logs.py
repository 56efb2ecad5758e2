"""Log lines for people and machines, on standard error. Nothing a client or a provider keeps secret is ever given to them."""

import logging
import sys
from datetime import UTC, datetime
from enum import StrEnum
from typing import TextIO

import msgspec

TRACE = 5


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
_encode = msgspec.json.Encoder().encode


def setup(level: Level, style: Style | None, stream: TextIO | None = None) -> None:
    """Send log records to `stream`, standard error by default; without a style, colours where a person looks on."""
    out = stream or sys.stderr
    root = logging.getLogger()
    root.handlers.clear()
    if level is Level.OFF:
        logging.disable(logging.CRITICAL)
        return
    logging.disable(logging.NOTSET)
    handler = logging.StreamHandler(out)
    handler.setFormatter(_formatter(style or (Style.COLOR if out.isatty() else Style.TEXT)))
    root.addHandler(handler)
    root.setLevel(max(logging.WARNING, _LEVELS[level]))
    logging.getLogger("nexus").setLevel(_LEVELS[level])
    logging.getLogger("uvicorn").setLevel(logging.CRITICAL)  # it repeats what `recover` has said


def _formatter(style: Style) -> logging.Formatter:
    return _Json() if style is Style.JSON else _Line(color=style is Style.COLOR)


def _level(record: logging.LogRecord) -> str:
    return _NAMES.get(record.levelno, record.levelname)


def _time(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


class _Line(logging.Formatter):
    """Time, level, message."""

    def __init__(self, *, color: bool) -> None:
        super().__init__()
        self._color = color

    def format(self, record: logging.LogRecord) -> str:
        level = _level(record)
        shown = f"{level:>5}"
        if self._color:
            shown = f"\x1b[{_COLORS.get(level, 0)}m{shown}\x1b[0m"
        line = f"{_time(record)} {shown}  {record.getMessage()}"
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


class _Json(logging.Formatter):
    """One object a line."""

    def format(self, record: logging.LogRecord) -> str:
        fields = {"time": _time(record), "level": _level(record).lower(), "message": record.getMessage()}
        if record.exc_info:
            fields["exception"] = self.formatException(record.exc_info)
        return _encode(fields).decode()


def complain(text: str) -> None:
    """Tell a person on standard error why nothing was started; there is no logger yet."""
    sys.stderr.write(f"{text.rstrip()}\n")
