"""Content blocks of an answer into parts.

https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ContentBlock.html
"""

import msgspec

from nexus.llm.canonical import (
    AnyPart,
    Citation,
    Inline,
    Json,
    Media,
    MediaKind,
    Opaque,
    Text,
    Thinking,
    ToolCall,
)
from nexus.llm.protocols.node import array_of, object_of

_TYPES: dict[str, tuple[MediaKind, str]] = {
    "image": ("image", "image/"),
    "audio": ("audio", "audio/"),
    "video": ("video", "video/"),
}
_encode = msgspec.json.Encoder().encode


def read_block(block: dict[str, Json]) -> AnyPart:
    """Read one block.

    Raises:
        KeyError, TypeError: it is not what its kind has to be.
    """
    kind, content = next(iter(block.items()))
    if kind == "text":
        return Text(str(content))
    inner = object_of(content)
    if inner is None:
        raise TypeError(kind)
    match kind:
        case "toolUse" if inner.get("type") != "server_tool_use":
            return ToolCall(str(inner["toolUseId"]), str(inner["name"]), read_input(inner.get("input")))
        case "reasoningContent":
            return _read_thinking(inner)
        case "citationsContent":
            return _read_cited(inner)
        case "image" | "audio" | "video" if (data := _data(inner)) is not None:
            medium, prefix = _TYPES[kind]
            return Media(medium, Inline(f"{prefix}{inner.get('format')}", data))
        case _:
            return Opaque("converse", kind, block)


def read_input(given: Json) -> str:
    """Read the arguments of a call."""
    return "{}" if given is None or given == "" else _encode(given).decode()


def read_citation(raw: dict[str, Json]) -> Citation:
    """Read one source of a text."""
    web = object_of((object_of(raw.get("location")) or {}).get("web")) or {}
    quotes = (object_of(one) or {} for one in array_of(raw.get("sourceContent")))
    source = str(raw.get("source") or "")
    url = str(web.get("url") or "") or (source if source.startswith(("http://", "https://")) else "")
    quote = "".join(str(one.get("text") or "") for one in quotes)
    return Citation("converse", raw, url, str(raw.get("title") or ""), quote)


def _read_thinking(inner: dict[str, Json]) -> Thinking:
    if (redacted := inner.get("redactedContent")) is not None:
        return Thinking("", redacted=str(redacted), origin="converse")
    thought = object_of(inner["reasoningText"]) or {}
    return Thinking(str(thought.get("text") or ""), str(thought.get("signature") or ""), origin="converse")


def _read_cited(inner: dict[str, Json]) -> Text:
    pieces = (object_of(one) or {} for one in array_of(inner.get("content")))
    citations = [read_citation(one) for raw in array_of(inner.get("citations")) if (one := object_of(raw))]
    return Text("".join(str(one.get("text") or "") for one in pieces), citations)


def _data(inner: dict[str, Json]) -> str | None:
    data = (object_of(inner.get("source")) or {}).get("bytes")
    return data if isinstance(data, str) else None
