"""A message of Claude into the canonical model."""

import msgspec

from nexus.errors import UpstreamGarbage
from nexus.llm.canonical import (
    AnyPart,
    ChatRequest,
    ChatResponse,
    Json,
    Opaque,
    Text,
    Thinking,
    ToolCall,
)
from nexus.llm.protocols.anthropic import schema_tool
from nexus.llm.protocols.anthropic.citations import read_citations
from nexus.llm.protocols.anthropic.stops import read_stop
from nexus.llm.protocols.anthropic.usage import read_usage
from nexus.llm.protocols.node import array_of

Block = dict[str, Json]
_encode = msgspec.json.Encoder().encode


class Message(msgspec.Struct):
    """What is read of a message; all else is in the object itself."""

    id: str = ""
    model: str = ""
    content: list[Block] = []
    stop_reason: str | None = None
    stop_sequence: str | None = None
    stop_details: Json = None
    usage: dict[str, Json] | None = None


_KNOWN = frozenset((*Message.__struct_fields__, "type", "role"))
_decode = msgspec.json.Decoder(dict[str, Json]).decode


def read_response(body: bytes, request: ChatRequest) -> ChatResponse:
    """Read a whole answer.

    Raises:
        UpstreamGarbage: it is no message.
    """
    try:
        fields = _decode(body)
        message = msgspec.convert(fields, Message)
        parts = [read_block(block) for block in message.content]
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, KeyError, TypeError):
        raise UpstreamGarbage("The upstream answered with success and a body that is no message") from None
    stop = read_stop(message.stop_reason, message.stop_sequence, message.stop_details)
    if schema_tool.is_needed(request):
        parts, stop = schema_tool.unwrapped(parts, stop)
    usage = read_usage(message.usage) if message.usage is not None else None
    return ChatResponse(
        protocol="anthropic",
        id=message.id,
        model=message.model,
        parts=parts,
        stop=stop,
        usage=usage,
        service_tier=read_tier(message.usage),
        extras=read_extras(fields),
    )


def read_extras(fields: dict[str, Json]) -> dict[str, Json]:
    """Keep what only this protocol has, such as the container of a code execution."""
    return {name: value for name, value in fields.items() if name not in _KNOWN and value is not None}


def read_tier(usage: dict[str, Json] | None) -> str | None:
    """Read the tier that served a request, in the words of OpenAI."""
    tier = usage.get("service_tier") if usage else None
    return {"standard": "default"}.get(tier, tier) if isinstance(tier, str) else None


def read_block(block: Block, *, grows: bool = False) -> AnyPart:
    """Read one content block; one that `grows` has its arguments still to come."""
    match block["type"]:
        case "text":
            return Text(str(block["text"]), read_citations(array_of(block.get("citations"))))
        case "thinking":
            signature = str(block.get("signature") or "")
            return Thinking(str(block["thinking"]), signature, origin="anthropic")
        case "redacted_thinking":
            return Thinking("", redacted=str(block["data"]), origin="anthropic")
        case "tool_use":
            return ToolCall(
                str(block["id"]),
                str(block["name"]),
                _arguments(block.get("input"), grows=grows),
                extras=_beside(block),
            )
        case kind:
            return Opaque("anthropic", str(kind), block)


def _arguments(given: Json, *, grows: bool) -> str:
    if given is None or given == {}:
        return "" if grows else "{}"
    return _encode(given).decode()


def _beside(block: Block) -> Block:
    return {name: block[name] for name in block if name not in ("type", "id", "name", "input")}
