"""The content of a client's messages: a string, or an array of parts."""

from collections.abc import Callable

from nexus.llm.canonical import AnyPart, Cache, Inline, Link, Media, Opaque, Refusal, Stored, Text
from nexus.llm.protocols.media import kind_of, read_url
from nexus.llm.protocols.node import Node
from nexus.llm.protocols.openai.options import PROTOCOL

SOUNDS = {"wav": "audio/wav", "mp3": "audio/mpeg"}


def read_content(message: Node) -> list[AnyPart]:
    """Take the content of a message; an empty string is none."""
    content = message.peek("content")
    if content is None or isinstance(content, str):
        text = message.text("content")
        return [Text(text=text, path=message.at("content"))] if text else []
    if not isinstance(content, list):
        raise message.fail("content", "must be a string or an array of parts")
    return [read_part(part) for part in message.nodes("content")]


def read_part(node: Node) -> AnyPart:
    """Read one part; one of an unknown type is kept as it is."""
    kind = node.peek("type")
    read = _READERS.get(kind) if isinstance(kind, str) else None
    if read is None:
        return Opaque(protocol=PROTOCOL, kind=str(kind), raw=node.everything(), path=node.path)
    node.take("type")
    return read(node)


def read_cache(node: Node) -> Cache | None:
    """Take a mark for a prompt cache, OpenRouter's convention."""
    mark = node.node("cache_control")
    if mark is None:
        return None
    match mark.text("ttl"):
        case "1h":
            return Cache("1h")
        case "5m":
            return Cache("5m")
        case _:
            return Cache()


def _read_text(node: Node) -> Text:
    text = node.needed("text")
    return Text(text=text, path=node.path, cache=read_cache(node), extras=node.rest())


def _read_refusal(node: Node) -> Refusal:
    return Refusal(text=node.needed("refusal"), path=node.path, extras=node.rest())


def _read_visual(node: Node, name: str) -> Media:
    """Read an image or a film; some clients give the URL itself in place of the object around it."""
    bare = isinstance(node.peek(name), str)
    inner = Node({"url": node.take(name)}, node.at(name)) if bare else _inner(node, name)
    source = read_url(inner.needed("url"))
    if inner.peek("detail") == "auto":
        inner.take("detail")
    return _media("image" if name == "image_url" else "video", source, node, inner, name)


def _read_audio(node: Node) -> Media:
    inner = _inner(node, "input_audio")
    form = inner.needed("format")
    source = Inline(SOUNDS.get(form, f"audio/{form}"), inner.needed("data"))
    return _media("audio", source, node, inner, "input_audio")


def _read_file(node: Node) -> Media:
    inner = _inner(node, "file")
    name = inner.text("filename") or ""
    if (stored := inner.text("file_id")) is not None:
        return _media("document", Stored(stored), node, inner, "file", name)
    data = inner.needed("file_data")
    source = read_url(data, "application/pdf")
    if isinstance(source, Link) and "://" not in data[:16]:
        source = Inline("application/pdf", data)  # bare base64, as the reference has it
    return _media(kind_of(source.media_type), source, node, inner, "file", name)


def _media(
    kind: str, source: Inline | Link | Stored, node: Node, inner: Node, field: str, name: str = ""
) -> Media:
    cache, unknown = read_cache(node), inner.rest()
    extras = {**node.rest(), field: unknown} if unknown else node.rest()
    assert kind in ("image", "audio", "video", "document")
    return Media(kind=kind, source=source, name=name, path=node.path, cache=cache, extras=extras)


def _inner(node: Node, name: str) -> Node:
    inner = node.node(name)
    if inner is None:
        raise node.fail(name, "is missing")
    return inner


_READERS: dict[str, Callable[[Node], AnyPart]] = {
    "text": _read_text,
    "refusal": _read_refusal,
    "image_url": lambda node: _read_visual(node, "image_url"),
    "video_url": lambda node: _read_visual(node, "video_url"),
    "input_audio": _read_audio,
    "file": _read_file,
}
