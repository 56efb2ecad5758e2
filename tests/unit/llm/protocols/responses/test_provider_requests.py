"""Requests of clients of other protocols, written for a provider that speaks this one."""

from collections.abc import Sequence

import msgspec
import pytest

from nexus.errors import Unrepresentable
from nexus.llm.canonical import (
    AnyPart,
    Cache,
    ChatRequest,
    Citation,
    CustomTool,
    Effort,
    Format,
    FunctionTool,
    HostedTool,
    Inline,
    Json,
    Link,
    Media,
    Opaque,
    Reasoning,
    Refusal,
    Stored,
    Text,
    Thinking,
    ToolCall,
    ToolChoice,
    ToolResult,
    Turn,
    Written,
)
from nexus.llm.protocols.responses.wire import ResponsesWire

Fields = dict[str, Json]


def asked(*turns: Turn, **fields: object) -> ChatRequest:
    request = ChatRequest(protocol="anthropic", model="m", turns=turns or [user(Text("hello"))])
    return msgspec.structs.replace(request, **fields)


def user(*parts: AnyPart) -> Turn:
    return Turn("user", parts)


def assistant(*parts: AnyPart) -> Turn:
    return Turn("assistant", parts)


def write(request: ChatRequest, wire: ResponsesWire | None = None) -> tuple[Fields, dict[str, str]]:
    body, losses = (wire or ResponsesWire()).write_request(request)
    return msgspec.json.decode(body), {loss.path: loss.why for loss in losses}


def items(*turns: Turn) -> Json:
    return write(asked(*turns))[0]["input"]


def test_nothing_is_stored_for_clients_who_did_not_ask_for_it() -> None:
    body, losses = write(asked())
    assert body == {
        "model": "m",
        "input": [{"type": "message", "role": "user", "content": "hello"}],
        "store": False,
    }
    assert not losses


def test_a_tool_loop_is_written_in_its_order() -> None:
    thought = Thinking("hm", "enc", origin="responses", id="rs_1")
    assert items(
        Turn("system", [Text("a"), Text("b")]),
        user(Text("weather?")),
        assistant(thought, Text("Let me look."), ToolCall("a", "f", '{"x":1}'), ToolCall("b", "f", "")),
        user(ToolResult("a", [Text("sun")]), ToolResult("b", []), Text("thanks")),
    ) == [
        {
            "type": "message",
            "role": "system",
            "content": [{"type": "input_text", "text": "a"}, {"type": "input_text", "text": "b"}],
        },
        {"type": "message", "role": "user", "content": "weather?"},
        {
            "type": "reasoning",
            "id": "rs_1",
            "summary": [{"type": "summary_text", "text": "hm"}],
            "encrypted_content": "enc",
        },
        {"type": "message", "role": "assistant", "content": "Let me look."},
        {"type": "function_call", "call_id": "a", "name": "f", "arguments": '{"x":1}'},
        {"type": "function_call", "call_id": "b", "name": "f", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "a", "output": "sun"},
        {"type": "function_call_output", "call_id": "b", "output": ""},
        {"type": "message", "role": "user", "content": "thanks"},
    ]


def test_thoughts_of_openai_ask_for_more_of_them() -> None:
    turn = assistant(Thinking("", "enc", origin="responses"))
    assert write(asked(turn))[0]["include"] == ["reasoning.encrypted_content"]
    assert write(asked(reasoning=Reasoning("on", "low")))[0]["include"] == ["reasoning.encrypted_content"]
    assert "include" not in write(asked(reasoning=Reasoning("off")))[0]


def test_a_wordless_thought_that_came_back_on_its_call_stands_before_it() -> None:
    call = ToolCall("a", "f", "{}", signature="enc", origin="responses")
    assert items(assistant(call)) == [
        {"type": "reasoning", "summary": [], "encrypted_content": "enc"},
        {"type": "function_call", "call_id": "a", "name": "f", "arguments": "{}"},
    ]


@pytest.mark.parametrize(
    "thought",
    [
        Thinking("hm", "sig", origin="anthropic", path="messages.1.content.0"),
        Thinking("", redacted="x", origin="anthropic", path="messages.1.content.0"),
        Thinking("hm", path="messages.1.content.0"),
    ],
)
def test_thoughts_openai_did_not_encrypt_stay_behind_and_are_told(thought: Thinking) -> None:
    body, losses = write(asked(assistant(thought, Text("x"))))
    assert body["input"] == [{"type": "message", "role": "assistant", "content": "x"}]
    assert list(losses) == ["messages.1.content.0"]


