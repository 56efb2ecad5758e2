"""The laws of the Responses protocol for streams, over recorded traffic and over invented one."""

from collections.abc import Sequence
from typing import cast

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import recorded
from nexus.http import frames
from nexus.llm.canonical import (
    AnyPart,
    ChatRequest,
    ChatResponse,
    Citation,
    Event,
    Json,
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
from nexus.llm.protocols.folding import fold, unfold
from nexus.llm.protocols.node import object_of
from nexus.llm.protocols.responses.inbound import Responses
from nexus.llm.protocols.responses.wire import ResponsesWire

Fields = dict[str, Json]

INBOUND, WIRE = Responses(), ResponsesWire()
STREAMED = [one for one in recorded.exchanges("openai-responses") if one.streamed]
ASKED = INBOUND.read_request(b'{"model":"m","input":"hello"}')


def decoded(body: bytes) -> Fields:
    return cast("Fields", msgspec.json.decode(body))


def read_all(pieces: Sequence[bytes], request: ChatRequest = ASKED) -> list[Event]:
    cutter, reader = frames.Cutter(), WIRE.read_stream(request)
    events: list[Event] = []
    for ready in (*(cutter.feed(piece) for piece in pieces), cutter.rest()):
        for frame in frames.events(ready):
            events += reader.read(frames.payload(frame))
    return [*events, *reader.end()]


def without_randomness(response: ChatResponse) -> ChatResponse:
    """Leave out what a provider tells differently each time: encryption, rounded probabilities, tiers still to be chosen."""

    def bare(part: AnyPart) -> AnyPart:
        match part:
            case Thinking():
                return msgspec.structs.replace(part, signature=str(bool(part.signature)))
            case Text():
                tokens = [(object_of(one) or {})["token"] for one in part.logprobs]
                return msgspec.structs.replace(part, logprobs=tokens, citations=list(part.citations))
            case _:
                return part

    return msgspec.structs.replace(response, parts=[bare(part) for part in response.parts], service_tier=None)


def last_response(stream: bytes) -> bytes:
    payload = decoded(frames.payload(frames.events(stream)[-1]))
    return msgspec.json.encode(payload["response"])


@recorded.needed
@pytest.mark.parametrize("exchange", STREAMED, ids=str)
def test_a_recorded_stream_folds_into_the_answer_it_ends_with(exchange: recorded.Exchange) -> None:
    folded = fold(read_all([exchange.answer]))
    whole = WIRE.read_response(last_response(exchange.answer), ASKED)
    assert without_randomness(folded) == without_randomness(whole)


@recorded.needed
@pytest.mark.parametrize("exchange", STREAMED, ids=str)
def test_a_recorded_stream_reads_the_same_at_every_split(exchange: recorded.Exchange) -> None:
    stream = exchange.answer
    expected = read_all([stream])
    assert read_all([stream[at : at + 1] for at in range(len(stream))]) == expected
    for at in range(0, len(stream), 41):
        assert read_all([stream[:at], stream[at:]]) == expected


@recorded.needed
@pytest.mark.parametrize("exchange", STREAMED, ids=str)
def test_a_recorded_stream_reads_the_same_when_it_is_written_again(exchange: recorded.Exchange) -> None:
    events = read_all([exchange.answer])
    writer = INBOUND.write_stream(ASKED)
    written = b"".join(writer.write(event) for event in events)
    assert read_all([written]) == events
    check_grammar(written)


def check_grammar(stream: bytes) -> list[Fields]:
    """Check what holds for every stream, and give its events."""
    told: list[Fields] = []
    for number, frame in enumerate(frames.events(stream)):
        fields = decoded(frames.payload(frame))
        assert frame.startswith(b"event: " + str(fields["type"]).encode() + b"\ndata: ")
        assert fields["sequence_number"] == number
        told.append(fields)
    assert [one["type"] for one in told[:2]] == ["response.created", "response.in_progress"]
    check_items(told)
    return told


def check_items(told: Sequence[Fields]) -> None:
    added: dict[int, Fields] = {}
    done: dict[int, Fields] = {}
    for fields in told:
        at = fields.get("output_index")
        match fields["type"]:
            case "response.output_item.added":
                assert at == len(added)
                added[len(added)] = object_of(fields["item"]) or {}
            case "response.output_item.done":
                assert isinstance(at, int)
                item = object_of(fields["item"]) or {}
                assert at in added
                assert at not in done
                assert added[at]["id"] == item["id"]
                done[at] = item
            case _ if isinstance(at, int):
                assert fields["item_id"] == added[at]["id"]
                assert at not in done
            case _:
                pass
    response = object_of(told[-1]["response"]) or {}
    assert response["output"] == [done[at] for at in range(len(added))]


# Invented answers of another vendor

words = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)
names = st.sampled_from(["get_weather", "run", "apply_patch"])
citations = st.builds(
    Citation, st.just("anthropic"), st.just({"type": "x"}), st.just("https://example.com/a"), words
)
texts = st.builds(Text, words, st.lists(citations, max_size=2))
thoughts = st.builds(Thinking, st.text(max_size=9), st.just("sig=="), origin=st.just("anthropic"))
calls = st.builds(
    ToolCall,
    st.uuids().map(str),
    names,
    st.sampled_from(["{}", '{"city":"Paris"}', '{"input":"*** Begin Patch"}']),
)
parts = st.lists(st.one_of(texts, thoughts, calls, st.builds(Refusal, words)), max_size=6)
reasons: st.SearchStrategy[StopReason] = st.sampled_from(["end", "length", "tool", "filter"])
usages = st.builds(Usage, *[st.integers(0, 99)] * 2)
answers = st.builds(
    ChatResponse,
    protocol=st.just("anthropic"),
    id=st.just("msg_01"),
    model=st.just("m"),
    parts=parts,
    stop=st.builds(Stop, reasons),
    usage=usages,
    created=st.just(7),
)


