"""Tools that clients offer, and the choice among them."""

import re
from collections.abc import Mapping

import msgspec
import pytest

from nexus.errors import Unrepresentable
from nexus.llm.canonical import (
    ChatRequest,
    CustomTool,
    FunctionTool,
    HostedTool,
    Json,
    ToolCall,
    ToolChoice,
)
from nexus.llm.protocols.losses import foreign_fields
from nexus.llm.protocols.responses.inbound import Responses
from nexus.llm.protocols.responses.wire import ResponsesWire

Fields = dict[str, Json]

WEATHER: Fields = {"type": "function", "name": "get_weather", "parameters": {"type": "object"}}
PATCH: Fields = {
    "type": "custom",
    "name": "apply_patch",
    "format": {"type": "grammar", "syntax": "lark", "definition": "start: /.+/"},
}
SERVER: Fields = {
    "type": "namespace",
    "name": "mcp__ev",
    "description": "Everything.",
    "tools": [{"type": "function", "name": "echo"}, {"type": "custom", "name": "raw"}],
}


def body(fields: Mapping[str, Json]) -> bytes:
    return msgspec.json.encode({"model": "m", "input": "hello", **fields})


def read(**fields: Json) -> ChatRequest:
    return Responses().read_request(body(fields))


def again(**fields: Json) -> dict[str, Json]:
    """Read for a provider of the same protocol and write."""
    written, losses = ResponsesWire().write_request(Responses(stateful=True).read_request(body(fields)))
    assert not losses
    return msgspec.json.decode(written)


def test_tools_are_read_and_their_schemas_left_alone() -> None:
    function, custom, hosted = read(tools=[{**WEATHER, "strict": None}, PATCH, {"type": "web_search"}]).tools
    assert isinstance(function, FunctionTool)
    assert (function.name, function.schema, function.strict) == ("get_weather", {"type": "object"}, None)
    assert isinstance(custom, CustomTool)
    assert custom.format == {"type": "grammar", "syntax": "lark", "definition": "start: /.+/"}
    assert isinstance(hosted, HostedTool)
    assert (hosted.protocol, hosted.kind) == ("responses", "web_search")


def test_tools_of_a_namespace_get_flat_names() -> None:
    request = read(tools=[SERVER, WEATHER])
    names = [tool.name for tool in request.tools if not isinstance(tool, HostedTool)]
    assert names == ["mcp__ev__echo", "mcp__ev__raw", "get_weather"]
    echo = request.tools[0]
    assert isinstance(echo, FunctionTool)
    assert (echo.namespace, echo.local_name, echo.path) == ("mcp__ev", "echo", "tools.0.tools.0")
    assert [loss.path for loss in foreign_fields(request)] == ["tools.0.tools.0.namespace"]


def test_tools_of_a_namespace_are_in_it_again_for_a_provider_that_knows_it() -> None:
    items: list[Fields] = [
        {"type": "function_call", "call_id": "a", "name": "echo", "arguments": "{}", "namespace": "mcp__ev"},
        {
            "type": "function_call",
            "call_id": "b",
            "name": "gone",
            "arguments": "{}",
            "namespace": "mcp__away",
        },
        {
            "type": "function_call_output",
            "call_id": "a",
            "output": "1",
            "name": "echo",
            "namespace": "mcp__ev",
        },
    ]
    written = again(tools=[SERVER, WEATHER], input=items)
    tools = written["tools"]
    assert isinstance(tools, list)
    assert tools[0] == {
        **SERVER,
        "tools": [
            {"type": "function", "name": "echo", "parameters": None},
            {"type": "custom", "name": "raw"},
        ],
    }
    assert written["input"] == items