def test_providers_of_open_models_get_thoughts_as_text() -> None:
    body, losses = write(asked(assistant(Thinking("hm"))), ResponsesWire(takes_unsigned=True))
    assert body["input"] == [
        {"type": "reasoning", "summary": [], "content": [{"type": "reasoning_text", "text": "hm"}]}
    ]
    assert not losses


def test_media_are_written_in_all_their_forms() -> None:
    parts = [
        Media("image", Link("https://example.com/a.png")),
        Media("image", Inline("image/png", "AA==")),
        Media("document", Inline("application/pdf", "AA==")),
        Media("document", Inline("application/pdf", "AA=="), "Paper"),
        Media("document", Link("https://example.com/a.pdf"), "Paper"),
        Media("document", Written("hi"), "note.txt"),
        Media("audio", Inline("audio/wav", "AA==")),
    ]
    expected: list[Fields] = [
        {"type": "input_image", "image_url": "https://example.com/a.png", "detail": "auto"},
        {"type": "input_image", "image_url": "data:image/png;base64,AA==", "detail": "auto"},
        {"type": "input_file", "file_data": "data:application/pdf;base64,AA==", "filename": "document.pdf"},
        {"type": "input_file", "file_data": "data:application/pdf;base64,AA==", "filename": "Paper.pdf"},
        {"type": "input_file", "file_url": "https://example.com/a.pdf"},
        {"type": "input_file", "file_data": "data:text/plain;base64,aGk=", "filename": "note.txt"},
        {"type": "input_audio", "input_audio": {"data": "AA==", "format": "wav"}},
    ]
    assert items(user(*parts)) == [{"type": "message", "role": "user", "content": expected}]
    assert items(user(ToolResult("a", parts))) == [
        {"type": "function_call_output", "call_id": "a", "output": expected}
    ]


@pytest.mark.parametrize(
    "turn",
    [
        user(Media("video", Link("https://example.com/a.mp4"), path="p")),
        user(Media("audio", Link("https://example.com/a.mp3"), path="p")),
        user(Media("audio", Inline("audio/flac", "AA=="), path="p")),
        user(Media("image", Stored("file_1"), path="p")),
        user(Media("image", Written("x"), path="p")),
        user(Opaque("anthropic", "search_result", {}, path="p")),
        user(ToolResult("a", [Opaque("anthropic", "search_result", {}, path="p")])),
        user(Opaque("anthropic", "search_result", {}, path="messages.0.content.0")),
        user(ToolResult("a", [Thinking("x", path="p")])),
        assistant(Media("image", Inline("image/png", "AA=="), path="p")),
    ],
)
def test_content_without_words_here_is_refused_by_its_path(turn: Turn) -> None:
    with pytest.raises(Unrepresentable) as refused:
        write(asked(turn))
    assert refused.value.path in ("p", "messages.0.content.0")


def test_files_openai_keeps_are_the_same_in_its_chat_protocol() -> None:
    parts = [Media("image", Stored("file-1")), Media("document", Stored("file-2"), "a.pdf"), Refusal("no")]
    request = msgspec.structs.replace(asked(user(*parts)), protocol="openai")
    content: Json = [
        {"type": "input_image", "file_id": "file-1", "detail": "auto"},
        {"type": "input_file", "file_id": "file-2"},
        {"type": "input_text", "text": "no"},
    ]
    assert write(request)[0]["input"] == [{"type": "message", "role": "user", "content": content}]


def test_sources_of_other_vendors_are_not_sent_back() -> None:
    cited = Text("so", [Citation("anthropic", {}, "https://example.com")])
    assert items(assistant(cited, Refusal("no"))) == [
        {
            "type": "message",
            "role": "assistant",
            "content": [
                {"type": "output_text", "text": "so", "annotations": []},
                {"type": "refusal", "refusal": "no"},
            ],
        }
    ]


def test_a_failed_tool_is_told_by_its_text_only() -> None:
    body, losses = write(
        asked(user(ToolResult("a", [Text("boom")], is_error=True, path="messages.0.content.0")))
    )
    assert body["input"] == [{"type": "function_call_output", "call_id": "a", "output": "boom"}]
    assert list(losses) == ["messages.0.content.0.is_error"]


