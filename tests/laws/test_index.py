"""The published ranking, value by value, and beside a slow second writing of its rules."""

import math
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nexus.mcp.index import Document, Index
from nexus.mcp.words import analyse, split, within_one


def _tool(
    server: str, tool: str, description: str, schema: dict[str, Any] | None = None, title: str = ""
) -> Document:
    return Document(f"{server}__{tool}", server, tool, description, title, schema or {})


def _object(**properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(properties)}


_NUMBER = {"type": "number"}
ADDER = _tool(
    "math_service",
    "adder",
    "Adds two numbers together",
    _object(
        a={"type": "number", "description": "First number to add"},
        b={"type": "number", "description": "Second number to add"},
    ),
)
CALCULATOR = _tool(
    "math_service",
    "calculator",
    "Performs advanced mathematical calculations including basic arithmetic, sines, cosines, roots, powers and many"
    " more things for you",
    _object(expression={"type": "string"}, x=_NUMBER),
    "Scientific Calculator",
)
TEXT = _tool(
    "text_service",
    "text_processor",
    "A processor for strings: case and order",
    _object(input={"type": "string", "description": "Text to process"}, action={"type": "string"}),
)
FILES = _tool(
    "file_service",
    "filesystem",
    "Manages files and directories on disk: create, list, copy, move, remove",
    _object(path={"type": "string"}, operation={"type": "string"}),
)
FAILING = _tool("math_service", "failing_tool", "Always fails")
SIMPLE = [
    ("echo", "Gives back the same text again"),
    ("add", "Sums up a pair"),
    ("environment", "Reads one of its own variables"),
    ("fail", "It never works out"),
]


def _simple(server: str) -> list[Document]:
    return [_tool(server, tool, description) for tool, description in SIMPLE]


@pytest.mark.parametrize(
    ("documents", "keywords", "scores"),
    [
        ([ADDER], ["adder"], {"adder": 0.8630463}),
        ([ADDER], ["ADDER"], {"adder": 0.8630463}),
        ([ADDER], ["math"], {"adder": 0.2301457}),
        ([ADDER], ["First"], {"adder": 0.4}),
        ([ADDER], ["together"], {"adder": 0.6}),
        ([ADDER], ["add", "numbers"], {"adder": 0.6}),
        ([ADDER], ["  add  ", "numbers  "], {"adder": 0.6}),
        ([ADDER, FAILING], ["adder", "failing"], {"adder": 2.4077742, "failing_tool": 1.8299086}),
        ([CALCULATOR], ["Scientific"], {"calculator": 0.5753642}),
        ([TEXT], ["processer"], {"text_processor": 0.6}),
        ([TEXT], ["process"], {"text_processor": 0.4}),
        ([CALCULATOR, TEXT, FILES], ["text"], {"text_processor": 2.4428196}),
        ([FILES], ["filesystem"], {"filesystem": 0.8630463}),
        ([CALCULATOR, TEXT, FILES], ["filesystem"], {"filesystem": 3.2777076}),
        (_simple("simple"), ["echo"], {"echo": 3.6119184}),
        (_simple("simple"), ["echo", "text"], {"echo": 4.9474177}),
        (
            _simple("no_suspended"),
            ["no_suspended"],
            dict.fromkeys(("add", "echo", "environment", "fail"), 0.3),
        ),
        (
            [ADDER, CALCULATOR, FILES],
            ["numbers", "files"],
            {"adder": 1.5813065, "filesystem": 1.1621382, "calculator": 0.4},
        ),
    ],
)
def test_the_published_scores_to_five_decimals(
    documents: list[Document], keywords: list[str], scores: dict[str, float]
) -> None:
    found = Index(documents).search(keywords)
    assert [documents[one.position].tool for one in found[: len(scores)]] == list(scores)
    assert [one.score for one in found[: len(scores)]] == pytest.approx(list(scores.values()), abs=5e-6)


def test_a_tool_of_two_servers_is_found_twice_by_name() -> None:
    documents = [*_simple("b"), *_simple("a")]
    found = Index(documents).search(["echo"])
    assert [(documents[one.position].name, one.score) for one in found] == [
        ("a__echo", pytest.approx(3.8428016, abs=5e-6)),
        ("b__echo", pytest.approx(3.8428016, abs=5e-6)),
    ]


@pytest.mark.parametrize("keywords", [[], [""], ["   "], ["a"], ["_", "-"]])
def test_keywords_without_words_find_nothing(keywords: list[str]) -> None:
    assert Index([ADDER, FAILING]).search(keywords) == []


def test_an_empty_index_finds_nothing() -> None:
    assert Index([]).search(["anything"]) == []


