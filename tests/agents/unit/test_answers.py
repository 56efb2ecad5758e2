"""Objects are found in what models write, and never made up."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nexus_agents import answers
from nexus_agents.errors import AdapterError

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-1000, 1000) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
OBJECT = st.dictionaries(st.text(max_size=8), JSON, max_size=4)


@given(
    OBJECT,
    st.text(alphabet="abc .,\n", max_size=40),
    st.text(alphabet="abc .,}\n`", max_size=40),
    st.booleans(),
)
def test_an_object_is_found_in_prose_and_in_a_fence(
    value: dict[str, object], before: str, after: str, fenced: bool
):
    text = msgspec.json.encode(value).decode()
    written = f"{before}\n```json\n{text}\n```\n{after}" if fenced else f"{before}{text}{after}"
    assert answers.object_in(written) == value


def test_a_fence_marked_json_wins_over_what_stands_before_it():
    text = 'I think {"a": 1} is wrong.\n```\n{"b": 2}\n```\n```json\n{"c": 3}\n```'
    assert answers.object_in(text) == {"c": 3}


def test_a_fence_in_a_string_ends_nothing():
    assert answers.object_in('```json\n{"a": "```\\n{", "b": 1}\n```') == {"a": "```\n{", "b": 1}


def test_braces_before_the_object_do_no_harm():
    assert answers.object_in('set {x} and then {"a": {"b": "}"}} end') == {"a": {"b": "}"}}


@pytest.mark.parametrize("text", ["", "no", "[1]", "{", '{"a": 1', "{'a': 1}", "}{", "```json\nnothing\n```"])
def test_without_an_object_there_is_no_answer(text: str):
    with pytest.raises(ValueError, match="no JSON object"):
        answers.object_in(text)


@given(st.text(max_size=200))
def test_no_text_breaks_the_search(text: str):
    try:
        found = answers.object_in(text)
    except ValueError:
        return
    assert isinstance(found, dict)


class Wanted(msgspec.Struct):
    yes: bool


def test_a_wrong_type_fails_without_quoting_the_answer():
    with pytest.raises(AdapterError) as caught:
        answers.read('{"yes": "secret-words"}', Wanted, "a yes")
    assert "secret-words" not in str(caught.value)


def test_a_long_text_of_braces_is_given_up_soon():
    with pytest.raises(ValueError, match="no JSON object"):
        answers.object_in("{" * 200_000)
