"""Content blocks of requests into parts."""

import msgspec

from nexus.llm.canonical import (
    AnyPart,
    Cache,
    Inline,
    Link,
    Media,
    MediaKind,
    Opaque,
    Stored,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
    Written,
)
from nexus.llm.protocols.anthropic.citations import read_citations
from nexus.llm.protocols.node import Node
from nexus.llm.protocols.signature import unseal

_encode = msgspec.json.Encoder().encode


def read_parts(nodes: list[Node]) -> list[AnyPart]:
    """Read the blocks of one message."""
    parts: list[AnyPart] = []
    for node in nodes:
        part = read_part(node)
        if type(part) is ToolCall and parts and (signed := _signed(parts[-1], part)) is not None:
            parts[-1] = signed
        else:
            parts.append(part)
    return parts


def read_part(node: Node) -> AnyPart:
    """Read one block."""
    kind = node.peek("type")
    match kind:
        case "text":
            node.take("type")
            text = node.needed("text")
            citations = read_citations(node.items("citations"))
            cache = read_cache(node)
            return Text(text, citations, path=node.path, cache=cache, extras=node.rest())
        case "image":
            return _read_media(node, "image")
        case "document":
            return _read_media(node, "document")
        case "tool_use":
            return _read_call(node)
        case "tool_result":
            return _read_result(node)
        case "thinking":
            node.take("type")
            text = node.needed("thinking")
            signature, origin = unseal(node.text("signature") or "", "anthropic")
            return Thinking(
                text, signature, origin=origin, path=node.path, cache=read_cache(node), extras=node.rest()
            )
        case "redacted_thinking":
            node.take("type")
            data, origin = unseal(node.needed("data"), "anthropic")
            return Thinking("", redacted=data, origin=origin, path=node.path, extras=node.rest())
        case str():
            return Opaque("anthropic", kind, node.everything(), path=node.path)
        case _:
            raise node.fail("type", "is missing" if kind is None else "must be a string")


def read_cache(node: Node) -> Cache | None:
    """Take the cache mark of a block or a tool."""
    mark = node.node("cache_control")
    if mark is None:
        return None
    mark.take("type")
    match mark.text("ttl"):
        case None:
            return Cache()
        case "5m":
            return Cache("5m")
        case "1h":
            return Cache("1h")
        case _:
            raise mark.fail("ttl", "must be 5m or 1h")


def _read_media(node: Node, kind: MediaKind) -> AnyPart:
    source = node.node("source")
    if source is None:
        raise node.fail("source", "is missing")
    if source.peek("type") == "content":  # a document cut into blocks by its author: nobody else has that
        whole = {**node.everything(), "source": source.everything()}
        return Opaque("anthropic", "document", whole, path=node.path)
    node.take("type")
    found = _read_source(source)
    name = node.text("title") or ""
    return Media(kind, found, name, path=node.path, cache=read_cache(node), extras=node.rest())


def _read_source(source: Node) -> Inline | Link | Stored | Written:
    match source.needed("type"):
        case "base64":
            return Inline(source.needed("media_type"), source.needed("data"))
        case "url":
            return Link(source.needed("url"))
        case "file":
            return Stored(source.needed("file_id"))
        case "text":
            return Written(source.needed("data"), source.text("media_type") or "text/plain")
        case _:
            raise source.fail("type", "must be base64, url, file, text or content")


def _read_call(node: Node) -> ToolCall:
    node.take("type")
    name, given = node.needed("name"), node.take("input")
    arguments = given if type(given) is str else _encode({} if given is None else given).decode()
    return ToolCall(
        node.needed("id"), name, arguments, path=node.path, cache=read_cache(node), extras=node.rest()
    )


def _read_result(node: Node) -> ToolResult:
    node.take("type")
    call = node.needed("tool_use_id")
    content = node.peek("content")
    parts: list[AnyPart] = []
    if type(content) is str:
        node.take("content")
        parts = [Text(content, path=node.at("content"))] if content else []
    elif content is not None:
        parts = read_parts(node.nodes("content"))
    failed = node.flag("is_error") or False
    return ToolResult(call, parts, failed, path=node.path, cache=read_cache(node), extras=node.rest())


def _signed(before: AnyPart, call: ToolCall) -> ToolCall | None:
    """Give a call the signature that its vendor put on it, and that was handed out as an empty thought before it."""
    if type(before) is not Thinking or before.text or before.origin != "google":
        return None
    return msgspec.structs.replace(call, signature=before.signature, origin=before.origin)
