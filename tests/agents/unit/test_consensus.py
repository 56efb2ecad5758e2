"""Votes are counted in whole numbers, asked for on several models, and never made up."""

from fractions import Fraction
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.fakes import (
    Asked,
    Gateway,
    Script,
    Told,
    custom,
    environment,
    failed,
    free,
    listing,
    openrouter,
    said,
)
from nexus_agents import consensus
from nexus_agents.errors import Misuse, NoAdapter
from nexus_agents.options import VoteOptions
from nexus_agents.results import VoteCounts
from nexus_agents.services import Services

SIDES = st.integers(0, 12)


def ballot(decision: str, **more: object) -> Told:
    vote = {"decision": decision, "reasoning": "because it is so", "confidence": 0.5, **more}
    return said(msgspec.json.encode(vote).decode())


def seat_of(asked: Asked) -> str:
    seats = {
        "software architect": "architect",
        "security engineer": "security",
        "developers": "devex",
        "machine learning": "ai_ml",
        "product manager": "pm",
        "contrarian": "catfish",
    }
    return next(seat for words, seat in seats.items() if words in asked.system)


def script(votes: dict[str, str]) -> Script:
    return lambda asked: ballot(votes.get(seat_of(asked), "approve"))


# counting


@pytest.mark.parametrize(
    ("strategy", "approve", "reject", "abstain", "error", "decision"),
    [
        ("simple_majority", 3, 3, 0, 0, "rejected"),
        ("simple_majority", 4, 2, 0, 0, "approved"),
        ("simple_majority", 2, 1, 3, 0, "approved"),
        ("simple_majority", 1, 1, 4, 0, "no_quorum"),
        ("simple_majority", 0, 0, 6, 0, "no_quorum"),
        ("simple_majority", 4, 0, 0, 2, "approved"),
        ("simple_majority", 3, 0, 0, 3, "approved"),
        ("simple_majority", 2, 0, 0, 4, "no_quorum"),
        ("supermajority", 4, 2, 0, 0, "approved"),
        ("supermajority", 3, 2, 1, 0, "rejected"),
        ("supermajority", 5, 1, 0, 0, "approved"),
        ("supermajority", 2, 1, 0, 0, "approved"),
        ("unanimous", 6, 0, 0, 0, "approved"),
        ("unanimous", 5, 1, 0, 0, "rejected"),
        ("unanimous", 5, 0, 1, 0, "approved"),
        ("unanimous", 5, 0, 0, 1, "no_quorum"),
        ("unanimous", 4, 1, 0, 1, "rejected"),
        ("unanimous", 2, 0, 0, 4, "no_quorum"),
    ],
)
def test_each_strategy_at_its_boundary(
    strategy: str, approve: int, reject: int, abstain: int, error: int, decision: str
):
    counts = VoteCounts(approve=approve, reject=reject, abstain=abstain, error=error)
    assert consensus.tally(strategy, counts)[0] == decision


@given(SIDES, SIDES, SIDES, SIDES)
def test_a_decision_is_what_fractions_say(approve: int, reject: int, abstain: int, error: int):
    counts = VoteCounts(approve=approve, reject=reject, abstain=abstain, error=error)
    seats, sides = approve + reject + abstain + error, approve + reject
    quorum = (
        sides > 0 and Fraction(error, seats) <= Fraction(1, 2) and Fraction(sides, seats) >= Fraction(1, 2)
    )
    simple, over = consensus.tally("simple_majority", counts)[0], consensus.tally("supermajority", counts)[0]
    assert (simple != "no_quorum") == (over != "no_quorum") == quorum
    if quorum:
        assert (simple == "approved") == (Fraction(approve, sides) > Fraction(1, 2))
        assert (over == "approved") == (Fraction(approve, sides) >= Fraction(2, 3))


@given(SIDES, SIDES, SIDES, SIDES)
def test_a_stricter_strategy_never_approves_more(approve: int, reject: int, abstain: int, error: int):
    counts = VoteCounts(approve=approve, reject=reject, abstain=abstain, error=error)
    order = [
        consensus.tally(name, counts)[0] == "approved"
        for name in ("unanimous", "supermajority", "simple_majority")
    ]
    assert order == sorted(order)


