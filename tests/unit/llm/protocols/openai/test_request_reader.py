"""What clients of the chat protocol say, and what we make of it."""

from typing import Any

import msgspec
import pytest

from nexus.errors import InvalidRequest
from nexus.llm.canonical import (
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
    Refusal,
    Stored,
    Text,
    Thinking,
    ToolCall,
    ToolChoice,
    ToolResult,
)
from nexus.llm.protocols.openai.chat import Chat

PIXEL = "data:image/png;base64,iVBORw0KGgo="


def read(**fields: Any) -> ChatRequest:
    return Chat().read_request(msgspec.json.encode({"model": "m", "messages": [], **fields}))


def content(value: object) -> Any:
    return read(messages=[{"role": "user", "content": value}]).turns[0].parts


def test_a_string_and_one_text_part_are_the_same_but_for_their_path() -> None:
    assert content("hi") == [Text(text="hi", path="messages.0.content")]
    assert content([{"type": "text", "text": "hi"}]) == [Text(text="hi", path="messages.0.content.0")]
    assert content("") == content(None) == []


def test_images_are_read_as_data_or_link_with_their_detail() -> None:
    inline, link, bare = content(
        [
            {"type": "image_url", "image_url": {"url": PIXEL, "detail": "low"}},
            {"type": "image_url", "image_url": {"url": "https://x/y.png", "detail": "auto"}},
            {"type": "image_url", "image_url": "https://x/z.png"},
        ]
    )
    assert (inline.kind, inline.source) == ("image", Inline("image/png", "iVBORw0KGgo="))
    assert inline.extras == {"image_url": {"detail": "low"}}
    assert (link.source, link.extras) == (Link("https://x/y.png"), {})
    assert bare.source == Link("https://x/z.png")


def test_sounds_and_films_and_files_are_media() -> None:
    sound, film, pdf, bare, stored = content(
        [
            {"type": "input_audio", "input_audio": {"data": "AA==", "format": "mp3"}},
            {"type": "video_url", "video_url": {"url": "https://x/y.mp4"}},
            {"type": "file", "file": {"file_data": "data:application/pdf;base64,AA==", "filename": "a.pdf"}},
            {"type": "file", "file": {"file_data": "AA=="}},
            {"type": "file", "file": {"file_id": "file-1"}},
        ]
    )
    assert (sound.kind, sound.source) == ("audio", Inline("audio/mpeg", "AA=="))
    assert (film.kind, film.source) == ("video", Link("https://x/y.mp4"))
    assert (pdf.kind, pdf.source, pdf.name) == ("document", Inline("application/pdf", "AA=="), "a.pdf")
    assert bare.source == Inline("application/pdf", "AA==")
    assert (stored.kind, stored.source) == ("document", Stored("file-1"))


def test_an_unknown_part_is_kept_whole() -> None:
    raw = {"type": "hologram", "depth": 3}
    assert content([raw]) == [
        Opaque(protocol="openai", kind="hologram", raw=raw, path="messages.0.content.0")
    ]


def test_cache_marks_of_parts_and_tools_are_read() -> None:
    five, own = content(
        [
            {"type": "text", "text": "a", "cache_control": {"type": "ephemeral", "ttl": "1h"}},
            {"type": "image_url", "image_url": {"url": PIXEL}, "cache_control": {"type": "ephemeral"}},
        ]
    )
    assert (five.cache, own.cache) == (Cache("1h"), Cache())
    tool = read(
        tools=[{"type": "function", "function": {"name": "f"}, "cache_control": {"type": "ephemeral"}}]
    )
    assert tool.tools[0].cache == Cache()


def test_every_message_is_a_turn_of_its_own() -> None:
    turns = read(
        messages=[
            {"role": "system", "content": "s"},
            {"role": "developer", "content": "d"},
            {"role": "user", "content": "u", "name": "ann"},
            {"role": "assistant", "content": "a", "tool_calls": [call("1"), call("2")]},
            {"role": "tool", "tool_call_id": "1", "content": "r1"},
            {"role": "tool", "tool_call_id": "2", "content": [{"type": "text", "text": "r2"}]},
            {"role": "system", "content": "later"},
        ]
    ).turns
    assert [turn.role for turn in turns] == [
        "system",
        "developer",
        "user",
        "assistant",
        "user",
        "user",
        "system",
    ]
    assert turns[2].extras == {"name": "ann"}
    assert [type(part).__name__ for part in turns[3].parts] == ["Text", "ToolCall", "ToolCall"]
    first = turns[4].parts[0]
    assert isinstance(first, ToolResult)
    assert (first.call_id, first.path) == ("1", "messages.4")
    assert first.content == [Text(text="r1", path="messages.4.content")]


