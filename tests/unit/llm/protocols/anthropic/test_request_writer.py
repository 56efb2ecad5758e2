"""What Claude is sent for a request that was asked in another protocol."""

import base64
import re
from typing import Any

import msgspec
import pytest

from nexus.errors import Unrepresentable
from nexus.llm.canonical import (
    AnyPart,
    Cache,
    ChatRequest,
    CustomTool,
    Format,
    FunctionTool,
    HostedTool,
    Inline,
    Link,
    Media,
    Opaque,
    Reasoning,
    Role,
    Stored,
    Text,
    Thinking,
    ToolCall,
    ToolChoice,
    ToolResult,
    Turn,
    Written,
)
from nexus.llm.protocols.anthropic.wire import MessagesCounter, MessagesWire
from nexus.llm.protocols.media import read_url

SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "additionalProperties": False}
OPEN = {"type": "object", "properties": {"city": {"type": "string"}}}
TOOL = FunctionTool(name="weather", description="Tell it", schema=OPEN)
OTHER = FunctionTool(name="time")


def request(*turns: Turn, model: str = "claude-sonnet-4-5", **settings: Any) -> ChatRequest:
    return ChatRequest(protocol="openai", model=model, turns=turns or (turn("user", Text("Hi")),), **settings)


def turn(role: Role, *parts: AnyPart, number: int = 0) -> Turn:
    return Turn(role, parts, f"messages.{number}")


def write(asked: ChatRequest) -> tuple[dict[str, Any], list[str]]:
    body, losses = MessagesWire().write_request(asked)
    assert MessagesWire().write_request(asked)[0] == body  # a prompt cache holds only for the same bytes
    return msgspec.json.decode(body), [loss.path for loss in losses]


def test_a_plain_question() -> None:
    assert write(request()) == (
        {
            "model": "claude-sonnet-4-5",
            "max_tokens": 4096,
            "messages": [{"role": "user", "content": "Hi"}],
        },
        [],
    )


@pytest.mark.parametrize(
    ("model", "longest"),
    [
        ("claude-3-haiku-20240307", 4096),
        ("claude-3-5-haiku-20241022", 8192),
        ("claude-3-7-sonnet-20250219", 32000),
        ("claude-opus-4-1", 32000),
        ("some-compatible-model", 4096),
    ],
)
def test_an_agent_without_a_limit_gets_as_much_as_the_model_allows(model: str, longest: int) -> None:
    asked = request(model=model)
    asked.protocol = "responses"
    assert write(asked)[0]["max_tokens"] == longest


def test_thoughts_longer_than_the_answer_leave_it_room() -> None:
    body, _ = write(request(reasoning=Reasoning("on", budget=40000)))
    assert body["max_tokens"] == 44096


def test_instructions_go_to_the_front_and_a_late_one_is_told() -> None:
    asked = request(
        turn("system", Text("One")),
        turn("developer", Text("Two"), number=1),
        turn("user", Text("Hi"), number=2),
        turn("system", Text("Late"), number=3),
    )
    body, lost = write(asked)
    assert [block["text"] for block in body["system"]] == ["One", "Two", "Late"]
    assert len(body["messages"]) == 1
    assert lost == ["messages.3.role"]


def test_results_of_parallel_calls_come_in_one_message() -> None:
    asked = request(
        turn("user", Text("Hi")),
        turn("assistant", ToolCall("a", "weather", '{"city": "Bern"}'), ToolCall("b", "time", "")),
        turn("user", ToolResult("a", [Text("21")])),
        turn("user", ToolResult("b", [], is_error=True)),
        turn("user", Text("and?")),
    )
    messages = write(asked)[0]["messages"]
    assert messages[1]["content"] == [
        {"type": "tool_use", "id": "a", "name": "weather", "input": {"city": "Bern"}},
        {"type": "tool_use", "id": "b", "name": "time", "input": {}},
    ]
    assert messages[2]["content"] == [
        {"type": "tool_result", "tool_use_id": "a", "content": "21"},
        {"type": "tool_result", "tool_use_id": "b", "is_error": True},
    ]
    assert messages[3] == {"role": "user", "content": "and?"}


