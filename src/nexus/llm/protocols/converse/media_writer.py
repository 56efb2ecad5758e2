"""Images, documents, films and sounds into content blocks: a format by name, and bytes or a place in S3.

https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ContentBlock.html
"""

import base64
import re

from nexus.errors import Unrepresentable
from nexus.llm.canonical import Inline, Json, Link, Media, MediaKind, Stored, Written
from nexus.llm.protocols.converse.draft import Draft

_OFFICE = "application/vnd.openxmlformats-officedocument"
_FORMATS: dict[MediaKind, dict[str, str]] = {
    "image": {
        "image/png": "png",
        "image/jpeg": "jpeg",
        "image/jpg": "jpeg",
        "image/gif": "gif",
        "image/webp": "webp",
    },
    "document": {
        "application/pdf": "pdf",
        "text/csv": "csv",
        "application/msword": "doc",
        f"{_OFFICE}.wordprocessingml.document": "docx",
        "application/vnd.ms-excel": "xls",
        f"{_OFFICE}.spreadsheetml.sheet": "xlsx",
        "text/html": "html",
        "text/plain": "txt",
        "text/markdown": "md",
    },
    "video": {
        "video/mp4": "mp4",
        "video/quicktime": "mov",
        "video/x-matroska": "mkv",
        "video/webm": "webm",
        "video/x-flv": "flv",
        "video/mpeg": "mpeg",
        "video/x-ms-wmv": "wmv",
        "video/3gpp": "three_gp",
    },
    "audio": {
        "audio/mpeg": "mp3",
        "audio/mp3": "mp3",
        "audio/wav": "wav",
        "audio/x-wav": "wav",
        "audio/aac": "aac",
        "audio/flac": "flac",
        "audio/ogg": "ogg",
        "audio/opus": "opus",
        "audio/mp4": "mp4",
        "audio/webm": "webm",
    },
}
_ENDINGS = {"jpg": "jpeg", "3gp": "three_gp"}
_FORBIDDEN = re.compile(r"[^0-9A-Za-z()\[\] -]+")
_SPACES = re.compile(r" {2,}")
_MAX_NAME = 200


def write_media(part: Media, draft: Draft) -> dict[str, Json]:
    """Write one medium.

    Raises:
        Unrepresentable: it is of a format, or in a place, that Bedrock does not know.
    """
    written: dict[str, Json] = {"format": _format(part)}
    if part.kind == "document":
        written["name"] = _name(part.name, draft)
    written["source"] = _source(part)
    if draft.own:
        written |= part.extras
    return {part.kind: written}


def _format(part: Media) -> str:
    formats = _FORMATS[part.kind]
    media_type = "" if isinstance(part.source, Stored) else part.source.media_type
    kind = media_type.partition(";")[0].strip().lower()
    if kind in formats:
        return formats[kind]
    if not kind and isinstance(part.source, Link):
        ending = part.source.url.rpartition(".")[2].lower()
        ending = _ENDINGS.get(ending, ending)
        if ending in formats.values():
            return ending
    if part.kind == "document" and kind.startswith("text/"):
        return "txt"
    raise Unrepresentable(part.path, f"Bedrock takes no {part.kind} of type {kind or 'unknown'}")


def _source(part: Media) -> Json:
    match part.source:
        case Inline(data=data):
            return {"bytes": data}
        case Written(text):
            return {"bytes": base64.b64encode(text.encode()).decode()}
        case Link(url) if url.startswith("s3://"):
            return {"s3Location": {"uri": url}}
        case Link():
            raise Unrepresentable(part.path, "Bedrock fetches nothing but s3:// addresses; send the bytes")
        case Stored():
            raise Unrepresentable(part.path, "the file is kept by another vendor; send its bytes")


def _name(given: str, draft: Draft) -> str:
    """Give a name of the characters that Bedrock allows, which no other document of the request has."""
    plain = _SPACES.sub(" ", _FORBIDDEN.sub("-", " ".join(given.split()))).strip()[:_MAX_NAME] or "Document"
    name, number = plain, 2
    while name in draft.names:
        name, number = f"{plain[: _MAX_NAME - 6]} {number}", number + 1
    draft.names.add(name)
    return name
