"""One line for each request that was answered, in the style of the log."""

from collections.abc import Collection, Sequence
from typing import TextIO

from nexus.telemetry.lines import Line
from nexus.telemetry.logs import ACCESS, Style, encode, shown_level, shown_time, style
from nexus.telemetry.records import RequestRecord, ToolRecord, UsageRecord
from nexus.telemetry.redact import redact_name

Fields = dict[str, str | int | float]


class AccessLog:
    """Writes the lines of many requests in one go, but for those of `quiet` routes."""

    def __init__(self, out: TextIO, look: Style, quiet: Collection[str]) -> None:
        self._out = out
        self._quiet = quiet
        self._look = look

    def take(self, records: Sequence[RequestRecord]) -> None:
        """Write a line for each."""
        lines = [self._line(record) for record in records if record.route not in self._quiet]
        if lines:
            self._out.write("".join(lines))
            self._out.flush()

    def _line(self, record: RequestRecord) -> str:
        time = shown_time(record.time + record.duration)
        if self._look is Style.JSON:
            return encode({"time": time, "level": "info", **fields(record)}).decode() + "\n"
        return f"{time} {shown_level('INFO', self._look)}  {text(record)}\n"


def wanted(quiet: Collection[str]) -> AccessLog | None:
    """Give the access log, if lines of its level are written at all."""
    handler = style()
    return AccessLog(*handler, quiet) if handler is not None and ACCESS.isEnabledFor(20) else None


def text(record: RequestRecord) -> str:
    """Write a request for a person."""
    parts = [f"{record.method} {record.route} {record.status} {record.duration * 1000:.1f}ms"]
    parts += [f"path={record.path}"] if record.path else []
    work = record.work
    if isinstance(work, UsageRecord):
        parts += [f"model={redact_name(work.asked)}"] if work.asked else []
        parts += [f"provider={work.provider}"] if work.provider else []
        if work.tokens is not None:
            parts.append(f"tokens={work.tokens.input}+{work.tokens.output}")
        if work.first_token is not None:
            parts.append(f"first={work.first_token * 1000:.1f}ms")
    elif isinstance(work, ToolRecord):
        parts.append(work.method if work.tool is None else f"{work.method} tool={redact_name(_tool(work))}")
    if work is not None and work.error is not None:
        parts.append(f"error={work.error}")
    if record.client is not None:
        parts.append(f"client={redact_name(record.client)}")
    return " ".join(parts)


def fields(record: RequestRecord) -> Fields:
    """Give what a line says, by name."""
    work = record.work
    found: dict[str, str | int | float | None] = {
        "message": text(record),
        "method": record.method,
        "route": record.route,
        "path": record.path or None,
        "status": record.status,
        "duration": round(record.duration, 6),
        "client": redact_name(record.client) if record.client is not None else None,
        "group": redact_name(record.group) if record.group is not None else None,
        "error": work.error if work is not None else None,
        "trace_id": f"{record.trace_id:032x}" if record.trace_id else None,
        "span_id": f"{record.span_id:016x}" if record.span_id else None,
    }
    if isinstance(work, UsageRecord):
        found |= _of_model(work)
    elif isinstance(work, ToolRecord):
        found |= {"mcp": work.method, "tool": redact_name(_tool(work)) if work.tool is not None else None}
    return {name: value for name, value in found.items() if value is not None}


def line(record: RequestRecord) -> Line:
    """Make what a collector gets of a request."""
    said = fields(record)
    written = str(said.pop("message"))
    for name in ("trace_id", "span_id"):
        said.pop(name, None)
    ended = int((record.time + record.duration) * 1e9)
    return Line(ended, "INFO", written, said, record.trace_id, record.span_id)


def _of_model(work: UsageRecord) -> dict[str, str | int | float | None]:
    tokens = work.tokens
    return {
        "model": redact_name(work.asked) or None,
        "served": redact_name(work.served) or None,
        "provider": work.provider or None,
        "first_token": round(work.first_token, 6) if work.first_token is not None else None,
        "input_tokens": tokens.input if tokens is not None else None,
        "output_tokens": tokens.output if tokens is not None else None,
        "finish_reason": work.finish,
    }


def _tool(work: ToolRecord) -> str:
    return (
        f"{work.server}__{work.tool}" if work.server is not None and work.error is None else work.tool or ""
    )