@pytest.mark.parametrize(
    ("arguments", "written"),
    [
        ("", {}),
        ("null", {}),
        ("[1]", {"value": [1]}),
        ('"x"', {"value": "x"}),
        ('{"a": 0.10}', {"a": 0.1}),
        ('{"a": ', {"invalid_json": '{"a": '}),
    ],
)
def test_arguments_are_always_an_object(arguments: str, written: object) -> None:
    asked = request(turn("assistant", ToolCall("a", "t", arguments)))
    assert write(asked)[0]["messages"][0]["content"][0]["input"] == written


def test_empty_texts_and_messages_are_left_out() -> None:
    asked = request(turn("user", Text("Hi")), turn("assistant", Text("")), turn("user", Text(""), Text("x")))
    assert write(asked)[0]["messages"] == [
        {"role": "user", "content": "Hi"},
        {"role": "user", "content": "x"},
    ]


@pytest.mark.parametrize(
    ("part", "written"),
    [
        (
            Media("image", Inline("image/png", "QQ==")),
            {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "QQ=="}},
        ),
        (
            Media("image", Link("https://x.test/a.png")),
            {"type": "image", "source": {"type": "url", "url": "https://x.test/a.png"}},
        ),
        (
            Media("document", Inline("application/pdf", "QQ=="), "a.pdf"),
            {
                "type": "document",
                "source": {"type": "base64", "media_type": "application/pdf", "data": "QQ=="},
                "title": "a.pdf",
            },
        ),
        (
            Media("document", Inline("text/csv", base64.b64encode(b"a,b").decode())),
            {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "a,b"}},
        ),
        (
            Media("document", Written("words", "text/markdown")),
            {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "words"}},
        ),
    ],
)
def test_media(part: Media, written: object) -> None:
    assert write(request(turn("user", part)))[0]["messages"][0]["content"] == [written]


@pytest.mark.parametrize(
    "part",
    [
        Media("audio", Inline("audio/wav", "QQ=="), path="messages.0.content.0"),
        Media("video", Link("https://x.test/a.mp4"), path="messages.0.content.0"),
        Media("document", Inline("application/msword", "0M8R4A=="), path="messages.0.content.0"),
        Media("image", Stored("file-1"), path="messages.0.content.0"),
        Opaque("responses", "computer_call", {}, path="messages.0.content.0"),
    ],
)
def test_what_claude_cannot_read_is_refused_by_its_path(part: AnyPart) -> None:
    with pytest.raises(Unrepresentable, match=r"^messages\.0\.content\.0: ") as refused:
        write(request(turn("user", part)))
    assert refused.value.status == 400


def test_only_its_own_thoughts_go_back() -> None:
    asked = request(
        turn(
            "assistant",
            Thinking("a", "sig", origin="anthropic", path="messages.0.content.0"),
            Thinking("", redacted="xyz", origin="anthropic", path="messages.0.content.1"),
            Thinking("c", "foreign", origin="google", path="messages.0.content.2"),
            Thinking("d", path="messages.0.content.3"),
            Text("e"),
        )
    )
    body, lost = write(asked)
    assert [block["type"] for block in body["messages"][0]["content"]] == [
        "thinking",
        "redacted_thinking",
        "text",
    ]
    assert lost == ["messages.0.content.2", "messages.0.content.3"]


def test_cache_marks_stay_where_they_are() -> None:
    asked = request(
        turn("system", Text("s", cache=Cache("1h"))),
        turn("user", Text("u", cache=Cache())),
        tools=[FunctionTool(name="t", schema=OPEN, cache=Cache("5m"))],
    )
    body = write(asked)[0]
    assert body["system"] == [
        {"type": "text", "text": "s", "cache_control": {"type": "ephemeral", "ttl": "1h"}}
    ]
    assert body["messages"][0]["content"][0]["cache_control"] == {"type": "ephemeral"}
    assert body["tools"][0]["cache_control"] == {"type": "ephemeral", "ttl": "5m"}


