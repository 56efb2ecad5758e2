"""Failures in the few words metrics have for them."""

from nexus.errors import (
    Forbidden,
    Internal,
    InvalidRequest,
    NexusError,
    NotFound,
    Unauthenticated,
    UnknownProvider,
    UpstreamBroken,
    UpstreamError,
    UpstreamFailed,
    UpstreamGarbage,
    UpstreamUnreachable,
)

DISCONNECTED = "client_disconnected"
"""The client had left before its answer was whole."""
INTERNAL = "internal_error"
PROVIDER = "provider_api_error"
_STATUSES = {
    400: "invalid_request",
    401: "authentication_failed",
    403: "insufficient_quota",
    404: "model_not_found",
    429: "rate_limit_exceeded",
    500: INTERNAL,
}
_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "insufficient_quota",
    404: "not_found_error",
    429: "rate_limit_error",
    500: "internal_error",
}
_KINDS: tuple[tuple[type[NexusError] | tuple[type[NexusError], ...], str], ...] = (
    (UnknownProvider, "provider_not_found"),
    (NotFound, "model_not_found"),
    (InvalidRequest, "invalid_request"),
    ((Unauthenticated, Forbidden), "authentication_failed"),
    ((UpstreamUnreachable, UpstreamBroken), "connection_error"),
    ((UpstreamGarbage, UpstreamFailed), "provider_api_error"),
    (Internal, INTERNAL),
)
_CODES = {
    -32700: "parse_error",
    -32600: "invalid_request",
    -32601: "method_not_found",
    -32602: "invalid_params",
    -32603: "internal_error",
    -32000: "rate_limit_exceeded",
}


def of_model(error: NexusError) -> str:
    """Name a failed call of a model."""
    if isinstance(error, UpstreamError):
        return _STATUSES.get(error.upstream_status, "provider_api_error")
    if isinstance(error, InvalidRequest) and str(error).startswith("Invalid model format"):
        return "invalid_model_format"
    if error.status == 429:
        return "rate_limit_exceeded"
    return next((word for kind, word in _KINDS if isinstance(error, kind)), INTERNAL)


def as_told(error: NexusError) -> str:
    """Name a failed call of a model as the client is told it."""
    if isinstance(error, UpstreamError):
        return _TYPES.get(error.upstream_status, "api_error")
    return error.kind if isinstance(error, UpstreamFailed) else error.type


def of_mcp(code: int) -> str:
    """Name a JSON-RPC error."""
    if code in _CODES:
        return _CODES[code]
    return "server_error" if -32099 <= code <= -32001 else "unknown"
