"""Laws of the Gemini wire, held against recorded traffic and made-up streams."""

import itertools
from typing import cast

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nexus.http import frames
from nexus.llm.canonical import (
    ChatRequest,
    ChatResponse,
    Event,
    Json,
    PartClosed,
    PartDelta,
    PartOpened,
    Started,
    Stopped,
    ToolCall,
    Turn,
)
from nexus.llm.protocols.folding import fold
from nexus.llm.protocols.google.embeddings import GoogleEmbedder
from nexus.llm.protocols.google.wire import GoogleCounter, GoogleWire
from recorded import Exchange, exchanges, needed
from wires import google as reader

_ALL = exchanges("google")
_STREAMED = [one for one in _ALL if one.streamed]
_WHOLE = [one for one in _ALL if one.is_json]
_WIRE = GoogleWire(new_id=lambda: "made")
_Fields = dict[str, Json]


def _request(exchange: Exchange) -> ChatRequest:
    return reader.read_request(exchange.request, _model(exchange))


def _model(exchange: Exchange) -> str:
    path = cast("str", msgspec.json.decode(exchange.meta)["url_path"])
    return path.rpartition("/")[2].partition(":")[0]


def _payloads(stream: bytes) -> list[bytes]:
    return [frames.payload(event) for event in frames.events(stream)]


def _read(payloads: list[bytes], request: ChatRequest) -> list[Event]:
    machine = _WIRE.read_stream(request)
    events = [event for payload in payloads for event in machine.read(payload)]
    return [*events, *machine.end()]


def _cut(stream: bytes, pieces: list[bytes]) -> list[bytes]:
    cutter = frames.Cutter()
    whole = b"".join([*(cutter.feed(piece) for piece in pieces), cutter.rest()])
    assert whole == stream
    return _payloads(whole)


def assert_well_formed(events: list[Event]) -> None:
    """Hold events against their grammar."""
    assert isinstance(events[0], Started)
    assert isinstance(events[-1], Stopped)
    opened: set[int] = set()
    closed: set[int] = set()
    for event in events[1:-1]:
        match event:
            case PartOpened(index):
                assert index == len(opened)
                opened.add(index)
            case PartDelta(index):
                assert index in opened - closed
            case PartClosed(index):
                assert index in opened - closed
                closed.add(index)
            case _:
                pytest.fail(f"{event} stands within the parts")
    assert opened == closed


@needed
def test_there_is_traffic_to_hold_against() -> None:
    assert len(_ALL) >= 37
    assert len(_STREAMED) >= 5


@pytest.mark.parametrize("exchange", _ALL, ids=str)
def test_writing_what_was_read_means_the_same(exchange: Exchange) -> None:
    written, losses = _WIRE.write_request(_request(exchange))
    assert msgspec.json.decode(written) == reader.normal(exchange.request)
    assert not losses


@pytest.mark.parametrize("exchange", _ALL, ids=str)
def test_the_same_request_gives_the_same_bytes(exchange: Exchange) -> None:
    assert _WIRE.write_request(_request(exchange))[0] == _WIRE.write_request(_request(exchange))[0]


@pytest.mark.parametrize("exchange", _ALL, ids=str)
def test_another_clients_request_is_written_without_googles_own_fields(exchange: Exchange) -> None:
    request = _request(exchange)
    request.protocol = "other"
    request.turns = [Turn(turn.role, turn.parts) for turn in request.turns]
    body = cast("_Fields", msgspec.json.decode(_WIRE.write_request(request)[0]))
    assert "responseModalities" not in cast("_Fields", body.get("generationConfig", {}))


@pytest.mark.parametrize("exchange", _WHOLE, ids=str)
def test_a_whole_answer_loses_nothing(exchange: Exchange) -> None:
    body = cast("_Fields", msgspec.json.decode(exchange.answer))
    response = _WIRE.read_response(exchange.answer, _request(exchange))
    assert response.id == body["responseId"]
    assert response.model == body["modelVersion"]
    assert _without_ids(_written_parts(response)) == _without_ids(_spoken_parts([body]))
    counts = cast("dict[str, int]", body["usageMetadata"])
    assert response.usage is not None
    assert response.usage.prompt + response.usage.output == counts["totalTokenCount"]


