"""What holds for every exchange recorded with Bedrock, and for streams of any content."""

from collections.abc import Sequence
from typing import cast
from urllib.parse import unquote

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nexus.http import eventstream, frames
from nexus.llm.canonical import ChatRequest, Event, Json, PartClosed, PartDelta, PartOpened, Started, Stopped
from nexus.llm.protocols.converse.wire import ConverseWire
from nexus.llm.protocols.folding import fold
from nexus.llm.protocols.node import array_of, object_of
from nexus.llm.providers.bedrock_stream import write_converse
from recorded import Exchange, exchanges, needed
from wires import converse
from wires.eventstream import event

WIRE = ConverseWire()
RECORDED = exchanges("bedrock-converse")
ANSWERED = [one for one in RECORDED if one.is_json and msgspec.json.decode(one.meta)["status"] == 200]
STREAMED = [one for one in RECORDED if (one.folder / "response.eventstream").exists()]


def request_of(exchange: Exchange) -> ChatRequest:
    return converse.read_request(
        exchange.request, converse.model_of(msgspec.json.decode(exchange.meta)["url_path"])
    )


def normal(body: bytes) -> Json:
    """Give what a request means: empty lists and objects say nothing, a result without status is a success."""
    root = {name: value for name, value in msgspec.json.decode(body, type=dict[str, Json]).items() if value}
    structure: Json = root.get("outputConfig")
    for name in ("textFormat", "structure", "jsonSchema"):
        structure = (object_of(structure) or {}).get(name)
    if (form := object_of(structure)) is not None:  # JSON within JSON: its spacing says nothing
        form["schema"] = msgspec.json.decode(str(form["schema"]))
    return _without_success(root)


def _without_success(value: Json) -> Json:
    if isinstance(value, list):
        return [_without_success(item) for item in array_of(cast("Json", value))]
    fields = object_of(value)
    if fields is None:
        return value
    return {
        name: _without_success(item) for name, item in fields.items() if (name, item) != ("status", "success")
    }


def sse(messages: Sequence[eventstream.Message]) -> bytes:
    return b"".join(map(write_converse, messages))


def read_stream(pieces: Sequence[bytes], request: ChatRequest) -> list[Event]:
    """Read a stream of binary messages as the gateway does: cut, put into SSE, cut again, read."""
    decoder, cutter, reader = eventstream.Decoder(), frames.Cutter(), WIRE.read_stream(request)
    events: list[Event] = []
    for piece in pieces:
        ready = cutter.feed(sse(decoder.feed(piece)))
        events += [said for one in frames.events(ready) for said in reader.read(frames.payload(one))]
    decoder.end()
    return events + list(reader.end())


def check_grammar(events: Sequence[Event]) -> None:
    assert isinstance(events[0], Started)
    assert isinstance(events[-1], Stopped)
    opened: list[int] = []
    closed: set[int] = set()
    for one in events[1:-1]:
        match one:
            case PartOpened(index):
                assert index == len(opened)
                opened.append(index)
            case PartDelta(index):
                assert index in opened
                assert index not in closed
            case PartClosed(index):
                assert index in opened
                assert index not in closed
                closed.add(index)
            case _:
                pytest.fail(f"{one} within a stream")
    assert closed == set(opened)


@needed
@pytest.mark.parametrize("exchange", RECORDED, ids=str)
def test_a_request_read_and_written_means_the_same(exchange: Exchange) -> None:
    body, losses = WIRE.write_request(request_of(exchange))
    assert normal(body) == normal(exchange.request)
    assert losses == []


@needed
@pytest.mark.parametrize("exchange", RECORDED, ids=str)
def test_a_request_is_sent_where_it_was_sent(exchange: Exchange) -> None:
    path: str = msgspec.json.decode(exchange.meta)["url_path"]
    model = unquote(path.split("/")[2])
    assert WIRE.target(model, stream=path.endswith("-stream")) == (path, b"")


@needed
@pytest.mark.parametrize("exchange", ANSWERED, ids=str)
def test_a_whole_answer_and_the_same_streamed_fold_to_one(exchange: Exchange) -> None:
    request = request_of(exchange)
    events = read_stream([streamed(exchange.answer)], request)
    check_grammar(events)
    assert fold(events) == WIRE.read_response(exchange.answer, request)


