"""Answers as clients of the chat protocol get them, whole and streamed."""

from typing import Any

import msgspec
import pytest
from openai.lib.streaming.chat import ChatCompletionStreamState
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from nexus.errors import UpstreamFailed
from nexus.http.frames import events as split
from nexus.http.frames import payload
from nexus.llm.canonical import (
    AnyPart,
    ChatRequest,
    ChatResponse,
    Citation,
    CustomTool,
    Event,
    FunctionTool,
    Inline,
    Media,
    Opaque,
    PartClosed,
    PartDelta,
    PartOpened,
    Refusal,
    Started,
    Stop,
    Stopped,
    Text,
    Thinking,
    ToolCall,
    Usage,
)
from nexus.llm.protocols.folding import unfold
from nexus.llm.protocols.openai.chat import Chat

PLAIN = ChatRequest(protocol="openai", model="m", turns=[], stream=True, stream_usage=False)
COUNTED = msgspec.structs.replace(PLAIN, stream_usage=True)
OLD = msgspec.structs.replace(PLAIN, tools=[FunctionTool(name="f", path="functions.0")])
FREE = msgspec.structs.replace(PLAIN, tools=[CustomTool(name="sh", path="tools.0")])
CALL = ToolCall(id="c1", name="f", arguments='{"a":1}')


def answer(
    *parts: AnyPart, stop: Stop | None = None, protocol: str = "anthropic", **more: Any
) -> ChatResponse:
    made: dict[str, Any] = {"id": "i", "model": "m", "created": 7, **more}
    return ChatResponse(protocol=protocol, parts=parts, stop=stop or Stop("end"), **made)


def write(response: ChatResponse, request: ChatRequest = PLAIN) -> tuple[dict[str, Any], list[str]]:
    body, losses = Chat().write_response(response, request)
    ChatCompletion.model_validate_json(body)
    return msgspec.json.decode(body), [loss.path for loss in losses]


def message(*parts: AnyPart, **more: Any) -> dict[str, Any]:
    return write(answer(*parts, **more))[0]["choices"][0]["message"]


def stream(*events: Event, request: ChatRequest = PLAIN) -> list[dict[str, Any]]:
    writer = Chat().write_stream(request)
    payloads = [payload(one) for one in split(b"".join(writer.write(event) for event in events))]
    assert payloads.pop() == b"[DONE]"
    for one in payloads:
        ChatCompletionChunk.model_validate_json(one)
    return [msgspec.json.decode(one) for one in payloads]


def deltas(*events: Event, request: ChatRequest = PLAIN) -> list[dict[str, Any]]:
    """Give what the chunks between the first, with the role, and the last, with the reason, say."""
    chunks = stream(Started("anthropic", "i", "m", 7), *events, Stopped(Stop("end")), request=request)
    return [chunk["choices"][0]["delta"] for chunk in chunks][1:-1]


def test_a_text_answer_is_written_without_a_key_too_many() -> None:
    body, losses = write(answer(Text(text="a"), Text(text="b"), usage=Usage(input=10, output=15)))
    assert losses == []
    assert body == {
        "id": "i",
        "object": "chat.completion",
        "created": 7,
        "model": "m",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "ab"}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 10, "completion_tokens": 15, "total_tokens": 25},
    }


def test_content_is_left_out_where_there_is_no_text() -> None:
    assert message(CALL, stop=Stop("tool")) == {
        "role": "assistant",
        "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}}],
    }


@pytest.mark.parametrize(
    ("reason", "written"),
    [
        ("end", "stop"),
        ("sequence", "stop"),
        ("pause", "stop"),
        ("length", "length"),
        ("context", "length"),
        ("tool", "tool_calls"),
        ("filter", "content_filter"),
        ("refusal", "content_filter"),
    ],
)
def test_reasons_are_written(reason: Any, written: str) -> None:
    assert write(answer(Text(text="a"), stop=Stop(reason)))[0]["choices"][0]["finish_reason"] == written
    chunks = stream(Started("x", "i", "m"), Stopped(Stop(reason)))
    assert chunks[-1]["choices"][0]["finish_reason"] == written