@pytest.mark.parametrize(
    ("choice", "parallel", "written"),
    [
        (None, None, None),
        (None, False, {"type": "auto", "disable_parallel_tool_use": True}),
        (None, True, {"type": "auto", "disable_parallel_tool_use": False}),
        (ToolChoice("auto"), None, {"type": "auto"}),
        (ToolChoice("none"), False, {"type": "none"}),
        (ToolChoice("required"), None, {"type": "any"}),
        (
            ToolChoice("one", "time"),
            False,
            {"type": "tool", "name": "time", "disable_parallel_tool_use": True},
        ),
    ],
)
def test_tool_choice(choice: ToolChoice | None, parallel: bool | None, written: object) -> None:
    body = write(request(tools=[TOOL, OTHER], tool_choice=choice, parallel_tools=parallel))[0]
    assert body.get("tool_choice") == written


def test_tools_keep_order_and_schema_and_a_missing_one_takes_nothing() -> None:
    strict = FunctionTool(name="s", schema=SCHEMA, strict=True)
    loose = FunctionTool(name="l", schema=OPEN, strict=True)
    tools = write(request(tools=[OTHER, TOOL, strict, loose]))[0]["tools"]
    assert tools == [
        {"name": "time", "input_schema": {"type": "object", "properties": {}}},
        {"name": "weather", "description": "Tell it", "input_schema": OPEN},
        {"name": "s", "input_schema": SCHEMA, "strict": True},
        {"name": "l", "input_schema": OPEN},  # it would be refused: not all its properties are named
    ]


def test_only_allowed_tools_are_offered() -> None:
    choice = ToolChoice("required", allowed=("time",))
    body = write(request(tools=[TOOL, OTHER], tool_choice=choice))[0]
    assert [tool["name"] for tool in body["tools"]] == ["time"]
    assert body["tool_choice"] == {"type": "any"}


def test_free_text_tools_become_functions_of_a_text() -> None:
    asked = request(
        turn("assistant", ToolCall("a", "patch", "*** Begin", custom=True)),
        tools=[CustomTool(name="patch", description="Edit")],
    )
    body = write(asked)[0]
    assert body["tools"][0]["input_schema"]["required"] == ["input"]
    assert body["messages"][0]["content"][0]["input"] == {"input": "*** Begin"}


def test_tools_of_other_vendors_are_left_out_and_told() -> None:
    hosted = HostedTool(protocol="responses", kind="web_search", raw={"type": "web_search"}, path="tools.0")
    body, lost = write(request(tools=[hosted, TOOL]))
    assert [tool["name"] for tool in body["tools"]] == ["weather"]
    assert lost == ["tools.0"]


@pytest.mark.parametrize(
    ("model", "reasoning", "max_tokens", "written", "lost"),
    [
        (
            "claude-3-5-sonnet-20241022",
            Reasoning("on", "high", path="reasoning_effort"),
            None,
            {},
            ["reasoning_effort"],
        ),
        (
            "claude-sonnet-4-5",
            Reasoning("on", "low"),
            None,
            {"max_tokens": 6144, "thinking": {"type": "enabled", "budget_tokens": 2048}},
            [],
        ),
        (
            "claude-sonnet-4-5",
            Reasoning("on", "high"),
            5000,
            {"max_tokens": 5000, "thinking": {"type": "enabled", "budget_tokens": 4000}},
            [],
        ),
        (
            "claude-sonnet-4-5",
            Reasoning("on", "high", path="reasoning_effort"),
            1000,
            {"max_tokens": 1000},
            ["reasoning_effort"],
        ),
        ("claude-sonnet-4-5", Reasoning("on", "none"), None, {}, []),
        (
            "claude-opus-4-6",
            Reasoning("on", "minimal"),
            None,
            {"max_tokens": 5120, "thinking": {"type": "adaptive"}, "output_config": {"effort": "low"}},
            [],
        ),
        (
            "claude-fable-5",
            Reasoning("on", "xhigh"),
            None,
            {
                "max_tokens": 36864,
                "thinking": {"type": "adaptive", "display": "summarized"},
                "output_config": {"effort": "xhigh"},
            },
            [],
        ),
    ],
)
def test_thinking_by_generation(
    model: str, reasoning: Reasoning, max_tokens: int | None, written: dict[str, Any], lost: list[str]
) -> None:
    body, told = write(request(model=model, reasoning=reasoning, max_tokens=max_tokens))
    expected = {"max_tokens": 4096, **written}
    assert {
        name: body[name] for name in body if name in ("max_tokens", "thinking", "output_config")
    } == expected
    assert told == lost