@needed
@pytest.mark.parametrize("exchange", STREAMED, ids=str)
def test_a_recorded_stream_is_the_same_however_it_is_cut(exchange: Exchange) -> None:
    request, data = request_of(exchange), exchange.answer
    whole = read_stream([data], request)
    check_grammar(whole)
    assert fold(whole).usage is not None
    for cut in range(len(data)):
        assert read_stream([data[:cut], data[cut:]], request) == whole


def streamed(answer: bytes) -> bytes:
    """Write a whole answer as Bedrock would stream it, texts and arguments in pieces."""
    whole = msgspec.json.decode(answer)
    told = [event("messageStart", {"role": "assistant"})]
    for index, block in enumerate(whole["output"]["message"]["content"]):
        told += _block(index, block)
    stop = {name: whole[name] for name in ("stopReason", "additionalModelResponseFields") if name in whole}
    told.append(event("messageStop", stop))
    rest = {name: whole[name] for name in ("usage", "metrics", "trace", "performanceConfig") if name in whole}
    told.append(event("metadata", rest))
    return b"".join(told)


def _block(index: int, block: dict[str, Json]) -> list[bytes]:
    at: dict[str, Json] = {"contentBlockIndex": index}
    kind, content = next(iter(block.items()))
    fields = object_of(content) or {}
    deltas: list[Json] = []
    told: list[bytes] = []
    if kind == "text":
        deltas += [{"text": piece} for piece in _pieces(str(content))]
    elif kind == "toolUse":
        start = {name: fields[name] for name in ("toolUseId", "name")}
        told.append(event("contentBlockStart", {**at, "start": {"toolUse": start}}))
        given = msgspec.json.encode(fields["input"]).decode() if fields["input"] else ""
        deltas += [{"toolUse": {"input": piece}} for piece in _pieces(given)]
    elif (thought := object_of(fields.get("reasoningText"))) is not None:
        deltas += [{"reasoningContent": {"text": piece}} for piece in _pieces(str(thought["text"]))]
        if "signature" in thought:
            deltas.append({"reasoningContent": {"signature": thought["signature"]}})
    else:
        deltas.append(block)
    told += [event("contentBlockDelta", {**at, "delta": delta, "p": "abc"}) for delta in deltas]
    return [*told, event("contentBlockStop", at)]


def _pieces(text: str) -> list[str]:
    return [text[at : at + 7] for at in range(0, len(text), 7)]


TEXTS = st.text(max_size=20).filter(bool)
OBJECTS = st.dictionaries(st.text(max_size=4), st.integers() | st.text(max_size=5) | st.none(), max_size=3)


def _text(text: str) -> dict[str, Json]:
    return {"text": text}


def _call(number: int, given: dict[str, Json]) -> dict[str, Json]:
    return {"toolUse": {"toolUseId": f"t{number}", "name": "f", "input": given}}


def _thought(text: str) -> dict[str, Json]:
    return {"reasoningContent": {"reasoningText": {"text": text, "signature": "Sg=="}}}


REDACTED: dict[str, Json] = {"reasoningContent": {"redactedContent": "cmVk"}}
BLOCKS = (
    st.builds(_text, TEXTS)
    | st.builds(_call, st.integers(0, 9), OBJECTS)
    | st.builds(_thought, TEXTS)
    | st.just(REDACTED)
)
REASONS = st.sampled_from(
    [
        "end_turn",
        "tool_use",
        "max_tokens",
        "stop_sequence",
        "guardrail_intervened",
        "malformed_tool_use",
        "new",
    ]
)


@given(st.lists(BLOCKS, max_size=5), REASONS, st.data())
def test_any_answer_folds_to_one_however_it_is_cut(
    blocks: list[dict[str, Json]], reason: str, data: st.DataObject
) -> None:
    request = ChatRequest(protocol="converse", model="amazon.nova-pro-v1:0", turns=[])
    answer = msgspec.json.encode(
        {
            "output": {"message": {"role": "assistant", "content": blocks}},
            "stopReason": reason,
            "usage": {"inputTokens": 3, "outputTokens": 5, "totalTokens": 8, "cacheReadInputTokens": 2},
            "metrics": {"latencyMs": 1},
        }
    )
    stream = streamed(answer)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=6)))
    pieces = [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    events = read_stream(pieces, request)
    check_grammar(events)
    assert fold(events) == WIRE.read_response(answer, request)
