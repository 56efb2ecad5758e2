"""Answers, whole and streamed."""

from collections.abc import Sequence

import msgspec
import pytest

from nexus.errors import UpstreamFailed, UpstreamGarbage
from nexus.llm.canonical import (
    AnyPart,
    ChatRequest,
    Citation,
    Event,
    Format,
    FunctionTool,
    Inline,
    Json,
    Media,
    Opaque,
    PartClosed,
    PartDelta,
    PartOpened,
    Started,
    Stop,
    Stopped,
    Text,
    Thinking,
    ToolCall,
    Usage,
)
from nexus.llm.protocols.converse.wire import ConverseCounter, ConverseWire
from nexus.llm.protocols.folding import fold
from wires.converse import CLAUDE, NOVA

WIRE = ConverseWire()
ASKED = ChatRequest(protocol="openai", model=NOVA, turns=[])
FORM = Format("schema", {"type": "object"})


def whole(*blocks: Json, reason: str = "end_turn", request: ChatRequest = ASKED, **more: Json):
    answer = {"output": {"message": {"role": "assistant", "content": blocks}}, "stopReason": reason, **more}
    return WIRE.read_response(msgspec.json.encode(answer), request)


def read(*events: Json, request: ChatRequest = ASKED, end: bool = True) -> list[Event]:
    reader = WIRE.read_stream(request)
    found = [one for event in events for one in reader.read(msgspec.json.encode(event))]
    return found + list(reader.end()) if end else found


def start(index: int, block: Json) -> Json:
    return {"contentBlockStart": {"start": block, "contentBlockIndex": index, "p": "ab"}}


def call(index: int, id: str, name: str = "f") -> Json:
    return start(index, {"toolUse": {"toolUseId": id, "name": name}})


def delta(index: int, content: Json) -> Json:
    return {"contentBlockDelta": {"delta": content, "contentBlockIndex": index, "p": "ab"}}


def text(index: int, piece: str) -> Json:
    return delta(index, {"text": piece})


def arguments(index: int, piece: str) -> Json:
    return delta(index, {"toolUse": {"input": piece}})


def close(index: int) -> Json:
    return {"contentBlockStop": {"contentBlockIndex": index}}


def stop(reason: str = "end_turn", more: Json = None) -> Json:
    return {"messageStop": {"stopReason": reason, "additionalModelResponseFields": more}}


BEGIN: Json = {"messageStart": {"role": "assistant"}}
END: Json = {
    "metadata": {
        "usage": {"inputTokens": 3, "outputTokens": 5, "totalTokens": 8},
        "metrics": {"latencyMs": 9},
    }
}
STARTED = Started("converse", "", NOVA)


def stopped(stop: Stop) -> Stopped:
    return Stopped(stop, Usage(input=3, output=5), {"metrics": {"latencyMs": 9}})


def parts(*events: Json, request: ChatRequest = ASKED) -> Sequence[AnyPart]:
    return fold(read(BEGIN, *events, request=request)).parts


def test_a_text_opens_with_its_first_piece() -> None:
    assert read(BEGIN, text(0, "He"), text(0, "y"), close(0), stop(), END) == [
        STARTED,
        PartOpened(0, Text("")),
        PartDelta(0, "He"),
        PartDelta(0, "y"),
        PartClosed(0),
        stopped(Stop("end")),
    ]


def test_a_text_announced_by_an_empty_start_is_read_the_same() -> None:
    announced = [BEGIN, start(0, {}), text(0, "Hey"), close(0), stop(), END]
    assert read(*announced) == read(BEGIN, text(0, "Hey"), close(0), stop(), END)


def test_a_thought_announced_by_an_empty_start_is_read_the_same() -> None:
    grown = [delta(0, {"reasoningContent": {"text": "hm"}}), close(0), stop(), END]
    assert read(BEGIN, start(0, {"reasoningContent": {}}), *grown) == read(BEGIN, *grown)


