"""A whole Converse answer into the canonical model."""

import msgspec

from nexus.errors import UpstreamGarbage
from nexus.llm.canonical import AnyPart, ChatRequest, ChatResponse, Json, ToolCall
from nexus.llm.protocols.converse import answer_tool
from nexus.llm.protocols.converse.block_reader import read_block
from nexus.llm.protocols.converse.stops import read_stop
from nexus.llm.protocols.converse.usage import Tokens, read_usage

EXTRAS = ("additionalModelResponseFields", "trace", "performanceConfig", "metrics")


class _Message(msgspec.Struct):
    content: list[dict[str, Json]] = []


class _Output(msgspec.Struct):
    message: _Message


class Tier(msgspec.Struct):
    type: str = ""


class _Answer(msgspec.Struct, rename="camel"):
    output: _Output
    stop_reason: str
    usage: Tokens | None = None
    service_tier: Tier | None = None
    additional_model_response_fields: Json = None
    trace: Json = None
    performance_config: Json = None
    metrics: Json = None


_decode = msgspec.json.Decoder(_Answer).decode


def read_response(body: bytes, request: ChatRequest, base: str) -> ChatResponse:
    """Read the answer of the model `base`.

    Raises:
        UpstreamGarbage: it is none.
    """
    try:
        answer = _decode(body)
        parts = [read_block(block) for block in answer.output.message.content if block]
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, KeyError, TypeError):
        raise UpstreamGarbage("Bedrock answered with success and a body that is no answer") from None
    more = answer.additional_model_response_fields
    stop = read_stop(answer.stop_reason, more, called=has_call(parts))
    if answer_tool.is_needed(request, base):
        parts, stop = answer_tool.unwrapped(parts, stop)
    values = (more, answer.trace, answer.performance_config, answer.metrics)
    return ChatResponse(
        protocol="converse",
        id="",
        model=request.model,
        parts=parts,
        stop=stop,
        usage=read_usage(answer.usage) if answer.usage is not None else None,
        service_tier=answer.service_tier.type if answer.service_tier is not None else None,
        extras={name: value for name, value in zip(EXTRAS, values, strict=True) if value is not None},
    )


def has_call(parts: list[AnyPart]) -> bool:
    """Tell whether the client has to run something."""
    return any(isinstance(part, ToolCall) for part in parts)
