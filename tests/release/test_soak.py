"""The soak judges rightly: it lets its own answers pass, and fails what is wrong, lost, doubled, grown or left."""

from collections import Counter
from dataclasses import replace

import pytest
from msgspec.json import encode

from benchmarks.soak import vendors
from benchmarks.soak.holding import Holding
from benchmarks.soak.kinds import KINDS, Broken, Kind, Wrong
from benchmarks.soak.ledger import Ledger
from benchmarks.soak.report import Memory, Seen, counted
from benchmarks.soak.topology import State

BY_NAME = {kind.name: kind for kind in KINDS}
WELL = Holding({"files": 10, "clients": 0}, 7, 1, {"Catalog._keep": 1})


def seen(ledger: Ledger) -> Seen:
    memory = [Memory(at * 1000, 1e8) for at in range(30)]
    state = State(ledger.sent, {}, 0, 1)
    return Seen(ledger, 1, {}, WELL, WELL, state, ledger.sent, 0, 0, 0.1, memory)


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("chat to openai", encode(vendors.openai(5, 8))),
        ("chat to openai, streamed", b"".join(vendors.openai_events(5, 8))),
        ("messages to anthropic", encode(vendors.anthropic(5, 8))),
        ("messages to anthropic, streamed", b"".join(vendors.anthropic_events(5, 8))),
        ("embeddings", encode(vendors.embedding(5, 8))),
    ],
)
def test_only_the_whole_of_its_own_answer_passes(name: str, body: bytes) -> None:
    kind: Kind = BY_NAME[name]
    kind.check(body, 5, 8)
    for another, words in ((6, 8), (5, 9)):
        with pytest.raises(Wrong):
            kind.check(body, another, words)
    with pytest.raises(Wrong):
        kind.check(body[: len(body) // 2], 5, 8)


def test_a_stream_that_says_it_failed_is_broken() -> None:
    with pytest.raises(Broken):
        BY_NAME["chat to openai, streamed"].check(
            b'data: {"error":{"message":"no"}}\n\ndata: [DONE]\n\n', 5, 8
        )


def test_an_outcome_is_counted_once_and_excused_only_by_what_explains_it() -> None:
    ledger, kind = Ledger(), BY_NAME["tool over a pipe"]
    excused, entry = ledger.disturbed("pipe killed"), ledger.begin(kind, "none")
    ledger.end(entry, "tool failed")
    with pytest.raises(KeyError):
        ledger.end(entry, "answered")
    ledger.end(ledger.begin(kind, "none"), "status 500")
    excused.ended = 0
    ledger.end(ledger.begin(kind, "none"), "tool failed")
    assert ledger.expected.total() == 1
    assert Counter(outcome for _, _, outcome in ledger.unexpected) == {"status 500": 1, "tool failed": 1}


def test_a_run_is_well_only_if_nothing_is_lost_grown_or_left() -> None:
    well = seen(Ledger(sent=100))
    assert list(well.faults()) == []
    lost = Ledger()
    lost.begin(KINDS[0], "none")
    more = Holding({"files": 10, "clients": 1}, 7, 2, {"Catalog._keep": 2})
    kept = replace(WELL, objects=WELL.objects + 6_000)
    growing = [Memory(at * 1000, 1e8 + at * 1e6) for at in range(30)]
    for spoiled, word in (
        (replace(well, ledger=lost, counted=1), "without an outcome"),
        (replace(well, counted=99), "counted 99 requests of 100"),
        (replace(well, state=State(1, {7: 2}, 0, 0)), "request 7 reached the provider 2 times"),
        (replace(well, state=State(1, {}, 3, 0)), "3 answers"),
        (replace(well, after=more), "handles of clients"),
        (replace(well, after=more), "tasks of Catalog._keep"),
        (replace(well, after=more), "2 children"),
        (replace(well, after=kept), "6,000 objects"),
        (replace(well, memory=growing), "memory grows by 1000 bytes"),
        (replace(well, status=1), "ended with status 1"),
    ):
        assert any(word in fault for fault in spoiled.faults())


def test_the_gateways_own_count_leaves_out_what_was_asked_before_the_first_client() -> None:
    name = "http_server_request_duration_seconds_count"
    assert counted(f'{name}{{http_route="/a"}} 3\n{name}{{http_route="/ready"}} 9\n{name}{{x="y"}} 4\n') == 7
