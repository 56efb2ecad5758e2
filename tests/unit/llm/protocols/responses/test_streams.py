"""Streams: read from a provider, written for a client."""

from collections.abc import Sequence

import httpx2
import msgspec
import openai
import openai.types.responses as official
import pydantic
import pytest

from nexus.errors import (
    Internal,
    InvalidRequest,
    UpstreamError,
    UpstreamFailed,
    UpstreamGarbage,
    UpstreamTimeout,
)
from nexus.http import frames
from nexus.llm.canonical import (
    AnyPart,
    ChatRequest,
    ChatResponse,
    Citation,
    Event,
    Inline,
    Json,
    Media,
    Opaque,
    PartClosed,
    PartDelta,
    PartOpened,
    Refusal,
    Started,
    Stop,
    Stopped,
    StopReason,
    Text,
    Thinking,
    ToolCall,
    Usage,
)
from nexus.llm.protocols.folding import fold
from nexus.llm.protocols.node import array_of, object_of
from nexus.llm.protocols.responses import errors
from nexus.llm.protocols.responses.inbound import Responses
from nexus.llm.protocols.responses.wire import ResponsesWire

Fields = dict[str, Json]
OFFICIAL = pydantic.TypeAdapter[official.ResponseStreamEvent](official.ResponseStreamEvent)


def asked() -> ChatRequest:
    tools: list[Fields] = [
        {"type": "function", "name": "f", "parameters": {"type": "object"}},
        {"type": "custom", "name": "patch"},
        {"type": "namespace", "name": "ns", "description": "d", "tools": [{"type": "function", "name": "g"}]},
    ]
    body: Fields = {"model": "m", "input": "hello", "tools": tools, "stream": True}
    return Responses().read_request(msgspec.json.encode(body))


def stream(*events: Event, stop: StopReason = "end") -> bytes:
    writer = Responses().write_stream(asked())
    begun = Started("anthropic", "msg_01", "m", 7)
    ended = Stopped(Stop(stop), Usage(3, 2))
    return b"".join(writer.write(event) for event in (begun, *events, ended))


def told(written: bytes) -> list[Fields]:
    """Give the events of a stream, which the official types have to accept."""
    found: list[Fields] = []
    for frame in frames.events(written):
        payload = frames.payload(frame)
        OFFICIAL.validate_json(payload, strict=True)
        found.append(msgspec.json.decode(payload))
    assert [one["sequence_number"] for one in found] == list(range(len(found)))
    return found


def kinds(written: bytes) -> list[str]:
    return [str(one["type"]).removeprefix("response.") for one in told(written)]


def part(index: int, opened: AnyPart, *texts: str) -> list[Event]:
    return [PartOpened(index, opened), *(PartDelta(index, text) for text in texts), PartClosed(index)]


def test_a_text_is_told_by_all_its_events() -> None:
    cited = PartDelta(0, citation=Citation("anthropic", {}, "https://example.com", "T"))
    written = stream(PartOpened(0, Text("")), PartDelta(0, "Hel"), cited, PartDelta(0, "lo"), PartClosed(0))
    assert kinds(written) == [
        "created",
        "in_progress",
        "output_item.added",
        "content_part.added",
        "output_text.delta",
        "output_text.delta",
        "output_text.annotation.added",
        "output_text.done",
        "content_part.done",
        "output_item.done",
        "completed",
    ]
    assert written.startswith(b"event: response.created\ndata: {")
    assert b"[DONE]" not in written


def test_a_thought_is_told_as_a_summary_and_its_proof_at_its_end() -> None:
    thought = Thinking("", origin="anthropic")
    written = stream(
        PartOpened(0, thought),
        PartDelta(0, "hm"),
        PartDelta(0, "m"),
        PartDelta(0, signature="s"),
        PartClosed(0),
    )
    assert kinds(written)[2:-1] == [
        "output_item.added",
        "reasoning_summary_part.added",
        "reasoning_summary_text.delta",
        "reasoning_summary_text.delta",
        "reasoning_summary_text.done",
        "reasoning_summary_part.done",
        "output_item.done",
    ]
    done = object_of(told(written)[-2]["item"]) or {}
    assert done["encrypted_content"] == "nexus~anthropic~s"
    assert done["summary"] == [{"type": "summary_text", "text": "hmm"}]


