"""Free text through providers whose tools take objects."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nexus.llm.canonical import CustomTool, Json
from nexus.llm.protocols.custom_tools import arguments_of, as_function, text_of


@given(st.text())
def test_free_text_comes_back_as_it_was(text: str) -> None:
    assert text_of(arguments_of(text)) == text
    assert msgspec.json.decode(arguments_of(text)) == {"input": text}


@pytest.mark.parametrize(
    "arguments",
    ["*** Begin Patch", "", "7", '["x"]', '{"input":7}', '{"patch":"x"}', '{"input":"cut'],
)
def test_what_is_no_wrapped_text_is_the_text_itself(arguments: str) -> None:
    assert text_of(arguments) == arguments


@pytest.mark.parametrize(
    "form",
    [
        {"type": "grammar", "syntax": "lark", "definition": "start: /.+/"},
        {"type": "grammar", "grammar": {"syntax": "lark", "definition": "start: /.+/"}},
    ],
)
def test_a_grammar_becomes_part_of_the_description(form: Json) -> None:
    function = as_function(CustomTool(name="p", description="Patches.", format=form, path="tools.0"))
    assert function.description.startswith("Patches.\n\n")
    assert "lark" in function.description
    assert "start: /.+/" in function.description
    assert (function.name, function.path) == ("p", "tools.0")
    assert function.schema == {
        "type": "object",
        "properties": {"input": {"type": "string"}},
        "required": ["input"],
        "additionalProperties": False,
    }


def test_without_a_grammar_the_description_stays() -> None:
    assert as_function(CustomTool(name="p", description="d", format={"type": "text"})).description == "d"
    assert as_function(CustomTool(name="p")).description == ""
