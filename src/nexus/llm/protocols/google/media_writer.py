"""Images, sounds, films and documents in a request.

https://ai.google.dev/gemini-api/docs/generate-content/file-input-methods
"""

from base64 import b64encode
from posixpath import splitext
from urllib.parse import urlsplit

from nexus.errors import Unrepresentable
from nexus.llm.canonical import Inline, Json, Link, Loss, Media, Stored, Written

_BY_SUFFIX = {
    ".png": "image/png", ".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".webp": "image/webp",
    ".gif": "image/gif", ".heic": "image/heic", ".heif": "image/heif",
    ".mp3": "audio/mp3", ".wav": "audio/wav", ".flac": "audio/flac", ".ogg": "audio/ogg", ".aac": "audio/aac",
    ".mp4": "video/mp4", ".mov": "video/quicktime", ".webm": "video/webm", ".mpeg": "video/mpeg",
    ".pdf": "application/pdf", ".txt": "text/plain", ".md": "text/markdown", ".html": "text/html",
    ".csv": "text/csv", ".json": "application/json",
}  # fmt: skip


def write_media(media: Media, losses: list[Loss], *, own: bool) -> dict[str, Json]:
    """Write media as a part.

    Raises:
        Unrepresentable: another vendor keeps it.
    """
    if media.name:
        losses.append(Loss(f"{media.path}.name", "Gemini takes no names of files"))
    match media.source:
        case Inline(media_type, data):
            return {"inlineData": {"mimeType": media_type, "data": data}}
        case Written(text, media_type):
            return {"inlineData": {"mimeType": media_type, "data": b64encode(text.encode()).decode()}}
        case Link(url, media_type):
            return _write_file(url, media_type or _guess(url))
        case Stored(file):
            if not own:
                raise Unrepresentable(media.path, "the file is kept by another vendor")
            return _write_file(file, "")


def _write_file(uri: str, media_type: str) -> dict[str, Json]:
    file: dict[str, Json] = {"fileUri": uri}
    if media_type:
        file["mimeType"] = media_type
    return {"fileData": file}


def _guess(url: str) -> str:
    """Tell the media type by the end of the path; empty where it says nothing, then Google finds out."""
    return _BY_SUFFIX.get(splitext(urlsplit(url).path)[1].lower(), "")
