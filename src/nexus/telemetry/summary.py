"""From an observation to its record, once the answer has gone: the place where what was found out is put together."""

import msgspec

from nexus.context import of
from nexus.telemetry.observation import Observation, Operation
from nexus.telemetry.records import RequestRecord, Work
from nexus.telemetry.redact import redact_name, redact_target
from nexus.telemetry.trace import Attribute, Span, Trace

UNKNOWN = "unknown"
"""The route of what no route fits."""
_LONGEST = 128
"""Characters of such a path that are told."""


def summarize(seen: Observation) -> RequestRecord:
    """Make the record of a request that is over."""
    duration = seen.ended - seen.began
    identity = seen.identity = of(seen.scope).identity
    operation, seen.operation = seen.operation, None  # each knows the other: garbage nobody could see
    work = operation.finish(seen) if operation is not None else None
    trace = seen.trace if seen.trace is not None and seen.trace.sampled else None
    record = RequestRecord(
        seen.time / 1e9,
        seen.scope["method"],
        seen.route or UNKNOWN,
        seen.answered,
        duration,
        identity.client if identity is not None else None,
        identity.group if identity is not None else None,
        work,
        trace.trace_id if trace is not None else 0,
        trace.span_id if trace is not None else 0,
        path="" if seen.route else redact_target(seen.scope["path"][:_LONGEST], b""),
    )
    if trace is None:
        return record
    spans = [_request(seen, trace, record), *seen.spans]
    if operation is not None and work is not None:
        spans.append(_operation(seen, trace, operation, work))
    return msgspec.structs.replace(record, spans=tuple(spans))


def _request(seen: Observation, trace: Trace, record: RequestRecord) -> Span:
    scope = seen.scope
    shown = redact_target(scope["path"], scope.get("query_string", b""))
    host = next((value for name, value in scope["headers"] if name == b"host"), b"")
    attributes: dict[str, Attribute] = {
        "http.request.method": record.method,
        "http.route": record.route,
        "url.full": shown,
        "url.scheme": scope.get("scheme", "http"),
        "server.address": redact_name(host.decode("latin-1")),
        "http.response.status_code": record.status,
    }
    if record.client is not None:
        attributes["client.id"] = redact_name(record.client)
    if record.group is not None:
        attributes["client.group"] = redact_name(record.group)
    if record.status >= 400:
        attributes["error"] = "true"
    name = record.route if record.route != UNKNOWN else shown.partition("?")[0]
    start = seen.time
    return Span(
        f"{record.method} {name}",
        trace.trace_id,
        trace.span_id,
        trace.parent_id,
        start,
        start + int(record.duration * 1e9),
        attributes,
        "server",
        record.status >= 500,
        remote=trace.parent_id != 0,
        state=trace.state,
    )


def _operation(seen: Observation, trace: Trace, operation: Operation, work: Work) -> Span:
    start = seen.at(operation.began)
    return Span(
        operation.name,
        trace.trace_id,
        operation.span_id,
        trace.span_id,
        start,
        start + int(work.duration * 1e9),
        operation.attributes,
    )