def cut(events: Sequence[Event], lengths: Sequence[int]) -> list[Event]:
    """Let parts come in pieces, as providers send them."""
    found: list[Event] = []
    for event in events:
        if isinstance(event, PartOpened) and isinstance(event.part, Text | Refusal | Thinking | ToolCall):
            found += pieces_of(event, lengths)
        else:
            found.append(event)
    return found


def pieces_of(event: PartOpened, lengths: Sequence[int]) -> list[Event]:
    part, index = event.part, event.index
    assert isinstance(part, Text | Refusal | Thinking | ToolCall)
    text = part.arguments if isinstance(part, ToolCall) else part.text
    length = lengths[index % len(lengths)]
    deltas: list[Event] = [PartDelta(index, text[at : at + length]) for at in range(0, len(text), length)]
    match part:
        case ToolCall():
            return [PartOpened(index, msgspec.structs.replace(part, arguments="")), *deltas]
        case Text():
            cited = [PartDelta(index, citation=one) for one in part.citations]
            return [PartOpened(index, Text("")), *deltas, *cited]
        case Refusal():
            return [PartOpened(index, Refusal("")), *deltas]
        case Thinking():
            opened = msgspec.structs.replace(part, text="", signature="")
            return [PartOpened(index, opened), *deltas, PartDelta(index, signature=part.signature)]


TOOLS = INBOUND.read_request(
    msgspec.json.encode(
        {
            "model": "m",
            "input": "hello",
            "tools": [
                {"type": "function", "name": "get_weather", "parameters": {"type": "object"}},
                {
                    "type": "namespace",
                    "name": "mcp",
                    "description": "d",
                    "tools": [{"type": "function", "name": "run"}],
                },
                {"type": "custom", "name": "apply_patch"},
            ],
        }
    )
)


@given(answers, st.lists(st.integers(1, 5), min_size=1, max_size=4))
def test_a_stream_ends_with_the_answer_written_as_a_whole(response: ChatResponse, lengths: list[int]) -> None:
    events = cut(list(unfold(response)), lengths)
    writer = INBOUND.write_stream(TOOLS)
    told = check_grammar(b"".join(writer.write(event) for event in events))
    whole, _ = INBOUND.write_response(response, TOOLS)
    assert told[-1]["response"] == decoded(whole)


@given(answers, st.lists(st.integers(1, 5), min_size=1, max_size=4))
def test_the_deltas_of_a_stream_add_up_to_its_items(response: ChatResponse, lengths: list[int]) -> None:
    events = cut(list(unfold(response)), lengths)
    writer = INBOUND.write_stream(ASKED)
    stream = b"".join(writer.write(event) for event in events)
    whole, _ = INBOUND.write_response(response, ASKED)
    told, written = fold(read_all([stream])), WIRE.read_response(whole, ASKED)
    assert msgspec.json.encode(told) == msgspec.json.encode(written)


@given(answers)
@settings(max_examples=50)
def test_what_was_written_and_read_is_written_the_same(response: ChatResponse) -> None:
    once, _ = INBOUND.write_response(response, ASKED)
    twice, _ = INBOUND.write_response(WIRE.read_response(once, ASKED), ASKED)
    assert decoded(twice) == decoded(once)


def interleaved(response: ChatResponse) -> list[Event]:
    """Open all parts before any closes, as providers do that call several tools at once."""
    begun, *middle, stopped = unfold(response)
    assert isinstance(begun, Started)
    assert isinstance(stopped, Stopped)
    opened = [event for event in middle if isinstance(event, PartOpened)]
    return [begun, *opened, *(PartClosed(event.index) for event in reversed(opened)), stopped]


@given(answers)
def test_parts_that_are_open_at_once_keep_their_order(response: ChatResponse) -> None:
    writer = INBOUND.write_stream(TOOLS)
    told = check_grammar(b"".join(writer.write(event) for event in interleaved(response)))
    whole, _ = INBOUND.write_response(response, TOOLS)
    assert told[-1]["response"] == decoded(whole)


def test_a_stream_reads_the_same_at_every_split() -> None:
    response = ChatResponse(
        protocol="anthropic",
        id="msg_01",
        model="m",
        parts=[Thinking("hm", "s", origin="anthropic"), Text("é€😀"), ToolCall("a", "run", '{"x":"ü"}')],
        stop=Stop("tool"),
    )
    writer = INBOUND.write_stream(TOOLS)
    stream = b"".join(writer.write(event) for event in unfold(response))
    expected = read_all([stream])
    for at in range(len(stream) + 1):
        assert read_all([stream[:at], stream[at:]]) == expected