@pytest.mark.parametrize("exchange", _STREAMED, ids=str)
def test_a_stream_folds_into_the_whole_answer(exchange: Exchange) -> None:
    request = _request(exchange)
    payloads = _payloads(exchange.answer)
    events = _read(payloads, request)
    assert_well_formed(events)
    chunks = [cast("_Fields", msgspec.json.decode(payload)) for payload in payloads]
    whole = _WIRE.read_response(msgspec.json.encode(_joined(chunks)), request)
    assert fold(events) == whole
    assert _without_ids(_written_parts(fold(events))) == _without_ids(_spoken_parts(chunks))


@pytest.mark.parametrize("exchange", _STREAMED, ids=str)
def test_a_stream_reads_the_same_wherever_its_bytes_are_cut(exchange: Exchange) -> None:
    request = _request(exchange)
    stream = exchange.answer
    expected = _read(_payloads(stream), request)
    step = max(1, len(stream) // 400)
    for at in range(0, len(stream), step):
        assert _read(_cut(stream, [stream[:at], stream[at:]]), request) == expected
    single = [stream[i : i + 1] for i in range(len(stream))]
    assert _read(_cut(stream, single), request) == expected


@pytest.mark.parametrize("exchange", _ALL, ids=str)
def test_a_question_for_tokens_holds_the_request(exchange: Exchange) -> None:
    request = _request(exchange)
    asked = msgspec.json.decode(GoogleCounter().write_request(request))
    written = msgspec.json.decode(_WIRE.write_request(request)[0])
    assert asked == {"generateContentRequest": {"model": f"models/{request.model}", **written}}


@pytest.mark.parametrize(
    "exchange", [one for one in exchanges("embeddings") if b"batchEmbedContents" in one.meta], ids=str
)
def test_recorded_embeddings_are_read(exchange: Exchange) -> None:
    body = msgspec.json.decode(exchange.answer)
    response = GoogleEmbedder().read_responses([exchange.answer])
    assert response.vectors == [one["values"] for one in body["embeddings"]]
    assert response.tokens == body.get("usageMetadata", {}).get("promptTokenCount", 0)


def _spoken_parts(chunks: list[_Fields]) -> list[_Fields]:
    """Give the parts of an answer as they came, growing texts joined, without what says nothing."""
    said: list[_Fields] = []
    for candidate in _candidates(chunks):
        for part in cast("list[_Fields]", cast("_Fields", candidate.get("content", {})).get("parts", [])):
            _add(said, part)
    return said


def _candidates(chunks: list[_Fields]) -> list[_Fields]:
    return [one for chunk in chunks for one in cast("list[_Fields]", chunk.get("candidates", []))]


def _add(said: list[_Fields], part: _Fields) -> None:
    last = said[-1] if said else {}
    is_text = "text" in last and "text" in part and "thoughtSignature" not in last
    if is_text and last.get("thought") == part.get("thought"):
        said[-1] = {**last, **part, "text": cast("str", last["text"]) + cast("str", part["text"])}
    elif part != {"text": ""}:
        said.append(part)


def _joined(chunks: list[_Fields]) -> _Fields:
    """Join the chunks of a stream into the whole answer they stand for."""
    whole: _Fields = {}
    for candidate in _candidates(chunks):
        whole |= {name: value for name, value in candidate.items() if value}
    whole["content"] = {"role": "model", "parts": _spoken_parts(chunks)}
    return {**chunks[0], **chunks[-1], "candidates": [whole], "usageMetadata": chunks[-1]["usageMetadata"]}


def _without_ids(parts: list[_Fields]) -> list[_Fields]:
    """Leave out the ids of calls, most of which we make."""
    return [
        {
            **part,
            "functionCall": {k: v for k, v in cast("_Fields", part["functionCall"]).items() if k != "id"},
        }
        if "functionCall" in part
        else part
        for part in parts
    ]


def _written_parts(response: ChatResponse) -> list[_Fields]:
    """Write an answer back as the next request would."""
    request = ChatRequest(
        protocol="google", model="gemini-2.5-flash", turns=[Turn("assistant", response.parts)]
    )
    body = cast("_Fields", msgspec.json.decode(_WIRE.write_request(request)[0]))
    (content,) = cast("list[_Fields]", body["contents"])
    return cast("list[_Fields]", content["parts"])


_TEXTS = st.text(min_size=1, max_size=12)
_SIGNATURES = st.sampled_from(["", "", "sig+/A=="])
_ARGUMENTS = st.dictionaries(_TEXTS, st.none() | st.integers(-(2**53), 2**53) | _TEXTS, max_size=2)


def _part(kind: str, text: str, signature: str, arguments: _Fields) -> _Fields:
    signed: _Fields = {"thoughtSignature": signature} if signature else {}
    match kind:
        case "thought":
            return {"text": text, "thought": True}
        case "call":
            return {"functionCall": {"name": "look", "args": arguments}, **signed}
        case "opaque":
            return {"codeExecutionResult": {"output": text}, **signed}
        case "image":
            return {"inlineData": {"mimeType": "image/png", "data": "QQ=="}, **signed}
        case _:
            return {"text": text, **signed}


_PARTS = st.lists(
    st.builds(
        _part,
        st.sampled_from(["text", "text", "thought", "call", "opaque", "image"]),
        _TEXTS,
        _SIGNATURES,
        _ARGUMENTS,
    ),
    max_size=8,
)


def _chunk(parts: list[_Fields], **more: Json) -> _Fields:
    return {"candidates": [{"content": {"parts": parts}, **more}], "responseId": "r"}


def _split(parts: list[_Fields], cut: st.DataObject) -> list[_Fields]:
    """Break texts into pieces, a signature staying on the last."""
    pieces: list[_Fields] = []
    for part in parts:
        text = part.get("text")
        if isinstance(text, str):
            at = cut.draw(st.integers(0, len(text)))
            pieces += [
                {**{k: v for k, v in part.items() if k == "thought"}, "text": text[:at]},
                {**part, "text": text[at:]},
            ]
        else:
            pieces.append(part)
    return pieces


@given(_PARTS, st.data())
@settings(deadline=None)
def test_an_answer_reads_the_same_in_whatever_pieces_it_comes(
    parts: list[_Fields], data: st.DataObject
) -> None:
    request = ChatRequest(protocol="openai", model="gemini-2.5-flash", turns=[])
    whole = _WIRE.read_response(msgspec.json.encode(_chunk(parts, finishReason="STOP")), request)
    pieces = _split(parts, data)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(pieces)), max_size=4)))
    edges = [0, *cuts, len(pieces)]
    chunks = [_chunk(pieces[a:b]) for a, b in itertools.pairwise(edges)]
    payloads = [msgspec.json.encode(chunk) for chunk in [*chunks, _chunk([], finishReason="STOP")]]
    events = _read(payloads, request)
    assert_well_formed(events)
    assert fold(events) == whole


@given(_PARTS)
@settings(deadline=None)
def test_every_call_of_an_answer_is_read_once_and_has_an_id_of_its_own(parts: list[_Fields]) -> None:
    request = ChatRequest(protocol="openai", model="gemini-2.5-flash", turns=[])
    response = _WIRE.read_response(msgspec.json.encode(_chunk(parts, finishReason="STOP")), request)
    calls = [part for part in response.parts if isinstance(part, ToolCall)]
    sent = [cast("_Fields", part["functionCall"])["args"] for part in parts if "functionCall" in part]
    assert [msgspec.json.decode(call.arguments) for call in calls] == sent
    assert len({call.id for call in calls}) == len(calls)
    assert response.stop.reason == ("tool" if calls else "end")


@given(_PARTS)
@settings(deadline=None)
def test_an_answer_goes_back_as_it_came(parts: list[_Fields]) -> None:
    request = ChatRequest(protocol="openai", model="gemini-2.5-flash", turns=[])
    response = _WIRE.read_response(msgspec.json.encode(_chunk(parts, finishReason="STOP")), request)
    spoken = _spoken_parts([_chunk(parts)])
    assert (_without_ids(_written_parts(response)) if spoken else []) == spoken
