"""Parts into content blocks."""

import hashlib
import re
from collections.abc import Sequence

from nexus.errors import Unrepresentable
from nexus.llm.canonical import (
    AnyPart,
    Cache,
    Json,
    Media,
    Opaque,
    Refusal,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
)
from nexus.llm.protocols.arguments import as_object
from nexus.llm.protocols.converse import families
from nexus.llm.protocols.converse.draft import Block, Draft
from nexus.llm.protocols.converse.media_writer import write_media
from nexus.llm.protocols.node import object_of

_CLAUDE = ("converse", "anthropic")
"""Origins of signatures that Claude takes, by whichever API it gave them."""
_ID = re.compile(r"[a-zA-Z0-9_.:-]{1,64}")
_IN_RESULTS = frozenset(("text", "json", "image", "document", "video", "searchResult"))


def write_blocks(parts: Sequence[AnyPart], draft: Draft) -> list[Block]:
    """Write parts, each followed by a cache point if it is marked.

    Raises:
        Unrepresentable: one has no form here.
    """
    blocks: list[Block] = []
    for part in parts:
        block = _write(part, draft)
        if block is None:
            continue
        blocks.append(block)
        if (mark := _mark(part)) is not None and (point := write_cache(mark, part.path, draft)) is not None:
            blocks.append(point)
    return blocks


def write_cache(cache: Cache, path: str, draft: Draft) -> Block | None:
    """Write a cache point, if the model knows such.

    https://docs.aws.amazon.com/bedrock/latest/userguide/prompt-caching.html
    """
    if not families.caches(draft.base):
        draft.lose(f"{path}.cache_control", f"{draft.base} caches no prompts on request")
        return None
    point: Block = {"type": "default"}
    if cache.ttl == "1h":
        if families.caches_an_hour(draft.base):
            point["ttl"] = "1h"
        else:
            draft.lose(f"{path}.cache_control.ttl", f"{draft.base} caches for five minutes only")
    return {"cachePoint": point}


def _mark(part: AnyPart) -> Cache | None:
    """Find the mark of a part; what is in a tool's result cannot be marked, so all of it is."""
    if part.cache is None and isinstance(part, ToolResult):
        return next((one.cache for one in part.content if one.cache is not None), None)
    return part.cache


def _write(part: AnyPart, draft: Draft) -> Block | None:
    match part:
        case Text():
            return _write_text(part, draft)
        case Refusal(text=text):
            return {"text": text} if text.strip() else None
        case Media():
            return write_media(part, draft)
        case Thinking():
            return _write_thinking(part, draft)
        case ToolCall():
            call: Block = {"toolUseId": _id(part.id), "name": part.name, "input": as_object(part)}
            return {"toolUse": {**call, **part.extras} if draft.own else call}
        case ToolResult():
            return {"toolResult": _write_result(part, draft)}
        case Opaque():
            if part.protocol != "converse" or (raw := object_of(part.raw)) is None:
                raise Unrepresentable(part.path, f"the Converse API has no words for {part.kind}")
            return raw


def _write_text(part: Text, draft: Draft) -> Block | None:
    if not part.text.strip():
        return None  # refused by Bedrock
    if not part.citations:
        return {"text": part.text}
    if any(citation.protocol != "converse" for citation in part.citations):
        draft.lose(f"{part.path}.citations", "the Converse API takes back only citations of its own")
        return {"text": part.text}
    cited: Json = [citation.raw for citation in part.citations]
    return {"citationsContent": {"content": [{"text": part.text}], "citations": cited}}


def _write_thinking(part: Thinking, draft: Draft) -> Block | None:
    """Write a thought: signed ones for those who signed them, others only for models that take any."""
    ours = part.origin in (_CLAUDE if families.is_claude(draft.base) else ("converse",))
    if ours and part.redacted:
        return {"reasoningContent": {"redactedContent": part.redacted}}
    if ours and part.signature:
        return {"reasoningContent": {"reasoningText": {"text": part.text, "signature": part.signature}}}
    if draft.base.startswith("deepseek.") and part.text:
        return {"reasoningContent": {"reasoningText": {"text": part.text}}}
    draft.lose(part.path, f"{draft.base} takes back no thoughts but those it signed")
    return None


def _write_result(part: ToolResult, draft: Draft) -> Block:
    content: list[Json] = []
    for one in part.content:
        block = _write(one, draft)
        if block is None:
            continue
        if not _IN_RESULTS.issuperset(block):
            raise Unrepresentable(
                one.path, f"a tool's result holds no {next(iter(block))} in the Converse API"
            )
        content.append(block)
    written: Block = {"toolUseId": _id(part.call_id), "content": content or [{"text": ""}]}
    if part.is_error:
        if families.marks_errors(draft.base):
            written["status"] = "error"
        else:
            draft.lose(f"{part.path}.is_error", f"{draft.base} cannot be told that a tool failed")
    return {**written, **part.extras} if draft.own else written


def _id(given: str) -> str:
    """Give an id of a call as Bedrock allows them; other vendors' may be longer, or hold other characters."""
    return given if _ID.fullmatch(given) else "call_" + hashlib.sha256(given.encode()).hexdigest()[:32]
