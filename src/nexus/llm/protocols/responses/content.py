"""Content parts of messages and tool outputs, read from a client and written for a provider.

https://platform.openai.com/docs/api-reference/responses/create#responses-create-input
"""

import base64
from collections.abc import Sequence

from nexus.errors import Unrepresentable
from nexus.llm.canonical import (
    AnyPart,
    Citation,
    Extras,
    Inline,
    Json,
    Link,
    Media,
    Opaque,
    Refusal,
    Stored,
    Text,
    Written,
)
from nexus.llm.protocols.media import read_url, write_url
from nexus.llm.protocols.node import Node, object_of
from nexus.llm.protocols.responses import NAME

_ENDINGS = {
    "application/pdf": "pdf",
    "text/plain": "txt",
    "text/markdown": "md",
    "text/csv": "csv",
    "text/html": "html",
    "application/json": "json",
}
_TYPES = {ending: media_type for media_type, ending in _ENDINGS.items()}
_SOUNDS = {"audio/wav": "wav", "audio/x-wav": "wav", "audio/mpeg": "mp3", "audio/mp3": "mp3"}
_SOUND_TYPES = {"wav": "audio/wav", "mp3": "audio/mpeg"}


def read_content(node: Node, name: str) -> list[AnyPart]:
    """Take a field that holds a string or an array of parts."""
    text = node.peek(name)
    if type(text) is str:
        node.take(name)
        return [Text(text, path=node.at(name))]
    if text is None:
        raise node.fail(name, "is missing")
    return [_read_part(part) for part in node.nodes(name)]


def _read_part(node: Node) -> AnyPart:
    kind = node.peek("type")
    if type(kind) is not str:
        raise node.fail("type", "is missing" if kind is None else "must be a string")
    if kind not in _READERS:
        return Opaque(NAME, kind, node.everything(), path=node.path)
    node.take("type")
    return _READERS[kind](node)


def _read_text(node: Node) -> Text:
    return Text(
        node.needed("text"),
        [read_citation(one) for one in node.items("annotations")],
        node.items("logprobs"),
        path=node.path,
        extras=node.rest(),
    )


def _read_refusal(node: Node) -> Refusal:
    return Refusal(node.needed("refusal"), path=node.path, extras=node.rest())


def _read_image(node: Node) -> Media:
    url, file = node.text("image_url"), node.text("file_id")
    if node.peek("detail") == "auto":
        node.take("detail")
    if url is not None:
        return Media("image", read_url(url), path=node.path, extras=node.rest())
    if file is not None:
        return Media("image", Stored(file), path=node.path, extras=node.rest())
    raise node.fail("image_url", "is missing, and so is file_id")


def _read_file(node: Node) -> Media:
    name = node.text("filename") or ""
    return Media("document", _read_source(node, name), name, path=node.path, extras=node.rest())


def _read_source(node: Node, name: str) -> Inline | Link | Stored:
    media_type = _TYPES.get(name.rpartition(".")[2].lower(), "")
    if (data := node.text("file_data")) is not None:
        if data[:5].lower() == "data:":
            return read_url(data, media_type)
        return Inline(media_type or "application/octet-stream", data)
    if (url := node.text("file_url")) is not None:
        return read_url(url, media_type)
    if (file := node.text("file_id")) is not None:
        return Stored(file)
    raise node.fail("file_data", "is missing, and so are file_url and file_id")


def _read_audio(node: Node) -> Media:
    sound = node.node("input_audio")
    if sound is None:
        raise node.fail("input_audio", "is missing")
    kind = sound.needed("format")
    media_type = _SOUND_TYPES.get(kind, f"audio/{kind}")
    return Media("audio", Inline(media_type, sound.needed("data")), path=node.path, extras=node.rest())


_READERS = {
    "input_text": _read_text,
    "output_text": _read_text,
    "text": _read_text,
    "refusal": _read_refusal,
    "input_image": _read_image,
    "input_file": _read_file,
    "input_audio": _read_audio,
}


def read_citation(raw: Json) -> Citation:
    """Read an annotation."""
    fields = object_of(raw) or {}

    def text(name: str) -> str:
        value = fields.get(name)
        return value if isinstance(value, str) else ""

    return Citation(NAME, raw, text("url"), text("title") or text("filename"))


