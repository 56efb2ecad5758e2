"""What servers of the chat protocol are told, and what is declared where they cannot be."""

import base64
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest

from nexus.errors import Unrepresentable
from nexus.llm.canonical import (
    AnyPart,
    AnyTool,
    Cache,
    ChatRequest,
    Citation,
    CustomTool,
    Format,
    FunctionTool,
    HostedTool,
    Inline,
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
from nexus.llm.protocols.openai.wire import ChatWire, Options

PIXEL = Media(kind="image", source=Inline("image/png", "AA=="), path="image")


def request(*turns: Turn, protocol: str = "anthropic", model: str = "m", **fields: Any) -> ChatRequest:
    return ChatRequest(protocol=protocol, model=model, turns=turns, **fields)


def write(made: ChatRequest, **options: Any) -> tuple[dict[str, Any], list[str]]:
    body, losses = ChatWire(Options(**options)).write_request(made)
    return msgspec.json.decode(body), [loss.path for loss in losses]


def user(*parts: AnyPart) -> Turn:
    return Turn("user", parts, "messages.0")


def messages(*turns: Turn, **options: Any) -> list[dict[str, Any]]:
    return write(request(*turns), **options)[0]["messages"]


def test_one_plain_text_is_a_string_and_more_are_parts() -> None:
    one, two, none = messages(user(Text(text="a")), user(Text(text="a"), Text(text="b")), user())
    assert one == {"role": "user", "content": "a"}
    assert two["content"] == [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    assert none == {"role": "user", "content": ""}


def test_every_result_is_a_message_of_its_own_before_what_the_user_says() -> None:
    results = [ToolResult(call_id=id, content=[Text(text=f"r{id}")]) for id in "ab"]
    said = messages(user(Text(text="and now?"), *results))
    assert said == [
        {"role": "tool", "tool_call_id": "a", "content": "ra"},
        {"role": "tool", "tool_call_id": "b", "content": "rb"},
        {"role": "user", "content": "and now?"},
    ]


def test_images_of_results_are_shown_once_all_tools_have_answered() -> None:
    seen = ToolResult(call_id="a", content=[Text(text="see"), PIXEL])
    blind = ToolResult(call_id="b", content=[PIXEL])
    said = messages(user(seen), user(blind), Turn("assistant", [Text(text="ok")]))
    shown = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}
    assert said == [
        {"role": "tool", "tool_call_id": "a", "content": "see"},
        {"role": "tool", "tool_call_id": "b", "content": ""},
        {"role": "user", "content": [shown, shown]},
        {"role": "assistant", "content": "ok"},
    ]
    last = messages(user(seen, Text(text="look")))
    assert last[1]["content"] == [shown, {"type": "text", "text": "look"}]


def test_the_failure_of_a_tool_is_told_in_its_words_only() -> None:
    failed = ToolResult(call_id="a", content=[Text(text="no")], is_error=True, path="messages.0.content.0")
    body, losses = write(request(user(failed)))
    assert body["messages"] == [{"role": "tool", "tool_call_id": "a", "content": "no"}]
    assert losses == ["messages.0.content.0.is_error"]


def test_calls_follow_the_text_and_leave_content_null_without_one() -> None:
    call = ToolCall(id="a", name="f", arguments='{"x":1}')
    both, alone = messages(
        Turn("assistant", [Text(text="t"), call]), Turn("assistant", [call, Refusal(text="no")])
    )
    written = [{"id": "a", "type": "function", "function": {"name": "f", "arguments": '{"x":1}'}}]
    assert both == {"role": "assistant", "content": "t", "tool_calls": written}
    assert alone == {"role": "assistant", "content": None, "refusal": "no", "tool_calls": written}


def test_an_answer_that_was_spoken_or_empty_is_still_a_message() -> None:
    spoken = Opaque(protocol="openai", kind="audio", raw={"id": "audio_1"})
    said, nothing = messages(Turn("assistant", [spoken]), Turn("assistant", []))
    assert said == {"role": "assistant", "content": None, "audio": {"id": "audio_1"}}
    assert nothing == {"role": "assistant", "content": ""}


def test_only_a_signature_of_ones_own_is_written() -> None:
    own = ToolCall(id="a", name="f", arguments="{}", signature="s", origin="openai")
    foreign = ToolCall(id="b", name="f", arguments="{}", signature="s", origin="google")
    first, second = messages(Turn("assistant", [own, foreign]))[0]["tool_calls"]
    assert first["extra_content"] == {"google": {"thought_signature": "s"}}
    assert "extra_content" not in second


def test_ids_of_other_vendors_are_kept_short_for_call_and_result_alike() -> None:
    long = "x" * 41
    call = Turn("assistant", [ToolCall(id=long, name="f", arguments="{}")])
    made, result = messages(call, user(ToolResult(call_id=long, content=[])))
    assert made["tool_calls"][0]["id"] == result["tool_call_id"]
    assert len(result["tool_call_id"]) <= 40


THOUGHTS = Turn(
    "assistant",
    [
        Thinking(text="hm", signature="s", origin="anthropic", path="t.0"),
        Thinking(text="", redacted="r", origin="anthropic", path="t.1"),
        Thinking(text="own", signature="o", origin="openai", path="t.2"),
        Thinking(text="", redacted="d", origin="openai", id="rs", path="t.3"),
        Text(text="a"),
    ],
)


def test_thoughts_are_left_out_and_declared_where_nobody_reads_them() -> None:
    body, losses = write(request(THOUGHTS))
    assert body["messages"] == [{"role": "assistant", "content": "a"}]
    assert losses == ["t.0", "t.1", "t.2", "t.3"]


@pytest.mark.parametrize("field", ["reasoning_content", "reasoning"])
def test_thoughts_go_back_as_text_where_text_is_read(field: str) -> None:
    body, losses = write(request(THOUGHTS), reasoning_field=field)
    assert body["messages"] == [{"role": "assistant", "content": "a", field: "hmown"}]
    assert losses == ["t.1", "t.3"]


def test_details_take_signatures_of_ones_own_and_no_others() -> None:
    body, losses = write(request(THOUGHTS), reasoning_field="reasoning_details")
    assert body["messages"][0]["reasoning_details"] == [
        {"type": "reasoning.text", "text": "hm", "index": 0},
        {"type": "reasoning.text", "text": "own", "signature": "o", "index": 1},
        {"type": "reasoning.encrypted", "data": "d", "id": "rs", "index": 2},
    ]
    assert losses == ["t.1"]


def test_details_of_a_kind_yet_to_come_go_back_as_they_were() -> None:
    raws = [{"type": "reasoning.new", "x": 1}, {"type": "reasoning.newer"}]
    parts = [Opaque(protocol="openai", kind="reasoning_details", raw=raw, path="t") for raw in raws]
    turn = Turn("assistant", [*parts, Text(text="a")])
    body, losses = write(request(turn), reasoning_field="reasoning_details")
    assert (body["messages"][0]["reasoning_details"], losses) == (raws, [])
    assert write(request(turn))[1] == ["t", "t"]


def test_a_developer_is_the_system_where_there_is_none() -> None:
    turn = Turn("developer", [Text(text="be brief")])
    assert messages(turn)[0]["role"] == "developer"
    assert messages(turn, developer_role=False)[0]["role"] == "system"


@pytest.mark.parametrize(
    ("part", "written"),
    [
        (
            Media(kind="image", source=Link("https://x/y")),
            {"type": "image_url", "image_url": {"url": "https://x/y"}},
        ),
        (
            Media(kind="audio", source=Inline("audio/x-wav", "AA==")),
            {"type": "input_audio", "input_audio": {"data": "AA==", "format": "wav"}},
        ),
        (
            Media(kind="document", source=Inline("application/pdf", "AA==")),
            {
                "type": "file",
                "file": {"filename": "document.pdf", "file_data": "data:application/pdf;base64,AA=="},
            },
        ),
        (
            Media(kind="document", source=Inline("application/pdf", "AA=="), name="a.pdf"),
            {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,AA=="}},
        ),
        (
            Media(kind="document", source=Written("body"), name="Title"),
            {"type": "text", "text": "Title\n\nbody"},
        ),
        (
            Media(kind="document", source=Inline("text/csv", base64.b64encode("ä,b".encode()).decode())),
            {"type": "text", "text": "ä,b"},
        ),
    ],
)
def test_media_of_other_protocols_are_written(part: Media, written: object) -> None:
    parts = messages(user(Text(text="see"), part))[0]["content"]
    assert parts[1] == written


@pytest.mark.parametrize(
    "part",
    [
        Media(kind="document", source=Link("https://x/y.pdf"), path="here"),
        Media(kind="document", source=Stored("file_1"), path="here"),
        Media(kind="document", source=Inline("text/plain", "!"), path="here"),
        Media(kind="audio", source=Inline("audio/flac", "AA=="), path="here"),
        Media(kind="audio", source=Link("https://x/y.mp3"), path="here"),
        Media(kind="video", source=Link("https://x/y.mp4"), path="here"),
        Opaque(protocol="anthropic", kind="server_tool_use", raw={}, path="here"),
        Thinking(text="a user's thought", path="here"),
    ],
)
def test_content_without_words_here_is_refused_with_its_path(part: AnyPart) -> None:
    with pytest.raises(Unrepresentable) as caught:
        messages(user(part))
    assert caught.value.path == "here"


def test_a_system_message_holds_only_text() -> None:
    with pytest.raises(Unrepresentable):
        messages(Turn("system", [PIXEL]))


def test_marks_for_a_cache_are_written_where_they_are_read_and_else_declared() -> None:
    mark = Cache("5m")
    turns = (
        Turn("system", [Text(text="s", cache=mark, path="system.0")]),
        Turn("assistant", [ToolCall(id="a", name="f", arguments="{}", cache=mark, path="call")]),
        user(ToolResult(call_id="a", content=[Text(text="r")], cache=Cache(), path="result")),
    )
    tools = [FunctionTool(name="f", cache=mark, path="tools.0")]
    body, losses = write(request(*turns, tools=tools), cache_control=True)
    written = {"type": "ephemeral", "ttl": "5m"}
    assert body["messages"][0]["content"] == [{"type": "text", "text": "s", "cache_control": written}]
    assert body["messages"][2]["content"] == [
        {"type": "text", "text": "r", "cache_control": {"type": "ephemeral"}}
    ]
    assert body["tools"][0]["cache_control"] == written
    assert losses == ["call.cache_control"]
    body, losses = write(request(*turns, tools=tools))
    assert body["messages"][0]["content"] == "s"
    assert losses == [f"{path}.cache_control" for path in ("tools.0", "system.0", "call", "result")]


def test_sources_of_earlier_answers_are_declared() -> None:
    cited = Text(text="a", citations=[Citation("anthropic", {}, "https://x")], path="here")
    assert write(request(Turn("assistant", [cited])))[1] == ["here.citations"]


FUNCTION = FunctionTool(name="f", description="d", schema={"$ref": "#"}, strict=False, path="tools.0")
CUSTOM = CustomTool(
    name="g", format={"type": "grammar", "syntax": "regex", "definition": "a+"}, path="tools.1"
)
HOSTED = HostedTool(protocol="anthropic", kind="web_search_20250305", raw={}, path="tools.2")


def tools(*offered: AnyTool, choice: ToolChoice | None = None, **options: Any) -> dict[str, Any]:
    return write(request(user(Text(text="x")), tools=offered, tool_choice=choice), **options)[0]


def test_tools_are_written_in_order() -> None:
    assert tools(CUSTOM, FUNCTION)["tools"] == [
        {
            "type": "custom",
            "custom": {
                "name": "g",
                "format": {"type": "grammar", "grammar": {"syntax": "regex", "definition": "a+"}},
            },
        },
        {
            "type": "function",
            "function": {"name": "f", "description": "d", "parameters": {"$ref": "#"}, "strict": False},
        },
    ]


@pytest.mark.parametrize(
    ("choice", "written"),
    [
        (ToolChoice("auto"), "auto"),
        (ToolChoice("required"), "required"),
        (ToolChoice("one", "f"), {"type": "function", "function": {"name": "f"}}),
        (ToolChoice("one", "g"), {"type": "custom", "custom": {"name": "g"}}),
        (
            ToolChoice("auto", allowed=["g"]),
            {
                "type": "allowed_tools",
                "allowed_tools": {"mode": "auto", "tools": [{"type": "custom", "custom": {"name": "g"}}]},
            },
        ),
    ],
)
def test_choices_are_written(choice: ToolChoice, written: object) -> None:
    assert tools(FUNCTION, CUSTOM, choice=choice)["tool_choice"] == written


def test_servers_without_custom_tools_get_functions_and_only_the_allowed_ones() -> None:
    body = tools(FUNCTION, CUSTOM, choice=ToolChoice("required", allowed=["g"]), custom_tools=False)
    assert [tool["function"]["name"] for tool in body["tools"]] == ["g"]
    assert "a+" in body["tools"][0]["function"]["description"]
    assert body["tool_choice"] == "required"
    call = Turn("assistant", [ToolCall(id="1", name="g", arguments="aa", custom=True)])
    written = messages(call, custom_tools=False)[0]["tool_calls"][0]
    assert written["function"] == {"name": "g", "arguments": '{"input":"aa"}'}


def test_tools_other_vendors_run_are_left_out_unless_one_is_demanded() -> None:
    body, losses = write(
        request(user(), tools=[HOSTED, FUNCTION], tool_choice=ToolChoice("auto", allowed=["f", "web_search"]))
    )
    assert [tool["function"]["name"] for tool in body["tools"]] == ["f"]
    assert body["tool_choice"]["allowed_tools"]["tools"] == [{"type": "function", "function": {"name": "f"}}]
    assert losses == ["tools.2"]
    demands: Sequence[ToolChoice] = (ToolChoice("one", "web_search"), ToolChoice("required"))
    for choice in demands:
        with pytest.raises(Unrepresentable):
            tools(HOSTED, choice=choice)


def test_nothing_is_said_of_tools_where_there_are_none() -> None:
    made = request(user(), tools=[HOSTED], tool_choice=ToolChoice("auto"), parallel_tools=False)
    assert not {"tools", "tool_choice", "parallel_tool_calls"} & write(made)[0].keys()


def test_the_limit_is_called_as_the_server_calls_it() -> None:
    made = request(max_tokens=9)
    assert write(made)[0]["max_completion_tokens"] == 9
    assert write(made, max_tokens="max_tokens")[0]["max_tokens"] == 9


def test_usage_is_asked_for_in_every_stream_of_a_server_that_can() -> None:
    assert write(request(stream=True, stream_usage=False))[0]["stream_options"] == {"include_usage": True}
    assert "stream_options" not in write(request(stream=True), stream_usage=False)[0]
    assert "stream_options" not in write(request())[0]


def test_top_k_is_for_servers_that_have_it() -> None:
    assert write(request(top_k=3), top_k=True)[0]["top_k"] == 3
    body, losses = write(request(top_k=3))
    assert ("top_k" in body, losses) == (False, ["top_k"])


@pytest.mark.parametrize(
    ("model", "reasoning", "effort"),
    [
        ("m", Reasoning("on", "xhigh"), "xhigh"),
        ("m", Reasoning("on", budget=5000), "medium"),
        ("m", Reasoning("off"), "none"),
        ("m", Reasoning("adaptive"), None),
        ("o3", Reasoning("on", "xhigh"), "high"),
        ("o3", Reasoning("off"), "low"),
        ("gpt-5-mini-2025-08-07", Reasoning("off"), "minimal"),
        ("gpt-5.2", Reasoning("on", "max"), "xhigh"),
        ("gpt-5.1", Reasoning("on", budget=60000), "high"),
        ("gpt-5.4-mini", Reasoning("on", "max"), "xhigh"),
        ("gpt-5.6-sol", Reasoning("on", "minimal"), "low"),
        ("gpt-6-luna", Reasoning("off"), "none"),
        ("gpt-6.1-sol", Reasoning("off"), "low"),
        ("gpt-6-astra", Reasoning("on", "max"), "max"),
        ("gpt-4o", Reasoning("off"), None),
        ("openai/o3", Reasoning("on", "max"), "max"),
    ],
)
def test_effort_is_the_nearest_the_model_knows(model: str, reasoning: Reasoning, effort: str | None) -> None:
    body, losses = write(request(model=model, reasoning=reasoning))
    assert body.get("reasoning_effort") == effort
    assert losses == []


def test_thinking_asked_of_a_model_that_does_not_is_declared() -> None:
    body, losses = write(request(model="gpt-4o", reasoning=Reasoning("on", budget=2000, path="thinking")))
    assert ("reasoning_effort" in body, losses) == (False, ["thinking"])


@pytest.mark.parametrize(
    ("model", "effort", "dropped"),
    [
        ("gpt-4o", None, []),
        ("gpt-5-chat-latest", None, []),
        ("some-model", None, []),
        ("o4-mini", None, ["temperature", "presence_penalty", "stop"]),
        ("o3-mini", None, ["temperature", "presence_penalty"]),
        ("gpt-5", None, ["temperature", "presence_penalty"]),
        ("gpt-5.1", None, []),
        ("gpt-5.4-nano-2026-03-17", "low", ["temperature", "presence_penalty"]),
        ("gpt-5.5", None, ["temperature", "presence_penalty"]),
        ("gpt-5.6", None, ["temperature", "presence_penalty"]),
        ("gpt-6-sol", None, ["temperature", "presence_penalty"]),
        ("gpt-6-sol", "none", []),
        ("gpt-6.1-sol", "none", ["temperature", "presence_penalty"]),
        ("gpt-5.1-2025-11-13", "low", ["temperature", "presence_penalty"]),
    ],
)
def test_sampling_is_left_out_for_models_that_refuse_it(model: str, effort: Any, dropped: list[str]) -> None:
    reasoning = Reasoning("on", effort) if effort else None
    made = request(model=model, temperature=0.5, top_p=1, presence_penalty=1, stop=["x"], reasoning=reasoning)
    body, losses = write(made)
    assert losses == dropped
    assert [name for name in ("temperature", "presence_penalty", "stop") if name not in body] == dropped
    assert ("top_p" in body) is ("temperature" in body)


def test_what_is_said_in_the_vendors_own_words_is_left_to_its_judgement() -> None:
    made = request(
        protocol="openai", model="o3", temperature=0.5, stop=["x"], reasoning=Reasoning("on", "xhigh")
    )
    body, losses = write(made)
    assert (body["temperature"], body["stop"], body["reasoning_effort"]) == (0.5, ["x"], "xhigh")
    assert losses == []


def test_names_of_users_and_tiers_the_vendor_refuses_are_declared() -> None:
    body, losses = write(request(user="u" * 65, service_tier="standard_only"))
    assert (body.keys() & {"user", "service_tier"}, losses) == (set(), ["service_tier", "user"])
    body, losses = write(request(user="u" * 64, service_tier="flex"))
    assert (body["user"], body["service_tier"], losses) == ("u" * 64, "flex", [])


def test_formats_are_written_with_the_name_the_protocol_demands() -> None:
    def form(format: Format) -> Any:
        return write(request(format=format))[0]["response_format"]

    assert form(Format("text")) == {"type": "text"}
    assert form(Format("json")) == {"type": "json_object"}
    assert form(Format("schema", schema={"type": "string"}, strict=True)) == {
        "type": "json_schema",
        "json_schema": {"name": "response", "schema": {"type": "string"}, "strict": True},
    }


def test_other_settings_are_passed_on() -> None:
    body, losses = write(
        request(seed=7, verbosity="low", cache_key="k", logprobs=True, top_logprobs=2, frequency_penalty=0.5)
    )
    assert losses == []
    expected = {
        "seed": 7,
        "verbosity": "low",
        "prompt_cache_key": "k",
        "logprobs": True,
        "top_logprobs": 2,
        "frequency_penalty": 0.5,
    }
    assert body.items() >= expected.items()


def test_what_only_another_protocol_has_is_declared() -> None:
    made = request(user(Text(text="x", path="p", extras={"y": 1})), extras={"container": "c"})
    body, losses = write(made)
    assert "container" not in body
    assert losses == ["container", "p.y"]


def test_one_answer_is_asked_for() -> None:
    body, losses = write(request(protocol="openai", extras={"n": 3, "metadata": {"a": "b"}}))
    assert ("n" in body, body["metadata"], losses) == (False, {"a": "b"}, ["n"])


def test_the_same_request_gives_the_same_bytes() -> None:
    made = request(THOUGHTS, tools=[FUNCTION, CUSTOM])
    wire = ChatWire()
    assert wire.write_request(made)[0] == wire.write_request(made)[0]
    assert wire.target("m", stream=True) == ("/chat/completions", b"")


def test_no_more_sequences_than_openai_takes_are_stopped_at() -> None:
    body, losses = write(request(stop=list("abcde")))
    assert (body["stop"], losses) == (list("abcd"), ["stop"])
    assert write(request(stop=list("abcde")), most_stops=None)[0]["stop"] == list("abcde")


@pytest.mark.parametrize(
    ("model", "most"),
    [
        ("gpt-4o", 16384),
        ("gpt-4o-mini-2024-07-18", 16384),
        ("gpt-4o-2024-05-13", 4096),
        ("gpt-4.1-mini", 32768),
        ("gpt-5.2", 64000),
        ("mine", 64000),
    ],
)
def test_no_more_tokens_are_asked_for_than_a_model_gives(model: str, most: int) -> None:
    body, losses = write(request(model=model, max_tokens=64000))
    assert (body["max_completion_tokens"], losses) == (most, [])
    assert (
        write(request(protocol="openai", model=model, max_tokens=64000))[0]["max_completion_tokens"] == 64000
    )