CLOSED: Fields = {"type": "object", "properties": {}, "additionalProperties": False}


def test_tools_are_not_strict_unless_that_was_said() -> None:
    tools = [
        FunctionTool(name="a", description="d", schema={"type": "object"}),
        FunctionTool(name="b", schema=CLOSED, strict=True),
        CustomTool(name="c", format={"type": "grammar", "grammar": {"syntax": "regex", "definition": "x"}}),
        HostedTool(protocol="anthropic", kind="web_search_20250305", raw={}, path="tools.3"),
    ]
    body, losses = write(asked(tools=tools))
    assert body["tools"] == [
        {
            "type": "function",
            "name": "a",
            "description": "d",
            "parameters": {"type": "object"},
            "strict": False,
        },
        {"type": "function", "name": "b", "parameters": CLOSED, "strict": True},
        {"type": "custom", "name": "c", "format": {"type": "grammar", "syntax": "regex", "definition": "x"}},
    ]
    assert losses == {"tools.3": "only anthropic runs web_search_20250305"}


def test_free_text_calls_are_custom_calls() -> None:
    call, result = ToolCall("a", "p", "*** Begin", custom=True), ToolResult("a", [Text("ok")], custom=True)
    assert items(assistant(call), user(result)) == [
        {"type": "custom_tool_call", "call_id": "a", "name": "p", "input": "*** Begin"},
        {"type": "custom_tool_call_output", "call_id": "a", "output": "ok"},
    ]


@pytest.mark.parametrize(
    ("choice", "written"),
    [
        (ToolChoice("required"), "required"),
        (ToolChoice("one", "f"), {"type": "function", "name": "f"}),
        (ToolChoice("one", "c"), {"type": "custom", "name": "c"}),
        (
            ToolChoice("auto", allowed=["f", "c"]),
            {
                "type": "allowed_tools",
                "mode": "auto",
                "tools": [{"type": "function", "name": "f"}, {"type": "custom", "name": "c"}],
            },
        ),
    ],
)
def test_choices_are_written(choice: ToolChoice, written: Json) -> None:
    tools = [FunctionTool(name="f"), CustomTool(name="c")]
    assert write(asked(tools=tools, tool_choice=choice))[0]["tool_choice"] == written


def test_a_tool_of_another_vendor_cannot_be_demanded() -> None:
    hosted = HostedTool(protocol="anthropic", kind="web_search", raw={})
    with pytest.raises(Unrepresentable, match="tool_choice"):
        write(asked(tools=[hosted, FunctionTool(name="f")], tool_choice=ToolChoice("one", "web_search")))


def test_without_tools_there_is_no_choice() -> None:
    body, _ = write(asked(tool_choice=ToolChoice("auto"), parallel_tools=True))
    assert "tool_choice" not in body
    assert "parallel_tool_calls" not in body


def test_settings_are_written() -> None:
    request = asked(
        max_tokens=100,
        temperature=0.5,
        top_p=0.9,
        logprobs=True,
        top_logprobs=2,
        tools=[FunctionTool(name="f")],
        parallel_tools=False,
        format=Format("schema", {"a": 1}, description="d", strict=True),
        verbosity="low",
        service_tier="flex",
        user="u",
        cache_key="k",
        stream=True,
    )
    body, losses = write(request)
    del body["tools"], body["input"]
    schema: Json = {
        "type": "json_schema",
        "name": "answer",
        "schema": {"a": 1},
        "description": "d",
        "strict": True,
    }
    assert body == {
        "model": "m",
        "max_output_tokens": 100,
        "temperature": 0.5,
        "top_p": 0.9,
        "top_logprobs": 2,
        "parallel_tool_calls": False,
        "text": {"format": schema, "verbosity": "low"},
        "service_tier": "flex",
        "safety_identifier": "u",
        "prompt_cache_key": "k",
        "stream": True,
        "store": False,
        "include": ["message.output_text.logprobs"],
    }
    assert not losses


def test_settings_openai_lacks_are_told() -> None:
    request = asked(
        user(Text("x", cache=Cache(), path="messages.0.content.0")),
        top_k=1,
        frequency_penalty=0.1,
        presence_penalty=0.1,
        seed=1,
        stop=["x"],
        max_tokens=3,
        extras={"container": "c"},
    )
    body, losses = write(request)
    assert set(losses) == {
        "top_k",
        "frequency_penalty",
        "presence_penalty",
        "seed",
        "stop",
        "max_tokens",
        "container",
        "messages.0.content.0.cache_control",
    }
    assert body["max_output_tokens"] == 16


