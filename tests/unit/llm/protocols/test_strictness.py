"""What OpenAI is asked to be strict about."""

import pytest

from nexus.llm.canonical import Format, FunctionTool, Json, Loss
from nexus.llm.protocols.strictness import is_bindable, loosened, loosened_form

CLOSED: Json = {
    "type": "object",
    "properties": {"a": {"type": "string"}},
    "required": ["a"],
    "additionalProperties": False,
}
OPTIONAL: Json = {"type": "object", "properties": {"a": {"type": "string"}}, "additionalProperties": False}
OPEN: Json = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}


@pytest.mark.parametrize("schema", [CLOSED, {"type": "string"}, {"type": "array", "items": CLOSED}])
def test_a_schema_that_requires_all_it_has_binds(schema: Json) -> None:
    assert is_bindable(schema)


@pytest.mark.parametrize(
    "schema",
    [
        OPTIONAL,
        OPEN,
        {"type": "object"},
        {"type": "array", "items": OPTIONAL},
        {"anyOf": [CLOSED, OPEN]},
        {"type": "string", "$defs": {"a": OPTIONAL}},
        {"properties": {"a": OPEN}, "required": ["a"], "additionalProperties": False},
    ],
)
def test_a_schema_with_an_open_or_optional_object_anywhere_does_not(schema: Json) -> None:
    assert not is_bindable(schema)


def test_the_wish_to_be_strict_is_left_out_and_listed_only_where_it_would_be_refused() -> None:
    losses: list[Loss] = []
    bound, free = FunctionTool(name="f", schema=CLOSED, strict=True), FunctionTool(name="f", schema=OPTIONAL)
    assert [loosened(bound, losses), loosened(free, losses)] == [bound, free]
    assert loosened_form(Format("schema", CLOSED, strict=True), losses) == Format(
        "schema", CLOSED, strict=True
    )
    assert losses == []
    tool = FunctionTool(name="f", schema=OPTIONAL, strict=True, path="tools.0")
    assert loosened(tool, losses).strict is False
    form = Format("schema", OPTIONAL, strict=True, path="output_config.format")
    assert loosened_form(form, losses).strict is False
    assert [loss.path for loss in losses] == ["tools.0.strict", "output_config.format"]