@pytest.mark.parametrize(
    ("model", "settings", "written", "lost"),
    [
        (
            "claude-3-haiku-20240307",
            {"temperature": 1.7, "top_p": 0.5},
            {"temperature": 1.0, "top_p": 0.5},
            ["temperature"],
        ),
        ("claude-sonnet-4-5", {"temperature": 0.5, "top_p": 0.5}, {"temperature": 0.5}, ["top_p"]),
        ("claude-sonnet-4-5", {"top_p": 0.5, "top_k": 4}, {"top_p": 0.5, "top_k": 4}, []),
        ("claude-opus-4-7", {"temperature": 0.5, "top_k": 4}, {}, ["temperature", "top_k"]),
        ("claude-sonnet-4-5", {"temperature": 0.5, "reasoning": Reasoning("on", "low")}, {}, ["temperature"]),
        (
            "claude-sonnet-4-5",
            {"seed": 4, "presence_penalty": 1, "logprobs": True},
            {},
            ["presence_penalty", "seed", "logprobs"],
        ),
        (
            "claude-sonnet-4-5",
            {"stop": ["a"], "user": "u"},
            {"stop_sequences": ["a"], "metadata": {"user_id": "u"}},
            [],
        ),
        ("claude-sonnet-4-5", {"service_tier": "default"}, {"service_tier": "standard_only"}, []),
        ("claude-sonnet-4-5", {"service_tier": "flex"}, {}, ["service_tier"]),
        ("claude-sonnet-4-5", {"extras": {"logit_bias": {}}}, {}, ["logit_bias"]),
    ],
)
def test_settings_by_generation(
    model: str, settings: dict[str, Any], written: dict[str, Any], lost: list[str]
) -> None:
    body, told = write(request(model=model, **settings))
    left = {name: body[name] for name in body if name not in ("model", "max_tokens", "messages", "thinking")}
    assert (left, told) == (written, lost)


def test_a_closed_schema_binds_the_answer_itself() -> None:
    body = write(request(format=Format("schema", SCHEMA, "city", strict=True)))[0]
    assert body["output_config"] == {"format": {"type": "json_schema", "schema": SCHEMA}}
    assert "tools" not in body


@pytest.mark.parametrize(
    ("model", "form"),
    [
        ("claude-sonnet-4-5", Format("json")),
        ("claude-sonnet-4-5", Format("schema", OPEN)),
        ("claude-3-haiku-20240307", Format("schema", SCHEMA)),
    ],
)
def test_any_other_form_is_had_by_a_tool(model: str, form: Format) -> None:
    asked = request(model=model, format=form)
    body = write(asked)[0]
    name = body["tools"][0]["name"]
    assert body["tool_choice"] == {"type": "tool", "name": name}
    called = {"type": "tool_use", "id": "t", "name": name, "input": {"city": "Bern"}}
    answer = {"id": "m", "content": [called], "stop_reason": "tool_use", "model": model}
    response = MessagesWire().read_response(msgspec.json.encode(answer), asked)
    assert response.parts == [Text('{"city":"Bern"}')]
    assert response.stop.reason == "end"


def test_tokens_are_counted_of_what_counts() -> None:
    body = msgspec.json.decode(MessagesCounter().write_request(request(temperature=0.3, tools=[TOOL])))
    assert sorted(body) == ["messages", "model", "tools"]
    assert MessagesCounter().read_response(b'{"input_tokens": 14}') == 14


CALL = ToolCall("call_1", "weather", "{}")
RESULT = turn("user", ToolResult("call_1", [Text("21")]), number=2)
SIGNED = Thinking("Hm", "c2ln", origin="anthropic")