def test_a_refusal_in_words_ends_like_a_text() -> None:
    refused = answer(Refusal(text="no"), stop=Stop("refusal"))
    body = write(refused)[0]
    assert body["choices"][0] == {
        "index": 0,
        "message": {"role": "assistant", "refusal": "no"},
        "finish_reason": "stop",
    }
    chunks = stream(*unfold(refused))
    assert [chunk["choices"][0]["delta"] for chunk in chunks] == [
        {"role": "assistant"},
        {"refusal": "no"},
        {},
    ]
    assert chunks[-1]["choices"][0]["finish_reason"] == "stop"


def test_thoughts_are_shown_and_their_proof_is_sealed() -> None:
    shown = message(
        Thinking(text="h", signature="s", origin="anthropic"),
        Thinking(text="", redacted="r", origin="anthropic"),
        Thinking(text="m", signature="o", origin="openai", id="t"),
        Text(text="a"),
    )
    assert shown["reasoning_content"] == "hm"
    assert shown["reasoning_details"] == [
        {"type": "reasoning.text", "text": "h", "signature": "nexus~anthropic~s", "index": 0},
        {"type": "reasoning.encrypted", "data": "nexus~anthropic~r", "index": 1},
        {"type": "reasoning.text", "text": "m", "signature": "o", "id": "t", "index": 2},
    ]


def test_a_signed_call_carries_its_proof_where_googles_clients_look_for_it() -> None:
    signed = msgspec.structs.replace(CALL, signature="s", origin="google")
    extra = {"google": {"thought_signature": "nexus~google~s"}}
    assert message(signed)["tool_calls"][0]["extra_content"] == extra
    early = deltas(PartOpened(0, signed), PartClosed(0))
    assert early[0]["tool_calls"][0]["extra_content"] == extra
    unsigned = msgspec.structs.replace(CALL, arguments="", origin="google")
    late = deltas(PartOpened(0, unsigned), PartDelta(0, signature="s"), PartDelta(0, "{}"), PartClosed(0))
    assert late[-1] == {"tool_calls": [{"index": 0, "extra_content": extra}]}


def test_sources_are_annotations_of_the_text_they_stand_by() -> None:
    cited = Text(text="bcd", citations=[Citation("anthropic", {"x": 1}, "https://x", "X")])
    named = {"url": "https://x", "title": "X", "start_index": 1, "end_index": 4}
    assert message(Text(text="a"), cited)["annotations"] == [{"type": "url_citation", "url_citation": named}]
    opened = PartOpened(1, Text(text=""))
    written = deltas(
        PartOpened(0, Text(text="a")),
        PartClosed(0),
        opened,
        PartDelta(1, "bcd"),
        PartDelta(1, citation=cited.citations[0]),
    )
    assert written[-1] == {"annotations": [{"index": 0, "type": "url_citation", "url_citation": named}]}
    own = {
        "type": "url_citation",
        "url_citation": {"url": "u", "title": "t", "start_index": 0, "end_index": 1},
    }
    kept = Text(text="a", citations=[Citation("openai", own)])
    assert message(kept)["annotations"] == [own]


def test_a_source_without_a_url_is_declared() -> None:
    cited = Text(text="a", citations=[Citation("anthropic", {}, quote="q")])
    assert write(answer(cited))[1] == ["answer.0.citations"]
    assert deltas(PartOpened(0, cited)) == [{"content": "a"}]


def test_parts_without_a_place_are_declared() -> None:
    foreign = Opaque(protocol="anthropic", kind="audio", raw={})
    film = Media(kind="video", source=Inline("video/mp4", "AA=="))
    body, losses = write(answer(Text(text="a"), foreign, film))
    assert body["choices"][0]["message"] == {"role": "assistant", "content": "a"}
    assert losses == ["answer.1", "answer.2"]
    assert (
        deltas(
            PartOpened(0, foreign), PartDelta(0, raw={}), PartClosed(0), PartOpened(1, film), PartClosed(1)
        )
        == []
    )


def test_pictures_and_sound_have_their_places() -> None:
    picture = Media(kind="image", source=Inline("image/png", "AA=="))
    spoken = Opaque(
        protocol="openai", kind="audio", raw={"id": "x", "data": "", "expires_at": 1, "transcript": ""}
    )
    shown = message(picture, spoken)
    written = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}
    assert (shown["images"], shown["audio"]) == ([written], spoken.raw)
    assert deltas(
        PartOpened(0, picture),
        PartClosed(0),
        PartOpened(1, spoken),
        PartDelta(1, raw={"data": "B"}),
        PartClosed(1),
    ) == [{"images": [{"index": 0, **written}]}, {"audio": spoken.raw}, {"audio": {"data": "B"}}]


