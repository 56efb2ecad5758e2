"""Whole answers of servers, in all the ways they differ."""

from typing import Any

import msgspec
import pytest

from nexus.errors import UpstreamFailed, UpstreamGarbage
from nexus.llm.canonical import (
    AnyPart,
    ChatRequest,
    ChatResponse,
    Media,
    Opaque,
    Refusal,
    Stop,
    Text,
    Thinking,
    ToolCall,
    Usage,
)
from nexus.llm.protocols.openai.usage import read_usage, write_usage
from nexus.llm.protocols.openai.wire import ChatWire

REQUEST = ChatRequest(protocol="anthropic", model="m", turns=[])


def read(message: dict[str, Any], finish: str = "stop", **more: Any) -> ChatResponse:
    choice = {"index": 0, "message": {"role": "assistant", **message}, "finish_reason": finish}
    choice.update(more.pop("choice", {}))
    body = {"id": "c", "object": "chat.completion", "created": 7, "model": "gpt", "choices": [choice], **more}
    return ChatWire().read_response(msgspec.json.encode(body), REQUEST)


def parts(**message: Any) -> list[AnyPart]:
    return list(read(message).parts)


def test_an_answer_is_read() -> None:
    answer = read(
        {"content": "a", "refusal": None, "annotations": []},
        usage={"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5},
        service_tier="flex",
        system_fingerprint="fp",
    )
    assert answer == ChatResponse(
        protocol="openai",
        id="c",
        model="gpt",
        created=7,
        parts=[Text(text="a")],
        stop=Stop("end"),
        usage=Usage(input=3, output=2),
        service_tier="flex",
        extras={"system_fingerprint": "fp"},
    )


def test_what_is_said_is_read_in_the_order_it_was_made() -> None:
    picture = {"type": "image_url", "image_url": {"url": "https://x/y.png"}}
    call = {"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    found = parts(
        reasoning="hm", content="a", refusal="no", audio={"id": "x"}, images=[picture], tool_calls=[call]
    )
    assert [type(part) for part in found] == [Thinking, Text, Refusal, Opaque, Media, ToolCall]


def test_an_answer_without_content_has_no_text() -> None:
    assert parts(content=None) == parts(content="") == parts() == []


def test_content_may_be_an_array_with_thoughts_in_it() -> None:
    thinking = {
        "type": "thinking",
        "thinking": [{"type": "text", "text": "h"}, {"type": "text", "text": "m"}],
    }
    assert parts(
        content=[thinking, {"type": "text", "text": "a"}, "b", {"type": "refusal", "refusal": "c"}]
    ) == [
        Thinking(text="hm", origin="openai"),
        Text(text="a"),
        Text(text="b"),
        Refusal(text="c"),
    ]


@pytest.mark.parametrize("field", ["reasoning", "reasoning_content"])
def test_thoughts_are_read_from_either_field(field: str) -> None:
    assert parts(**{field: "hm"}) == [Thinking(text="hm", origin="openai")]


def test_sources_and_probabilities_belong_to_the_last_text() -> None:
    annotation = {"type": "url_citation", "url_citation": {"url": "https://x", "title": "X"}}
    answer = read(
        {"content": "a", "annotations": [annotation]}, choice={"logprobs": {"content": [{"token": "a"}]}}
    )
    text = answer.parts[0]
    assert isinstance(text, Text)
    assert (text.text, list(text.logprobs), text.citations[0].url) == ("a", [{"token": "a"}], "https://x")
    alone = parts(annotations=[annotation])[0]
    assert isinstance(alone, Text)
    assert (alone.text, len(alone.citations)) == ("", 1)


@pytest.mark.parametrize("arguments", ["", None, {}, " "])
def test_a_call_without_arguments_gets_an_empty_object_and_without_id_one_is_made(arguments: object) -> None:
    call = {"type": "function", "function": {"name": "f", "arguments": arguments}}
    one, two = parts(tool_calls=[call, call])
    assert isinstance(one, ToolCall)
    assert isinstance(two, ToolCall)
    assert (one.arguments, two.arguments) == ("{}", "{}")
    assert one.id.startswith("call_")
    assert one.id != two.id


def test_custom_signed_and_old_calls_are_read() -> None:
    custom = {"id": "1", "type": "custom", "custom": {"name": "sh", "input": "ls"}}
    signed = {
        "id": "2",
        "type": "function",
        "function": {"name": "f", "arguments": "{}"},
        "extra_content": {"google": {"thought_signature": "s"}},
    }
    assert parts(tool_calls=[custom, signed]) == [
        ToolCall(id="1", name="sh", arguments="ls", custom=True, origin="openai"),
        ToolCall(id="2", name="f", arguments="{}", signature="s", origin="openai"),
    ]
    old = parts(function_call={"name": "f", "arguments": '{"a":1}'})[0]
    assert isinstance(old, ToolCall)
    assert (old.name, old.arguments) == ("f", '{"a":1}')


def test_a_call_that_ends_with_stop_wants_its_tool_and_a_refusal_is_one() -> None:
    call = {"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    assert read({"tool_calls": [call]}).stop == Stop("tool")
    assert read({"tool_calls": [call]}, "length").stop == Stop("length")
    assert read({"refusal": "no"}).stop == Stop("refusal")
    assert read({"content": "a"}, choice={"stop_reason": "END"}).stop == Stop("sequence", "END")
    assert read({"content": "a"}, choice={"stop_reason": 128001}).stop == Stop("end")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{}",
        b'{"choices":[]}',
        b'{"choices":[{}]}',
        b'{"choices":[{"message":null}]}',
        b"\xff",
        b"[" * 99999,
    ],
)
def test_what_is_no_answer_is_garbage(body: bytes) -> None:
    with pytest.raises(UpstreamGarbage):
        ChatWire().read_response(body, REQUEST)