@pytest.mark.parametrize(
    ("answer", "thinks"),
    [
        ((SIGNED, CALL), True),
        ((CALL,), False),
        ((Thinking("Hm", "c2ln", origin="google"), CALL), False),
        ((Text("I look."), SIGNED, CALL), False),
    ],
)
def test_a_model_goes_on_thinking_after_a_call_only_if_its_thoughts_came_back(
    answer: tuple[AnyPart, ...], thinks: bool
) -> None:
    asked = (turn("user", Text("Hi")), turn("assistant", *answer, number=1), RESULT)
    body, losses = write(request(*asked, reasoning=Reasoning("on", "high", path="reasoning_effort")))
    assert ("thinking" in body, "reasoning_effort" in losses) == (thinks, not thinks)


def test_thoughts_of_earlier_answers_may_be_gone() -> None:
    asked = (turn("user", Text("Hi")), turn("assistant", CALL), RESULT, turn("assistant", Text("21")))
    body, losses = write(request(*asked, turn("user", Text("And now?")), reasoning=Reasoning("on", "high")))
    assert ("thinking" in body, losses) == (True, [])


@pytest.mark.parametrize("model", ["claude-sonnet-4-5", "claude-opus-4-6"])
def test_a_model_that_has_to_call_does_not_think(model: str) -> None:
    settings = {"tools": [TOOL], "tool_choice": ToolChoice("required")}
    body, losses = write(request(model=model, reasoning=Reasoning("on", "high", path="r"), **settings))
    assert ("thinking" in body, body["tool_choice"]["type"], losses) == (False, "any", ["r"])


def test_fields_of_a_tool_that_only_its_client_knows_stay_behind() -> None:
    tool = FunctionTool(name="f", path="tools.0", extras={"namespace": {"description": "Files"}})
    body, losses = write(request(tools=[tool]))
    assert (body["tools"][0].keys(), losses) == ({"name", "input_schema"}, ["tools.0.namespace"])


def test_ids_of_calls_hold_only_what_is_allowed() -> None:
    called = turn("assistant", ToolCall("functions.weather:0", "weather", "{}"), number=1)
    result = turn("user", ToolResult("functions.weather:0", [Text("21")]), number=2)
    messages = write(request(called, result))[0]["messages"]
    ids = [messages[0]["content"][0]["id"], messages[1]["content"][0]["tool_use_id"]]
    assert ids[0] == ids[1]
    assert re.fullmatch("[a-zA-Z0-9_-]+", ids[0])


def test_texts_of_nothing_but_spaces_are_left_out() -> None:
    body, _ = write(request(turn("system", Text("")), turn("user", Text(" \n")), turn("user", Text("Hi"))))
    assert ("system" in body, body["messages"]) == (False, [{"role": "user", "content": "Hi"}])


@pytest.mark.parametrize(
    "model", ["claude-opus-5-5", "claude-sonnet-5-5", "claude-fable-5-1", "claude-mythos-5-2"]
)
def test_the_newest_models_cannot_be_made_to_call(model: str) -> None:
    for choice in (ToolChoice("required"), ToolChoice("one", "weather")):
        body, lost = write(request(model=model, tools=[TOOL], tool_choice=choice))
        assert (body["tool_choice"], lost) == ({"type": "auto"}, ["tool_choice"])
    body, lost = write(request(model=model, format=Format("json", path="response_format")))
    assert (body["tool_choice"], lost) == ({"type": "auto"}, ["response_format"])


@pytest.mark.parametrize(
    "model", ["claude-opus-5", "claude-fable-5", "claude-haiku-5-5", "claude-sonnet-4-5"]
)
def test_all_others_can_be_made_to_call(model: str) -> None:
    body, lost = write(request(model=model, tools=[TOOL], tool_choice=ToolChoice("required")))
    assert (body["tool_choice"], lost) == ({"type": "any"}, [])


def test_a_model_that_cannot_be_made_to_call_may_think() -> None:
    asked = request(
        model="claude-opus-5-5",
        tools=[TOOL],
        tool_choice=ToolChoice("required"),
        reasoning=Reasoning("on", "low"),
    )
    body, lost = write(asked)
    assert (body["thinking"]["type"], lost) == ("adaptive", ["tool_choice"])