def test_parallel_calls_keep_their_order_their_ids_and_their_arguments() -> None:
    events = [
        call(0, "t1"),
        arguments(0, '{"a"'),
        call(1, "t2"),
        arguments(1, '{"b":'),
        arguments(0, ":1}"),
        arguments(1, "2}"),
        close(0),
        close(1),
        stop("tool_use"),
        END,
    ]
    assert parts(*events) == [ToolCall("t1", "f", '{"a":1}'), ToolCall("t2", "f", '{"b":2}')]


@pytest.mark.parametrize("pieces", [(), ("",)])
def test_a_call_without_arguments_has_an_empty_object(pieces: tuple[str, ...]) -> None:
    events = [call(0, "t1"), *(arguments(0, piece) for piece in pieces), close(0), stop("tool_use"), END]
    assert parts(*events) == [ToolCall("t1", "f", "{}")]
    assert whole({"toolUse": {"toolUseId": "t1", "name": "f", "input": {}}}).parts == [
        ToolCall("t1", "f", "{}")
    ]


def test_a_thought_comes_with_its_signature_and_before_the_text() -> None:
    events = [
        delta(0, {"reasoningContent": {"text": "h"}}),
        delta(0, {"reasoningContent": {"text": "m"}}),
        delta(0, {"reasoningContent": {"signature": "c2ln"}}),
        close(0),
        delta(1, {"reasoningContent": {"redactedContent": "cmVk"}}),
        close(1),
        text(2, "Hey"),
        close(2),
        stop(),
        END,
    ]
    found = [
        Thinking("hm", "c2ln", origin="converse"),
        Thinking("", redacted="cmVk", origin="converse"),
        Text("Hey"),
    ]
    assert parts(*events) == found
    blocks: list[Json] = [
        {"reasoningContent": {"reasoningText": {"text": "hm", "signature": "c2ln"}}},
        {"reasoningContent": {"redactedContent": "cmVk"}},
        {"text": "Hey"},
    ]
    assert whole(*blocks).parts == found


def test_a_block_that_changes_its_kind_becomes_two_parts() -> None:
    events = [delta(0, {"reasoningContent": {"text": "hm"}}), text(0, "Hey"), close(0), stop(), END]
    assert parts(*events) == [Thinking("hm", origin="converse"), Text("Hey")]


def test_indexes_that_skip_are_counted_anew() -> None:
    opened = [
        one
        for one in read(BEGIN, text(3, "a"), close(3), text(7, "b"), stop(), END)
        if isinstance(one, PartOpened)
    ]
    assert [one.index for one in opened] == [0, 1]


def test_blocks_left_open_are_closed_before_the_end() -> None:
    assert read(BEGIN, text(0, "a"), call(1, "t"), stop("tool_use"), END)[-4:] == [
        PartClosed(0),
        PartDelta(1, "{}"),
        PartClosed(1),
        stopped(Stop("tool")),
    ]


def test_citations_are_the_sources_of_their_text() -> None:
    raw: dict[str, Json] = {
        "title": "T",
        "location": {"web": {"url": "https://x", "domain": "x"}},
        "sourceContent": [{"text": "q"}, {"text": "r"}],
    }
    cited = Citation("converse", raw, "https://x", "T", "qr")
    events = [text(0, "a"), delta(0, {"citation": raw}), text(0, "b"), close(0), stop(), END]
    assert parts(*events) == [Text("ab", (cited,))]
    block: Json = {"citationsContent": {"content": [{"text": "a"}, {"text": "b"}], "citations": [raw]}}
    assert whole(block).parts == [Text("ab", [cited])]


def test_what_the_vendor_runs_itself_is_told_whole() -> None:
    use: dict[str, Json] = {"toolUseId": "s", "name": "nova_grounding", "type": "server_tool_use"}
    result: dict[str, Json] = {"toolUseId": "s", "type": "nova_grounding_result", "status": "success"}
    events = [
        start(0, {"toolUse": use}),
        arguments(0, '{"q":'),
        arguments(0, '"x"}'),
        close(0),
        start(1, {"toolResult": result}),
        delta(1, {"toolResult": [{"text": "found"}]}),
        delta(1, {"toolResult": [{"json": {"n": 1}}]}),
        close(1),
        stop(),
        END,
    ]
    blocks: list[dict[str, Json]] = [
        {"toolUse": {**use, "input": {"q": "x"}}},
        {"toolResult": {**result, "content": [{"text": "found"}, {"json": {"n": 1}}]}},
    ]
    assert parts(*events) == [
        Opaque("converse", "toolUse", blocks[0]),
        Opaque("converse", "toolResult", blocks[1]),
    ]
    answer = whole(*blocks)
    assert answer.parts == parts(*events)
    assert answer.stop == Stop("end")


