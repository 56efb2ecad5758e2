"""Streams of the Messages protocol, event by event."""

from collections.abc import Iterable
from typing import Any

import msgspec
import pytest

from nexus.errors import UpstreamFailed, UpstreamGarbage, UpstreamUnreachable
from nexus.http import frames
from nexus.llm.canonical import (
    AnyPart,
    ChatRequest,
    Citation,
    Event,
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
from nexus.llm.protocols.anthropic.inbound import Messages
from nexus.llm.protocols.anthropic.stream_reader import StreamReader
from nexus.llm.protocols.anthropic.stream_writer import StreamWriter
from nexus.llm.protocols.folding import fold

ASKED = ChatRequest(protocol="anthropic", model="m", turns=[])
STARTED = Started("openai", "chatcmpl-1", "gpt", 7, Usage(input=3))


def write(*events: Event) -> list[tuple[str, dict[str, Any]]]:
    writer = Messages().write_stream(ASKED)
    stream = b"".join(writer.write(event) for event in events)
    found: list[tuple[str, dict[str, Any]]] = []
    for event in frames.events(stream):
        name = event.split(b"\n", 1)[0].removeprefix(b"event: ").decode()
        data: dict[str, Any] = msgspec.json.decode(frames.payload(event))
        assert data.pop("type") == name
        found.append((name, data))
    return found


def whole(index: int, part: AnyPart) -> tuple[Event, ...]:
    return PartOpened(index, part), PartClosed(index)


def blocks(events: Iterable[tuple[str, dict[str, Any]]]) -> list[tuple[str, dict[str, Any]]]:
    return [event for event in events if event[0].startswith("content_block")]


def test_the_full_grammar_of_an_answer() -> None:
    usage = Usage(input=2, output=5, cache_read=7, reasoning=1)
    told = write(
        STARTED,
        PartOpened(0, Thinking("", origin="anthropic")),
        PartDelta(0, "hm"),
        PartDelta(0, signature="sig"),
        PartClosed(0),
        PartOpened(1, Text("")),
        PartDelta(1, "Hé"),
        PartClosed(1),
        Stopped(Stop("sequence", "END"), usage),
    )
    assert told == [
        (
            "message_start",
            {
                "message": {
                    "id": "chatcmpl-1",
                    "type": "message",
                    "role": "assistant",
                    "model": "gpt",
                    "content": [],
                    "stop_reason": None,
                    "stop_sequence": None,
                    "usage": {
                        "input_tokens": 3,
                        "cache_creation_input_tokens": 0,
                        "cache_read_input_tokens": 0,
                        "output_tokens": 0,
                    },
                }
            },
        ),
        (
            "content_block_start",
            {"index": 0, "content_block": {"type": "thinking", "thinking": "", "signature": ""}},
        ),
        ("content_block_delta", {"index": 0, "delta": {"type": "thinking_delta", "thinking": "hm"}}),
        ("content_block_delta", {"index": 0, "delta": {"type": "signature_delta", "signature": "sig"}}),
        ("content_block_stop", {"index": 0}),
        ("content_block_start", {"index": 1, "content_block": {"type": "text", "text": ""}}),
        ("content_block_delta", {"index": 1, "delta": {"type": "text_delta", "text": "Hé"}}),
        ("content_block_stop", {"index": 1}),
        (
            "message_delta",
            {
                "delta": {"stop_reason": "stop_sequence", "stop_sequence": "END"},
                "usage": {
                    "input_tokens": 2,
                    "cache_creation_input_tokens": 0,
                    "cache_read_input_tokens": 7,
                    "output_tokens": 5,
                    "output_tokens_details": {"thinking_tokens": 1},
                },
            },
        ),
        ("message_stop", {}),
    ]


def test_a_call_that_comes_whole_has_its_arguments_in_a_delta() -> None:
    told = blocks(write(STARTED, *whole(0, ToolCall("a", "t", '{"x":1}'))))
    assert told == [
        (
            "content_block_start",
            {"index": 0, "content_block": {"type": "tool_use", "id": "a", "name": "t", "input": {}}},
        ),
        (
            "content_block_delta",
            {"index": 0, "delta": {"type": "input_json_delta", "partial_json": '{"x":1}'}},
        ),
        ("content_block_stop", {"index": 0}),
    ]


def test_a_call_without_arguments_adds_up_to_an_empty_object() -> None:
    told = blocks(write(STARTED, *whole(0, ToolCall("a", "t", ""))))
    assert told[1][1]["delta"]["partial_json"] == "{}"


def test_parallel_calls_with_mixed_pieces_come_one_after_the_other() -> None:
    told = blocks(
        write(
            STARTED,
            PartOpened(0, ToolCall("a", "t", "")),
            PartOpened(1, ToolCall("b", "t", "")),
            PartDelta(1, '{"b":'),
            PartDelta(0, '{"a":'),
            PartDelta(1, "2}"),
            PartDelta(0, "1}"),
            PartClosed(0),
            PartClosed(1),
        )
    )
    assert [data["index"] for _, data in told] == [0, 0, 0, 0, 1, 1, 1, 1]
    pieces = [data["delta"]["partial_json"] for name, data in told if name == "content_block_delta"]
    assert pieces == ['{"a":', "1}", '{"b":', "2}"]


def test_a_call_keeps_the_signature_of_its_vendor() -> None:
    call = ToolCall("a", "t", "{}", signature="sig", origin="google")
    told = blocks(write(STARTED, *whole(0, Text("x")), *whole(1, call)))
    assert told[3] == (
        "content_block_start",
        {"index": 1, "content_block": {"type": "thinking", "thinking": "", "signature": ""}},
    )
    sealed = told[4][1]["delta"]["signature"]
    assert told[6][1]["content_block"]["type"] == "tool_use"
    assert told[6][1]["index"] == 2
    body: dict[str, Any] = {
        "model": "m",
        "max_tokens": 9,
        "messages": [
            {
                "role": "assistant",
                "content": [
                    {"type": "thinking", "thinking": "", "signature": sealed},
                    {"type": "tool_use", "id": "a", "name": "t", "input": {}},
                ],
            }
        ],
    }
    (part,) = Messages().read_request(msgspec.json.encode(body)).turns[0].parts
    assert isinstance(part, ToolCall)
    assert (part.signature, part.origin) == ("sig", "google")


def test_what_the_protocol_has_no_words_for_leaves_no_hole() -> None:
    told = blocks(
        write(
            STARTED,
            *whole(0, Opaque("google", "executableCode", {})),
            *whole(1, Media("image", Inline("image/png", "QQ=="))),
            *whole(2, Refusal("No.")),
        )
    )
    assert told[0] == ("content_block_start", {"index": 0, "content_block": {"type": "text", "text": ""}})
    assert told[1][1]["delta"]["text"] == "No."


def test_sources_are_told_as_pages() -> None:
    told = blocks(
        write(
            STARTED,
            PartOpened(0, Text("")),
            PartDelta(0, citation=Citation("openai", {}, "https://x.test", "X")),
            PartClosed(0),
        )
    )
    assert told[1][1]["delta"]["citation"]["url"] == "https://x.test"


def test_a_failure_ends_the_stream_in_its_words() -> None:
    writer = StreamWriter()
    assert writer.fail(UpstreamFailed("slow down", "overloaded_error")) == (
        b'event: error\ndata: {"type":"error","error":{"type":"overloaded_error","message":"slow down"}}\n\n'
    )
    assert b'"type":"api_error"' in writer.fail(UpstreamUnreachable("X", "gone"))


def read(*payloads: bytes) -> list[Event]:
    reader = StreamReader(ASKED)
    return [event for one in payloads for event in reader.read(one)] + list(reader.end())


BEGIN = (
    b'{"type":"message_start","message":{"id":"m","model":"c","usage":{"input_tokens":9,"output_tokens":1}}}'
)
DELTA = b'{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":5}}'
TEXT = b'{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}'


def test_the_last_count_wins_and_what_it_omits_stays() -> None:
    stopped = read(BEGIN, DELTA, b'{"type":"message_stop"}')[-1]
    assert isinstance(stopped, Stopped)
    assert stopped.usage == Usage(input=9, output=5)


def test_an_unfinished_block_is_closed_and_a_missing_end_forgiven() -> None:
    assert read(BEGIN, TEXT, DELTA)[-2:] == [PartClosed(0), Stopped(Stop("end"), Usage(input=9, output=5))]


def test_a_cut_stream_is_no_answer() -> None:
    with pytest.raises(UpstreamFailed, match="before the answer was complete"):
        read(BEGIN, TEXT)


def test_a_failure_within_the_stream_is_raised_as_it_was_told() -> None:
    with pytest.raises(UpstreamFailed, match=r"^Overloaded$") as failed:
        read(BEGIN, b'{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}')
    assert failed.value.kind == "overloaded_error"


@pytest.mark.parametrize(
    "payload", [b"{", b"[]", b'{"type":1}', b'{"type":"content_block_start","content_block":{}}']
)
def test_nonsense_is_told_as_such(payload: bytes) -> None:
    with pytest.raises(UpstreamGarbage):
        read(BEGIN, payload)


def test_events_nobody_knows_are_passed_over() -> None:
    assert len(read(BEGIN, b'{"type":"news","x":[1]}', b'{"type":"ping"}', DELTA)) == 2


CALL = (
    b'{"type":"content_block_start","index":0,"content_block":{"type":"tool_use","id":"a","name":"now","input":{}}}',
    b'{"type":"content_block_stop","index":0}',
)


def test_a_call_of_no_arguments_reads_as_an_empty_object() -> None:
    events = read(BEGIN, *CALL, DELTA)
    assert fold(events).parts == [ToolCall("a", "now", "{}")]


def test_blocks_of_one_number_are_parts_of_their_own() -> None:
    events = read(BEGIN, *CALL, *CALL, DELTA)
    assert [event.index for event in events if isinstance(event, PartOpened)] == [0, 1]


def test_a_signature_in_pieces_is_sealed_as_a_whole() -> None:
    events = write(
        Started("google", "", ""),
        PartOpened(0, Thinking("", origin="google")),
        PartDelta(0, signature="ab"),
        PartDelta(0, signature="cd"),
        PartClosed(0),
    )
    deltas = [fields["delta"] for kind, fields in events if kind == "content_block_delta"]
    assert deltas == [{"type": "signature_delta", "signature": "nexus~google~abcd"}]
