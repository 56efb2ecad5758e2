"""The sources an answer rests on, as citations.

https://ai.google.dev/gemini-api/docs/google-search · https://ai.google.dev/api/generate-content#citationmetadata
"""

from collections.abc import Iterator

from nexus.llm.canonical import Citation, Json
from nexus.llm.protocols.node import array_of, object_of

_Fields = dict[str, Json]
_CHUNKS = ("web", "retrievedContext", "maps")


def read_sources(grounding: _Fields, quoted: _Fields) -> Iterator[Citation]:
    """Read what was searched for and what was quoted at length; a source without address is none to a client."""
    chunks = [object_of(chunk) or {} for chunk in array_of(grounding.get("groundingChunks"))]
    supports = array_of(grounding.get("groundingSupports"))
    if not supports:
        yield from (one for chunk in chunks if (one := _citation(chunk, {})))
    for support in supports:
        fields = object_of(support) or {}
        for index in array_of(fields.get("groundingChunkIndices")):
            if type(index) is int and 0 <= index < len(chunks) and (one := _citation(chunks[index], fields)):
                yield one
    for source in array_of(quoted.get("citationSources") or quoted.get("citations")):
        fields = object_of(source) or {}
        if url := _text(fields, "uri"):
            yield Citation("google", fields, url, _text(fields, "title"))


def _citation(chunk: _Fields, support: _Fields) -> Citation | None:
    found = next((found for name in _CHUNKS if (found := object_of(chunk.get(name)))), None)
    if found is None or not (url := _text(found, "uri")):
        return None
    quote = _text(object_of(support.get("segment")) or {}, "text")
    return Citation(
        "google", {"groundingChunk": chunk, "groundingSupport": support}, url, _text(found, "title"), quote
    )


def _text(fields: _Fields, name: str) -> str:
    value = fields.get(name)
    return value if isinstance(value, str) else ""
