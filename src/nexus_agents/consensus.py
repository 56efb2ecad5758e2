"""A panel votes: each seat judges by its own criteria, on a model of its own where there are several. No vote is made up.

How votes are counted (`tally`): who approves or rejects takes a side; who abstains is present and takes none; a seat whose
model gave no vote is absent. Absent seats beyond half the panel, or sides taken by less than half of it, make no quorum.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import msgspec

from nexus_agents import asking, routing
from nexus_agents.calls import Calls
from nexus_agents.errors import AdapterError, AgentsError, BudgetExceeded, Misuse, Refused
from nexus_agents.experts import PanelSeat, panel
from nexus_agents.offers import Offer
from nexus_agents.options import OnProgress, Progress, VoteOptions
from nexus_agents.results import Seat, VoteCounts
from nexus_agents.routing import Ranked

Decision = Literal["approved", "rejected", "no_quorum"]
Category = Literal[
    "YAGNI",
    "DRY_VIOLATION",
    "OVER_ENGINEERING",
    "SCOPE_CREEP",
    "SECURITY_RISK",
    "MISALIGNED",
    "INSUFFICIENT_EVIDENCE",
]
LONGEST_PROPOSAL = 4_000
LONGEST_REASONING = 4_000
LEAST_REASONING = 10
CALLS_A_SEAT = 8


class Ballot(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What a seat answers. Nothing is filled in for it."""

    decision: Literal["approve", "reject", "abstain"]
    reasoning: str
    confidence: float
    conditions: tuple[str, ...] = ()
    rejection_categories: tuple[Category, ...] = ()


def tally(strategy: str, counts: VoteCounts) -> tuple[Decision, str]:
    """Count: whole numbers only, so that two thirds are two thirds."""
    approve, reject = counts.approve, counts.reject
    sides, seats = approve + reject, approve + reject + counts.abstain + counts.error
    if counts.error * 2 > seats:
        return "no_quorum", f"{counts.error} of {seats} seats gave no vote"
    if sides * 2 < seats or not sides:
        return "no_quorum", f"only {sides} of {seats} seats took a side"
    if strategy == "unanimous":
        if reject:
            return "rejected", f"{reject} of {sides} reject, and unanimity was asked for"
        if counts.error:
            return (
                "no_quorum",
                f"{counts.error} of {seats} seats gave no vote, and unanimity needs every seat",
            )
        return "approved", f"all {sides} approve"
    if strategy == "supermajority":
        passed, rule = 3 * approve >= 2 * sides, "two thirds"
    else:
        passed, rule = 2 * approve > sides, "more than half"
    return (
        "approved" if passed else "rejected"
    ), f"{approve} of {sides} approve; {rule} {'' if passed else 'not '}reached"


def deal(ranked: Sequence[Ranked], seats: int) -> list[Offer]:
    """Choose the models of a panel: distinct ones, the best first, none that costs where there are enough that do not."""
    usable = [one.offer for one in ranked if one.excluded is None]
    capable = [offer for offer in usable if offer.profile.reasoning >= 5] or usable
    distinct = dict[str, Offer]()
    for offer in capable:
        distinct.setdefault(offer.model.rpartition("/")[2].partition(":")[0].lower(), offer)
    free = [offer for offer in distinct.values() if not offer.paid]
    return (free or list(distinct.values()))[:seats]


@dataclass(frozen=True, slots=True)
class Panel:
    """One vote under way."""

    run_id: str
    proposal: str
    options: VoteOptions
    models: Sequence[Offer]
    calls: Calls
    progress: OnProgress

    async def vote(self) -> tuple[Seat, ...]:
        """Ask every seat at once; a seat that fails is an error and not an abstention."""
        seats, done = chosen(self.options.quick), list[Seat]()

        async def ask(at: int, seat: PanelSeat) -> Seat:
            cast = await self._seat(at, seat)
            done.append(cast)
            told = cast.error or cast.decision
            message = f"{seat.name}: {told} ({cast.model_used or 'no model'})"
            self.progress(Progress(run_id=self.run_id, message=message, done=len(done), total=len(seats)))
            return cast

        return tuple(await asyncio.gather(*(ask(at, seat) for at, seat in enumerate(seats))))

    async def _seat(self, at: int, seat: PanelSeat) -> Seat:
        """Ask a seat's own model, and one other when that gives no vote."""
        failure: AgentsError | None = None
        try:
            async with asyncio.timeout(self.options.timeout):
                for turn in range(min(2, len(self.models))):
                    offer = self.models[(at + turn) % len(self.models)]
                    try:
                        return await self._ballot(seat, offer)
                    except (AdapterError, Refused) as error:
                        failure = error
        except BudgetExceeded as error:
            failure = error
        except TimeoutError:
            failure = AgentsError(f"No vote within {self.options.timeout:g} seconds.")
        return Seat(role=seat.name, decision="error", confidence=0.0, reasoning="", error=str(failure))

    async def _ballot(self, seat: PanelSeat, offer: Offer) -> Seat:
        asked = asking.prompt(
            _instruction(seat),
            f"The proposal:\n{self.proposal}",
            schema=SCHEMA,
            output=1_500,
            timeout=self.options.timeout,
        )
        ballot, answer = await asking.ask(
            self.calls, seat.name, "vote", asked, [offer], Ballot, "a vote", check=checked, category="vote"
        )
        return Seat(
            role=seat.name,
            decision=ballot.decision,
            confidence=ballot.confidence,
            reasoning=ballot.reasoning,
            model_used=answer.completion.model,
            conditions=ballot.conditions,
            rejection_categories=ballot.rejection_categories,
        )


