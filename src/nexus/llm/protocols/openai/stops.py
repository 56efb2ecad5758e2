"""Why an answer ended, and how a server says that it failed."""

from collections.abc import Sequence

from nexus.errors import UpstreamFailed
from nexus.llm.canonical import AnyPart, Json, Refusal, Stop, StopReason, ToolCall
from nexus.llm.protocols.openai import loose

_READ: dict[str, StopReason] = {
    "stop": "end",
    "length": "length",
    "max_tokens": "length",
    "model_length": "length",
    "tool_calls": "tool",
    "function_call": "tool",
    "content_filter": "filter",
}
_WRITTEN: dict[StopReason, str] = {
    "length": "length",
    "context": "length",
    "tool": "tool_calls",
    "filter": "content_filter",
}
_KINDS = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    429: "rate_limit_error",
}


def read_stop(reason: str, said: Json, *, called: bool, refused: bool) -> Stop:
    """Read why an answer ended; `said` is what vLLM adds: the sequence it stopped at.

    Raises:
        UpstreamFailed: it ended because the upstream failed.
    """
    if reason == "error":  # OpenRouter
        raise UpstreamFailed("The upstream ended its answer with an error")
    known = _READ.get(reason, "end")
    if known != "end":
        return Stop(known)
    if called:
        return Stop("tool")  # a forced call ends with `stop`, and with many servers every call does
    if refused:
        return Stop("refusal")
    sequence = loose.text(said)
    return Stop("sequence", sequence) if sequence else Stop("end")


def write_stop(stop: Stop, *, refused: bool, legacy: bool) -> str:
    """Write why an answer ended: a refusal told in words ends like any text."""
    if stop.reason == "refusal":
        return "stop" if refused else "content_filter"
    reason = _WRITTEN.get(stop.reason, "stop")
    return "function_call" if legacy and reason == "tool_calls" else reason


def ended_by(parts: Sequence[AnyPart]) -> tuple[bool, bool]:
    """Tell whether there are calls among the parts, and refusals."""
    called = any(isinstance(part, ToolCall) for part in parts)
    return called, any(isinstance(part, Refusal) for part in parts)


def failure(said: Json) -> UpstreamFailed:
    """Make the failure that a server tells where an answer should be."""
    error = loose.fields(said)
    message = loose.text(error.get("message")) or loose.text(said) or "The upstream failed"
    code = error.get("code")
    kind = loose.text(error.get("type"))
    if not kind:
        kind = _KINDS.get(code, "api_error") if isinstance(code, int) else "api_error"
    return UpstreamFailed(message, kind)