@pytest.mark.parametrize(
    ("model", "written", "lost"),
    [
        ("claude-sonnet-4-5", {"thinking": {"type": "disabled"}}, []),
        ("claude-opus-4-8", {}, []),
        ("claude-sonnet-5", {"thinking": {"type": "disabled"}}, []),
        ("claude-opus-5", {"thinking": {"type": "disabled"}}, []),
        ("claude-haiku-5-5", {"thinking": {"type": "disabled"}}, []),
        ("claude-sonnet-5-5", {"thinking": {"type": "between_tools"}}, []),
        ("claude-opus-5-5", {"output_config": {"effort": "low"}}, ["reasoning"]),
        ("claude-fable-5", {"output_config": {"effort": "low"}}, ["reasoning"]),
    ],
)
def test_not_to_think_is_said_by_generation(model: str, written: dict[str, Any], lost: list[str]) -> None:
    body, told = write(request(model=model, reasoning=Reasoning("off", "none")))
    assert {name: body[name] for name in ("thinking", "output_config") if name in body} == written
    assert told == lost


def test_what_does_not_think_can_be_told_how_to_sample_and_made_to_answer() -> None:
    body, lost = write(request(reasoning=Reasoning("off", "none"), temperature=0.5, format=Format("json")))
    assert (body["temperature"], body["tool_choice"]["type"], lost) == (0.5, "tool", [])


@pytest.mark.parametrize("summary", [None, "auto", "detailed"])
def test_thoughts_are_shown_where_they_would_be_hidden(summary: str | None) -> None:
    def thinking(model: str, shown: str | None) -> dict[str, Any]:
        return write(request(model=model, reasoning=Reasoning("on", "high", summary=shown)))[0]["thinking"]

    assert thinking("claude-opus-5", summary) == {"type": "adaptive", "display": "summarized"}
    assert thinking("claude-opus-5", "omitted") == {"type": "adaptive"}
    assert thinking("claude-opus-4-6", summary) == {"type": "adaptive"}


def test_images_are_told_by_the_types_that_are_taken() -> None:
    for kind in ("image/jpg", "image/JPG", "image/pjpeg"):
        image = Media("image", read_url(f"data:{kind};base64,QQ=="))
        (message,) = write(request(turn("user", image)))[0]["messages"]
        assert message["content"][0]["source"]["media_type"] == "image/jpeg"
    with pytest.raises(Unrepresentable, match="image/heic"):
        write(
            request(turn("user", Media("image", Inline("image/heic", "QQ=="), path="messages.0.content.0")))
        )


@pytest.mark.parametrize(
    ("schema", "written"),
    [
        ({}, {"type": "object"}),
        ({"properties": {"a": {}}}, {"type": "object", "properties": {"a": {}}}),
        ({"$ref": "#/$defs/A", "$defs": {"A": OPEN}}, {"$ref": "#/$defs/A", "$defs": {"A": OPEN}}),
    ],
)
def test_a_schema_says_that_arguments_are_an_object(schema: dict[str, Any], written: dict[str, Any]) -> None:
    assert (
        write(request(tools=[FunctionTool(name="f", schema=schema)]))[0]["tools"][0]["input_schema"]
        == written
    )


def test_sequences_of_nothing_but_spaces_are_not_stopped_at() -> None:
    body, lost = write(request(stop=["\n", "END", ""]))
    assert (body["stop_sequences"], lost) == (["END"], ["stop"])
    assert "stop_sequences" not in write(request(stop=["\n\n"]))[0]


def test_instructions_alone_are_what_the_user_says() -> None:
    body, lost = write(request(turn("system", Text("Be brief")), turn("developer", Text("Write"), number=1)))
    assert (body["system"], body["messages"]) == ("Be brief", [{"role": "user", "content": "Write"}])
    assert lost == ["messages.1.role"]


def test_a_conversation_does_not_end_with_spaces_of_the_assistant() -> None:
    body, lost = write(request(turn("user", Text("Hi")), turn("assistant", Text("Hello \n"), number=1)))
    assert (body["messages"][-1], lost) == ({"role": "assistant", "content": "Hello"}, [])


