"""Parts into content blocks of a request."""

import base64
import binascii
import hashlib
import re
from collections.abc import Sequence

from nexus.errors import Unrepresentable
from nexus.llm.canonical import (
    AnyPart,
    Inline,
    Json,
    Link,
    Loss,
    Media,
    Opaque,
    Refusal,
    Stored,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
    Written,
)
from nexus.llm.protocols.anthropic.citations import write_citations
from nexus.llm.protocols.anthropic.tools import write_cache
from nexus.llm.protocols.arguments import as_object
from nexus.llm.protocols.node import object_of

_VENDORS = ("anthropic", "converse")
"""Origins of signatures that the vendor of Claude takes, wherever the model runs."""
_IMAGES = frozenset(("image/jpeg", "image/png", "image/gif", "image/webp"))
_ID = re.compile(r"[a-zA-Z0-9_-]+")


def write_blocks(parts: Sequence[AnyPart], losses: list[Loss], *, own: bool) -> list[Json]:
    """Write parts; `own` if they were read from this protocol.

    Raises:
        Unrepresentable: one has no form here.
    """
    blocks: list[Json] = []
    for part in parts:
        block = _write(part, losses, own=own)
        if block is None:
            continue
        if part.cache is not None:
            block["cache_control"] = write_cache(part.cache)
        if own:
            block |= part.extras
        blocks.append(block)
    return blocks


def _write(part: AnyPart, losses: list[Loss], *, own: bool) -> dict[str, Json] | None:
    match part:
        case Text():
            return _write_text(part, own=own)
        case Refusal():
            return {"type": "text", "text": part.text} if part.text.strip() else None
        case Media():
            return _write_media(part, own=own)
        case Thinking():
            return _write_thinking(part, losses)
        case ToolCall():
            return {
                "type": "tool_use",
                "id": part.id if own else _id(part.id),
                "name": part.name,
                "input": as_object(part),
            }
        case ToolResult():
            return _write_result(part, losses, own=own)
        case Opaque():
            raw = object_of(part.raw)
            if part.protocol != "anthropic" or raw is None:
                raise Unrepresentable(part.path, f"the Anthropic protocol has no words for {part.kind}")
            return dict(raw)


def _write_text(part: Text, *, own: bool) -> dict[str, Json] | None:
    if not part.text.strip() and not own:
        return None  # the protocol refuses texts of nothing but spaces
    written: dict[str, Json] = {"type": "text", "text": part.text}
    if own and part.citations:
        written["citations"] = write_citations(part.citations)
    return written


def _write_thinking(part: Thinking, losses: list[Loss]) -> dict[str, Json] | None:
    if not is_signed(part):
        losses.append(Loss(part.path, "Claude takes back only thoughts that it signed"))
        return None
    if part.redacted:
        return {"type": "redacted_thinking", "data": part.redacted}
    return {"type": "thinking", "thinking": part.text, "signature": part.signature}


def is_signed(part: Thinking) -> bool:
    """Tell whether Claude takes a thought back."""
    return part.origin in _VENDORS and bool(part.redacted or part.signature)


def _id(given: str) -> str:
    """Give an id of a call as Anthropic allows them; other vendors' hold other characters too."""
    return given if _ID.fullmatch(given) else f"toolu_{hashlib.sha256(given.encode()).hexdigest()[:32]}"


def _write_result(part: ToolResult, losses: list[Loss], *, own: bool) -> dict[str, Json]:
    id = part.call_id if own else _id(part.call_id)
    written: dict[str, Json] = {"type": "tool_result", "tool_use_id": id}
    content = write_blocks(part.content, losses, own=own)
    if len(part.content) == 1 and isinstance(part.content[0], Text) and part.content[0].cache is None:
        if part.content[0].text:
            written["content"] = part.content[0].text
    elif content:
        written["content"] = content
    if part.is_error:
        written["is_error"] = True
    return written


def _write_media(part: Media, *, own: bool) -> dict[str, Json]:
    if part.kind not in ("image", "document"):
        raise Unrepresentable(part.path, f"the Anthropic protocol takes images and documents, no {part.kind}")
    written: dict[str, Json] = {"type": part.kind, "source": _write_source(part, own=own)}
    if part.name and part.kind == "document":
        written["title"] = part.name
    return written


def _write_source(part: Media, *, own: bool) -> Json:
    match part.source:
        case Inline(media_type, data):
            if part.kind == "document" and media_type != "application/pdf" and not own:
                return {"type": "text", "media_type": "text/plain", "data": _decoded(part, media_type, data)}
            if part.kind == "image" and media_type not in _IMAGES and not own:
                raise Unrepresentable(part.path, f"the Anthropic protocol takes no {media_type}")
            return {"type": "base64", "media_type": media_type, "data": data}
        case Link(url):
            return {"type": "url", "url": url}
        case Written(text, media_type):
            return {"type": "text", "media_type": media_type if own else "text/plain", "data": text}
        case Stored(id):
            if not own:
                raise Unrepresentable(part.path, "the file is kept by another vendor; send its content")
            return {"type": "file", "file_id": id}


def _decoded(part: Media, media_type: str, data: str) -> str:
    """Give a document that is text as text, which is the only other form than PDF that is taken."""
    try:
        return base64.b64decode(data, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        raise Unrepresentable(
            part.path, f"the Anthropic protocol takes PDF and text, no {media_type}"
        ) from None