REASONING: list[tuple[Reasoning, Fields | None]] = [
    (Reasoning("on", "high"), {"effort": "high", "summary": "auto"}),
    (Reasoning("on", budget=2000), {"effort": "low", "summary": "auto"}),
    (Reasoning("on", "low", summary="omitted"), {"effort": "low"}),
    (Reasoning("on", "low", summary="summarized"), {"effort": "low", "summary": "auto"}),
    (Reasoning("on", "low", summary="concise"), {"effort": "low", "summary": "concise"}),
    (Reasoning("adaptive"), {"summary": "auto"}),
    (Reasoning("adaptive", summary="omitted"), None),
    (Reasoning("off"), {"effort": "none"}),
]


@pytest.mark.parametrize(("wanted", "written"), REASONING)
def test_reasoning_is_written(wanted: Reasoning, written: Fields | None) -> None:
    assert write(asked(reasoning=wanted))[0].get("reasoning") == written


def test_models_that_think_get_no_temperature() -> None:
    body, losses = write(asked(temperature=0.5, top_p=1, reasoning=Reasoning("on", "low")))
    assert "temperature" not in body
    assert "top_p" not in body
    assert list(losses) == ["temperature"]


@pytest.mark.parametrize("effort", ["none", "minimal", "low", "medium", "high", "xhigh", "max"])
def test_efforts_have_the_same_names(effort: Effort) -> None:
    reasoning = write(asked(reasoning=Reasoning("on", effort)))[0]["reasoning"]
    assert isinstance(reasoning, dict)
    assert reasoning["effort"] == effort


def test_long_names_of_users_are_hashed_alike() -> None:
    first, second = (write(asked(user="u" * 200, cache_key="k" * 200))[0] for _ in range(2))
    assert first == second
    assert len(str(first["safety_identifier"])) == len(str(first["prompt_cache_key"])) == 64
    assert first["safety_identifier"] != first["prompt_cache_key"]


def test_the_same_request_gives_the_same_bytes() -> None:
    turns: Sequence[Turn] = [user(Text("x"), Media("image", Inline("image/png", "AA==")))]
    tools = [FunctionTool(name="b", schema={"z": 1, "a": 2}), FunctionTool(name="a")]
    first, second = (ResponsesWire().write_request(asked(*turns, tools=tools))[0] for _ in range(2))
    assert first == second
    assert first.index(b'"z"') < first.index(b'"a":2')
    assert first.index(b'"name":"b"') < first.index(b'"name":"a"')


def test_the_endpoint_is_the_same_for_all_models() -> None:
    assert ResponsesWire().target("m", stream=True) == ("/responses", b"")


def test_a_text_that_says_nothing_is_not_written() -> None:
    assert items(assistant(Text(""), ToolCall("a", "f", "{}"))) == [
        {"type": "function_call", "call_id": "a", "name": "f", "arguments": "{}"}
    ]


def test_settings_fit_the_family_of_the_model() -> None:
    settings: Fields = {"temperature": 0.5, "reasoning": Reasoning("on", "max", path="thinking")}
    body, losses = write(asked(model="gpt-4o", **settings))
    assert (body["temperature"], "reasoning" in body, "include" in body) == (0.5, False, False)
    assert list(losses) == ["thinking"]
    body, losses = write(asked(model="gpt-5.2", **settings))
    assert (body["reasoning"], list(losses)) == ({"effort": "xhigh", "summary": "auto"}, ["temperature"])
    body, losses = write(asked(model="gpt-5", logprobs=True, top_logprobs=2, top_p=0.5))
    assert ("include" in body, list(losses)) == (False, ["top_p", "top_logprobs", "logprobs"])


def test_models_that_think_unless_told_not_to_get_no_temperature() -> None:
    asks = ChatRequest(
        protocol="anthropic", model="gpt-6-luna", turns=[user(Text("Hi"))], temperature=0, top_p=0.5
    )
    body, losses = ResponsesWire().write_request(asks)
    assert b"temperature" not in body
    assert [loss.path for loss in losses] == ["temperature", "top_p"]
    asks.reasoning = Reasoning("off")
    body, losses = ResponsesWire().write_request(asks)
    assert (b'"temperature":0' in body, losses) == (True, [])