@pytest.mark.parametrize("model", ["claude-opus-4-6", "claude-sonnet-5", "claude-haiku-5-5"])
def test_newer_models_are_asked_to_continue(model: str) -> None:
    body, lost = write(
        request(turn("user", Text("Hi")), turn("assistant", Text("Hello "), number=1), model=model)
    )
    assert body["messages"][1:] == [
        {"role": "assistant", "content": "Hello "},
        {"role": "user", "content": "Continue."},
    ]
    assert lost == ["messages.1"]


def test_late_instructions_keep_their_place_where_they_are_heeded() -> None:
    turns = [
        turn("system", Text("first")),
        turn("user", Text("Hi"), number=1),
        turn("assistant", Text("Hello"), number=2),
        turn("developer", Text("early"), number=3),
        turn("user", Text("Go"), number=4),
        turn("developer", Text("late"), number=5),
    ]
    body, lost = write(request(*turns, model="claude-opus-5-5"))
    assert body["system"] == "first"
    assert [(message["role"], message["content"]) for message in body["messages"]] == [
        ("user", "Hi"), ("assistant", "Hello"), ("user", "Go"), ("system", "early"), ("system", "late"),
    ]  # fmt: skip
    assert lost == ["messages.3"]
    body, lost = write(request(*turns, model="claude-sonnet-5"))
    assert lost == ["messages.3.role", "messages.5.role"]


def test_instructions_between_a_call_and_its_result_stand_after_it() -> None:
    asked = request(
        turn("user", Text("Hi")),
        turn("assistant", ToolCall("a", "f", "{}"), number=1),
        turn("developer", Text("now"), number=2),
        turn("user", ToolResult("a", [Text("ok")]), number=3),
        model="claude-fable-5",
    )
    assert [message["role"] for message in write(asked)[0]["messages"]] == [
        "user",
        "assistant",
        "user",
        "system",
    ]


def test_instructions_after_the_assistant_have_no_place_but_the_front() -> None:
    asked = request(
        turn("user", Text("Hi")),
        turn("assistant", Text("Hello"), number=1),
        turn("developer", Text("now"), number=2),
        turn("assistant", Text("Yes"), number=3),
        turn("user", Text("Go"), number=4),
        model="claude-opus-5",
    )
    body, lost = write(asked)
    assert (body["system"], lost) == ("now", ["messages.2.role"])


@pytest.mark.parametrize(
    ("model", "most"),
    [
        ("claude-3-haiku-20240307", 4096),
        ("claude-3-5-haiku-20241022", 8192),
        ("claude-opus-4-1", 32000),
        ("claude-sonnet-4-5", 64000),
        ("claude-opus-4-5", 64000),
        ("claude-opus-5", 128000),
        ("mine", 200000),
    ],
)
def test_no_more_tokens_are_asked_for_than_a_model_gives(model: str, most: int) -> None:
    assert write(request(model=model, max_tokens=200000))[0]["max_tokens"] == most


@pytest.mark.parametrize("model", ["claude-opus-4-1", "claude-sonnet-4-5"])
@pytest.mark.parametrize("max_tokens", [None, 200000])
def test_the_greatest_effort_leaves_room_within_what_a_model_gives(
    model: str, max_tokens: int | None
) -> None:
    body, lost = write(request(model=model, reasoning=Reasoning("on", "max"), max_tokens=max_tokens))
    assert body["thinking"]["budget_tokens"] < body["max_tokens"] <= 64000
    assert lost == []


@pytest.mark.parametrize(
    ("model", "reasoning", "limit"),
    [
        ("claude-sonnet-4-5", None, 4096),
        ("claude-opus-4-8", None, 4096),
        ("claude-opus-4-8", Reasoning("on", "high"), 4096 + 16384),
        ("claude-opus-5-5", None, 4096 + 16384),
        ("claude-opus-5-5", Reasoning("on", "low"), 4096 + 2048),
        ("claude-opus-5-5", Reasoning("off", "none"), 4096 + 16384),
        ("claude-sonnet-5-5", Reasoning("off", "none"), 4096),
    ],
)
def test_an_answer_without_a_limit_has_room_beside_thoughts(
    model: str, reasoning: Reasoning | None, limit: int
) -> None:
    assert write(request(model=model, reasoning=reasoning))[0]["max_tokens"] == limit