@given(SIDES, SIDES, SIDES, SIDES)
def test_another_approval_never_turns_a_yes_into_a_no(approve: int, reject: int, abstain: int, error: int):
    one = VoteCounts(approve=approve, reject=reject, abstain=abstain, error=error)
    more = VoteCounts(approve=approve + 1, reject=reject, abstain=abstain, error=error)
    for strategy in ("simple_majority", "supermajority"):
        if consensus.tally(strategy, one)[0] == "approved":
            assert consensus.tally(strategy, more)[0] == "approved"


# voting


async def test_six_seats_judge_by_their_own_questions(tmp_path: Path):
    with Gateway(script({"security": "reject", "catfish": "abstain"})).listening() as gateway:
        async with Services(custom(tmp_path, gateway)) as services:
            done = await services.vote("Use it", VoteOptions())
    assert [seat.role for seat in done.votes] == ["architect", "security", "devex", "ai_ml", "pm", "catfish"]
    assert done.vote_counts == VoteCounts(approve=4, reject=1, abstain=1, error=0)
    assert done.decision == "approved"
    assert [seat.role for seat in done.minority] == ["security"]
    assert len({asked.system for asked in gateway.chats}) == 6
    assert all("Use it" in asked.text for asked in gateway.chats)


async def test_a_quick_panel_has_three_seats(tmp_path: Path):
    with Gateway(script({})).listening() as gateway:
        async with Services(custom(tmp_path, gateway)) as services:
            done = await services.vote("Use it", VoteOptions(quick=True))
    assert [seat.role for seat in done.votes] == ["architect", "security", "pm"]


async def test_seats_are_dealt_over_distinct_models_and_one_model_is_warned_about(tmp_path: Path):
    rows = [free(f"vendor/large-{n}:free") for n in range(4)]

    def answer(asked: Asked) -> Told:
        vote = {"decision": "approve", "reasoning": "because it is so", "confidence": 1}
        return said(msgspec.json.encode(vote).decode(), model=asked.model)

    with Gateway(answer, listing(*rows)).listening() as gateway:
        async with Services(openrouter(tmp_path, gateway)) as services:
            done = await services.vote("Use it", VoteOptions())
            one = await services.vote("Use it", VoteOptions(models=("vendor/large-1:free",)))
    assert (done.distinct_models, done.warnings) == (4, ())
    assert one.distinct_models == 1
    assert "one opinion" in one.warnings[0]


async def test_a_seat_without_a_vote_is_an_error_and_not_an_abstention(tmp_path: Path):
    def answer(asked: Asked) -> Told:
        return said("I would rather not say.") if seat_of(asked) in ("pm", "devex") else ballot("approve")

    with Gateway(answer).listening() as gateway:
        async with Services(custom(tmp_path, gateway)) as services:
            done = await services.vote("Use it", VoteOptions())
    assert (done.vote_counts.error, done.vote_counts.abstain, done.decision) == (2, 0, "approved")
    assert all(seat.reasoning == "" and seat.error for seat in done.votes if seat.decision == "error")


async def test_a_seat_is_told_what_was_wrong_and_asked_again(tmp_path: Path):
    tried = list[str]()

    def answer(asked: Asked) -> Told:
        tried.append(asked.text)
        return ballot("approve", confidence=7) if len(asked.json["messages"]) == 2 else ballot("reject")

    with Gateway(answer).listening() as gateway:
        async with Services(custom(tmp_path, gateway)) as services:
            done = await services.vote("Use it", VoteOptions(quick=True))
    assert done.vote_counts.reject == 3
    assert any("between 0 and 1" in text for text in tried)


async def test_a_seat_moves_to_another_model_when_its_own_fails(tmp_path: Path):
    def answer(asked: Asked) -> Told:
        return failed(404) if asked.model == "a-bad" else ballot("approve")

    with Gateway(answer, listing("a-bad", "b-good")).listening() as gateway:
        async with Services(custom(tmp_path, gateway)) as services:
            done = await services.vote("Use it", VoteOptions())
    assert done.vote_counts.approve == 6


