"""Citations of the Anthropic protocol.

https://platform.claude.com/docs/en/build-with-claude/citations
"""

from collections.abc import Iterable, Sequence

from nexus.llm.canonical import Citation, Json
from nexus.llm.protocols.node import object_of


def read_citations(raw: Iterable[Json]) -> Sequence[Citation]:
    """Read the sources of a text."""
    return tuple(read_citation(one) for one in raw)


def read_citation(raw: Json) -> Citation:
    """Read one source."""
    fields = object_of(raw) or {}

    def text(name: str) -> str:
        value = fields.get(name)
        return value if isinstance(value, str) else ""

    return Citation(
        "anthropic", raw, text("url"), text("title") or text("document_title"), text("cited_text")
    )


def write_citation(citation: Citation) -> Json:
    """Write one source; one of another protocol is told as a web page, None if it has no address."""
    if citation.protocol == "anthropic":
        return citation.raw
    if not citation.url:
        return None
    return {
        "type": "web_search_result_location",
        "url": citation.url,
        "title": citation.title or citation.url,
        "encrypted_index": "",
        "cited_text": citation.quote,
    }


def write_citations(citations: Sequence[Citation]) -> list[Json]:
    """Write the sources of a text."""
    return [written for one in citations if (written := write_citation(one)) is not None]