def test_a_thought_without_words_has_no_summary() -> None:
    written = stream(*part(0, Thinking("", redacted="d", origin="anthropic")))
    assert kinds(written)[2:-1] == ["output_item.added", "output_item.done"]


def test_a_call_is_told_by_all_its_events() -> None:
    written = stream(*part(0, ToolCall("a", "f", ""), '{"x"', ":1}"), stop="tool")
    assert kinds(written)[2:-1] == [
        "output_item.added",
        "function_call_arguments.delta",
        "function_call_arguments.delta",
        "function_call_arguments.done",
        "output_item.done",
    ]
    assert told(written)[-2]["item"] == {
        "id": "fc_msg_01_0",
        "type": "function_call",
        "status": "completed",
        "arguments": '{"x":1}',
        "call_id": "a",
        "name": "f",
    }


def test_a_call_without_arguments_adds_up_to_an_empty_object() -> None:
    written = stream(*part(0, ToolCall("a", "f", "")))
    deltas = [one["delta"] for one in told(written) if str(one["type"]).endswith(".delta")]
    assert deltas == ["{}"]


def test_a_call_that_comes_whole_is_told_in_one_delta() -> None:
    written = stream(*part(0, ToolCall("a", "ns__g", '{"x":1}')))
    assert [one["delta"] for one in told(written) if "delta" in one] == ['{"x":1}']
    item = object_of(told(written)[-2]["item"]) or {}
    assert (item["namespace"], item["name"]) == ("ns", "g")


def test_free_text_is_unwrapped_when_all_of_it_is_there() -> None:
    written = stream(*part(0, ToolCall("a", "patch", ""), '{"inp', 'ut":"*** \\"B', 'egin\\n"}'))
    assert kinds(written)[2:-1] == [
        "output_item.added",
        "custom_tool_call_input.delta",
        "custom_tool_call_input.done",
        "output_item.done",
    ]
    assert told(written)[-3]["input"] == told(written)[-4]["delta"] == '*** "Begin\n'


def test_free_text_that_comes_as_such_is_told_at_once() -> None:
    written = stream(*part(0, ToolCall("a", "patch", "", custom=True), "***", " Begin"))
    assert [one["delta"] for one in told(written) if "delta" in one] == ["***", " Begin"]


def test_a_refusal_is_told_by_all_its_events() -> None:
    assert kinds(stream(*part(0, Refusal(""), "no", "!"), stop="refusal"))[2:-1] == [
        "output_item.added",
        "content_part.added",
        "refusal.delta",
        "refusal.delta",
        "refusal.done",
        "content_part.done",
        "output_item.done",
    ]


def test_calls_that_are_open_at_once_keep_their_places() -> None:
    written = stream(
        PartOpened(0, ToolCall("a", "f", "")),
        PartOpened(1, ToolCall("b", "f", "")),
        PartDelta(1, '{"b":'),
        PartDelta(0, '{"a":'),
        PartDelta(1, "1}"),
        PartDelta(0, "1}"),
        PartClosed(1),
        PartClosed(0),
    )
    response = object_of(told(written)[-1]["response"]) or {}
    calls = [object_of(one) or {} for one in array_of(response["output"])]
    assert [(one["call_id"], one["arguments"]) for one in calls] == [("a", '{"a":1}'), ("b", '{"b":1}')]


def test_what_broke_off_is_incomplete() -> None:
    written = stream(*part(0, ToolCall("a", "f", "{}")), *part(1, ToolCall("b", "f", '{"x')), stop="length")
    assert kinds(written)[-1] == "incomplete"
    response = object_of(told(written)[-1]["response"]) or {}
    assert response["incomplete_details"] == {"reason": "max_output_tokens"}
    statuses = [(object_of(one) or {})["status"] for one in array_of(response["output"])]
    assert statuses == ["completed", "incomplete"]


