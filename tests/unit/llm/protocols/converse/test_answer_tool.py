import msgspec
import pytest

from nexus.llm.canonical import Effort, Format, FunctionTool, Json, Reasoning, ToolChoice
from wires.converse import CLAUDE, CLAUDE_37, CLAUDE_46, CLAUDE_47, GEMMA, MISTRAL, NOVA, QWEN, TITAN, write

TOOL = FunctionTool(name="f", schema={"type": "object"}, path="tools.0")


AUTO: Json = {"auto": {}}
ANY: Json = {"any": {}}
ONE: Json = {"tool": {"name": "f"}}


def on(effort: Effort | None = None, budget: int | None = None, summary: str | None = None) -> Reasoning:
    return Reasoning("on", effort, budget, summary, "reasoning")


CLOSED = {"type": "object", "properties": {"a": {"type": "integer"}}, "additionalProperties": False}
OPEN = {"type": "object"}


def form(schema: object = CLOSED, kind: str = "schema") -> Format:
    return Format("json" if kind == "json" else "schema", schema, "answer", "of all", path="response_format")


@pytest.mark.parametrize(
    ("model", "schema"), [(CLAUDE, CLOSED), (GEMMA, OPEN), (QWEN, OPEN), (CLAUDE_46, CLOSED)]
)
def test_an_answer_is_bound_to_a_schema_where_the_model_can_be(model: str, schema: object) -> None:
    body, losses = write(model, format=form(schema))
    inner = {"schema": msgspec.json.encode(schema).decode(), "name": "answer", "description": "of all"}
    assert body["outputConfig"] == {"textFormat": {"type": "json_schema", "structure": {"jsonSchema": inner}}}
    assert "toolConfig" not in body
    assert losses == []


def test_effort_and_schema_are_told_in_one_object() -> None:
    body, _ = write(CLAUDE_46, format=form(), reasoning=on("low"))
    assert body["outputConfig"]["effort"] == "low"
    assert body["additionalModelRequestFields"] == {"thinking": {"type": "adaptive"}}


@pytest.mark.parametrize(
    ("model", "wanted"),
    [(CLAUDE, form(OPEN)), (CLAUDE, form(kind="json")), (NOVA, form()), (CLAUDE_47, form())],
)
def test_elsewhere_it_has_to_call_a_tool_with_its_answer(model: str, wanted: Format) -> None:
    body, losses = write(model, format=wanted)
    [tool] = body["toolConfig"]["tools"]
    assert tool["toolSpec"]["name"] == "structured_answer"
    assert tool["toolSpec"]["inputSchema"]["json"] == (OPEN if wanted.kind == "json" else wanted.schema)
    assert body["toolConfig"]["toolChoice"] == {"tool": {"name": "structured_answer"}}
    assert losses == []


@pytest.mark.parametrize(
    ("choice", "told"),
    [
        (None, ANY),
        (ToolChoice("auto"), ANY),
        (ToolChoice("required"), ANY),
        (ToolChoice("one", "f"), ONE),
    ],
)
def test_beside_tools_it_has_to_call_one_of_them_or_the_answer(
    choice: ToolChoice | None, told: object
) -> None:
    body, losses = write(NOVA, format=form(), tools=[TOOL], tool_choice=choice)
    assert [tool["toolSpec"]["name"] for tool in body["toolConfig"]["tools"]] == ["f", "structured_answer"]
    assert body["toolConfig"]["toolChoice"] == told
    assert losses == []


def test_without_leave_to_call_it_has_to_give_the_answer() -> None:
    body, _ = write(NOVA, format=form(), tools=[TOOL], tool_choice=ToolChoice("none"))
    assert [tool["toolSpec"]["name"] for tool in body["toolConfig"]["tools"]] == ["structured_answer"]
    assert body["toolConfig"]["toolChoice"] == {"tool": {"name": "structured_answer"}}


@pytest.mark.parametrize("model", [TITAN, MISTRAL])
def test_a_form_is_declared_lost_where_nothing_enforces_it(model: str) -> None:
    body, losses = write(model, format=form())
    assert "toolConfig" not in body
    assert losses == ["response_format"]


def test_a_form_is_declared_unenforced_while_thinking() -> None:
    body, losses = write(CLAUDE_37, format=form(), reasoning=on("low"))
    assert body["toolConfig"]["toolChoice"] == AUTO
    assert losses == ["response_format"]