def call(id: str, **more: object) -> dict[str, object]:
    return {"id": id, "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}, **more}


def answer(**message: object) -> Any:
    return read(messages=[{"role": "assistant", **message}]).turns[0]


def test_calls_without_arguments_get_an_empty_object_and_objects_become_text() -> None:
    empty, given, odd = answer(
        tool_calls=[
            {"id": "1", "type": "function", "function": {"name": "f", "arguments": ""}},
            {"id": "2", "function": {"name": "f", "arguments": {"a": [1]}}},
            {"id": "3", "type": "function", "function": {"name": "f", "arguments": "not json"}},
        ]
    ).parts
    assert (empty.arguments, given.arguments, odd.arguments) == ("{}", '{"a":[1]}', "not json")


def test_a_custom_call_and_its_result_are_told_as_such() -> None:
    turns = read(
        messages=[
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [{"id": "c", "type": "custom", "custom": {"name": "sh", "input": "ls -l"}}],
            },
            {"role": "tool", "tool_call_id": "c", "content": "ok"},
        ]
    ).turns
    made, result = turns[0].parts[0], turns[1].parts[0]
    assert isinstance(made, ToolCall)
    assert isinstance(result, ToolResult)
    assert (made.custom, made.arguments, result.custom) == (True, "ls -l", True)


def test_a_signature_at_googles_place_is_unsealed_and_the_rest_of_the_place_is_kept() -> None:
    plain = call("1", extra_content={"google": {"thought_signature": "abc"}})
    sealed = call("2", extra_content={"google": {"thought_signature": "nexus~google~xyz", "more": 1}})
    own, foreign = answer(tool_calls=[plain, sealed]).parts
    assert (own.signature, own.origin, own.extras) == ("abc", "openai", {})
    assert (foreign.signature, foreign.origin) == ("xyz", "google")
    assert foreign.extras == {"extra_content": {"google": {"more": 1}}}


def test_thoughts_are_read_from_every_convention() -> None:
    assert answer(reasoning_content="hm", content="a").parts[0].text == "hm"
    assert answer(reasoning="hm", content="a").parts[0].text == "hm"
    assert [type(part).__name__ for part in answer(reasoning_content="", content="a").parts] == ["Text"]


def test_reasoning_details_win_over_the_plain_text_and_are_unsealed() -> None:
    said, hidden, strange, text = answer(
        content="a",
        reasoning="hm",
        reasoning_details=[
            {"type": "reasoning.text", "text": "hm", "signature": "nexus~anthropic~sig", "index": 0},
            {"type": "reasoning.encrypted", "data": "blob", "id": "rs_1", "format": "openai-responses-v1"},
            {"type": "reasoning.new", "x": 1},
        ],
    ).parts
    assert (said.text, said.signature, said.origin) == ("hm", "sig", "anthropic")
    assert (hidden.redacted, hidden.origin, hidden.id) == ("blob", "openai", "rs_1")
    assert hidden.extras == {"format": "openai-responses-v1"}
    assert strange.raw == {"type": "reasoning.new", "x": 1}
    assert text.text == "a"
    assert isinstance(said, Thinking)


def test_a_message_given_back_as_the_sdk_dumps_it_leaves_nothing_unread() -> None:
    turn = answer(content=None, refusal="no", annotations=[], audio=None, function_call=None, tool_calls=None)
    assert turn.parts == [Refusal(text="no", path="messages.0.refusal")]
    assert turn.extras == {}


def test_a_spoken_answer_of_an_earlier_turn_is_kept() -> None:
    part = answer(audio={"id": "audio_1"}).parts[0]
    assert (part.kind, part.raw) == ("audio", {"id": "audio_1"})