def test_a_call_without_a_name_is_garbage() -> None:
    with pytest.raises(UpstreamGarbage):
        parts(tool_calls=[{"id": "1", "function": {"arguments": "{}"}}])


@pytest.mark.parametrize(
    "body",
    [
        {"error": {"message": "no", "code": 400}},
        {"object": "error", "message": "no", "type": "invalid_request_error", "code": 400},
        {
            "choices": [
                {"error": {"message": "no", "type": "invalid_request_error"}, "finish_reason": "error"}
            ]
        },
        {
            "choices": [
                {
                    "message": {"content": "a"},
                    "finish_reason": "stop",
                    "error": {"message": "no", "code": 400},
                }
            ]
        },
    ],
)
def test_a_failure_in_an_answers_place_is_raised(body: object) -> None:
    with pytest.raises(UpstreamFailed) as caught:
        ChatWire().read_response(msgspec.json.encode(body), REQUEST)
    assert (str(caught.value), caught.value.kind) == ("no", "invalid_request_error")


@pytest.mark.parametrize(
    ("raw", "meant"),
    [
        ({"prompt_tokens": 10, "completion_tokens": 4}, Usage(input=10, output=4)),
        (
            {
                "prompt_tokens": 10,
                "completion_tokens": 4,
                "prompt_tokens_details": {"cached_tokens": 6, "cache_write_tokens": 1},
                "completion_tokens_details": {"reasoning_tokens": 3},
            },
            Usage(input=3, output=4, cache_read=6, cache_write=1, reasoning=3),
        ),
        (
            {"prompt_tokens": 10, "prompt_cache_hit_tokens": 6, "prompt_cache_miss_tokens": 4},
            Usage(input=4, cache_read=6),
        ),
        ({"prompt_tokens": 10, "num_cached_tokens": 9}, Usage(input=1, cache_read=9)),
        (
            {"prompt_tokens": 10, "cached_tokens": 2, "prompt_tokens_details": None},
            Usage(input=8, cache_read=2),
        ),
        (
            {"prompt_tokens": 10, "prompt_tokens_details": {"cached_tokens": 9, "cache_write_tokens": 9}},
            Usage(cache_read=9, cache_write=1),
        ),
        (
            {
                "prompt_tokens": 10,
                "completion_tokens": 4,
                "total_tokens": 21,
                "completion_tokens_details": {"reasoning_tokens": 7},
            },
            Usage(input=10, output=11, reasoning=7),
        ),
        ({"prompt_tokens": 10, "cost": 0.1}, Usage(input=10, extras={"cost": 0.1})),
        ({"prompt_tokens": None, "completion_tokens": "many"}, Usage()),
        ({}, None),
        (None, None),
    ],
)
def test_no_token_is_counted_twice_in_any_vendors_counts(raw: object, meant: Usage | None) -> None:
    assert read_usage(raw) == meant
    if meant is not None and isinstance(raw, dict):
        assert meant.prompt == (raw.get("prompt_tokens") or 0)  # pyright: ignore[reportUnknownMemberType]


def test_counts_that_are_nothing_are_not_written() -> None:
    assert write_usage(Usage(input=10, output=15), own=True) == {
        "prompt_tokens": 10,
        "completion_tokens": 15,
        "total_tokens": 25,
    }
    full = Usage(
        input=1, output=15, cache_read=2, cache_write=3, cache_write_1h=4, reasoning=5, extras={"cost": 1}
    )
    written = {
        "prompt_tokens": 10,
        "completion_tokens": 15,
        "total_tokens": 25,
        "prompt_tokens_details": {"cached_tokens": 2, "cache_write_tokens": 7},
        "completion_tokens_details": {"reasoning_tokens": 5},
    }
    assert write_usage(full, own=False) == written
    assert write_usage(full, own=True) == {"cost": 1, **written}