def test_long_and_odd_names_are_shortened_and_stay_apart() -> None:
    long = "x" * 70
    tools: Json = [
        {
            "type": "namespace",
            "name": "n.s",
            "tools": [{"type": "function", "name": long + end} for end in "ab"],
        },
        {"type": "namespace", "name": "a", "tools": [{"type": "function", "name": "b__c"}]},
        {"type": "namespace", "name": "a__b", "tools": [{"type": "function", "name": "c"}]},
        {"type": "function", "name": "d__e"},
        {"type": "namespace", "name": "d", "tools": [{"type": "function", "name": "e"}]},
    ]
    names = [tool.name for tool in read(tools=tools).tools if not isinstance(tool, HostedTool)]
    assert len(set(names)) == len(names) == 6
    assert "d__e" in names
    assert all(re.fullmatch(r"[a-zA-Z0-9_-]{1,64}", name) for name in names)
    assert names == [tool.name for tool in read(tools=tools).tools if not isinstance(tool, HostedTool)]


def test_a_call_in_the_history_has_the_name_its_tool_has_now() -> None:
    items: list[Fields] = [
        {"type": "function_call", "call_id": "a", "name": "echo", "arguments": "{}", "namespace": "mcp__ev"},
        {
            "type": "function_call",
            "call_id": "b",
            "name": "gone",
            "arguments": "{}",
            "namespace": "mcp__away",
        },
    ]
    calls = read(tools=[SERVER], input=items).turns[0].parts
    assert [call.name for call in calls if isinstance(call, ToolCall)] == ["mcp__ev__echo", "mcp__away__gone"]
    assert not any(call.extras for call in calls)


def test_tools_told_in_the_conversation_are_tools() -> None:
    items: list[Fields] = [
        {
            "type": "additional_tools",
            "role": "developer",
            "tools": [WEATHER, {"type": "function", "name": "other"}],
        },
        {"role": "user", "content": "hello"},
    ]
    request = read(tools=[WEATHER], input=items)
    assert [(tool.path, tool.name) for tool in request.tools if isinstance(tool, FunctionTool)] == [
        ("tools.0", "get_weather"),
        ("input.0.tools.1", "other"),
    ]
    assert [turn.role for turn in request.turns] == ["user"]
    written = again(tools=[WEATHER], input=items)["input"]
    assert isinstance(written, list)
    assert written[0] == items[0]


@pytest.mark.parametrize(
    ("given", "choice"),
    [
        ("auto", ToolChoice("auto")),
        ("none", ToolChoice("none")),
        ("required", ToolChoice("required")),
        ({"type": "function", "name": "get_weather"}, ToolChoice("one", "get_weather")),
        ({"type": "custom", "name": "apply_patch"}, ToolChoice("one", "apply_patch")),
        ({"type": "function", "name": "echo", "namespace": "mcp__ev"}, ToolChoice("one", "mcp__ev__echo")),
        (
            {
                "type": "allowed_tools",
                "mode": "required",
                "tools": [{"type": "function", "name": "get_weather"}],
            },
            ToolChoice("required", allowed=["get_weather"]),
        ),
        (
            {
                "type": "allowed_tools",
                "mode": "auto",
                "tools": [{"type": "web_search"}, {"type": "custom", "name": "apply_patch"}],
            },
            ToolChoice("auto", allowed=["apply_patch"]),
        ),
        ({"type": "allowed_tools", "mode": "auto", "tools": [{"type": "web_search"}]}, ToolChoice("none")),
    ],
)
def test_choices_are_read(given: Json, choice: ToolChoice) -> None:
    tools: Json = [WEATHER, PATCH, SERVER, {"type": "web_search"}]
    assert read(tools=tools, tool_choice=given).tool_choice == choice
    assert again(tools=tools, tool_choice=given)["tool_choice"] == given


@pytest.mark.parametrize(
    "given",
    [
        {"type": "web_search_preview"},
        {"type": "mcp", "server_label": "s"},
        {"type": "allowed_tools", "mode": "required", "tools": [{"type": "image_generation"}]},
    ],
)
def test_what_only_openai_runs_cannot_be_demanded_of_others(given: Json) -> None:
    with pytest.raises(Unrepresentable, match=r"^tool_choice: "):
        read(tools=[WEATHER, {"type": "web_search_preview"}], tool_choice=given)
