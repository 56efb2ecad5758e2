"""Which model a task goes to: filter, score, order; nothing hidden, nothing random. Pure: no I/O."""

import difflib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from nexus_agents.adapters.base import Listed, Usage
from nexus_agents.errors import Refused, UnknownModel
from nexus_agents.offers import Offer, Offers
from nexus_agents.options import Billing
from nexus_agents.registry import Profile, Registry
from nexus_agents.results import Candidate, Routing, Term

Learned = Callable[[str, str], float]
"""Adapter and model to an adjustment between -3 and 3, from what was seen on this machine."""
FREE_TRIES = 3
OTHER_TRIES = 3
_WORD = re.compile(r"[a-z][a-z-]*[a-z]|[a-z]")


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_REASONING = _words(
    "analyze analyse analysis analyzing design designing architect architecture compare comparing "
    "comparison evaluate evaluating complex think reason reasoning why trade-off trade-offs tradeoff "
    "tradeoffs prove proof strategy"
)
_CONTEXT = _words("codebase repository repo entire whole summarize summarise corpus book transcript")
_SPEED = _words("quick quickly fast simple brief briefly short immediately")
_CODE = _words(
    "implement implementing implementation code coding write function test tests testing refactor "
    "refactoring fix fixing debug debugging bug bugs class method module script generate compile"
)
_COST = _words("cheap cheaply budget economical free inexpensive")


@dataclass(frozen=True, slots=True)
class Need:
    """What a task asks of a model."""

    tokens: int
    """Of its prompt, estimated."""
    reasoning: bool = False
    context: bool = False
    speed: bool = False
    code: bool = False
    cost: bool = False
    preferred: str | None = None
    tools: bool = False
    """Whether it has to be able to call tools."""


