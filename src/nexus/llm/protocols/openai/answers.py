"""What whole answers and streams have in common: ids, sources, pictures."""

import hashlib
from collections.abc import Iterator

from nexus.llm.canonical import (
    AnyPart,
    ChatRequest,
    Citation,
    Inline,
    Json,
    Link,
    Media,
    Opaque,
    Refusal,
    Text,
    Thinking,
)
from nexus.llm.protocols import signature
from nexus.llm.protocols.media import read_url, write_url
from nexus.llm.protocols.node import array_of
from nexus.llm.protocols.openai import loose
from nexus.llm.protocols.openai.options import PROTOCOL

SPOKEN = "audio"
KNOWN = frozenset(
    ("id", "object", "created", "model", "choices", "usage", "service_tier", "error", "obfuscation")
)
"""Fields of an answer or a chunk that are acted on or mean nothing; the others are extras."""


def extras_of(raw: dict[str, Json]) -> dict[str, Json]:
    """Give what only this protocol has beside an answer."""
    return {name: value for name, value in raw.items() if name not in KNOWN and value is not None}


def make_id(request: ChatRequest, id: str, created: int, number: int) -> str:
    """Make the id a server did not give its call: another for each call and each step of a conversation."""
    step = f"{id}:{created}:{len(request.turns)}:{number}"
    return "call_" + hashlib.blake2s(step.encode(), digest_size=12).hexdigest()


def read_citation(value: Json) -> Citation:
    """Read an annotation."""
    named = loose.fields(loose.fields(value).get("url_citation"))
    url, title = loose.text(named.get("url")), loose.text(named.get("title"))
    return Citation(PROTOCOL, value, url, title, loose.text(named.get("content")))


def write_citation(citation: Citation, start: int, end: int) -> Json:
    """Write an annotation of the text between two offsets; None for a source without a URL, which has no form here."""
    if citation.protocol == PROTOCOL:
        return citation.raw
    if not citation.url:
        return None
    named: Json = {"url": citation.url, "title": citation.title, "start_index": start, "end_index": end}
    return {"type": "url_citation", "url_citation": named}


def read_picture(value: Json) -> Media | Opaque:
    """Read an image that a model made. https://openrouter.ai/docs/features/multimodal/image-generation."""
    url = loose.text(loose.fields(loose.fields(value).get("image_url")).get("url"))
    if not url:
        return Opaque(protocol=PROTOCOL, kind="image", raw=value)
    return Media(kind="image", source=read_url(url))


def write_picture(part: Media) -> Json:
    """Write an image that a model made; None for other media, which have no form here."""
    source = part.source
    if part.kind != "image" or not isinstance(source, Inline | Link):
        return None
    return {"type": "image_url", "image_url": {"url": write_url(source)}}


def read_chunk(value: Json) -> AnyPart:
    """Read one piece of content that comes as an array, as Mistral's does where it thinks.

    https://docs.mistral.ai/capabilities/reasoning/
    """
    if isinstance(value, str):
        return Text(text=value)
    raw = loose.fields(value)
    match raw.get("type"):
        case "text":
            return Text(text=loose.text(raw.get("text")))
        case "thinking":
            return Thinking(text="".join(_texts(raw.get("thinking"))), origin=PROTOCOL)
        case "refusal":
            return Refusal(text=loose.text(raw.get("refusal")))
        case "image_url":
            return read_picture(value)
        case kind:
            return Opaque(protocol=PROTOCOL, kind=str(kind), raw=value)


def _texts(value: Json) -> Iterator[str]:
    yield loose.text(value)
    for item in array_of(value):
        yield loose.text(loose.fields(item).get("text"))


def read_proof(extra_content: Json) -> str:
    """Read the signature of a call, where Google puts it. https://ai.google.dev/gemini-api/docs/thought-signatures."""
    google = loose.fields(loose.fields(extra_content).get("google"))
    return loose.text(google.get("thought_signature"))


def write_proof(proof: str, origin: str) -> Json:
    """Write the signature of a call, sealed where it is another vendor's."""
    return {"google": {"thought_signature": signature.seal(proof, origin, PROTOCOL)}}
