"""Why Gemini ended.

https://ai.google.dev/api/generate-content#FinishReason
"""

from nexus.errors import UpstreamFailed
from nexus.llm.canonical import Json, Stop, StopReason
from nexus.llm.protocols.google.answer import Candidate, Feedback

_REASONS: dict[str, StopReason] = {
    "STOP": "end",
    "MAX_TOKENS": "length",
    "CONTINUATION": "pause",
    "SAFETY": "filter",
    "RECITATION": "filter",
    "BLOCKLIST": "filter",
    "PROHIBITED_CONTENT": "filter",
    "SPII": "filter",
    "ESCALATION": "filter",
    "MODEL_ARMOR": "filter",
    "IMAGE_SAFETY": "filter",
    "IMAGE_PROHIBITED_CONTENT": "filter",
    "IMAGE_RECITATION": "filter",
}
_FAILURES = frozenset(
    (
        "MALFORMED_FUNCTION_CALL",
        "UNEXPECTED_TOOL_CALL",
        "TOO_MANY_TOOL_CALLS",
        "MALFORMED_RESPONSE",
        "MISSING_THOUGHT_SIGNATURE",
    )
)
"""With these the model meant to go on and could not: there is no answer to work with, and a new try may give one."""


def read_stop(candidate: Candidate, *, calls: bool) -> Stop:
    """Read why an answer ended.

    Raises:
        UpstreamFailed: there is none.
    """
    said = candidate.finish_reason or "FINISH_REASON_UNSPECIFIED"
    if said in _FAILURES:
        raise UpstreamFailed(f"Gemini gave no answer: {said}")
    reason = _REASONS.get(said, "end")
    if reason == "end" and calls:
        return Stop("tool")
    return Stop(reason, detail=None if said in ("STOP", "MAX_TOKENS") else _detail(candidate))


def read_block(feedback: Feedback | None) -> Stop:
    """Read why a prompt got no answer at all."""
    if feedback is None:
        return Stop("filter")
    detail = {
        "blockReason": feedback.block_reason,
        "blockReasonMessage": feedback.block_reason_message,
        "safetyRatings": feedback.safety_ratings,
    }
    return Stop("filter", detail=_without_nulls(detail))


def _detail(candidate: Candidate) -> Json:
    return _without_nulls(
        {
            "finishReason": candidate.finish_reason,
            "finishMessage": candidate.finish_message,
            "safetyRatings": candidate.safety_ratings,
        }
    )


def _without_nulls(fields: dict[str, Json]) -> Json:
    return {name: value for name, value in fields.items() if value is not None}
