"""Failures in the words of the Responses protocol, where they happen within a stream."""

from nexus.errors import NexusError, UpstreamFailed
from nexus.llm.canonical import Json
from nexus.llm.protocols.fields import encode

_CODES = {
    "rate_limit_error": "rate_limit_exceeded",
    "invalid_request_error": "invalid_prompt",
}
_OWN = frozenset(
    (
        "server_error",
        "rate_limit_exceeded",
        "invalid_prompt",
        "context_length_exceeded",
        "insufficient_quota",
        "server_is_overloaded",
    )
)


def code_of(error: NexusError) -> str:
    """Name a failure as the API does; what its clients act upon is kept."""
    kind = error.kind if isinstance(error, UpstreamFailed) else error.type
    return kind if kind in _OWN else _CODES.get(kind, "server_error")


def write_event(error: NexusError) -> bytes:
    """Give the last event of a stream that failed on its way.

    https://platform.openai.com/docs/api-reference/responses-streaming/error
    """
    event: Json = {
        "type": "error",
        "code": code_of(error),
        "message": str(error),
        "param": None,
        "sequence_number": 0,
    }
    return b"event: error\ndata: " + encode(event) + b"\n\n"
