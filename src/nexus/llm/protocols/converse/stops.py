"""Why an answer ended, in the words of Bedrock."""

from nexus.llm.canonical import Json, Stop, StopReason
from nexus.llm.protocols.node import object_of

_READ: dict[str, StopReason] = {
    "end_turn": "end",
    "max_tokens": "length",
    "tool_use": "tool",
    "stop_sequence": "sequence",
    "guardrail_intervened": "filter",
    "content_filtered": "filter",
    "model_context_window_exceeded": "context",
}


def read_stop(reason: str, more: Json, *, called: bool) -> Stop:
    """Read why an answer ended; `more` is what the model adds, `called` whether there are calls in it."""
    read = _READ.get(reason)
    sequence = (object_of(more) or {}).get("stop_sequence")
    if read == "end" and called:
        return Stop("tool")  # some models say that it is their turn's end
    detail = None if read is not None and reason != "guardrail_intervened" else {"stopReason": reason}
    return Stop(read or "end", sequence if isinstance(sequence, str) else None, detail)
