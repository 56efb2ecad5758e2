"""Every failure has the word metrics know it by."""

import pytest

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
    UpstreamGarbage,
    UpstreamUnreachable,
)
from nexus.ratelimit import RateLimited
from nexus.telemetry import failures


@pytest.mark.parametrize(
    ("code", "word"),
    [
        (-32700, "parse_error"),
        (-32600, "invalid_request"),
        (-32601, "method_not_found"),
        (-32602, "invalid_params"),
        (-32603, "internal_error"),
        (-32000, "rate_limit_exceeded"),
        (-32001, "server_error"),
        (-32099, "server_error"),
        (-32100, "unknown"),
        (1, "unknown"),
    ],
)
def test_codes_of_json_rpc(code: int, word: str) -> None:
    assert failures.of_mcp(code) == word


@pytest.mark.parametrize(
    ("error", "word"),
    [
        (UnknownProvider("p"), "provider_not_found"),
        (NotFound("m"), "model_not_found"),
        (InvalidRequest("bad"), "invalid_request"),
        (InvalidRequest("Invalid model format: x"), "invalid_model_format"),
        (Unauthenticated("no"), "authentication_failed"),
        (Forbidden("no"), "authentication_failed"),
        (RateLimited("slow"), "rate_limit_exceeded"),
        (UpstreamUnreachable("P", "gone"), "connection_error"),
        (UpstreamBroken("P", "cut"), "connection_error"),
        (UpstreamGarbage("what"), "provider_api_error"),
        (UpstreamError(403, (), b"", b""), "insufficient_quota"),
        (UpstreamError(529, (), b"", b""), "provider_api_error"),
        (Internal("id"), "internal_error"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, NexusError) else value,
)
def test_failures_of_calls_of_models(error: NexusError, word: str) -> None:
    assert failures.of_model(error) == word
