"""The canonical model into a message as Claude would have written it."""

from collections.abc import Sequence

from nexus.llm.canonical import (
    AnyPart,
    ChatResponse,
    Json,
    Loss,
    Media,
    Opaque,
    Refusal,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
)
from nexus.llm.protocols.anthropic.citations import write_citations
from nexus.llm.protocols.anthropic.stops import write_stop
from nexus.llm.protocols.anthropic.usage import write_usage
from nexus.llm.protocols.arguments import as_object
from nexus.llm.protocols.node import object_of
from nexus.llm.protocols.signature import seal


def write_response(response: ChatResponse) -> tuple[dict[str, Json], list[Loss]]:
    """Write a whole answer and tell what could not be."""
    own = response.protocol == "anthropic"
    losses: list[Loss] = []
    reason, sequence = write_stop(response.stop)
    body: dict[str, Json] = {
        "id": response.id,
        "type": "message",
        "role": "assistant",
        "model": response.model,
        "content": write_blocks(response.parts, losses, own=own),
        "stop_reason": reason,
        "stop_sequence": sequence,
    }
    if own and response.stop.detail is not None:
        body["stop_details"] = response.stop.detail
    body["usage"] = write_usage(response.usage, own=own)
    return ({**body, **response.extras} if own else body), losses


def write_blocks(parts: Sequence[AnyPart], losses: list[Loss], *, own: bool) -> list[Json]:
    """Write the content of an answer."""
    blocks: list[Json] = []
    for number, part in enumerate(parts):
        written = write_part(part, own=own)
        if not written:
            losses.append(
                Loss(f"response.content.{number}", f"the Anthropic protocol has no words for {_kind(part)}")
            )
        if isinstance(part, Text) and len(write_citations(part.citations)) < len(part.citations):
            path = f"response.content.{number}.citations"
            losses.append(Loss(path, "a source without an address has no form in the Anthropic protocol"))
        blocks += written
    return blocks


def write_part(part: AnyPart, *, own: bool = False) -> list[dict[str, Json]]:
    """Write a part as blocks: one, or two for a call whose signature has to travel, or none if it has no form here."""
    match part:
        case Text():
            block: dict[str, Json] = {"type": "text", "text": part.text}
            if citations := write_citations(part.citations):
                block["citations"] = citations
            return [block]
        case Refusal():
            return [{"type": "text", "text": part.text}]
        case Thinking():
            if part.redacted:
                return [{"type": "redacted_thinking", "data": seal(part.redacted, part.origin, "anthropic")}]
            signature = seal(part.signature, part.origin, "anthropic")
            return [{"type": "thinking", "thinking": part.text, "signature": signature}]
        case ToolCall():
            called: dict[str, Json] = {
                "type": "tool_use",
                "id": part.id,
                "name": part.name,
                "input": as_object(part),
            }
            return [*write_signature(part), {**called, **part.extras} if own else called]
        case Opaque() if part.protocol == "anthropic":
            raw = object_of(part.raw)
            return [raw] if raw is not None else []
        case Opaque() | Media() | ToolResult():
            return []


def write_signature(call: ToolCall) -> list[dict[str, Json]]:
    """Write the signature a vendor put on a call as a thought before it, which clients are bound to give back."""
    if not call.signature:
        return []
    signature = seal(call.signature, call.origin, "anthropic")
    return [{"type": "thinking", "thinking": "", "signature": signature}]


def _kind(part: AnyPart) -> str:
    return part.kind if isinstance(part, Opaque | Media) else type(part).__name__.lower()
