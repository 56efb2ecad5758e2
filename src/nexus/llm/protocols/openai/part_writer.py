"""The parts of a message's content, as a server reads them."""

import base64
import binascii

from nexus.errors import Unrepresentable
from nexus.llm.canonical import (
    AnyPart,
    Cache,
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
from nexus.llm.protocols.media import write_url
from nexus.llm.protocols.openai import loose
from nexus.llm.protocols.openai.options import PROTOCOL
from nexus.llm.protocols.openai.part_reader import SOUNDS

_FORMATS = {media_type: form for form, media_type in SOUNDS.items()} | {
    "audio/x-wav": "wav",
    "audio/wave": "wav",
    "audio/vnd.wave": "wav",
    "audio/mp3": "mp3",
}
_TEXTS = frozenset(("application/json", "application/xml", "application/yaml", "application/x-yaml"))


def write_part(part: AnyPart, *, own: bool, cache: bool) -> dict[str, Json]:
    """Write one part; extras, and what only this protocol has, where the request is of it (`own`).

    Raises:
        Unrepresentable: there is no such content here.
    """
    match part:
        case Text():
            written: dict[str, Json] = {"type": "text", "text": part.text}
        case Refusal():
            written = {"type": "refusal", "refusal": part.text}
        case Media():
            written = _write_media(part, own=own)
        case Opaque() if part.protocol == PROTOCOL:
            return loose.fields(part.raw)
        case Opaque():
            raise Unrepresentable(part.path, f"only the {part.protocol} protocol has {part.kind}")
        case _:
            raise Unrepresentable(part.path, "has no place in a message of this role")
    if cache and part.cache is not None:
        written["cache_control"] = write_cache(part.cache)
    return _merged(written, part) if own and part.extras else written


def write_cache(cache: Cache) -> dict[str, Json]:
    """Write a mark for a prompt cache."""
    return {"type": "ephemeral", "ttl": cache.ttl} if cache.ttl else {"type": "ephemeral"}


def _merged(written: dict[str, Json], part: AnyPart) -> dict[str, Json]:
    """Add extras; those of the object within, such as an image's detail, to that object."""
    for name, value in part.extras.items():
        inner = written.get(name)
        written[name] = {**inner, **value} if isinstance(inner, dict) and isinstance(value, dict) else value
    return written


def _write_media(part: Media, *, own: bool) -> dict[str, Json]:
    source = part.source
    if isinstance(source, Written):
        return _write_text(source.text, part)
    if isinstance(source, Stored):
        return _write_stored(source, part, own=own)
    match part.kind:
        case "image":
            return {"type": "image_url", "image_url": {"url": write_url(source)}}
        case "audio":
            return _write_audio(source, part, own=own)
        case "video" if own:
            return {"type": "video_url", "video_url": {"url": write_url(source)}}
        case "video":
            raise Unrepresentable(part.path, "the chat protocol has no video")
        case "document":
            return _write_document(source, part, own=own)


def _write_stored(source: Stored, part: Media, *, own: bool) -> dict[str, Json]:
    if not own:
        raise Unrepresentable(part.path, "the file is kept by another vendor; send its data")
    named: dict[str, Json] = {"filename": part.name} if part.name else {}
    return {"type": "file", "file": {"file_id": source.id, **named}}


def _write_audio(source: Inline | Link, part: Media, *, own: bool) -> dict[str, Json]:
    if isinstance(source, Link):
        raise Unrepresentable(part.path, "the chat protocol takes sound as data, not as a link")
    form = _FORMATS.get(source.media_type.lower())
    if form is None and own:
        form = source.media_type.partition("/")[2]
    if form is None:
        raise Unrepresentable(part.path, "the chat protocol takes sound as wav or mp3 only")
    return {"type": "input_audio", "input_audio": {"data": source.data, "format": form}}


def _write_document(source: Inline | Link, part: Media, *, own: bool) -> dict[str, Json]:
    if isinstance(source, Link):
        if not own:  # OpenRouter takes links there; OpenAI does not
            raise Unrepresentable(part.path, "the chat protocol takes a document as data, not as a link")
        return {"type": "file", "file": _named(part, {"file_data": source.url})}
    media_type = source.media_type.lower()
    if not own and (media_type.startswith("text/") or media_type in _TEXTS):
        return _write_text(_decoded(source, part), part)
    name = part.name or (f"document.{media_type.rpartition('/')[2]}" if not own else "")
    return {"type": "file", "file": _named(part, {"file_data": write_url(source)}, name)}


def _named(part: Media, file: dict[str, Json], name: str = "") -> dict[str, Json]:
    """Name a file; OpenAI refuses data without a name."""
    name = name or part.name
    return {"filename": name, **file} if name else file


def _write_text(text: str, part: Media) -> dict[str, Json]:
    """Write a document that is text: files are for PDF and the like. Its title goes before it."""
    return {"type": "text", "text": f"{part.name}\n\n{text}" if part.name else text}


def _decoded(source: Inline, part: Media) -> str:
    try:
        return base64.b64decode("".join(source.data.split()), validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        raise Unrepresentable(part.path, "is said to be text, and is not UTF-8 in base64") from None