def test_signatures_of_calls_come_at_the_end() -> None:
    signed = ToolCall("a", "f", "{}", origin="google")
    written = stream(PartOpened(0, signed), PartDelta(0, signature="s"), PartClosed(0), *part(1, Text("x")))
    last = object_of(told(written)[-2]["item"]) or {}
    assert last == {
        "id": "rs_msg_01_2",
        "type": "reasoning",
        "summary": [],
        "encrypted_content": "nexus~google~call~a~s",
    }


def test_images_are_told_and_what_has_no_form_is_left_out() -> None:
    image = Media("image", Inline("image/png", "AA=="))
    opaque = Opaque("anthropic", "server_tool_use", {})
    written = stream(*part(0, opaque, "x"), *part(1, image), *part(2, Text("x")))
    assert [one["output_index"] for one in told(written) if one["type"] == "response.output_item.added"] == [
        0,
        1,
    ]


def test_a_failure_on_the_way_ends_the_begun_answer() -> None:
    writer = Responses().write_stream(asked())
    events = (Started("anthropic", "msg_01", "m", 7), *part(0, Text("a")), *part(1, ToolCall("a", "f", "{")))
    begun = b"".join(writer.write(event) for event in events)
    written = begun + writer.fail(UpstreamFailed("overloaded", "overloaded_error"))
    last = told(written)[-1]
    response = object_of(last["response"]) or {}
    assert last["type"] == "response.failed"
    assert (response["id"], response["status"]) == ("resp_msg_01", "failed")
    assert response["error"] == {"code": "server_error", "message": "overloaded"}
    assert [(object_of(item) or {})["type"] for item in array_of(response["output"])] == ["message"]


def test_a_failure_before_the_answer_is_an_error_event() -> None:
    error = UpstreamFailed("slow down", "rate_limit_error")
    written = Responses().write_stream(asked()).fail(error)
    assert written == errors.write_event(error)
    assert written.startswith(b"event: error\ndata: ")
    assert told(written) == [
        {
            "type": "error",
            "code": "rate_limit_exceeded",
            "message": "slow down",
            "param": None,
            "sequence_number": 0,
        }
    ]


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (UpstreamFailed("x", "context_length_exceeded"), "context_length_exceeded"),
        (UpstreamFailed("x", "odd"), "server_error"),
        (InvalidRequest("x"), "invalid_prompt"),
        (UpstreamTimeout("p", "d"), "server_error"),
        (UpstreamError(500, (), b"", b""), "server_error"),
        (Internal("ref"), "server_error"),
    ],
)
def test_failures_have_the_codes_clients_know(error: Exception, code: str) -> None:
    assert isinstance(error, InvalidRequest | UpstreamFailed | UpstreamTimeout | UpstreamError | Internal)
    assert errors.code_of(error) == code


def test_the_official_client_reads_the_whole_answer() -> None:
    written = stream(
        *part(0, Thinking("", origin="anthropic"), "hm"),
        *part(1, Text(""), "Hel", "lo"),
        *part(2, ToolCall("a", "f", ""), '{"x":', "1}"),
        *part(3, ToolCall("b", "patch", ""), '{"input":"*"}'),
        stop="tool",
    )

    def answer(request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(200, headers={"content-type": "text/event-stream"}, content=written)

    with httpx2.Client(transport=httpx2.MockTransport(answer)) as transport:
        client = openai.OpenAI(api_key="k", base_url="http://example.com/v1", http_client=transport)
        with client.responses.stream(model="m", input="hello") as events:
            response = events.get_final_response()
    assert response.output_text == "Hello"
    assert [item.type for item in response.output] == [
        "reasoning",
        "message",
        "function_call",
        "custom_tool_call",
    ]
    assert response.usage is not None
    assert response.usage.total_tokens == 5


# Reading


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
