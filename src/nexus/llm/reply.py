"""What goes back to a client, and what of an upstream's answer goes with it."""

from collections.abc import AsyncGenerator, Callable

import msgspec

from nexus.errors import Headers, UpstreamError
from nexus.http.client import Failed
from nexus.llm.protocols.losses import DROPPED
from nexus.llm.providers.base import Answer, Call, Provider

MAX_WHOLE = 128 * 1024 * 1024
"""Bytes of an answer we hold."""
NO_BUFFERING = ((b"cache-control", b"no-cache"), (b"x-accel-buffering", b"no"))
_MAX_ERROR = 1024 * 1024
_RELAYED = frozenset(
    (
        b"content-disposition",
        b"openai-processing-ms",
        b"openai-version",
        b"request-id",
        b"retry-after",
        b"retry-after-ms",
        b"x-amzn-requestid",
        DROPPED,
        b"x-request-id",
        b"x-should-retry",
    )
)
_RELAYED_PREFIXES = (b"x-ratelimit-", b"anthropic-ratelimit-")


def _nothing() -> None:
    pass


class Reply(msgspec.Struct, frozen=True):
    """A whole body, or one that is still coming. Who sends it closes it."""

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes | AsyncGenerator[bytes]
    close: Callable[[], None] = _nothing
    """Gives up what is still coming, begun or not."""


def json_reply(body: bytes, headers: Headers = ()) -> Reply:
    """Make a successful reply of JSON text."""
    length = (b"content-length", b"%d" % len(body))
    return Reply(200, [*headers, (b"content-type", b"application/json"), length], body)


def relayed_headers(headers: Headers) -> list[tuple[bytes, bytes]]:
    """Choose what a client may see of an upstream's headers: limits, request ids and when to come back."""
    return [pair for pair in headers if pair[0] in _RELAYED or pair[0].startswith(_RELAYED_PREFIXES)]


async def read(answer: Answer, provider: Provider, limit: int = MAX_WHOLE) -> bytes:
    """Read an answer to its end.

    Raises:
        UpstreamBroken: it broke off.
    """
    try:
        return await answer.read(limit)
    except Failed as error:
        raise provider.failure(error) from error


async def succeeded(answer: Answer, provider: Provider, protocol: str) -> list[tuple[bytes, bytes]]:
    """Give the headers a client may see of an answer that is no failure; `protocol` is what the provider was asked in.

    Raises:
        UpstreamError: it is one.
    """
    headers = relayed_headers(answer.headers)
    if answer.status >= 400:
        body = await read(answer, provider, _MAX_ERROR)
        raise UpstreamError(answer.status, headers, body, answer.header(b"content-type") or b"", protocol)
    return headers


async def ask(provider: Provider, call: Call) -> tuple[list[tuple[bytes, bytes]], bytes]:
    """Send a call and read its answer to the end: the headers a client may see of it, and its body.

    Raises:
        NexusError: there is no answer, or none that is whole and no failure.
    """
    answer = await provider.send(call)
    try:
        return await succeeded(answer, provider, call.protocol), await read(answer, provider)
    except BaseException:
        answer.close()
        raise


def media_type(content_type: bytes | None) -> bytes:
    """Give a content type without its parameters."""
    return content_type.split(b";", 1)[0].strip().lower() if content_type else b""
