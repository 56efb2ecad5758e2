"""Law 5: the relay changes nothing but the model; law 3: wherever the bytes of a stream are split."""

import itertools

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

import recorded
from nexus.http.frames import Cutter
from nexus.llm import relay
from nexus.llm.protocols import fields

NAME = b'"chosen/\\u00e9"'
CHAT = ("model",)
RESPONSES = ("response", "model")


def through(pieces: list[bytes], path: tuple[str, ...]) -> bytes:
    cutter, restorer = Cutter(), relay.Restorer(NAME, path)
    out = [restorer.restore(ready) for piece in pieces if (ready := cutter.feed(piece))]
    rest = cutter.rest()
    return b"".join(out) + (restorer.restore(rest) if rest else b"")


def expected(stream: bytes, path: tuple[str, ...]) -> bytes:
    """Restore by reading every line as JSON and replacing the one literal: slow, and without any cleverness."""
    lines: list[bytes] = []
    for line in stream.split(b"\n"):
        data = line.removeprefix(b"data: ")
        try:
            value: object = msgspec.json.decode(data) if data != line else None
        except msgspec.DecodeError:
            value = None
        for key in path:
            value = value.get(key) if isinstance(value, dict) else None  # pyright: ignore[reportUnknownVariableType, reportUnknownMemberType]
        if isinstance(value, str):
            literal = b'"model":' + msgspec.json.encode(value)
            assert line.count(literal) >= 1
            line = line.replace(literal, b'"model":' + NAME, 1)
        lines.append(line)
    return b"\n".join(lines)


def path_of(exchange: recorded.Exchange) -> tuple[str, ...]:
    return RESPONSES if str(exchange).startswith("openai-responses") else CHAT


RECORDED = recorded.exchanges("openai-chat", "openai-responses", "embeddings", "openai-compatible")


@recorded.needed
@pytest.mark.parametrize("exchange", [one for one in RECORDED if one.streamed], ids=str)
def test_recorded_streams_pass_with_only_the_model_changed_at_every_split(
    exchange: recorded.Exchange,
) -> None:
    stream, path = exchange.answer, path_of(exchange)
    whole = expected(stream, path)
    assert whole.count(NAME) > 0
    for cut in range(len(stream) + 1):
        assert through([part for part in (stream[:cut], stream[cut:]) if part], path) == whole
    assert through([bytes([byte]) for byte in stream], path) == whole


@recorded.needed
@pytest.mark.parametrize("exchange", [one for one in RECORDED if one.is_json], ids=str)
def test_recorded_answers_pass_with_only_the_model_changed(exchange: recorded.Exchange) -> None:
    body = exchange.answer
    content = msgspec.json.decode(body)
    after = relay.whole(body, NAME)
    if not isinstance(content.get("model"), str):
        assert after == body
        return
    span = fields.locate(body, CHAT)
    assert span is not None
    assert after == body[: span[0]] + NAME + body[span[1] :]
    assert msgspec.json.decode(after) == content | {"model": "chosen/é"}


@recorded.needed
@pytest.mark.parametrize("exchange", RECORDED, ids=str)
def test_recorded_requests_leave_with_only_the_model_changed(exchange: recorded.Exchange) -> None:
    split = fields.split(exchange.request)
    before = {name: bytes(value) for name, value in split.items()}
    split["model"] = msgspec.Raw(NAME)
    after = fields.split(fields.join(split))
    assert {name: bytes(value) for name, value in after.items()} == before | {"model": NAME}
    assert [name for name in after if name != "model"] == [name for name in before if name != "model"]


DELTA = st.text(alphabet='ab"\\é🐈\n{}:, model', max_size=20)


@given(
    st.lists(st.tuples(DELTA, st.booleans(), st.booleans()), max_size=6),
    st.lists(st.integers(0, 2000)),
    st.booleans(),
)
def test_any_chat_stream_survives_any_split(
    events: list[tuple[str, bool, bool]], cuts: list[int], done: bool
) -> None:
    stream = b""
    for text, known, comment in events:
        head: dict[str, object] = {"id": "x"} if known else {"nested": {"model": text}, "id": text}
        chunk = {**head, "model": "m-1", "choices": [{"delta": {"content": text, "model": "m-1"}}]}
        stream += (b": busy\n\n" if comment else b"") + b"data: " + msgspec.json.encode(chunk) + b"\n\n"
    stream += b"data: [DONE]\n\n" if done else b""
    edges = sorted({0, len(stream), *(cut for cut in cuts if cut < len(stream))})
    pieces = [stream[begin:end] for begin, end in itertools.pairwise(edges)]
    out = through(pieces, CHAT)
    read = [msgspec.json.decode(line[6:]) for line in out.split(b"\n") if line.startswith(b"data: {")]
    wrote = [msgspec.json.decode(line[6:]) for line in stream.split(b"\n") if line.startswith(b"data: {")]
    assert read == [chunk | {"model": "chosen/é"} for chunk in wrote]
    assert len(out) == len(stream) + len(events) * (len(NAME) - len(b'"m-1"'))
