import struct
import zlib
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nexus.http.eventstream import Corrupt, Decoder, Message, read_headers
from recorded import ROOT
from wires.eventstream import Value, event, message

RECORDED = sorted(ROOT.rglob("response.eventstream"))
ONE = event("messageStart", {"role": "assistant"})
TWO = ONE + event("messageStop", {"stopReason": "end_turn"})
NAMES = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=20)
VALUES: st.SearchStrategy[Value] = (
    st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.binary(max_size=40) | st.text(max_size=40)
)
MESSAGES = st.tuples(st.binary(max_size=200), st.dictionaries(NAMES, VALUES, max_size=4))


def read(pieces: Sequence[bytes], limit: int = 1024 * 1024) -> list[Message]:
    decoder = Decoder(limit)
    found = [one for piece in pieces for one in decoder.feed(piece)]
    decoder.end()
    return found


def mended(data: bytes) -> bytes:
    """Give a message with checksums that fit what it says."""
    head = data[:8] + struct.pack(">I", zlib.crc32(data[:8])) + data[12:-4]
    return head + struct.pack(">I", zlib.crc32(head))


@given(st.lists(MESSAGES, max_size=5), st.data())
def test_messages_come_out_as_they_went_in_however_they_are_cut(
    written: list[tuple[bytes, dict[str, Value]]], data: st.DataObject
) -> None:
    stream = b"".join(message(payload, headers) for payload, headers in written)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    pieces = [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    assert [(one.payload, one.headers) for one in read(pieces)] == written


@pytest.mark.parametrize("cut", range(len(TWO) + 1))
def test_every_cut_of_two_messages_gives_both(cut: int) -> None:
    found = read([TWO[:cut], TWO[cut:]])
    assert [one.text(":event-type") for one in found] == ["messageStart", "messageStop"]


@pytest.mark.skipif(not RECORDED, reason="the recorded traffic is not here (NEXUS_RECORDED)")
def test_recorded_streams_are_the_same_cut_at_every_byte_and_byte_by_byte() -> None:
    for path in RECORDED:
        data = path.read_bytes()
        whole = read([data])
        assert whole
        assert all(read([data[:cut], data[cut:]]) == whole for cut in range(len(data)))
        assert read([data[at : at + 1] for at in range(len(data))]) == whole


def test_headers_of_all_types_are_read() -> None:
    fields = (
        b"\x01a\x00" + b"\x01b\x01" + b"\x01c\x02\xff" + b"\x01d\x03\xff\xfe" + b"\x01e\x04\x00\x00\x00\x07"
        b"\x01f\x05" + struct.pack(">q", -9) + b"\x01g\x06\x00\x02hi" + b"\x01h\x07\x00\x02\xc3\xa9"
        b"\x01i\x08" + struct.pack(">q", 1700000000000) + b"\x01j\x09" + bytes(range(16))
    )
    assert read_headers(fields) == {
        "a": True,
        "b": False,
        "c": -1,
        "d": -2,
        "e": 7,
        "f": -9,
        "g": b"hi",
        "h": "é",
        "i": 1700000000000,
        "j": bytes(range(16)),
    }


@pytest.mark.parametrize(
    "block",
    [
        b"\x01a",
        b"\x05ab",
        b"\x01a\x0a",
        b"\x01a\x05\x00",
        b"\x01a\x07\x00\x05hi",
        b"\x01\xff\x00",
        b"\x01a\x09ab",
    ],
)
def test_headers_that_are_cut_or_unknown_are_corrupt(block: bytes) -> None:
    with pytest.raises(Corrupt):
        read_headers(block)


@pytest.mark.parametrize("at", range(len(TWO)))
def test_a_flipped_bit_anywhere_is_noticed(at: int) -> None:
    data = TWO[:at] + bytes([TWO[at] ^ 1]) + TWO[at + 1 :]
    with pytest.raises(Corrupt):
        read([data])


@pytest.mark.parametrize("length", range(1, len(ONE)))
def test_an_end_within_a_message_is_noticed(length: int) -> None:
    with pytest.raises(Corrupt, match="within a message"):
        read([ONE[:length]])


def test_a_message_of_the_limit_passes_and_a_larger_one_is_refused_by_its_head() -> None:
    data = event("x", b"0" * 1000)
    assert read([data], limit=len(data))
    decoder = Decoder(len(data) - 1)
    with pytest.raises(Corrupt, match="larger than"):
        decoder.feed(data[:12])


@pytest.mark.parametrize(("total", "headers"), [(15, 0), (16, 1), (0, 0), (1000, 990), (300_000, 200_000)])
def test_lengths_that_do_not_fit_each_other_are_refused(total: int, headers: int) -> None:
    with pytest.raises(Corrupt, match="do not fit"):
        read([mended(struct.pack(">II", total, headers) + bytes(12))])


def test_headers_longer_than_their_block_are_refused_with_good_checksums() -> None:
    good = message(b"", {"name": "value"})
    short = mended(good[:-5] + bytes(5))
    with pytest.raises(Corrupt, match="header"):
        read([mended(short[:4] + struct.pack(">I", 10) + short[8:])])


def test_a_failure_says_that_something_had_arrived() -> None:
    with pytest.raises(Corrupt) as caught:
        read([bytes(12)])
    assert caught.value.received
