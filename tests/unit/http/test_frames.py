import itertools

from hypothesis import given
from hypothesis import strategies as st

from nexus.http import frames

ENDINGS = st.sampled_from(["\n", "\r\n", "\r"])
TEXT = st.text(alphabet='aé🐈 :{}"', max_size=12)


@st.composite
def streams(draw: st.DrawFn) -> bytes:
    written = ""
    for _ in range(draw(st.integers(0, 5))):
        end = draw(ENDINGS)
        lines = draw(
            st.lists(st.tuples(st.sampled_from(["data", "event", ""]), TEXT), min_size=1, max_size=3)
        )
        written += "".join(f"{name}: {value}{end}" for name, value in lines) + end
    return (written + draw(TEXT)).encode()


@given(streams(), st.lists(st.integers(0, 200)))
def test_pieces_are_cut_at_event_ends_wherever_they_were_split(stream: bytes, cuts: list[int]) -> None:
    cutter, out = frames.Cutter(), list[bytes]()
    edges = sorted({0, len(stream), *(cut for cut in cuts if cut < len(stream))})
    for begin, end in itertools.pairwise(edges):
        ready = cutter.feed(stream[begin:end])
        assert not ready or ready.endswith((b"\n", b"\r"))
        out.append(ready)
    assert b"".join(out) + cutter.rest() == stream


@given(streams())
def test_events_lose_no_byte(stream: bytes) -> None:
    assert b"".join(frames.events(stream)) == stream


def test_an_event_is_passed_on_as_soon_as_it_is_whole() -> None:
    cutter = frames.Cutter()
    assert cutter.feed(b"data: 1\n\nda") == b"data: 1\n\n"
    assert cutter.feed(b"ta: 2\n") == b""
    assert cutter.feed(b"\n") == b"data: 2\n\n"
    assert cutter.rest() == b""


def test_a_carriage_return_at_the_end_waits_for_its_line_feed() -> None:
    cutter = frames.Cutter()
    assert cutter.feed(b"data: 1\r\n\r") == b""
    assert cutter.feed(b"\ndata: 2\r\n\r\n") == b"data: 1\r\n\r\ndata: 2\r\n\r\n"


def test_payload_joins_the_data_lines_and_nothing_else() -> None:
    assert frames.payload(b"event: a\ndata: one\ndata:two\nid: data: no\n\n") == b"one\ntwo"


@given(
    st.lists(
        st.sampled_from(
            [
                b"data: ",
                b"data:",
                b"event: x\n",
                b"\n",
                b"\n\n",
                b"\r\n",
                b"x",
                b": data: y\n",
                b"id: data: no\n",
            ]
        ),
        max_size=12,
    ).map(b"".join)
)
def test_payloads_are_those_of_the_events(data: bytes) -> None:
    wanted = [frames.payload(event) for event in frames.events(data)]
    assert list(frames.payloads(data)) == [payload for payload in wanted if payload]


def test_other_payload_keeps_every_other_byte() -> None:
    event = b": hi\r\nevent: a\r\ndata:one\r\ndata: two\r\n\r\n"
    assert frames.with_payload(event, b"1\n2") == b": hi\r\nevent: a\r\ndata:1\r\ndata: 2\r\n\r\n"


def test_a_long_event_in_small_pieces_costs_time_in_proportion() -> None:
    cutter = frames.Cutter()
    piece = b"x" * 1024
    for _ in range(32 * 1024):  # joined anew each time this would move half a terabyte
        assert cutter.feed(piece) == b""
    assert len(cutter.feed(b"\n\n")) == 32 * 1024 * 1024 + 2


def test_a_long_event_of_many_lines_costs_time_in_proportion() -> None:
    cutter = frames.Cutter()
    piece = b"data: x\n" * 128
    for _ in range(16 * 1024):
        assert cutter.feed(piece) == b""
    assert len(cutter.feed(b"\n")) == 16 * 1024 * 1024 + 1


def test_an_unfinished_event_costs_time_in_proportion() -> None:
    stream = b"data: 1\n\n" + b"data: \r\n" * 100_000
    assert frames.events(stream) == [b"data: 1\n\n", stream[9:]]


def test_an_endless_event_is_refused() -> None:
    cutter = frames.Cutter(limit=10)
    cutter.feed(b"12345")
    try:
        cutter.feed(b"678901")
    except OverflowError:
        return
    raise AssertionError("the limit did not hold")