def test_extras_go_to_clients_of_the_same_protocol_only() -> None:
    more: dict[str, Any] = {"extras": {"system_fingerprint": "fp"}, "service_tier": "flex"}
    own, foreign = write(answer(protocol="openai", **more))[0], write(answer(**more))[0]
    assert (own["system_fingerprint"], own["service_tier"]) == ("fp", "flex")
    assert ("system_fingerprint" in foreign, foreign["service_tier"]) == (False, "flex")


def test_probabilities_stand_beside_the_message() -> None:
    token: dict[str, Any] = {"token": "a", "logprob": -0.1, "bytes": None, "top_logprobs": []}
    response = answer(Text(text="a", logprobs=[token]))
    assert write(response)[0]["choices"][0]["logprobs"] == {"content": [token]}
    chunks = stream(*unfold(response))
    assert chunks[1]["choices"][0] == {
        "index": 0,
        "delta": {"content": "a"},
        "logprobs": {"content": [token]},
    }


def test_old_clients_get_one_call_in_the_old_form() -> None:
    second = msgspec.structs.replace(CALL, id="c2")
    response = answer(CALL, second, stop=Stop("tool"))
    body, losses = write(response, OLD)
    function = {"name": "f", "arguments": '{"a":1}'}
    assert body["choices"][0] == {
        "index": 0,
        "message": {"role": "assistant", "function_call": function},
        "finish_reason": "function_call",
    }
    assert losses == ["functions"]
    chunks = stream(*unfold(response), request=OLD)
    assert [chunk["choices"][0]["delta"] for chunk in chunks] == [
        {"role": "assistant"},
        {"function_call": {"name": "f", "arguments": ""}},
        {"function_call": {"arguments": '{"a":1}'}},
        {},
    ]
    assert chunks[-1]["choices"][0]["finish_reason"] == "function_call"


def test_a_free_text_told_as_a_function_is_unwrapped_for_its_client() -> None:
    response = answer(ToolCall(id="c", name="sh", arguments='{"input":"ls -l"}'), stop=Stop("tool"))
    called = {"id": "c", "type": "custom", "custom": {"name": "sh", "input": "ls -l"}}
    body = msgspec.json.decode(Chat().write_response(response, FREE)[0])
    assert body["choices"][0]["message"]["tool_calls"] == [called]
    writer = Chat().write_stream(FREE)
    opened = PartOpened(0, ToolCall(id="c", name="sh", arguments=""))
    writer.write(Started("anthropic", "i", "m"))
    assert (
        writer.write(opened)
        + writer.write(PartDelta(0, '{"inp'))
        + writer.write(PartDelta(0, 'ut":"ls -l"}'))
        == b""
    )
    last = msgspec.json.decode(payload(writer.write(PartClosed(0))))
    assert last["choices"][0]["delta"] == {"tool_calls": [{"index": 0, **called}]}


def test_a_custom_call_streams_its_text() -> None:
    writer = Chat().write_stream(FREE)
    writer.write(Started("openai", "i", "m"))
    begun = writer.write(PartOpened(0, ToolCall(id="c", name="sh", arguments="ls", custom=True)))
    first, second = (msgspec.json.decode(payload(one)) for one in split(begun))
    start = {"index": 0, "id": "c", "type": "custom", "custom": {"name": "sh", "input": ""}}
    assert first["choices"][0]["delta"] == {"tool_calls": [start]}
    assert second["choices"][0]["delta"] == {"tool_calls": [{"index": 0, "custom": {"input": "ls"}}]}


def test_a_stream_begins_with_the_role_and_leaves_absent_keys_out() -> None:
    chunks = stream(
        Started("anthropic", "i", "m", 7),
        PartOpened(0, Text(text="")),
        PartDelta(0, "a"),
        PartClosed(0),
        Stopped(Stop("end"), Usage(input=1, output=2)),
    )
    head = {"id": "i", "object": "chat.completion.chunk", "created": 7, "model": "m"}
    assert chunks == [
        {**head, "choices": [{"index": 0, "delta": {"role": "assistant"}}]},
        {**head, "choices": [{"index": 0, "delta": {"content": "a"}}]},
        {
            **head,
            "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3},
        },
    ]


