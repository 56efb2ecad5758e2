import pytest

from nexus.errors import Unrepresentable
from nexus.llm.canonical import (
    CustomTool,
    Format,
    FunctionTool,
    HostedTool,
    Json,
    Text,
    ToolCall,
    ToolChoice,
    ToolResult,
)
from wires.converse import (
    CLAUDE,
    COHERE,
    DEEPSEEK,
    HAIKU_3,
    LLAMA,
    MISTRAL,
    NOVA,
    QWEN,
    TITAN,
    turn,
    user,
    write,
)

TOOL = FunctionTool(name="f", schema={"type": "object"}, path="tools.0")
OTHER = FunctionTool(name="g", path="tools.1")
CALL = ToolCall("t1", "f", "{}")
RESULT = ToolResult("t1", [Text("ok")], path="r")


def test_tools_are_told_in_the_order_of_the_client_with_their_schemas_as_they_are() -> None:
    schema: Json = {"$defs": {"z": {}}, "type": "object", "properties": {"b": {"$ref": "#/$defs/z"}, "a": {}}}
    tools = [FunctionTool(name="z", description="d", schema=schema), FunctionTool(name="a")]
    body, losses = write(CLAUDE, tools=tools)
    assert body["toolConfig"] == {
        "tools": [
            {"toolSpec": {"name": "z", "description": "d", "inputSchema": {"json": schema}}},
            {"toolSpec": {"name": "a", "inputSchema": {"json": {"type": "object", "properties": {}}}}},
        ]
    }
    assert losses == []


def test_a_custom_tool_is_a_function_of_one_text() -> None:
    call = ToolCall("t1", "patch", "*** begin", custom=True)
    body, _ = write(CLAUDE, turn("assistant", call), tools=[CustomTool(name="patch")])
    assert body["messages"][0]["content"][0]["toolUse"]["input"] == {"input": "*** begin"}
    assert body["toolConfig"]["tools"][0]["toolSpec"]["inputSchema"]["json"]["required"] == ["input"]


def test_tools_others_run_are_left_out_and_declared() -> None:
    hosted = HostedTool(protocol="anthropic", kind="web_search_20250305", raw={}, path="tools.0")
    body, losses = write(CLAUDE, tools=[hosted, OTHER])
    assert [tool["toolSpec"]["name"] for tool in body["toolConfig"]["tools"]] == ["g"]
    assert losses == ["tools.0"]
    assert "toolConfig" not in write(CLAUDE, tools=[hosted])[0]
    with pytest.raises(Unrepresentable, match="tool_choice"):
        write(CLAUDE, tools=[hosted, OTHER], tool_choice=ToolChoice("one", "web_search_20250305"))


AUTO: Json = {"auto": {}}
ANY: Json = {"any": {}}
ONE: Json = {"tool": {"name": "f"}}


@pytest.mark.parametrize(
    ("model", "required", "one"),
    [
        (CLAUDE, ANY, ONE),
        (HAIKU_3, ANY, ONE),
        (
            "arn:aws:bedrock:us-east-1:1:inference-profile/jp.anthropic.claude-haiku-4-5-20251001-v1:0",
            ANY,
            ONE,
        ),
        (NOVA, ANY, ONE),
        (COHERE, AUTO, ONE),
        (LLAMA, ANY, ONE),
        (DEEPSEEK, ANY, ONE),
        ("ai21.jamba-1-5-large-v1:0", ANY, ONE),
        (TITAN, AUTO, AUTO),
        (MISTRAL, AUTO, AUTO),
        (QWEN, AUTO, AUTO),
    ],
)
def test_a_choice_is_told_as_far_as_the_family_takes_it(model: str, required: object, one: object) -> None:
    tools = [TOOL, OTHER]
    body, losses = write(model, tools=tools, tool_choice=ToolChoice("required"))
    assert body["toolConfig"]["toolChoice"] == required
    assert losses == ([] if required == ANY else ["tool_choice"])
    body, losses = write(model, tools=tools, tool_choice=ToolChoice("one", "f"))
    assert body["toolConfig"]["toolChoice"] == one
    assert losses == ([] if one == ONE else ["tool_choice"])
    assert write(model, tools=tools, tool_choice=ToolChoice("auto"))[0]["toolConfig"]["toolChoice"] == AUTO
    assert "toolChoice" not in write(model, tools=tools)[0]["toolConfig"]


def test_some_call_of_a_single_tool_is_a_call_of_it() -> None:
    body, losses = write(COHERE, tools=[TOOL], tool_choice=ToolChoice("required"))
    assert body["toolConfig"]["toolChoice"] == ONE
    assert losses == []


def test_only_allowed_tools_are_told() -> None:
    body, losses = write(CLAUDE, tools=[TOOL, OTHER], tool_choice=ToolChoice("required", allowed=["g"]))
    assert [tool["toolSpec"]["name"] for tool in body["toolConfig"]["tools"]] == ["g"]
    assert body["toolConfig"]["toolChoice"] == ANY
    assert losses == []


def test_choice_none_takes_the_tools_away_unless_they_were_called() -> None:
    none = ToolChoice("none")
    assert "toolConfig" not in write(CLAUDE, tools=[TOOL], tool_choice=none)[0]
    body, losses = write(CLAUDE, turn("assistant", CALL), user(RESULT), tools=[TOOL], tool_choice=none)
    assert [tool["toolSpec"]["name"] for tool in body["toolConfig"]["tools"]] == ["f"]
    assert "toolChoice" not in body["toolConfig"]
    assert losses == ["tool_choice"]


def test_tools_that_were_called_and_are_not_offered_any_more_are_declared() -> None:
    body, losses = write(CLAUDE, turn("assistant", CALL), user(RESULT))
    assert [tool["toolSpec"]["name"] for tool in body["toolConfig"]["tools"]] == ["f"]
    assert losses == ["tools"]
    assert write(CLAUDE, user(RESULT))[0]["toolConfig"]["tools"]


def test_strictness_is_told_where_schemas_bind() -> None:
    tool = FunctionTool(name="f", strict=True, path="tools.0")
    assert write(CLAUDE, tools=[tool])[0]["toolConfig"]["tools"][0]["toolSpec"]["strict"] is True
    body, losses = write(NOVA, tools=[tool])
    assert "strict" not in body["toolConfig"]["tools"][0]["toolSpec"]
    assert losses == ["tools.0.strict"]


def test_the_newest_claude_models_cannot_be_made_to_call() -> None:
    newest = "global.anthropic.claude-opus-5-5"
    body, losses = write(newest, tools=[FunctionTool(name="f")], tool_choice=ToolChoice("required"))
    assert (body["toolConfig"]["toolChoice"], losses) == ({"auto": {}}, ["tool_choice"])
    body, losses = write(newest, format=Format("json", path="response_format"))
    assert body["toolConfig"]["tools"][0]["toolSpec"]["name"] == "structured_answer"
    assert (body["toolConfig"]["toolChoice"], losses) == ({"auto": {}}, ["response_format"])


def test_a_schema_says_that_arguments_are_an_object() -> None:
    body, _ = write(NOVA, tools=[FunctionTool(name="f", schema={})])
    assert body["toolConfig"]["tools"][0]["toolSpec"]["inputSchema"] == {"json": {"type": "object"}}
