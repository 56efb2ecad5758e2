"""How names and texts are cut, and which words count as one typing mistake apart."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nexus.mcp.words import MAX_TOKEN, Neighbours, analyse, split, stem, within_one


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("get_user_info", ["get", "user", "info"]),
        ("getUserInfo", ["get", "user", "info"]),
        ("get-user info", ["get", "user", "info"]),
        ("XMLHttpRequest", ["xml", "http", "request"]),
        ("text2speech", ["text", "speech"]),
        ("ec2", ["ec"]),
        ("s3", []),
        ("v10beta", ["10", "beta"]),
        ("HTTP", ["http"]),
        ("a_b", []),
        ("  add  ", ["add"]),
        ("größeMax", ["größe", "max"]),
        ("", []),
    ],
)
def test_a_name_is_cut_into_its_words(name: str, words: list[str]) -> None:
    assert split(name) == words


def test_analysis_cuts_at_punctuation_and_underscores_only() -> None:
    assert analyse("The Quick_brown-fox's getUserInfo v2!") == [
        "the",
        "quick",
        "brown",
        "fox",
        "s",
        "getuserinfo",
        "v2",
    ]


def test_long_tokens_are_dropped_by_their_bytes() -> None:
    assert analyse("x" * (MAX_TOKEN - 1)) == ["x" * (MAX_TOKEN - 1)]
    assert analyse("x" * MAX_TOKEN) == []
    assert analyse("é" * (MAX_TOKEN // 2)) == []


@pytest.mark.parametrize(
    ("one", "other", "near"),
    [
        ("process", "processs", True),
        ("processer", "processor", True),
        ("teh", "the", True),
        ("ab", "ba", True),
        ("abc", "cba", False),
        ("abcd", "badc", False),
        ("", "a", True),
        ("", "ab", False),
        ("same", "same", True),
        ("abc", "abd", True),
        ("abc", "xbd", False),
    ],
)
def test_one_edit_is_an_insertion_deletion_substitution_or_swap(one: str, other: str, near: bool) -> None:
    assert within_one(one, other) is near
    assert within_one(other, one) is near


def _distance(one: str, other: str) -> int:
    """Optimal string alignment, the slow textbook way."""
    rows = [[max(i, j) if 0 in (i, j) else 0 for j in range(len(other) + 1)] for i in range(len(one) + 1)]
    for i, a in enumerate(one, 1):
        for j, b in enumerate(other, 1):
            rows[i][j] = min(rows[i - 1][j] + 1, rows[i][j - 1] + 1, rows[i - 1][j - 1] + (a != b))
            if i > 1 and j > 1 and a == other[j - 2] and one[i - 2] == b:
                rows[i][j] = min(rows[i][j], rows[i - 2][j - 2] + 1)
    return rows[-1][-1]


_words = st.text(alphabet="abc", max_size=6)


@given(_words, _words)
def test_within_one_agrees_with_the_textbook(one: str, other: str) -> None:
    assert within_one(one, other) is (_distance(one, other) <= 1)


@given(st.sets(_words, max_size=20), _words)
def test_neighbours_are_exactly_the_words_within_one_edit(vocabulary: set[str], word: str) -> None:
    assert Neighbours(vocabulary).near(word) == {token for token in vocabulary if _distance(token, word) <= 1}


@pytest.mark.parametrize(
    ("one", "other"),
    [("adds", "add"), ("files", "file"), ("queries", "query"), ("running", "run"), ("creates", "creating")],
)
def test_forms_of_a_word_share_a_stem(one: str, other: str) -> None:
    assert stem(one) == stem(other)