def write_content(parts: Sequence[AnyPart], protocol: str, *, answer: bool = False) -> Json:
    """Write parts as a message or a tool output holds them: a string where they are one plain text.

    `protocol` is what they were read from; `answer` tells whether the assistant said them.

    Raises:
        Unrepresentable: one has no form here.
    """
    if len(parts) == 1 and type(only := parts[0]) is Text and _is_plain(only, protocol):
        return only.text
    return [_write_part(part, protocol, answer=answer) for part in parts]


def _is_plain(part: Text, protocol: str) -> bool:
    return not (part.citations or part.logprobs or (part.extras and protocol == NAME))


def _write_part(part: AnyPart, protocol: str, *, answer: bool) -> Json:
    more: Extras = part.extras if protocol == NAME else {}
    match part:
        case Text() if answer:
            return {**_write_text(part), **more}
        case Text():
            return {"type": "input_text", "text": part.text, **more}
        case Refusal() if answer:
            return {"type": "refusal", "refusal": part.text, **more}
        case Refusal():
            return {"type": "input_text", "text": part.text, **more}
        case Media() if not answer:
            return {**_write_media(part, protocol), **more}
        case Opaque() if part.protocol == NAME:
            return part.raw
        case Opaque() | Media():
            raise Unrepresentable(part.path, f"the Responses protocol has no words for {part.kind} here")
        case _:
            raise Unrepresentable(part.path, "the Responses protocol has no words for this part here")


def _write_text(part: Text) -> dict[str, Json]:
    """Write what the assistant said. Sources told by another vendor stay behind: they were for the reader."""
    annotations = [one.raw for one in part.citations if one.protocol == NAME]
    written: dict[str, Json] = {"type": "output_text", "text": part.text, "annotations": annotations}
    return {**written, "logprobs": part.logprobs} if part.logprobs else written


def _write_media(part: Media, protocol: str) -> dict[str, Json]:
    if isinstance(part.source, Stored) and protocol not in (NAME, "openai"):
        raise Unrepresentable(part.path, "the file is kept by another vendor; send its content")
    match part.kind:
        case "image":
            return _write_image(part)
        case "document":
            return _write_file(part, own=protocol == NAME)
        case "audio":
            return _write_audio(part)
        case "video":
            raise Unrepresentable(part.path, "the Responses protocol takes no video")


def _write_image(part: Media) -> dict[str, Json]:
    match part.source:
        case Inline() | Link():
            return {"type": "input_image", "image_url": write_url(part.source), "detail": "auto"}
        case Stored(id):
            return {"type": "input_image", "file_id": id, "detail": "auto"}
        case Written():
            raise Unrepresentable(part.path, "a text is no image")


def _write_file(part: Media, *, own: bool) -> dict[str, Json]:
    written: dict[str, Json] = {"type": "input_file"}
    match part.source:
        case Inline(media_type):
            name = part.name if own else _file_name(part.name, media_type)
            written["file_data"] = write_url(part.source)
        case Written(text, media_type):
            name = _file_name(part.name, media_type)
            data = base64.b64encode(text.encode()).decode()
            written["file_data"] = write_url(Inline(media_type, data))
        case Link(url):
            name = part.name if own else ""  # the address tells it; both together are refused
            written["file_url"] = url
        case Stored(id):
            name = part.name if own else ""
            written["file_id"] = id
    return {**written, "filename": name} if name else written


def _file_name(name: str, media_type: str) -> str:
    """Name a file that comes with its data; without a name and its ending the data is refused."""
    ending = _ENDINGS.get(media_type) or media_type.rpartition("/")[2]
    name = name or "document"
    return name if "." in name else f"{name}.{ending}"


def _write_audio(part: Media) -> dict[str, Json]:
    source = part.source
    if not isinstance(source, Inline) or source.media_type not in _SOUNDS:
        raise Unrepresentable(part.path, "the Responses protocol takes sound as wav or mp3 data only")
    sound: dict[str, Json] = {"data": source.data, "format": _SOUNDS[source.media_type]}
    return {"type": "input_audio", "input_audio": sound}
