"""Streams written for a client, as the official types and the official client take them."""

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
    UpstreamTimeout,
)
from nexus.http import frames
from nexus.llm.canonical import (
    AnyPart,
    ChatRequest,
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
from nexus.llm.protocols.node import array_of, object_of
from nexus.llm.protocols.responses import errors
from nexus.llm.protocols.responses.inbound import Responses

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