def test_functions_of_old_clients_become_tools_for_one_call_at_a_time() -> None:
    request = read(
        functions=[{"name": "f", "parameters": {"type": "object"}}],
        function_call={"name": "f"},
        messages=[
            {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": "{}"}},
            {"role": "function", "name": "f", "content": "r"},
        ],
    )
    assert request.tools == [FunctionTool(name="f", schema={"type": "object"}, path="functions.0")]
    assert request.tool_choice == ToolChoice("one", "f")
    assert request.parallel_tools is False
    made, result = request.turns[0].parts[0], request.turns[1].parts[0]
    assert isinstance(made, ToolCall)
    assert isinstance(result, ToolResult)
    assert made.id == result.call_id != ""


def test_tools_are_read_with_whatever_they_leave_out() -> None:
    bare, full, custom, hosted = read(
        tools=[
            {"function": {"name": "f"}},
            {
                "type": "function",
                "eager": True,
                "function": {
                    "name": "g",
                    "description": "d",
                    "parameters": {"$ref": "#/x"},
                    "strict": True,
                    "x": 1,
                },
            },
            {
                "type": "custom",
                "custom": {
                    "name": "sql",
                    "format": {"type": "grammar", "grammar": {"syntax": "lark", "definition": "start: A"}},
                },
            },
            {"type": "openrouter:web_search", "parameters": {"max_uses": 1}},
        ]
    ).tools
    assert bare == FunctionTool(name="f", path="tools.0")
    assert isinstance(full, FunctionTool)
    assert (full.schema, full.strict, full.extras) == (
        {"$ref": "#/x"},
        True,
        {"eager": True, "function": {"x": 1}},
    )
    assert isinstance(custom, CustomTool)
    assert custom.format == {"type": "grammar", "syntax": "lark", "definition": "start: A"}
    assert isinstance(hosted, HostedTool)
    assert hosted.raw == {"type": "openrouter:web_search", "parameters": {"max_uses": 1}}


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("auto", ToolChoice("auto")),
        ("none", ToolChoice("none")),
        ("required", ToolChoice("required")),
        ("any", ToolChoice("required")),
        ({"type": "function", "function": {"name": "f"}}, ToolChoice("one", "f")),
        ({"type": "function", "name": "f"}, ToolChoice("one", "f")),
        ({"type": "custom", "custom": {"name": "f"}}, ToolChoice("one", "f")),
        ({"type": "any"}, ToolChoice("required")),
        (
            {
                "type": "allowed_tools",
                "allowed_tools": {
                    "mode": "required",
                    "tools": [
                        {"type": "function", "function": {"name": "f"}},
                        {"type": "custom", "custom": {"name": "g"}},
                    ],
                },
            },
            ToolChoice("required", allowed=["f", "g"]),
        ),
        (
            {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": "f"}]},
            ToolChoice("auto", allowed=["f"]),
        ),
    ],
)
def test_tool_choices_are_read_in_all_forms(said: object, meant: ToolChoice) -> None:
    assert read(tool_choice=said).tool_choice == meant


def test_an_unknown_word_stays_where_the_same_protocol_can_have_it() -> None:
    request = read(
        tool_choice="lucky", reasoning_effort="default", response_format={"type": "grammar", "value": "x"}
    )
    assert (request.tool_choice, request.reasoning, request.format) == (None, None, None)
    assert request.extras == {
        "tool_choice": "lucky",
        "reasoning_effort": "default",
        "response_format": {"type": "grammar", "value": "x"},
    }


def test_settings_are_read() -> None:
    request = read(
        max_tokens=5,
        max_completion_tokens=7,
        temperature=0.1,
        top_p=1,
        top_k=40,
        frequency_penalty=-1,
        presence_penalty=0.5,
        stop="END",
        seed=-3,
        logprobs=True,
        top_logprobs=2,
        parallel_tool_calls=False,
        reasoning_effort="minimal",
        verbosity="low",
        service_tier="flex",
        safety_identifier="u",
        prompt_cache_key="k",
        stream=True,
        stream_options={"include_usage": True, "include_obfuscation": False},
    )
    assert request.extras == {}
    assert (request.max_tokens, request.temperature, request.top_p, request.top_k) == (7, 0.1, 1, 40)
    assert (request.frequency_penalty, request.presence_penalty, request.stop) == (-1, 0.5, ["END"])
    assert (request.seed, request.logprobs, request.top_logprobs, request.parallel_tools) == (
        -3,
        True,
        2,
        False,
    )
    assert request.reasoning == Reasoning("on", "minimal", path="reasoning_effort")
    assert (request.verbosity, request.service_tier, request.user, request.cache_key) == (
        "low",
        "flex",
        "u",
        "k",
    )
    assert (request.stream, request.stream_usage) == (True, True)
    assert read(max_tokens=5).max_tokens == 5
    assert read(stop=["a", "b"]).stop == ["a", "b"]
    assert read().stream_usage is False