class Contract:
    """The rules as they are written down, one document at a time."""

    def __init__(self, documents: Sequence[Document]) -> None:
        self.names = [one.name for one in documents]
        self.exact = [
            (3.0, [analyse(one.tool) for one in documents]),
            (2.0, [analyse(one.title) for one in documents]),
            (1.2, [analyse(one.description) for one in documents]),
            (0.8, [analyse(one.server) for one in documents]),
        ]
        self.near = [
            (0.6, self.exact[2][1]),
            (0.4, [analyse(msgspec.json.encode(one.schema).decode()) for one in documents]),
            (0.3, [self._tokens(one) for one in documents]),
        ]

    def _tokens(self, one: Document) -> list[str]:
        words = [*split(one.server), *split(one.tool), one.description]
        words += [word for key in self._keys(one.schema) for word in split(key)]
        return analyse(" ".join(words))

    def _keys(self, node: object) -> list[str]:
        if not isinstance(node, dict):
            return []
        return [key for name, value in node.items() for key in (name, *self._keys(value))]  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]

    def term(self, term: str, at: int) -> float:
        best = 0.0
        for boost, field in self.exact:
            if term in field[at]:
                count, having = len(field), sum(term in one for one in field)
                average = sum(map(len, field)) / count
                idf = math.log(1 + (count - having + 0.5) / (having + 0.5))
                best = max(best, boost * idf * 2.2 / (1 + 1.2 * (0.25 + 0.75 * len(field[at]) / average)))
        if len(term.encode()) > 4 and not term.isdigit():
            for constant, field in self.near:
                if any(within_one(term, token) for token in field[at]):
                    best = max(best, constant)
        return best

    def search(self, keywords: Sequence[str]) -> list[tuple[str, float]]:
        scores = [
            sum(max((self.term(term, at) for term in split(keyword)), default=0.0) for keyword in keywords)
            for at in range(len(self.names))
        ]
        found = [(name, round(score, 7)) for name, score in zip(self.names, scores, strict=True) if score]
        return sorted(found, key=lambda one: (-one[1], one[0]))[:10]


_word = st.sampled_from(
    ["read", "file", "files", "create", "created", "issue", "text", "number", "numbers", "github", "list"]
)
_text = st.lists(_word, max_size=6).map(" ".join)


def _made(server: str, tool: list[str], description: str, title: str, key: str) -> Document:
    return _tool(server, "_".join(tool), description, _object(**{key: {"type": "string"}}), title)


_document = st.builds(_made, _word, st.lists(_word, min_size=1, max_size=3), _text, _text, _word)


@given(
    st.lists(_document, max_size=12, unique_by=lambda one: one.name), st.lists(_word, min_size=1, max_size=3)
)
def test_the_first_tier_is_the_contract(documents: list[Document], keywords: list[str]) -> None:
    expected = Contract(documents).search(keywords)
    found = [(documents[one.position].name, one.score) for one in Index(documents).search(keywords)]
    assert [name for name, _ in found[: len(expected)]] == [name for name, _ in expected]
    assert [score for _, score in found[: len(expected)]] == pytest.approx(
        [score for _, score in expected], abs=1e-6
    )


@given(
    st.lists(_document, max_size=25, unique_by=lambda one: one.name),
    st.lists(_text, max_size=3),
    st.integers(1, 30),
)
def test_matches_are_few_unique_and_descend(
    documents: list[Document], keywords: list[str], limit: int
) -> None:
    found = Index(documents).search(keywords, limit)
    assert len(found) <= limit
    assert len({one.position for one in found}) == len(found)
    assert [one.score for one in found] == sorted((one.score for one in found), reverse=True)
    assert found == Index(documents).search(keywords, limit)


@given(st.lists(_document, max_size=25, unique_by=lambda one: one.name), st.lists(_text, max_size=3))
def test_a_smaller_limit_gives_the_beginning_of_a_larger_one(
    documents: list[Document], keywords: list[str]
) -> None:
    index = Index(documents)
    all_names = [documents[one.position].name for one in index.search(keywords, 30)]
    assert [documents[one.position].name for one in index.search(keywords, 3)] == all_names[:3]


@pytest.mark.parametrize(
    ("tool", "keyword"),
    [
        ("getUserInfo", "getUserInfo"),
        ("getUserInfo", "user"),
        ("s3", "s3"),
        ("ec2_list", "ec2"),
        ("text2speech", "text2speech"),
        ("create_issue", "near__create_issue"),
        ("create_issue", "creating"),
        ("create_issue", "issues"),
        ("summarise_document", "summar"),
    ],
)
def test_names_are_reached_in_whatever_way_they_are_written(tool: str, keyword: str) -> None:
    others = [_tool("far", f"other_{at}", "Gets the user information of a near text") for at in range(20)]
    documents = [*others, _tool("near", tool, "")]
    found = Index(documents).search([keyword])
    assert documents[found[0].position].tool == tool


def test_the_second_tier_stays_below_the_first() -> None:
    documents = [_tool("s", "adds", "x"), _tool("s", "other", "to add")]
    found = Index(documents).search(["add"])
    assert [documents[one.position].tool for one in found] == ["other", "adds"]
    assert found[0].score > found[1].score > 0


def test_short_parameters_are_found_by_their_name() -> None:
    documents = [
        _tool("s", "one", "", _object(url={"type": "string"})),
        _tool("s", "two", "", _object(q={"type": "string"})),
    ]
    assert [documents[one.position].tool for one in Index(documents).search(["url"])] == ["one"]
