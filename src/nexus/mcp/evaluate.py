"""How well the search finds: queries with the tools that would have been right, over the tools there are."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import msgspec

from nexus.mcp import shown
from nexus.mcp.index import Document, Index
from nexus.mcp.link import Raw, encode


class Query(msgspec.Struct, frozen=True):
    """What an agent asks, and any of the tools that serve it."""

    keywords: tuple[str, ...]
    expect: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Quality:
    """How the search did."""

    queries: int
    recall: Mapping[int, float]
    """Share of the queries with a right tool among the first k."""
    mrr: float
    """Mean of one over the position of the first right tool."""
    missed: tuple[tuple[Query, tuple[str, ...]], ...]
    """Queries without a right tool among the first three, and what they found."""
    listed: int
    """Bytes of a list of all tools."""
    found: int
    """Bytes of an average answer to a query, with the two tools that are listed instead."""


def read(text: bytes) -> list[Query]:
    """Read one query per line, as JSON.

    Raises:
        msgspec.ValidationError: a line is none.
    """
    return [msgspec.json.decode(line, type=Query) for line in text.splitlines() if line.strip()]


def evaluate(
    queries: Iterable[Query], documents: Sequence[Document], *, first: Sequence[int] = (1, 3, 5)
) -> Quality:
    """Ask every query."""
    index = Index(documents)
    names = [one.name for one in documents]
    tools = [_tool(one) for one in documents]
    ranks: list[int | None] = []
    missed: list[tuple[Query, tuple[str, ...]]] = []
    size = 0
    for query in queries:
        matches = index.search(query.keywords)
        found = [names[one.position] for one in matches]
        size += sum(len(encode(tools[one.position])) for one in matches)
        rank = next((at for at, name in enumerate(found, 1) if name in query.expect), None)
        ranks.append(rank)
        if rank is None or rank > 3:
            missed.append((query, tuple(found)))
    count = len(ranks) or 1
    return Quality(
        len(ranks),
        {k: sum(rank is not None and rank <= k for rank in ranks) / count for k in first},
        sum(1 / rank for rank in ranks if rank is not None) / count,
        tuple(missed),
        sum(len(encode(one)) for one in tools),
        size // count + len(encode([shown.SEARCH, shown.EXECUTE])),
    )


def _tool(one: Document) -> Raw:
    return {"name": one.name, "description": one.description, "inputSchema": one.schema}
