"""What schemas Claude is bound to, and what becomes of the others."""

from typing import Any

import msgspec
import pytest

from nexus.llm.canonical import ChatRequest, Format, FunctionTool, Text, Turn
from nexus.llm.protocols.anthropic.wire import MessagesWire
from nexus.llm.protocols.bound_schemas import bind
from nexus.llm.protocols.converse.wire import ConverseWire

TURNS = [Turn("user", [Text("Hi")])]
CLAUDE = "us.anthropic.claude-sonnet-4-5-20250929-v1:0"


def closed(**properties: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": [*properties],
        "additionalProperties": False,
    }


def anthropic(model: str = "claude-sonnet-4-5", **settings: Any) -> tuple[dict[str, Any], list[str]]:
    body, losses = MessagesWire().write_request(
        ChatRequest(protocol="openai", model=model, turns=TURNS, **settings)
    )
    return msgspec.json.decode(body), [loss.path for loss in losses]


def converse(model: str = CLAUDE, **settings: Any) -> tuple[dict[str, Any], list[str]]:
    body, losses = ConverseWire().write_request(
        ChatRequest(protocol="openai", model=model, turns=TURNS, **settings)
    )
    return msgspec.json.decode(body), [loss.path for loss in losses]


def test_what_is_known_stays_as_it_is() -> None:
    schema = closed(
        a={"type": ["string", "null"], "enum": ["x", None]},
        b={"$ref": "#/$defs/B"},
        c={"type": "array", "minItems": 1, "items": {"type": "string", "format": "uuid"}},
    )
    schema["$defs"] = {"B": closed(x={"type": "number", "description": "how many"})}
    bound = bind(schema)
    assert bound is not None
    assert (bound.schema, bound.tells, bound.optional, bound.unions) == (schema, False, 0, 1)


def test_limits_of_values_are_told_in_words() -> None:
    age = {"type": "integer", "minimum": 0, "maximum": 150, "description": "In years"}
    bound = bind(closed(age=age, tags={"type": "array", "items": {"type": "string"}, "maxItems": 3}))
    assert bound is not None
    assert bound.tells
    assert bound.schema == closed(
        age={"type": "integer", "description": "In years\n\n{minimum: 0, maximum: 150}"},
        tags={"type": "array", "items": {"type": "string"}, "description": "{maxItems: 3}"},
    )


def test_one_of_several_is_any_of_them() -> None:
    bound = bind(closed(a={"oneOf": [{"type": "string"}, {"type": "null"}], "discriminator": {}}))
    assert bound is not None
    assert bound.schema == closed(a={"anyOf": [{"type": "string"}, {"type": "null"}]})


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object", "properties": {}},
        closed(a={"type": "object", "additionalProperties": {"type": "string"}}),
        closed(a={}),
        closed(a={"type": "string", "enum": [{"x": 1}]}),
        closed(a={"type": "string", "not": {"const": "x"}}),
        closed(a={"$ref": "https://example.com/schema"}),
        {**closed(a={"$ref": "#/$defs/A"}), "$defs": {"A": closed(a={"$ref": "#/$defs/A"})}},
        closed(a={"$ref": "#"}),
    ],
)
def test_nobody_is_bound_to_what_would_be_refused(schema: dict[str, Any]) -> None:
    assert bind(schema) is None
    tool = FunctionTool(name="f", schema=schema, strict=True, path="tools.0")
    for body, lost in (anthropic(tools=[tool]), converse(tools=[tool])):
        assert b"strict" not in msgspec.json.encode(body)
        assert lost == ["tools.0.strict"]
    form = Format("schema", schema, "x", strict=True)
    assert anthropic(format=form)[0]["tools"][0]["input_schema"] == schema
    assert converse(format=form)[0]["toolConfig"]["tools"][0]["toolSpec"]["inputSchema"] == {"json": schema}


def test_an_answer_is_bound_to_what_can_be_and_told_the_rest() -> None:
    form = Format(
        "schema", closed(n={"type": "integer", "minimum": 1}), "x", strict=True, path="response_format"
    )
    told = closed(n={"type": "integer", "description": "{minimum: 1}"})
    body, lost = anthropic(format=form)
    assert (body["output_config"]["format"]["schema"], lost) == (told, ["response_format"])
    body, lost = converse(format=form)
    written = body["outputConfig"]["textFormat"]["structure"]["jsonSchema"]["schema"]
    assert (msgspec.json.decode(written), lost) == (told, ["response_format"])


@pytest.mark.parametrize(
    "model", ["claude-sonnet-4-20250514", "claude-3-5-haiku-20241022", "claude-opus-4-1"]
)
def test_older_models_are_bound_to_nothing(model: str) -> None:
    tool = FunctionTool(name="f", schema=closed(), strict=True, path="tools.0")
    body, lost = anthropic(model, tools=[tool, FunctionTool(name="g", schema=closed(), strict=False)])
    assert [tool.keys() & {"strict"} for tool in body["tools"]] == [set(), set()]
    assert lost == ["tools.0.strict"]


def test_no_more_is_bound_than_a_request_may_have() -> None:
    tools = [FunctionTool(name=f"f{n}", schema=closed(), strict=True, path=f"tools.{n}") for n in range(22)]
    body, lost = anthropic(tools=tools)
    assert sum("strict" in tool for tool in body["tools"]) == 20
    assert lost == ["tools.20.strict", "tools.21.strict"]
    unions = closed(**{f"p{n}": {"type": ["string", "null"]} for n in range(9)})
    body, lost = anthropic(tools=[FunctionTool(name=n, schema=unions, strict=True, path=n) for n in "ab"])
    assert ["strict" in tool for tool in body["tools"]] == [True, False]
    assert lost == ["b.strict"]
    many = closed(**{f"p{n}": {"type": ["string", "null"]} for n in range(17)})
    body, lost = anthropic(format=Format("schema", many, "x", strict=True))
    assert (body["tool_choice"]["name"], lost) == ("structured_answer", [])
