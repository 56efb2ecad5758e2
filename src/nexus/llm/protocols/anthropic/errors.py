"""Failures in the words of the Anthropic protocol.

https://platform.claude.com/docs/en/api/errors

An upstream that speaks the same protocol has already said it: its body goes to the client as it came.
"""

from typing import ClassVar

import msgspec

from nexus.errors import InvalidRequest, NexusError, UpstreamError, UpstreamFailed
from nexus.llm.protocols.fields import encode

_JSON = b"application/json"
_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    529: "overloaded_error",
}
_KINDS = frozenset((*_TYPES.values(), "api_error", "billing_error", "timeout_error"))
_PREFIXES = {
    400: "Invalid request: ",
    401: "Authentication failed: ",
    403: "Insufficient quota: ",
    429: "Rate limit exceeded: ",
}
_AS_THEY_ARE = frozenset((400, 401, 403, 404, 429, 500, 529))
_MAX_TEXT = 16 * 1024


class _Envelope(msgspec.Struct, tag="error"):
    error: dict[str, msgspec.Raw]


_decode = msgspec.json.Decoder(_Envelope).decode


class NotThreaded(InvalidRequest):
    """A client wants the server to keep the conversation, which Anthropic alone does.

    Its libraries know the code in the details, and send the whole conversation instead.
    https://github.com/anthropics/anthropic-sdk-typescript
    """

    details: ClassVar[dict[str, object]] = {
        "error_code": "thread_unsupported_request",
        "unsupported": ["thread"],
    }

    def __init__(self) -> None:
        super().__init__("thread: this provider keeps nothing between requests; send the whole conversation")


def write_error(error: NexusError) -> tuple[int, bytes, bytes]:
    """Give status, content type and body for a failure before the first byte of an answer."""
    if isinstance(error, UpstreamFailed) and error.kind in _KINDS:
        return error.status, _JSON, _envelope(error.kind, str(error))
    if isinstance(error, NotThreaded):
        return error.status, _JSON, _envelope(error.type, str(error), details=error.details)
    if not isinstance(error, UpstreamError):
        return error.status, _JSON, _body(error.status, str(error))
    if error.protocol == "anthropic" and _speaks_anthropic(error.body):
        return error.upstream_status, error.content_type or _JSON, error.body
    said = error.body[:_MAX_TEXT].decode("utf-8", "replace")
    upstream = error.upstream_status
    if upstream in _AS_THEY_ARE:
        return upstream, _JSON, _body(upstream, _PREFIXES.get(upstream, "") + said)
    return 502, _JSON, _body(502, f"Provider API error ({upstream}): {said}")


def write_event(error: NexusError) -> bytes:
    """Give the last event of a stream that failed on its way."""
    return b"event: error\ndata: " + write_error(error)[2] + b"\n\n"


def _body(status: int, message: str) -> bytes:
    kind = _TYPES.get(status) or ("invalid_request_error" if status < 500 else "api_error")
    return _envelope(kind, message)


def _envelope(kind: str, message: str, **more: object) -> bytes:
    return encode({"type": "error", "error": {"type": kind, "message": message, **more}})


def _speaks_anthropic(body: bytes) -> bool:
    try:
        _decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return False
    return True