@pytest.mark.parametrize("effort", ["none", "low", "xhigh"])
def test_no_effort_means_not_to_think(effort: str) -> None:
    reasoning = read(reasoning_effort=effort).reasoning
    assert reasoning is not None
    assert reasoning.mode == ("off" if effort == "none" else "on")
    assert reasoning.effort == effort


def test_formats_are_read() -> None:
    schema = {"type": "object", "additionalProperties": False}
    path = "response_format"
    assert read(response_format={"type": "text"}).format == Format("text", path=path)
    assert read(response_format={"type": "json_object"}).format == Format("json", path=path)
    form = {"type": "json_schema", "json_schema": {"name": "n", "schema": schema, "strict": True}}
    assert read(response_format=form).format == Format(
        "schema", schema=schema, name="n", strict=True, path=path
    )


def test_fields_that_mean_nothing_are_no_extras_and_those_that_do_are() -> None:
    nothing = read(
        n=1, store=False, modalities=["text"], metadata={}, logit_bias={}, stream_options=None, seed=None
    )
    assert nothing.extras == {}
    meaning: dict[str, Any] = {
        "n": 2,
        "store": True,
        "modalities": ["text", "audio"],
        "audio": {"voice": "alloy", "format": "wav"},
        "metadata": {"a": "b"},
        "logit_bias": {"50256": -100},
        "prediction": {"type": "content", "content": "x"},
        "web_search_options": {},
        "min_p": 0.1,
    }
    assert read(**meaning).extras == meaning


BROKEN: list[tuple[dict[str, Any], str]] = [
    ({"model": 3}, "model"),
    ({"messages": None}, "messages"),
    ({"messages": [3]}, "messages.0"),
    ({"messages": [{"content": "x"}]}, "messages.0.role"),
    ({"messages": [{"role": "narrator", "content": "x"}]}, "messages.0.role"),
    ({"messages": [{"role": "user", "content": {}}]}, "messages.0.content"),
    ({"messages": [{"role": "user", "content": ["x"]}]}, "messages.0.content.0"),
    ({"messages": [{"role": "user", "content": [{"type": "text"}]}]}, "messages.0.content.0.text"),
    (
        {"messages": [{"role": "user", "content": [{"type": "image_url"}]}]},
        "messages.0.content.0.image_url",
    ),
    (
        {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}]},
        "messages.0.content.0.image_url.url",
    ),
    (
        {"messages": [{"role": "user", "content": [{"type": "input_audio", "input_audio": {}}]}]},
        "messages.0.content.0.input_audio.format",
    ),
    (
        {"messages": [{"role": "user", "content": [{"type": "file", "file": {}}]}]},
        "messages.0.content.0.file.file_data",
    ),
    ({"messages": [{"role": "tool", "content": "x"}]}, "messages.0.tool_call_id"),
    ({"messages": [{"role": "function", "content": "x"}]}, "messages.0.name"),
    (
        {"messages": [{"role": "assistant", "tool_calls": [{"id": "1"}]}]},
        "messages.0.tool_calls.0.function",
    ),
    (
        {"messages": [{"role": "assistant", "tool_calls": [{"function": {"name": "f"}}]}]},
        "messages.0.tool_calls.0.id",
    ),
    ({"tools": [{"type": "function"}]}, "tools.0.function"),
    ({"tools": [{"type": "function", "function": {}}]}, "tools.0.function.name"),
    ({"tool_choice": {"type": "function"}}, "tool_choice.name"),
    ({"tool_choice": {"type": "dice"}}, "tool_choice.type"),
    ({"response_format": {"type": "json_schema"}}, "response_format.json_schema"),
    ({"max_tokens": -1}, "max_tokens"),
    ({"temperature": "hot"}, "temperature"),
    ({"seed": 1.5}, "seed"),
    ({"stop": [1]}, "stop"),
    ({"stream": "yes"}, "stream"),
]


@pytest.mark.parametrize(("fields", "path"), BROKEN)
def test_a_broken_rule_is_told_with_its_path(fields: dict[str, Any], path: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        read(**fields)
    assert str(caught.value).startswith(f"{path}: ")


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b'{"model":"m"'])
def test_what_is_no_object_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidRequest):
        Chat().read_request(body)


def test_nothing_is_read_twice_in_media_extras() -> None:
    part = content([{"type": "file", "file": {"file_id": "f", "x": 1}, "prompt_cache_breakpoint": {}}])[0]
    assert isinstance(part, Media)
    assert part.extras == {"file": {"x": 1}, "prompt_cache_breakpoint": {}}