def test_a_picture_is_told_whole() -> None:
    events = [
        start(0, {"image": {"format": "png"}}),
        delta(0, {"image": {"source": {"bytes": "aGk="}}}),
        close(0),
    ]
    picture = Media("image", Inline("image/png", "aGk="))
    assert parts(*events, stop(), END) == [picture]
    assert whole({"image": {"format": "png", "source": {"bytes": "aGk="}}}).parts == [picture]


@pytest.mark.parametrize(
    ("reason", "read_as"),
    [
        ("end_turn", Stop("end")),
        ("max_tokens", Stop("length")),
        ("stop_sequence", Stop("sequence", "END")),
        ("guardrail_intervened", Stop("filter", "END", {"stopReason": "guardrail_intervened"})),
        ("content_filtered", Stop("filter", "END")),
        ("model_context_window_exceeded", Stop("context", "END")),
        ("malformed_tool_use", Stop("end", "END", {"stopReason": "malformed_tool_use"})),
    ],
)
def test_reasons_to_stop(reason: str, read_as: Stop) -> None:
    more: Json = None if reason in ("end_turn", "max_tokens") else {"stop_sequence": "END"}
    answer = whole({"text": "a"}, reason=reason, additionalModelResponseFields=more)
    assert answer.stop == read_as
    last = read(BEGIN, text(0, "a"), stop(reason, more), END)[-1]
    assert isinstance(last, Stopped)
    assert last.stop == read_as


def test_an_answer_with_calls_never_just_ends() -> None:
    assert whole({"toolUse": {"toolUseId": "t", "name": "f", "input": {}}}).stop == Stop("tool")
    assert read(BEGIN, call(0, "t"), stop(), END)[-1] == stopped(Stop("tool"))


def test_tokens_are_counted_in_one_place_each() -> None:
    tokens: Json = {
        "inputTokens": 22,
        "outputTokens": 13,
        "totalTokens": 2527,
        "cacheReadInputTokens": 7,
        "cacheWriteInputTokens": 2492,
        "cacheDetails": [{"ttl": "1h", "inputTokens": 2000}, {"ttl": "5m", "inputTokens": 492}],
    }
    counted = Usage(input=22, output=13, cache_read=7, cache_write=492, cache_write_1h=2000)
    assert whole({"text": "a"}, usage=tokens).usage == counted
    assert fold(read(BEGIN, stop(), {"metadata": {"usage": tokens}})).usage == counted
    assert counted.prompt + counted.output == 2521 + 13


def test_traces_and_what_the_model_adds_are_kept() -> None:
    more: dict[str, Json] = {
        "additionalModelResponseFields": {"x": 1},
        "trace": {"guardrail": {"actionReason": "No action."}},
        "performanceConfig": {"latency": "standard"},
        "metrics": {"latencyMs": 3},
    }
    given = {"output": {"message": {"content": [{"text": "a"}]}}, "stopReason": "end_turn", **more}
    answer = WIRE.read_response(msgspec.json.encode({**given, "serviceTier": {"type": "flex"}}), ASKED)
    assert answer.extras == more
    assert answer.service_tier == "flex"
    rest = {name: value for name, value in more.items() if name[0] != "a"}
    events = read(BEGIN, text(0, "a"), stop("end_turn", {"x": 1}), {"metadata": rest})
    assert fold(events).extras == more


FORMED = ChatRequest(protocol="openai", model=NOVA, turns=[], format=FORM, tools=[FunctionTool(name="f")])


