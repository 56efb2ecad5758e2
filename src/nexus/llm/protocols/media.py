"""Media as protocols write them: data URLs, and the kind that a media type belongs to."""

from nexus.llm.canonical import Inline, Link, MediaKind

_MISNAMED = {"image/jpg": "image/jpeg", "image/pjpeg": "image/jpeg"}
"""Names that clients use and OpenAI takes, of types that are registered under another."""


def read_url(url: str, media_type: str = "") -> Inline | Link:
    """Read a URL, which may hold the data itself.

    https://www.rfc-editor.org/rfc/rfc2397
    """
    if url[:5].lower() != "data:":
        return Link(url, media_type)
    head, comma, data = url[5:].partition(",")
    kind, *parameters = head.split(";")
    if not comma or "base64" not in parameters:
        return Link(url, media_type)
    kind = kind or media_type or "application/octet-stream"
    return Inline(_MISNAMED.get(kind.lower(), kind), data)


def write_url(source: Inline | Link) -> str:
    """Write media as a URL."""
    return source.url if isinstance(source, Link) else f"data:{source.media_type};base64,{source.data}"


def kind_of(media_type: str) -> MediaKind:
    """Tell images, sounds and films by their media type; all else is a document."""
    main = media_type.partition("/")[0].lower()
    match main:
        case "image" | "audio" | "video":
            return main
        case _:
            return "document"
