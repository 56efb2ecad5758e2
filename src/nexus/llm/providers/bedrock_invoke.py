"""Claude by InvokeModel: the Messages API as it is, but for a few top-level fields that Bedrock wants or refuses.

https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-anthropic-claude-messages-request-response.html
"""

import base64
from collections.abc import Callable, Iterator

import msgspec

from nexus.errors import InvalidRequest, NotFound, UpstreamGarbage
from nexus.llm.protocols import fields
from nexus.llm.protocols.anthropic.errors import NotThreaded
from nexus.llm.protocols.converse.families import generation
from nexus.llm.protocols.converse.wire import path_of
from nexus.llm.providers.base import Call
from nexus.llm.providers.bedrock_stream import Told

BETAS = frozenset(
    (
        "compact-2026-01-12",
        "computer-use-2024-10-22",
        "computer-use-2025-01-24",
        "context-1m-2025-08-07",
        "context-management-2025-06-27",
        "dev-full-thinking-2025-05-14",
        "effort-2025-11-24",
        "fine-grained-tool-streaming-2025-05-14",
        "interleaved-thinking-2025-05-14",
        "output-128k-2025-02-19",
        "token-efficient-tools-2025-02-19",
        "tool-examples-2025-10-29",
        "tool-search-tool-2025-10-19",
    )
)
"""Betas Bedrock knows; any other makes it refuse the whole request with "invalid beta flag"."""
_NO_BETAS_SINCE = (4, 7)
"""Later models refuse even these. https://github.com/anthropics/claude-code/issues/49648"""
_REFUSED: dict[str, frozenset[str]] = {
    "context_management": frozenset(("compact-2026-01-12", "context-management-2025-06-27")),
    "speed": frozenset(("fast-mode-2026-02-01",)),
    "inference_geo": frozenset(),
    "service_tier": frozenset(),
}
"""Settings Bedrock refuses, unless one of these betas is sent with them."""
_NULL = msgspec.Raw(b"null")
_VERSION = msgspec.Raw(b'"bedrock-2023-05-31"')
_decode_texts = msgspec.json.Decoder(list[str]).decode


class _Thinking(msgspec.Struct):
    budget_tokens: int = 0


class _Count(msgspec.Struct, rename="camel"):
    input_tokens: int


_decode_thinking = msgspec.json.Decoder(_Thinking).decode
_decode_count = msgspec.json.Decoder(_Count).decode


def adapt(call: Call, base_of: Callable[[str], str], betas: frozenset[str] | None) -> tuple[Call, list[str]]:
    """Make the call of a client of the Messages API one to Bedrock, and tell what was left out of it.

    Raises:
        InvalidRequest: it names no model, or needs state where there is none.
        NotFound: Bedrock has nothing like it.
    """
    if call.path not in ("/messages", "/messages/count_tokens"):
        raise NotFound(f"Bedrock has nothing like {call.path}")
    body = fields.split(call.body)
    if body.pop("thread", _NULL) != _NULL:
        raise NotThreaded
    model = fields.text(body, "model")
    base = base_of(model)
    if betas is None:
        betas = BETAS if generation(base) < _NO_BETAS_SINCE else frozenset()
    dropped = _patch(body, call.headers, betas)
    if call.path == "/messages/count_tokens":
        return _count(call, base, body), dropped
    verb = "invoke-with-response-stream" if call.stream else "invoke"
    return _sent(call, f"{path_of(model)}/{verb}", fields.join(body)), dropped


def _patch(body: fields.Fields, headers: bytes, allowed: frozenset[str]) -> list[str]:
    """Change the top-level fields, and name what was taken away."""
    asked = dict.fromkeys((*_betas(headers), *_own_betas(body)))
    betas = [beta for beta in asked if beta in allowed]
    refused = [name for name, needs in _REFUSED.items() if name in body and needs.isdisjoint(betas)]
    for name in ("model", "stream", "anthropic_beta", *refused):
        body.pop(name, None)
    body["anthropic_version"] = _VERSION
    if betas:
        body["anthropic_beta"] = msgspec.Raw(fields.encode(betas))
    return [*refused, *(f"anthropic-beta.{beta}" for beta in asked if beta not in allowed)]


def _betas(headers: bytes) -> Iterator[str]:
    for line in headers.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.strip().lower() == b"anthropic-beta":
            yield from (beta for one in value.decode("latin-1").split(",") if (beta := one.strip()))


def _own_betas(body: fields.Fields) -> list[str]:
    """Read the betas of a client that already writes them as Bedrock wants."""
    raw = body.get("anthropic_beta")
    try:
        return [] if raw is None else _decode_texts(raw)
    except msgspec.MsgspecError:
        raise InvalidRequest("anthropic_beta: must be an array of strings") from None


def _count(call: Call, base: str, body: fields.Fields) -> Call:
    """Ask for the tokens of a body; profiles are not counted for, only the models behind them."""
    if "max_tokens" not in body:  # wanted here too, and more of it than of thoughts
        body["max_tokens"] = msgspec.Raw(b"%d" % (_budget(body) + 1))
    asked = {"input": {"invokeModel": {"body": base64.b64encode(fields.join(body)).decode()}}}
    return _sent(call, f"{path_of(base)}/count-tokens", fields.encode(asked))


def _budget(body: fields.Fields) -> int:
    try:
        return _decode_thinking(body["thinking"]).budget_tokens if "thinking" in body else 0
    except msgspec.MsgspecError:
        return 0  # what is wrong with it is Bedrock's to say


def _sent(call: Call, path: str, body: bytes) -> Call:
    return msgspec.structs.replace(call, path=path, body=body, query=b"", headers=b"")


class Counted(Told):
    """The answer to a token count, in the words of the Messages API."""

    async def read(self, limit: int) -> bytes:
        """Read the whole body."""
        body = await super().read(limit)
        if self.status != 200:
            return body
        try:
            return fields.encode({"input_tokens": _decode_count(body).input_tokens})
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            raise UpstreamGarbage("Bedrock answered a token count with none") from None
