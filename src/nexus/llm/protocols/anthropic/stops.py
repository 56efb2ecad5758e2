"""Why an answer ended, in the words of the Anthropic protocol.

https://platform.claude.com/docs/en/build-with-claude/handling-stop-reasons
"""

from nexus.llm.canonical import Json, Stop, StopReason

_READ: dict[str, StopReason] = {
    "end_turn": "end",
    "max_tokens": "length",
    "tool_use": "tool",
    "stop_sequence": "sequence",
    "refusal": "refusal",
    "pause_turn": "pause",
    "model_context_window_exceeded": "context",
}
_WRITTEN: dict[StopReason, str] = {"filter": "refusal", **{reason: word for word, reason in _READ.items()}}


def read_stop(reason: str | None, sequence: str | None, detail: Json) -> Stop:
    """Read why an answer ended."""
    return Stop(_READ.get(reason or "", "end"), sequence, detail)


def write_stop(stop: Stop) -> tuple[str, str | None]:
    """Write why an answer ended: the reason and the stop sequence."""
    return _WRITTEN[stop.reason], stop.sequence
