"""Measuring the search."""

import msgspec
import pytest

from nexus.mcp.evaluate import Query, evaluate, read
from nexus.mcp.index import Document

TOOLS = [Document(f"s__{name}", "s", name, "", "", {}) for name in ("read_file", "read_url", "send_mail")]


def test_the_position_of_the_first_right_tool_counts() -> None:
    queries = [
        Query(("file",), ("s__read_file",)),
        Query(("read",), ("s__read_url",)),  # second, as equals go by name
        Query(("nothing",), ("s__send_mail",)),
        Query(("mail",), ("s__other", "s__send_mail")),
    ]
    quality = evaluate(queries, TOOLS)
    assert quality.queries == 4
    assert quality.recall == {1: 0.5, 3: 0.75, 5: 0.75}
    assert quality.mrr == (1 + 1 / 2 + 0 + 1) / 4
    assert [query.keywords for query, _ in quality.missed] == [("nothing",)]
    assert quality.listed > 0


def test_queries_are_lines_of_json() -> None:
    assert read(b'{"keywords": ["a"], "expect": ["s__t"]}\n\n') == [Query(("a",), ("s__t",))]
    with pytest.raises(msgspec.ValidationError):
        read(b'{"keywords": "a"}')