async def test_four_seats_without_a_vote_make_no_quorum(tmp_path: Path):
    def answer(asked: Asked) -> Told:
        return ballot("approve") if seat_of(asked) in ("pm", "devex") else said("no")

    with Gateway(answer).listening() as gateway:
        async with Services(custom(tmp_path, gateway)) as services:
            done = await services.vote("Use it", VoteOptions())
    assert (done.vote_counts.error, done.decision) == (4, "no_quorum")


@pytest.mark.parametrize(
    "text",
    [
        'Sure!\n```json\n{"decision": "approve", "reasoning": "it has ``` in it, yes", "confidence": 1}\n```\nDone.',
        '{"decision": "approve", "reasoning": "long enough", "confidence": 0, "extra": 1}',
        '```\n{"decision": "approve", "reasoning": "long enough", "confidence": 0.5, "conditions": ["x"]}\n```',
    ],
)
async def test_votes_are_found_in_what_models_write(tmp_path: Path, text: str):
    with Gateway(lambda _: said(text)).listening() as gateway:
        async with Services(custom(tmp_path, gateway)) as services:
            done = await services.vote("Use it", VoteOptions(quick=True))
    assert done.vote_counts.approve == 3


@pytest.mark.parametrize(
    "vote",
    [
        {"decision": "yes", "reasoning": "long enough", "confidence": 1},
        {"decision": "approve", "reasoning": "short", "confidence": 1},
        {"decision": "approve", "reasoning": "long enough", "confidence": "high"},
        {"decision": "approve", "reasoning": "long enough", "confidence": 1.5},
        {"decision": "reject", "reasoning": "long enough", "confidence": 1, "rejectionCategories": ["BAD"]},
        {"reasoning": "long enough", "confidence": 1},
    ],
)
async def test_a_vote_that_is_none_is_never_completed(tmp_path: Path, vote: dict[str, object]):
    text = msgspec.json.encode(vote).decode()
    with Gateway(lambda _: said(text)).listening() as gateway:
        async with Services(custom(tmp_path, gateway)) as services:
            done = await services.vote("Use it", VoteOptions(quick=True))
    assert done.vote_counts == VoteCounts(error=3)


def test_long_reasons_are_cut_and_say_so():
    long = consensus.Ballot(decision="approve", reasoning="x" * 9_000, confidence=1)
    kept = consensus.checked(long).reasoning
    assert len(kept) <= 4_000
    assert kept.endswith("[cut]")


async def test_a_vote_keeps_to_its_budget(tmp_path: Path):
    with Gateway(script({})).listening() as gateway:
        async with Services(custom(tmp_path, gateway)) as services:
            done = await services.vote("Use it", VoteOptions(max_tokens=100))
    assert done.decision == "no_quorum"
    assert gateway.chats == []


async def test_votes_are_simulated_only_where_that_is_allowed_and_decide_nothing(tmp_path: Path):
    async with Services(environment(tmp_path)) as services:
        with pytest.raises(Misuse):
            await services.vote("Use it", VoteOptions(simulate=True))
    async with Services(environment(tmp_path, NEXUS_ALLOW_SIMULATE="1")) as services:
        done = await services.vote("Use it", VoteOptions(simulate=True))
    assert (done.decision, done.simulate_votes) == ("no_quorum", True)
    assert all(seat.simulated for seat in done.votes)


@pytest.mark.parametrize("proposal", ["", "   ", "x" * 4_001])
async def test_a_proposal_has_a_length(tmp_path: Path, proposal: str):
    async with Services(environment(tmp_path)) as services:
        with pytest.raises(Misuse):
            await services.vote(proposal, VoteOptions())


async def test_without_a_model_nobody_votes(tmp_path: Path):
    async with Services(environment(tmp_path, NEXUS_LISTEN_ADDRESS="127.0.0.1:1")) as services:
        with pytest.raises(NoAdapter):
            await services.vote("Use it", VoteOptions())


async def test_a_vote_is_in_the_trace(tmp_path: Path):
    with Gateway(script({})).listening() as gateway:
        async with Services(custom(tmp_path, gateway)) as services:
            done = await services.vote("Use it", VoteOptions())
            trace = await services.trace(done.run_id)
    assert [event.type for event in trace.events].count("attempt") == 6
    assert trace.events[-2].data["decision"] == "approved"
    assert trace.run.status == "done"