def test_usage_has_a_chunk_of_its_own_where_the_client_asked_for_it() -> None:
    begun, stopped = Started("anthropic", "i", "m"), Stopped(Stop("end"), Usage(input=1, output=2))
    *_, last, counted = stream(begun, stopped, request=COUNTED)
    assert "usage" not in last
    assert (counted["choices"], counted["usage"]["total_tokens"]) == ([], 3)
    assert len(stream(begun, Stopped(Stop("end")), request=COUNTED)) == 2


def test_usage_known_from_the_beginning_is_told_where_none_came_later() -> None:
    chunks = stream(Started("anthropic", "i", "m", usage=Usage(input=9)), Stopped(Stop("end")))
    assert chunks[-1]["usage"]["prompt_tokens"] == 9


def test_parallel_calls_keep_their_order_and_their_pieces() -> None:
    f, g = ToolCall(id="1", name="f", arguments=""), ToolCall(id="2", name="g", arguments='{"b":')
    written = deltas(
        PartOpened(0, f),
        PartOpened(1, g),
        PartDelta(0, '{"a":'),
        PartDelta(1, "2}"),
        PartDelta(0, "1}"),
        PartClosed(1),
        PartClosed(0),
    )
    assert [delta["tool_calls"][0] for delta in written] == [
        {"index": 0, "id": "1", "type": "function", "function": {"name": "f", "arguments": ""}},
        {"index": 1, "id": "2", "type": "function", "function": {"name": "g", "arguments": ""}},
        {"index": 1, "function": {"arguments": '{"b":'}},
        {"index": 0, "function": {"arguments": '{"a":'}},
        {"index": 1, "function": {"arguments": "2}"}},
        {"index": 0, "function": {"arguments": "1}"}},
    ]


def test_a_thought_streams_twice_and_its_proof_comes_whole_at_its_end() -> None:
    written = deltas(
        PartOpened(0, Thinking(text="", origin="anthropic")),
        PartDelta(0, "h"),
        PartDelta(0, signature="si"),
        PartDelta(0, signature="g"),
        PartClosed(0),
        PartOpened(1, Thinking(text="", redacted="r", origin="anthropic")),
        PartClosed(1),
    )
    assert written == [
        {
            "reasoning_content": "h",
            "reasoning_details": [{"type": "reasoning.text", "text": "h", "index": 0}],
        },
        {
            "reasoning_details": [
                {"type": "reasoning.text", "text": "", "signature": "nexus~anthropic~sig", "index": 0}
            ]
        },
        {"reasoning_details": [{"type": "reasoning.encrypted", "data": "nexus~anthropic~r", "index": 1}]},
    ]


def test_a_stream_keeps_what_its_vendor_adds() -> None:
    chunks = stream(
        Started("openai", "i", "m", service_tier="flex", extras={"system_fingerprint": "fp"}),
        PartOpened(0, Text(text="a")),
        Stopped(Stop("end"), Usage(input=1), {"provider": {"x": 1}, "system_fingerprint": "fp2"}),
    )
    assert [chunk["service_tier"] for chunk in chunks] == ["flex"] * 3
    assert [chunk["system_fingerprint"] for chunk in chunks] == ["fp", "fp", "fp2"]
    assert chunks[-1]["provider"] == {"x": 1}


def test_a_failure_on_the_way_is_the_last_event_but_one() -> None:
    failed = Chat().write_stream(PLAIN).fail(UpstreamFailed("busy"))
    error, done = (payload(one) for one in split(failed))
    assert (msgspec.json.decode(error)["error"]["message"], done) == ("busy", b"[DONE]")


def test_the_official_client_adds_up_lists_that_come_piece_by_piece() -> None:
    cited = Text(text="ab", citations=[Citation("google", {}, url) for url in ("https://x", "https://y")])
    picture = Media(kind="image", source=Inline("image/png", "AA=="))
    state = ChatCompletionStreamState()
    for chunk in stream(*unfold(answer(cited, picture, picture))):
        state.handle_chunk(ChatCompletionChunk.model_validate(chunk))
    whole = state.get_final_completion().choices[0].message
    assert [one.url_citation.url for one in whole.annotations or ()] == ["https://x", "https://y"]
    assert len((whole.model_extra or {})["images"]) == 2