def need(task: str, *, tokens: int | None = None, preferred: str | None = None, tools: bool = False) -> Need:
    """Read a task's words: whole ones, so that a costume costs nothing."""
    words = set(_WORD.findall(task.lower()))
    return Need(
        tokens=2 * -(-len(task) // 4) if tokens is None else tokens,
        reasoning=bool(words & _REASONING),
        context=bool(words & _CONTEXT),
        speed=bool(words & _SPEED),
        code=bool(words & _CODE),
        cost=bool(words & _COST),
        preferred=preferred,
        tools=tools,
    )


def terms(profile: Profile, need: Need, billing: Billing) -> tuple[Term, ...]:
    """Score a model for a need, term by term."""
    cost_counts = billing == "api"
    found = [
        ("reasoning", profile.reasoning * (3 if need.reasoning else 1)),
        ("speed", profile.speed * (3 if need.speed else 1)),
        ("code", profile.code * 2 if need.code else 0),
        ("cost", profile.cost * (1 + 2 * need.cost) if cost_counts else profile.cost * need.cost),
        ("context", _context(profile, need)),
        ("preference", _preference(profile, need)),
    ]
    return tuple(Term(name=name, value=float(value)) for name, value in found if value)


def excluded(profile: Profile, need: Need, max_cost: float) -> str | None:
    """Tell why a model cannot take a task."""
    if profile.context < need.tokens + 256:
        return f"its context of {profile.context} tokens is too small"
    if profile.price is not None:
        least = profile.price.of(Usage(input_tokens=need.tokens, output_tokens=256))
        if least > max_cost:
            return f"one answer would cost at least ${least:.4f}"
    return None


@dataclass(frozen=True, slots=True)
class Ranked:
    """An offer with its score."""

    offer: Offer
    score: float
    terms: tuple[Term, ...]
    excluded: str | None = None

    def shown(self) -> Candidate:
        return Candidate(
            id=self.offer.id,
            adapter=self.offer.adapter.name,
            model=self.offer.model,
            score=round(self.score, 2),
            terms=self.terms,
            excluded=self.excluded,
        )


def unlearned(adapter: str, model: str) -> float:
    """Know nothing of a model."""
    return 0.0


def rank(
    offers: Sequence[Offer], need: Need, billing: Billing, max_cost: float, learned: Learned = unlearned
) -> list[Ranked]:
    """Order offers: configured gateways first, OpenRouter's free models before its paid ones, then by score.

    Paid models of OpenRouter follow each other by price. What is excluded comes last, with its reason.
    """
    ranked = list[Ranked]()
    for offer in offers:
        found = terms(offer.profile, need, billing)
        if seen := learned(offer.adapter.name, offer.model):
            found = (*found, Term(name="seen here", value=round(seen, 2)))
        why = excluded(offer.profile, need, max_cost)
        if why is None and need.tools and offer.parameters is not None and "tools" not in offer.parameters:
            why = "it cannot call tools"
        ranked.append(Ranked(offer, sum(term.value for term in found), found, why))
    return sorted(ranked, key=_order)


def _order(one: Ranked) -> tuple[bool, int, bool, float, float, int, int]:
    offer = one.offer
    price = offer.profile.price
    expense = 0.0 if not offer.paid else price.input + price.output if price else float("inf")
    return (
        one.excluded is not None,
        offer.tier,
        offer.paid,
        expense,
        -one.score,
        -offer.profile.context,
        -offer.created,
    )


def shortlist(ranked: Sequence[Ranked], registry: Registry) -> list[Ranked]:
    """List what to try in turn: the first, its chain, then the next best, a few of each adapter."""
    usable = [one for one in ranked if one.excluded is None]
    if not usable:
        return []
    first = usable[0]
    after = registry.chain(first.offer.id)
    chained = [one for name in after for one in usable if one.offer.id == name]
    tried = dict[tuple[str, bool], int]()
    short = list[Ranked]()
    for one in [first, *chained, *usable]:
        kind = (one.offer.adapter.name, one.offer.paid)
        most = 1 if one.offer.paid else FREE_TRIES if one.offer.adapter.name == "openrouter" else OTHER_TRIES
        if one in short or tried.get(kind, 0) >= most:
            continue
        tried[kind] = tried.get(kind, 0) + 1
        short.append(one)
    return short


def explain(short: Sequence[Ranked], ranked: Sequence[Ranked], why: str) -> Routing:
    """Say what was decided and what else was looked at."""
    first = short[0]
    others = [one for one in ranked if one.excluded is None and one.offer is not first.offer]
    lead = first.score - max((one.score for one in others), default=0.0)
    confidence = 1.0 if not others else min(0.99, max(0.5, 0.5 + lead / max(first.score, 1.0)))
    return Routing(
        adapter=first.offer.adapter.name,
        model=first.offer.model,
        reason=why,
        confidence=round(confidence, 3),
        candidates=tuple(one.shown() for one in ranked[:20]),
    )


def reason(first: Ranked, total: int) -> str:
    """Say why the first is first."""
    offer = first.offer
    if offer.pinned:
        return f"{offer.model} is the model configured for {offer.adapter.title}"
    if total == 1:
        return f"{offer.model} is the only model there is"
    best = ", ".join(
        f"{term.name} {term.value:g}" for term in sorted(first.terms, key=lambda t: -t.value)[:3]
    )
    kind = f"{'free' if offer.free else 'paid'} " if offer.adapter.name == "openrouter" else ""
    return f"{offer.model} is the best of {total} {kind}candidates ({best})"


def resolve(name: str, offers: Offers, registry: Registry) -> list[Offer]:
    """Find what an explicit name means: a registry id or alias, an adapter, `<adapter>/<model>`, or a listed model.

    Raises:
        UnknownModel: with the nearest names; nothing is ever put in its place.
    """
    row = registry.named(name)
    if row is not None:
        found = [
            o for o in offers.all if o.id == row.id or (not row.adapter and o.profile.names == row.names)
        ]
        if found:
            return found
        if row.adapter:
            raise UnknownModel(name, why=f"It needs the adapter {row.adapter}, which does not offer it.")
    by_adapter = [offer for offer in offers.automatic if offer.adapter.name == name]
    listed = [
        offer
        for offer in offers.all
        if name in (offer.model, offer.id, f"{offer.adapter.name}/{offer.model}")
    ]
    if by_adapter or listed:
        return by_adapter or listed
    if (unlisted := _unlisted(name, offers, registry)) is not None:
        return [unlisted]
    offers.require()
    words = {offer.id for offer in offers.all} | {offer.model for offer in offers.all} | set(registry.words)
    raise UnknownModel(name, near(name, words))


def _unlisted(name: str, offers: Offers, registry: Registry) -> Offer | None:
    """Take `<adapter>/<model>` at its word where the adapter's list cannot be read."""
    adapter, _, model = name.partition("/")
    own = next((one for one in offers.found.adapters if one.adapter.name == adapter), None)
    trouble = offers.troubles.get(adapter)
    if own is None or not model or trouble is None:
        return None
    if isinstance(trouble, Refused):
        raise trouble
    profile = registry.describe(adapter, Listed(id=model))
    return Offer(own.adapter, profile, own.tier, verified=False, warning="Its model list could not be read.")


def near(name: str, words: set[str]) -> list[str]:
    """Suggest names: close spellings, else those that contain it."""
    close = difflib.get_close_matches(name, sorted(words), 3, 0.6)
    return close or sorted(word for word in words if name.lower() in word.lower())[:3]


def _context(profile: Profile, need: Need) -> int:
    if not need.context:
        return 0
    return (20 if profile.context >= 2 * need.tokens else 0) + (10 if profile.context >= 500_000 else 0)


def _preference(profile: Profile, need: Need) -> float:
    scores: dict[str | None, float] = {
        "reasoning": profile.reasoning,
        "speed": profile.speed,
        "code": profile.code,
        "context": min(10.0, profile.context / 100_000),
    }
    return 3 * scores.get(need.preferred, 0.0)
