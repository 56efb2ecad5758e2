"""Failures in the words of the OpenAI protocol.

An upstream that speaks the same protocol has already said it: its body goes to the client as it came. What an upstream says
in other words (plain text, another envelope) is told by the statuses and texts of the contract.
"""

import msgspec

from nexus.errors import NexusError, UpstreamError, UpstreamFailed
from nexus.llm.protocols.fields import encode

JSON = b"application/json"
_KINDS = {
    400: (400, "invalid_request_error", "Invalid request: "),
    401: (401, "authentication_error", "Authentication failed: "),
    403: (403, "insufficient_quota", "Insufficient quota: "),
    404: (404, "not_found_error", ""),
    429: (429, "rate_limit_error", "Rate limit exceeded: "),
    500: (500, "internal_error", ""),
}
_OWN = ("openai", "responses", "embeddings")
_MAX_TEXT = 16 * 1024


class _Envelope(msgspec.Struct):
    error: dict[str, msgspec.Raw]


_decode = msgspec.json.Decoder(_Envelope).decode


def write_error(error: NexusError) -> tuple[int, bytes, bytes]:
    """Give status, content type and body for a failure before the first byte of an answer."""
    if not isinstance(error, UpstreamError):
        kind = error.kind if isinstance(error, UpstreamFailed) else error.type
        return error.status, JSON, _body(str(error), kind, error.status)
    if error.protocol in _OWN and _speaks_openai(error.body):
        return error.upstream_status, error.content_type or JSON, error.body
    said = error.body[:_MAX_TEXT].decode("utf-8", "replace")
    upstream = error.upstream_status
    status, kind, prefix = _KINDS.get(upstream, (502, "api_error", f"Provider API error ({upstream}): "))
    return status, JSON, _body(prefix + said, kind, status)


def write_event(error: NexusError) -> bytes:
    """Give the last events of a stream that failed on its way."""
    return b"data: " + write_error(error)[2] + b"\n\ndata: [DONE]\n\n"


def _body(message: str, kind: str, code: int) -> bytes:
    return encode({"error": {"message": message, "type": kind, "code": code}})


def _speaks_openai(body: bytes) -> bool:
    try:
        _decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return False
    return True