def chosen(quick: bool) -> tuple[PanelSeat, ...]:
    """List the seats of a panel."""
    return tuple(seat for seat in panel() if seat.quick or not quick)


def checked(ballot: Ballot) -> Ballot:
    """Accept a vote with reasons; reasons that are too long are cut, visibly.

    Raises:
        ValueError: with what is wrong with it.
    """
    reasoning = ballot.reasoning.strip()
    if len(reasoning) < LEAST_REASONING:
        raise ValueError(f"its reasoning has fewer than {LEAST_REASONING} characters")
    if not 0 <= ballot.confidence <= 1:
        raise ValueError("its confidence is not between 0 and 1")
    if len(reasoning) > LONGEST_REASONING:
        reasoning = f"{reasoning[: LONGEST_REASONING - 8]} [cut]"
    return msgspec.structs.replace(ballot, reasoning=reasoning)


def counted(votes: Sequence[Seat]) -> VoteCounts:
    """Count the votes."""
    of = [vote.decision for vote in votes]
    return VoteCounts(
        approve=of.count("approve"),
        reject=of.count("reject"),
        abstain=of.count("abstain"),
        error=of.count("error"),
    )


def minority(votes: Sequence[Seat], decision: Decision) -> tuple[Seat, ...]:
    """List who took the other side; without a decision, the smaller side."""
    approve = tuple(vote for vote in votes if vote.decision == "approve")
    reject = tuple(vote for vote in votes if vote.decision == "reject")
    match decision:
        case "approved":
            return reject
        case "rejected":
            return approve
        case "no_quorum":
            return min(approve, reject, key=len)


def acceptable(proposal: str) -> str:
    """Accept a proposal.

    Raises:
        Misuse: it is empty or too long.
    """
    proposal = proposal.strip()
    if not 1 <= len(proposal) <= LONGEST_PROPOSAL:
        raise Misuse(f"A proposal has 1 to {LONGEST_PROPOSAL} characters; this one has {len(proposal)}.")
    return proposal


def ranked_for(ranked: list[Ranked], named: Sequence[list[Offer]], need: routing.Need) -> list[Ranked]:
    """Take the models named instead of all, where any were."""
    if not named:
        return ranked
    return [
        Ranked(offers[0], 0.0, (), routing.excluded(offers[0].profile, need, float("inf")))
        for offers in named
    ]


def _instruction(seat: PanelSeat) -> str:
    criteria = "\n".join(f"- {one}" for one in seat.criteria)
    return (
        f"{seat.persona} Judge the proposal by these questions:\n{criteria}\n\n"
        "Ask yourself as well: what would show that it worked, what would show that it failed, and can both be seen in time?"
        " Abstain only when the proposal is outside what you can judge. When you reject, name the categories that apply:"
        f" {', '.join(get_args(Category))}.\n\n"
        'Answer with one JSON object: {"decision": "approve" | "reject" | "abstain", "reasoning": "...",'
        ' "confidence": 0.0 to 1.0, "conditions": ["..."], "rejectionCategories": ["..."]}'
    )


SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "decision": {"type": "string", "enum": ["approve", "reject", "abstain"]},
        "reasoning": {"type": "string", "minLength": LEAST_REASONING, "maxLength": 1_000},
        "confidence": {"type": "number", "minimum": 0, "maximum": 1},
        "conditions": {"type": "array", "items": {"type": "string", "maxLength": 200}, "maxItems": 5},
        "rejectionCategories": {
            "type": "array",
            "items": {"type": "string", "enum": list(get_args(Category))},
            "maxItems": len(get_args(Category)),
        },
    },
    "required": ["decision", "reasoning", "confidence", "conditions", "rejectionCategories"],
    "additionalProperties": False,
}
