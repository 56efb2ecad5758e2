"""Streams read from a provider, however it sends them."""

from collections.abc import Sequence

import msgspec
import pytest

from nexus.errors import (
    UpstreamFailed,
    UpstreamGarbage,
)
from nexus.llm.canonical import (
    ChatRequest,
    ChatResponse,
    Event,
    Json,
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
from nexus.llm.protocols.folding import fold
from nexus.llm.protocols.responses.inbound import Responses
from nexus.llm.protocols.responses.wire import ResponsesWire

Fields = dict[str, Json]


def asked() -> ChatRequest:
    tools: list[Fields] = [
        {"type": "function", "name": "f", "parameters": {"type": "object"}},
        {"type": "custom", "name": "patch"},
        {"type": "namespace", "name": "ns", "description": "d", "tools": [{"type": "function", "name": "g"}]},
    ]
    body: Fields = {"model": "m", "input": "hello", "tools": tools, "stream": True}
    return Responses().read_request(msgspec.json.encode(body))


def event(kind: str, **fields: Json) -> Fields:
    return {"type": kind if kind == "error" else f"response.{kind}", **fields}


def read(*events: Fields, end: bool = True) -> list[Event]:
    reader = ResponsesWire().read_stream(asked())
    found = [read for one in events for read in reader.read(msgspec.json.encode(one))]
    return [*found, *(reader.end() if end else ())]


def folded(*events: Fields) -> ChatResponse:
    return fold(read(*events))


BEGUN = event("created", response={"id": "resp_1", "model": "gpt", "created_at": 7, "status": "in_progress"})
DONE = event(
    "completed",
    response={"id": "resp_1", "status": "completed", "usage": {"input_tokens": 3, "output_tokens": 2}},
)


def item(at: int, state: str, **fields: Json) -> Fields:
    return event(f"output_item.{state}", output_index=at, item=fields)


def call(at: int, state: str, arguments: str = "") -> Fields:
    return item(
        at, state, type="function_call", id=f"fc_{at}", call_id=f"call_{at}", name="f", arguments=arguments
    )


def grown(at: int, delta: str) -> Fields:
    return event("function_call_arguments.delta", output_index=at, item_id=f"fc_{at}", delta=delta)


def check(events: Sequence[Event]) -> None:
    """Check that parts open in order, grow while they are open, and all close."""
    opened: set[int] = set()
    closed: set[int] = set()
    assert isinstance(events[0], Started)
    assert isinstance(events[-1], Stopped)
    for one in events[1:-1]:
        match one:
            case PartOpened(index):
                assert index == len(opened)
                opened.add(index)
            case PartDelta(index):
                assert index in opened - closed
            case PartClosed(index):
                assert index in opened - closed
                closed.add(index)
            case _:
                raise AssertionError(one)
    assert opened == closed


def test_parallel_calls_keep_apart() -> None:
    events = read(
        BEGUN,
        call(0, "added"),
        call(1, "added"),
        grown(1, '{"b":'),
        grown(0, '{"a":1'),
        grown(1, "2}"),
        grown(0, "}"),
        call(0, "done", '{"a":1}'),
        call(1, "done", '{"b":2}'),
        DONE,
    )
    check(events)
    response = fold(events)
    assert response.parts == [
        ToolCall("call_0", "f", '{"a":1}', extras={"id": "fc_0"}),
        ToolCall("call_1", "f", '{"b":2}', extras={"id": "fc_1"}),
    ]
    assert response.stop == Stop("tool")
    assert response.usage == Usage(3, 2)


@pytest.mark.parametrize(
    "events",
    [
        [call(0, "added"), call(0, "done", "{}")],
        [call(0, "added"), call(0, "done")],
        [call(0, "done")],
        [call(0, "added", "{}"), call(0, "done", "{}")],
        [call(0, "added"), grown(0, "{}"), call(0, "done", "{}")],
        [call(0, "added"), grown(0, ""), grown(0, "{}"), call(0, "done", "{}")],
    ],
)
def test_arguments_are_told_once_however_they_come(events: list[Fields]) -> None:
    found = read(BEGUN, *events, DONE)
    check(found)
    assert fold(found).parts == [ToolCall("call_0", "f", "{}", extras={"id": "fc_0"})]


MESSAGE: Fields = {"type": "message", "id": "msg_1"}
SAID: list[Json] = [{"type": "output_text", "text": "hi"}]


def content(kind: str, **fields: Json) -> Fields:
    return event(kind, output_index=0, content_index=0, **fields)


@pytest.mark.parametrize(
    "events",
    [
        [item(0, "added", **MESSAGE), content("output_text.delta", delta="hi"), item(0, "done", **MESSAGE)],
        [
            item(0, "added", **MESSAGE),
            content("content_part.added", part={"type": "output_text", "text": ""}),
            content("output_text.done", text="hi"),
            content("content_part.done", part={"type": "output_text", "text": "hi"}),
            item(0, "done", **MESSAGE, content=SAID),
        ],
        [
            item(0, "added", **MESSAGE),
            content("content_part.added", part={"type": "output_text", "text": "h"}),
            content("output_text.delta", delta="i"),
            content("output_text.done", text="hi"),
            item(0, "done", **MESSAGE, content=SAID),
        ],
        [item(0, "added", **MESSAGE), item(0, "done", **MESSAGE, content=SAID)],
        [item(0, "done", **MESSAGE, content=SAID)],
        [item(0, "added", **MESSAGE), content("output_text.delta", delta="hi")],
    ],
)
def test_texts_are_told_once_however_they_come(events: list[Fields]) -> None:
    found = read(BEGUN, *events, DONE)
    check(found)
    (text,) = fold(found).parts
    assert isinstance(text, Text)
    assert text.text == "hi"
    assert text.extras == {"message": {"id": "msg_1"}}


def test_refusals_are_read() -> None:
    response = folded(
        BEGUN,
        item(0, "added", **MESSAGE),
        content("content_part.added", part={"type": "refusal", "refusal": ""}),
        content("refusal.delta", delta="n"),
        content("refusal.delta", delta="o"),
        content("refusal.done", refusal="no"),
        item(0, "done", **MESSAGE),
        DONE,
    )
    assert response.parts == [Refusal("no", extras={"message": {"id": "msg_1"}})]
    assert response.stop == Stop("refusal")


def summary(at: int, delta: str) -> Fields:
    return event("reasoning_summary_text.delta", output_index=0, summary_index=at, delta=delta)


THOUGHTS: list[list[Fields]] = [
    [summary(0, "a"), summary(1, "b")],
    [
        event("reasoning_text.delta", output_index=0, content_index=0, delta="a"),
        event("reasoning_text.delta", output_index=0, content_index=1, delta="b"),
    ],
    [],
]


@pytest.mark.parametrize("deltas", THOUGHTS)
def test_thoughts_are_one_text_with_their_proof(deltas: list[Fields]) -> None:
    parts: Json = [{"type": "summary_text", "text": "a"}, {"type": "summary_text", "text": "b"}]
    found = read(
        BEGUN,
        item(0, "added", type="reasoning", id="rs_1", summary=[], encrypted_content="early"),
        *deltas,
        item(0, "done", type="reasoning", id="rs_1", summary=parts, encrypted_content="late"),
        DONE,
    )
    check(found)
    assert fold(found).parts == [Thinking("a\n\nb", "late", origin="responses", id="rs_1")]


def test_free_text_calls_are_read() -> None:
    response = folded(
        BEGUN,
        item(0, "added", type="custom_tool_call", id="ctc_1", call_id="a", name="patch", input=""),
        event("custom_tool_call_input.delta", output_index=0, delta="***"),
        item(0, "done", type="custom_tool_call", id="ctc_1", call_id="a", name="patch", input="***"),
        DONE,
    )
    assert response.parts == [ToolCall("a", "patch", "***", custom=True, extras={"id": "ctc_1"})]


def test_calls_of_a_namespace_have_their_flat_name() -> None:
    done = item(0, "done", type="function_call", call_id="a", name="g", namespace="ns", arguments="{}")
    (found,) = folded(BEGUN, done, DONE).parts
    assert isinstance(found, ToolCall)
    assert found.name == "ns__g"


def test_items_that_are_not_understood_are_told_when_they_are_done() -> None:
    search: Fields = {"type": "web_search_call", "id": "ws_1", "status": "completed", "content": 7}
    events = read(
        BEGUN,
        item(0, "added", type="web_search_call", id="ws_1", status="in_progress"),
        event("web_search_call.searching", output_index=0, item_id="ws_1"),
        event("image_generation_call.partial_image", delta={"odd": 1}),
        item(0, "done", **search),
        event("something.new", output_index=0),
        DONE,
    )
    check(events)
    assert fold(events).parts == [Opaque("responses", "web_search_call", search)]


def test_an_answer_that_broke_off_is_closed() -> None:
    incomplete = event(
        "incomplete", response={"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}
    )
    events = read(BEGUN, call(0, "added"), grown(0, '{"x'), incomplete)
    check(events)
    assert events[-1] == Stopped(Stop("length", detail="max_output_tokens"))


FAILURES: list[Fields] = [
    event("failed", response={"status": "failed", "error": {"code": "boom", "message": "too bad"}}),
    event("error", code="boom", message="too bad", param=None),
    event("error", error={"type": "boom", "message": "too bad"}),
    event("completed", response={"status": "failed", "error": {"code": "boom", "message": "too bad"}}),
]


@pytest.mark.parametrize("failure", FAILURES)
def test_failures_within_a_stream_are_told(failure: Fields) -> None:
    with pytest.raises(UpstreamFailed, match="too bad") as failed:
        read(BEGUN, failure)
    assert failed.value.kind == "boom"


@pytest.mark.parametrize("events", [[], [BEGUN], [BEGUN, call(0, "added"), call(0, "done", "{}")]])
def test_a_cut_stream_is_a_failure(events: list[Fields]) -> None:
    reader = ResponsesWire().read_stream(asked())
    for one in events:
        reader.read(msgspec.json.encode(one))
    with pytest.raises(UpstreamFailed, match="before the answer was complete"):
        reader.end()


def test_nothing_is_read_after_the_end() -> None:
    reader = ResponsesWire().read_stream(asked())
    reader.read(msgspec.json.encode(BEGUN))
    reader.read(msgspec.json.encode(DONE))
    assert not reader.read(msgspec.json.encode(DONE))
    assert not reader.read(b"[DONE]")
    assert not reader.end()


def test_an_answer_that_was_not_announced_begins_with_what_it_says() -> None:
    events = read(call(0, "added"), call(0, "done", "{}"), DONE)
    check(events)
    assert events[0] == Started("responses", "", "m")


@pytest.mark.parametrize(
    "payload",
    [b"{", b"[]", b'"\xff"', b'{"type":"response.created","response":7}', b'{"type":"response.created"}'],
)
def test_nonsense_is_garbage(payload: bytes) -> None:
    with pytest.raises(UpstreamGarbage):
        ResponsesWire().read_stream(asked()).read(payload)


def test_an_item_cannot_become_another() -> None:
    with pytest.raises(UpstreamGarbage):
        read(BEGUN, call(0, "added"), item(0, "done", type="web_search_call"))


def test_deltas_for_what_is_not_open_say_nothing() -> None:
    strays = [
        grown(5, "x"),
        content("output_text.delta", delta="x"),
        summary(0, "x"),
        content("output_text.done", text="x"),
    ]
    strays += [content("output_text.annotation.added", annotation={}), content("content_part.added", part={})]
    strays += [
        content("content_part.done", part={}),
        call(0, "added"),
        content("content_part.added", part={}),
    ]
    events = read(BEGUN, *strays, DONE)
    check(events)
    assert len(fold(events).parts) == 1
