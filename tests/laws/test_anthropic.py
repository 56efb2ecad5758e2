"""The laws of the Messages protocol, over recorded traffic and over whatever hypothesis thinks of."""

from collections.abc import Iterable, Sequence
from typing import Any, cast

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

import recorded
from nexus.http import frames
from nexus.llm.canonical import (
    AnyPart,
    ChatRequest,
    Event,
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
from nexus.llm.protocols.anthropic.inbound import Messages
from nexus.llm.protocols.anthropic.wire import MessagesWire
from nexus.llm.protocols.folding import fold, unfold

INBOUND = Messages(needs_max_tokens=False)
WIRE = MessagesWire()
RECORDED = recorded.exchanges("anthropic", "anthropic-count")
ASKED = [one for one in RECORDED if b'"messages"' in one.request]
ANSWERED = [one for one in ASKED if one.is_json and b'"role": "assistant"' in one.answer]
STREAMED = [one for one in RECORDED if one.streamed]
NOTHING = ChatRequest(protocol="anthropic", model="claude", turns=[])


def meaning(value: Any) -> Any:
    """Leave out what says nothing: nulls, `stream: false`, empty descriptions, `is_error: false`; texts become blocks."""
    if isinstance(value, list):
        return [meaning(item) for item in cast("list[Any]", value)]
    if not isinstance(value, dict):
        return value
    fields = {name: meaning(item) for name, item in cast("dict[str, Any]", value).items() if item is not None}
    for name, default in (("stream", False), ("description", ""), ("is_error", False)):
        if fields.get(name) == default:
            del fields[name]
    for name in ("content", "system"):
        if isinstance(fields.get(name), str):
            fields[name] = [{"type": "text", "text": fields[name]}]
    return fields


def events_of(stream: bytes) -> list[Event]:
    reader = WIRE.read_stream(NOTHING)
    payloads = [frames.payload(event) for event in frames.events(stream)]
    return [event for one in payloads if one for event in reader.read(one)] + list(reader.end())


def written(events: Iterable[Event]) -> bytes:
    writer = INBOUND.write_stream(NOTHING)
    return b"".join(writer.write(event) for event in events)


def decoded(stream: bytes) -> list[Any]:
    return [
        meaning(msgspec.json.decode(one)) for event in frames.events(stream) if (one := frames.payload(event))
    ]


@recorded.needed
@pytest.mark.parametrize("exchange", ASKED, ids=str)
def test_a_request_written_as_it_was_read_means_the_same(exchange: recorded.Exchange) -> None:
    body, losses = WIRE.write_request(INBOUND.read_request(exchange.request))
    assert meaning(msgspec.json.decode(body)) == meaning(msgspec.json.decode(exchange.request))
    assert losses == []


@recorded.needed
@pytest.mark.parametrize("exchange", ANSWERED, ids=str)
def test_an_answer_written_as_it_was_read_means_the_same(exchange: recorded.Exchange) -> None:
    body, losses = INBOUND.write_response(WIRE.read_response(exchange.answer, NOTHING), NOTHING)
    assert meaning(msgspec.json.decode(body)) == meaning(msgspec.json.decode(exchange.answer))
    assert losses == []


@recorded.needed
@pytest.mark.parametrize("exchange", STREAMED, ids=str)
def test_a_stream_written_as_it_was_read_means_the_same(exchange: recorded.Exchange) -> None:
    before = [one for one in decoded(exchange.answer) if one["type"] != "ping"]
    after = decoded(written(events_of(exchange.answer)))
    usage = before[-2].pop("usage"), after[-2].pop("usage")
    assert after == before
    assert usage[1].items() >= usage[0].items()  # what the first event counted is in the last one too


@recorded.needed
@pytest.mark.parametrize("exchange", STREAMED, ids=str)
def test_a_stream_says_the_same_wherever_its_bytes_are_split(exchange: recorded.Exchange) -> None:
    stream = exchange.answer
    whole = events_of(stream)
    for offset in range(1, len(stream), 7):
        cutter = frames.Cutter()
        pieces = cutter.feed(stream[:offset]) + cutter.feed(stream[offset:]) + cutter.rest()
        assert pieces == stream
    byte_by_byte = frames.Cutter()
    cut = [ready for index in range(len(stream)) if (ready := byte_by_byte.feed(stream[index : index + 1]))]
    reader = WIRE.read_stream(NOTHING)
    events = [event for one in cut if (data := frames.payload(one)) for event in reader.read(data)]
    assert events + list(reader.end()) == whole


@recorded.needed
@pytest.mark.parametrize("exchange", STREAMED, ids=str)
def test_the_whole_answer_of_a_stream_is_the_same_as_its_events(exchange: recorded.Exchange) -> None:
    response = fold(events_of(exchange.answer))
    body, _ = INBOUND.write_response(response, NOTHING)
    again = fold(unfold(WIRE.read_response(body, NOTHING)))
    assert known(again.parts) == known(response.parts)
    assert response.usage is not None
    assert response.usage.output > 0


def known(parts: Sequence[AnyPart]) -> list[AnyPart]:
    """Leave out what only this protocol knows: how such a part grows, nobody else has to understand."""
    return [part for part in parts if not isinstance(part, Opaque)]


texts = st.text(min_size=1, max_size=20)
parts: st.SearchStrategy[AnyPart] = st.one_of(
    st.builds(Text, texts),
    st.builds(Thinking, texts, signature=texts, origin=st.just("anthropic")),
    st.builds(Thinking, st.just(""), redacted=texts, origin=st.just("anthropic")),
    st.builds(
        ToolCall,
        texts,
        texts,
        st.dictionaries(texts, st.integers(0, 9), min_size=1, max_size=3).map(
            lambda value: msgspec.json.encode(value).decode()
        ),
    ),
)


def opened(index: int, part: AnyPart, size: int) -> list[Event]:
    """Tell a part as a stream does, in pieces of some size."""
    match part:
        case Text(text):
            return [PartOpened(index, Text("")), *deltas(index, text, size), PartClosed(index)]
        case Thinking(text) if text:
            begun = Thinking("", origin="anthropic")
            signed = PartDelta(index, signature=part.signature)
            return [PartOpened(index, begun), *deltas(index, text, size), signed, PartClosed(index)]
        case ToolCall(id, name, arguments):
            begun = ToolCall(id, name, "")
            return [PartOpened(index, begun), *deltas(index, arguments, size), PartClosed(index)]
        case _:
            return [PartOpened(index, part), PartClosed(index)]


def deltas(index: int, text: str, size: int) -> list[PartDelta]:
    return [PartDelta(index, text[begin : begin + size]) for begin in range(0, len(text), size)]


@st.composite
def streams(draw: st.DrawFn) -> list[Event]:
    found = draw(st.lists(parts, max_size=5))
    size = draw(st.integers(1, 7))
    usage = Usage(
        draw(st.integers(0, 99)), draw(st.integers(0, 99)), draw(st.integers(0, 9)), draw(st.integers(0, 9))
    )
    begun = Started("anthropic", "msg_1", "claude", usage=usage)
    middle = [event for index, part in enumerate(found) for event in opened(index, part, size)]
    return [begun, *middle, Stopped(Stop(draw(st.sampled_from(["end", "length", "tool", "refusal"]))), usage)]


@given(streams())
def test_reading_what_was_written_gives_the_events_back(events: Sequence[Event]) -> None:
    assert events_of(written(events)) == events


@given(streams())
def test_a_stream_and_the_whole_answer_are_the_same(events: Sequence[Event]) -> None:
    body, _ = INBOUND.write_response(fold(events), NOTHING)
    assert WIRE.read_response(body, NOTHING).parts == fold(events).parts


@given(streams(), st.randoms(use_true_random=False))
def test_overlapping_parts_come_out_one_after_the_other(events: Sequence[Event], random: Any) -> None:
    """Some providers open several calls at once; the blocks of this protocol never overlap."""
    by_part: dict[int, list[Event]] = {}
    for event in events[1:-1]:
        assert isinstance(event, PartOpened | PartDelta | PartClosed)
        by_part.setdefault(event.index, []).append(event)
    mixed: list[Event] = []
    while by_part:
        key = random.choice(sorted(by_part))
        mixed.append(by_part[key].pop(0))
        if not by_part[key]:
            del by_part[key]
    found = fold(events_of(written([events[0], *mixed, events[-1]]))).parts
    assert sorted(map(repr, found)) == sorted(map(repr, fold(events).parts))