def test_the_answer_tool_is_read_as_the_text_it_stands_for() -> None:
    events = [
        call(0, "t", "structured_answer"),
        arguments(0, '{"a"'),
        arguments(0, ":1}"),
        close(0),
        stop("tool_use"),
    ]
    told = read(BEGIN, *events, END, request=FORMED)
    assert fold(told).parts == [Text('{"a":1}')]
    assert told[-1] == stopped(Stop("end"))
    block: Json = {"toolUse": {"toolUseId": "t", "name": "structured_answer", "input": {"a": 1}}}
    answer = whole(block, reason="tool_use", request=FORMED)
    assert (answer.parts, answer.stop) == ([Text('{"a":1}')], Stop("end"))


def test_calls_beside_the_answer_stay_calls() -> None:
    events = [call(0, "t"), close(0), call(1, "u", "structured_answer"), close(1), stop("tool_use"), END]
    told = read(BEGIN, *events, request=FORMED)
    assert fold(told).parts == [ToolCall("t", "f", "{}"), Text("{}")]
    assert told[-1] == stopped(Stop("tool"))


@pytest.mark.parametrize(
    ("kind", "read_as"),
    [
        ("throttlingException", "rate_limit_error"),
        ("validationException", "invalid_request_error"),
        ("modelStreamErrorException", "api_error"),
        ("InternalFailure", "api_error"),
    ],
)
def test_a_failure_within_a_stream_is_raised_with_its_words(kind: str, read_as: str) -> None:
    with pytest.raises(UpstreamFailed, match="too much") as caught:
        read(BEGIN, text(0, "a"), {kind: {"message": "too much"}})
    assert caught.value.kind == read_as


def test_events_invented_since_are_passed_over() -> None:
    assert read(BEGIN, {"newEvent": {"x": 1}}, {}, text(0, "a"), end=False) == read(
        BEGIN, text(0, "a"), end=False
    )


@pytest.mark.parametrize("events", [[], [BEGIN], [BEGIN, text(0, "a"), close(0)], [BEGIN, text(0, "a"), END]])
def test_a_stream_that_is_cut_is_no_answer(events: list[Json]) -> None:
    with pytest.raises(UpstreamFailed, match="before the answer was complete"):
        read(*events)


def test_a_stream_without_counts_is_complete() -> None:
    assert read(BEGIN, text(0, "a"), stop())[-2:] == [PartClosed(0), Stopped(Stop("end"))]


def test_a_stream_that_begins_in_the_middle_is_begun_for_it() -> None:
    assert read(text(0, "a"), end=False)[0] == STARTED


@pytest.mark.parametrize(
    "payload",
    [b"", b"{", b"[]", b'{"contentBlockDelta":{}}', b'{"contentBlockDelta":{"delta":{"text":1}}}', b"\xff"],
)
def test_what_is_no_event_is_garbage(payload: bytes) -> None:
    with pytest.raises(UpstreamGarbage):
        WIRE.read_stream(ASKED).read(payload)


@pytest.mark.parametrize(
    "event", [arguments(5, "{"), delta(5, {"toolResult": []}), start(0, {"toolUse": {}})]
)
def test_events_out_of_place_are_garbage(event: Json) -> None:
    with pytest.raises(UpstreamGarbage):
        read(BEGIN, event)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b"[]",
        b'{"output":{"message":{"content":[{"toolUse":{}}]}},"stopReason":"x"}',
        b"\xff",
        b"[" * 9999,
    ],
)
def test_what_is_no_answer_is_garbage(body: bytes) -> None:
    with pytest.raises(UpstreamGarbage):
        WIRE.read_response(body, ASKED)


def test_a_token_count_is_read() -> None:
    counter = ConverseCounter("anthropic.claude-sonnet-4-5-20250929-v1:0")
    assert counter.target(CLAUDE) == "/model/anthropic.claude-sonnet-4-5-20250929-v1%3A0/count-tokens"
    assert counter.read_response(b'{"inputTokens":14}') == 14
    with pytest.raises(UpstreamGarbage):
        counter.read_response(b"{}")
