"""Whatever comes from a client or a provider, translation answers with bytes of the other protocol or a failure it can tell."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from golden import clients, rules, vendors, write
from golden.conversations import Conversation, conversations, tell
from golden.meaning import meaning
from nexus.errors import InvalidRequest, NexusError
from nexus.http import frames
from nexus.llm.canonical import (
    AnyPart,
    ChatResponse,
    Event,
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

REQUESTS, ANSWERS = write.sources(write.REQUESTS), write.sources(write.ANSWERS)
STREAMS = [one for one in ANSWERS if one.suffix == ".sse"]
WHOLE = [one for one in ANSWERS if one.suffix == ".json"]
SECRET = "the-words-of-a-user"
SAID = (
    "text",
    "content",
    "input",
    "arguments",
    "thinking",
    "instructions",
    "system",
    "output",
    "refusal",
    "data",
)
"""Fields whose strings are a user's or a model's words."""
encode, decode = msgspec.json.encode, msgspec.json.decode

odd = st.recursive(
    st.none() | st.booleans() | st.integers(-1, 2) | st.floats(allow_nan=False) | st.sampled_from(("", "x")),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(st.sampled_from(("type", "text", "a")), inner, max_size=2)
    ),
    max_leaves=4,
)


def places(value: object) -> Iterator[tuple[Any, Any]]:
    """Name every place in a JSON value by what holds it and its key."""
    items: Sequence[tuple[Any, Any]] = ()
    if isinstance(value, dict):
        items = list(cast("dict[str, object]", value).items())
    elif isinstance(value, list):
        items = list(enumerate(cast("list[object]", value)))
    for key, inner in items:
        yield value, key
        yield from places(inner)


def spoil(value: Any, data: st.DataObject) -> Any:
    """Delete, replace or double some places of a JSON value."""
    for _ in range(data.draw(st.integers(1, 3))):
        found = list(places(value))
        if not found:
            break
        holder, key = data.draw(st.sampled_from(found))
        match data.draw(st.sampled_from(("delete", "replace", "double"))):
            case "delete":
                del holder[key]
            case "double" if isinstance(holder, list):
                cast("list[object]", holder).insert(key, decode(encode(holder[key])))
            case _:
                holder[key] = data.draw(odd)
    return value


def with_secrets(value: Any, name: str = "") -> Any:
    """Put a mark in place of everything a user or a model says."""
    if isinstance(value, dict):
        return {key: with_secrets(inner, key) for key, inner in cast("dict[str, Any]", value).items()}
    if isinstance(value, list):
        return [with_secrets(inner, name) for inner in cast("list[Any]", value)]
    return SECRET if isinstance(value, str) and name in SAID else value


@pytest.mark.parametrize("source", REQUESTS, ids=lambda source: source.name)
@settings(max_examples=60)
@given(data=st.data())
def test_any_request_is_written_or_refused_without_repeating_what_was_said(
    source: Path, data: st.DataObject
) -> None:
    _, inbound = write.sides(source)
    body = encode(spoil(with_secrets(decode(source.read_bytes())), data))
    told: list[str] = []
    for wire, model in write.WIRES.values():
        try:
            request = write.INBOUNDS[inbound].read_request(body)
            request.model = model
            written, losses = wire.write_request(request)
        except InvalidRequest as error:
            told.append(str(error))
            continue
        assert isinstance(decode(written), dict)
        assert wire.write_request(request)[0] == written
        told += [f"{loss.path} {loss.why}" for loss in losses]
    assert SECRET not in " ".join(told)


@pytest.mark.parametrize("source", WHOLE, ids=lambda source: source.name)
@settings(max_examples=60)
@given(data=st.data())
def test_any_answer_is_told_or_known_for_nonsense(source: Path, data: st.DataObject) -> None:
    body = encode(spoil(decode(source.read_bytes()), data))
    for inbound in write.INBOUNDS:
        request = write.asked(source, inbound)
        try:
            response = write.WIRES[write.sides(source)[1]][0].read_response(body, request)
        except NexusError:
            continue
        assert isinstance(decode(write.INBOUNDS[inbound].write_response(response, request)[0]), dict)
        told = told_of(inbound, list(unfold(response)), source)
        assert all(isinstance(one, dict) for one in told)


@pytest.mark.parametrize("source", STREAMS, ids=lambda source: source.name)
@settings(max_examples=60)
@given(data=st.data())
def test_any_stream_is_a_well_formed_one_as_far_as_it_goes(source: Path, data: st.DataObject) -> None:
    said = [decode(payload) for payload in frames.payloads(source.read_bytes()) if payload != b"[DONE]"]
    events = read([encode(one) for one in spoil(said, data)], source)
    check(events)
    for inbound in write.INBOUNDS:
        told_of(inbound, events, source)


@pytest.mark.parametrize("source", STREAMS, ids=lambda source: source.name)
def test_a_stream_that_repeats_itself_is_a_well_formed_one_too(source: Path) -> None:
    payloads = list(frames.payloads(source.read_bytes()))
    for number in range(len(payloads)):
        check(read([*payloads[: number + 1], *payloads[number:]], source))


def read(payloads: Sequence[bytes], source: Path) -> list[Event]:
    """Read a stream as far as it goes."""
    reader = write.WIRES[write.sides(source)[1]][0].read_stream(write.asked(source, "openai"))
    events: list[Event] = []
    try:
        for payload in payloads:
            events += reader.read(payload)
        events += reader.end()
        assert isinstance(events[-1], Stopped)
    except NexusError:
        pass
    return events


def told_of(inbound: str, events: Sequence[Event], source: Path) -> list[object]:
    """Write events for a client and decode what it gets."""
    writer = write.INBOUNDS[inbound].write_stream(write.asked(source, inbound))
    stream = b"".join([writer.write(event) for event in events])
    return [decode(payload) for payload in frames.payloads(stream) if payload != b"[DONE]"]


def check(events: Sequence[Event]) -> None:
    """Hold events against the grammar of a stream."""
    opened = 0
    open_parts: set[int] = set()
    for number, event in enumerate(events):
        assert isinstance(event, Started) == (number == 0)
        match event:
            case PartOpened(index):
                assert index == opened
                opened += 1
                open_parts.add(index)
            case PartDelta(index):
                assert index in open_parts
            case PartClosed(index):
                open_parts.remove(index)
            case Stopped():
                assert number == len(events) - 1
                assert not open_parts
            case Started():
                pass


@pytest.mark.parametrize("wire", write.WIRES)
@pytest.mark.parametrize("inbound", write.INBOUNDS)
@settings(max_examples=100)
@given(conversation=conversations)
def test_vendors_take_whatever_conversation_an_agent_has(
    inbound: str, wire: str, conversation: Conversation
) -> None:
    if inbound == wire:
        return  # relayed
    request = write.INBOUNDS[inbound].read_request(encode(tell(inbound, conversation)))
    writer, request.model = write.WIRES[wire]
    body = decode(writer.write_request(request)[0])
    assert rules.broken(wire, body) == []
    assert vendors.complaints(wire, body) == []


PROOFS = {
    "responses": ("ZW5jcnlwdGVk",),
    "anthropic": ("c2lnbmVk", "cmVkYWN0ZWQ="),
    "google": ("Zy1zaWc=",),
    "converse": ("c2lnbmVk", "cmVkYWN0ZWQ="),
}
"""What each vendor wants back of its golden answer `tools`."""
CLAUDE = ("anthropic", "converse")


@pytest.mark.parametrize("form", ["json", "sse"])
@pytest.mark.parametrize("wire", PROOFS)
@pytest.mark.parametrize("inbound", write.INBOUNDS)
def test_proofs_go_back_to_their_vendor_and_to_no_other(inbound: str, wire: str, form: str) -> None:
    if inbound == wire:
        return  # relayed
    source = write.ANSWERS / f"tools.{wire}.{form}"
    if form == "json":
        answer = decode(write.told_whole(source, inbound))["body"]
    else:
        answer = clients.read_stream(inbound, write.told_stream(source, inbound))
    asked = encode(asked_again(inbound, answer))
    for other, (writer, model) in write.WIRES.items():
        request = write.INBOUNDS[inbound].read_request(asked)
        request.model = model
        body = writer.write_request(request)[0].decode()
        known = other == wire or {other, wire} == set(CLAUDE)
        assert [proof in body for proof in PROOFS[wire]] == [known] * len(PROOFS[wire]), other
        assert "nexus~" not in body
        if known and other in CLAUDE:
            assert "budget_tokens" in body  # it goes on thinking
        assert body.count("Zürich") == 1


def asked_again(inbound: str, answer: Any) -> dict[str, Any]:
    """Make the next request of a client that has run the tools an answer calls."""
    asked = decode((write.REQUESTS / f"tools.{inbound}.json").read_bytes())
    match inbound:
        case "openai":
            message = answer["choices"][0]["message"]
            asked |= {"reasoning_effort": "high", "max_completion_tokens": 9000}
            results = [
                {"role": "tool", "tool_call_id": call["id"], "content": "1"} for call in message["tool_calls"]
            ]
            asked["messages"] += [message, *results]
        case "responses":
            asked |= {"reasoning": {"effort": "high"}, "max_output_tokens": 9000}
            calls = [item for item in answer["output"] if item["type"] == "function_call"]
            results = [
                {"type": "function_call_output", "call_id": call["call_id"], "output": "1"} for call in calls
            ]
            asked["input"] += [*answer["output"], *results]
        case _:
            asked |= {"max_tokens": 9000, "thinking": {"type": "enabled", "budget_tokens": 2000}}
            calls = [block for block in answer["content"] if block["type"] == "tool_use"]
            results = [{"type": "tool_result", "tool_use_id": call["id"], "content": "1"} for call in calls]
            asked["messages"] += [
                {"role": "assistant", "content": answer["content"]},
                {"role": "user", "content": results},
            ]
    return asked


words = st.text('ab \n"\\{é🚪', min_size=1, max_size=8)
signatures = st.sampled_from(("", "c2ln"))
origins = st.sampled_from(("openai", "responses", "anthropic", "google", "converse"))
objects = st.dictionaries(st.sampled_from(("city", "b")), words, max_size=2)
thoughts = st.builds(Thinking, words, signatures, origin=origins) | st.builds(
    Thinking, st.just(""), redacted=st.just("cmVk"), origin=origins
)
calls = st.builds(
    ToolCall,
    st.just(""),
    st.sampled_from(("weather", "now")),
    objects.map(lambda given: encode(given).decode()),
    signature=signatures,
    origin=st.just("google"),
)


@st.composite
def answers(draw: st.DrawFn) -> ChatResponse:
    """Make an answer as any provider may give it: thoughts, words, calls, and why it ended."""
    parts: list[AnyPart] = [
        *draw(st.lists(thoughts, max_size=2)),
        *draw(st.lists(st.builds(Text, words), max_size=2)),
    ]
    found = draw(st.lists(calls, max_size=3))
    parts += [msgspec.structs.replace(call, id=f"call_{number}") for number, call in enumerate(found)]
    if not found and draw(st.booleans()):
        parts.append(Refusal(draw(words)))
    reasons = ("tool",) if found else ("end", "sequence", "filter", "refusal", "length")
    counts = st.integers(0, 9)
    return ChatResponse(
        protocol=draw(origins),
        id="id-1",
        model="m",
        created=7,
        parts=parts,
        stop=Stop(draw(st.sampled_from(reasons))),
        usage=draw(st.none() | st.builds(Usage, counts, counts, counts, counts, counts)),
    )


@pytest.mark.parametrize("inbound", write.INBOUNDS)
@settings(max_examples=60)
@given(response=answers(), data=st.data())
def test_clients_make_the_same_of_an_answer_told_whole_and_in_pieces(
    inbound: str, response: ChatResponse, data: st.DataObject
) -> None:
    request = write.INBOUNDS[inbound].read_request((write.REQUESTS / f"tools.{inbound}.json").read_bytes())
    writer = write.INBOUNDS[inbound].write_stream(request)
    stream = b"".join([writer.write(event) for event in pieces(response, data)])
    body, _ = write.INBOUNDS[inbound].write_response(response, request)
    assert meaning(clients.read_stream(inbound, stream)) == meaning(clients.read_whole(inbound, body))


def pieces(response: ChatResponse, data: st.DataObject) -> Iterator[Event]:
    """Tell an answer in pieces, calls side by side as some providers do."""
    started, *_, stopped = unfold(response)
    yield started
    growing: dict[int, list[str]] = {}
    for index, part in enumerate(response.parts):
        emptied, text = taken_apart(part)
        yield PartOpened(index, emptied)
        growing[index] = cut(text, data)
        if not isinstance(part, ToolCall):
            yield from (PartDelta(index, piece) for piece in growing.pop(index))
            yield PartClosed(index)
    while growing:
        index = data.draw(st.sampled_from(sorted(growing)))
        if growing[index]:
            yield PartDelta(index, growing[index].pop(0))
        else:
            del growing[index]
            yield PartClosed(index)
    yield stopped


def taken_apart(part: AnyPart) -> tuple[AnyPart, str]:
    match part:
        case Text(text) | Refusal(text) | Thinking(text):
            return msgspec.structs.replace(part, text=""), text
        case ToolCall():
            return msgspec.structs.replace(part, arguments=""), part.arguments
        case _:
            return part, ""


def cut(text: str, data: st.DataObject) -> list[str]:
    at = data.draw(st.integers(0, len(text)))
    return [piece for piece in (text[:at], text[at:]) if piece]
