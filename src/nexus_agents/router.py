"""Chooses models for one run, by what the caller insists on, what an expert prefers and what is on offer."""

from collections.abc import Sequence
from dataclasses import dataclass

from nexus_agents import routing
from nexus_agents.budget import count
from nexus_agents.errors import AgentsError, NoAdapter
from nexus_agents.experts import Expert
from nexus_agents.offers import Offer, Offers
from nexus_agents.options import Billing
from nexus_agents.registry import Registry
from nexus_agents.results import Routing
from nexus_agents.routing import Learned, Ranked


@dataclass(frozen=True, slots=True)
class Choice:
    """Whom to call in turn, and why."""

    offers: tuple[Offer, ...]
    routing: Routing
    why: str


class Router:
    """The router of one run: it looks at one state of the offers."""

    def __init__(
        self,
        offers: Offers,
        registry: Registry,
        *,
        billing: Billing,
        max_cost: float,
        learned: Learned,
        explicit: str | None = None,
        default: str | None = None,
        fallback: bool = False,
    ) -> None:
        self.offers = offers
        self._registry = registry
        self._billing: Billing = billing
        self._max_cost = max_cost
        self._learned = learned
        self._explicit = explicit
        self._default = default
        self._fallback = fallback

    def choose(self, text: str, expert: Expert | None = None, *, tools: bool = False) -> Choice:
        """Choose for a text: the caller's model, else the expert's, else the default one, else the best.

        Raises:
            NoAdapter: nothing is on offer, or nothing on offer can take it.
            UnknownModel: a name means nothing.
        """
        preferred = expert.preferred if expert else None
        need = routing.need(text, tokens=count(text) + 1_000, preferred=preferred, tools=tools)
        ranked = routing.rank(self.offers.automatic, need, self._billing, self._max_cost, self._learned)
        for name, who in (
            (self._explicit, "asked for"),
            (expert and expert.model, "set for the expert"),
            (self._default, "the default model"),
        ):
            if name:
                return self._named(name, who, need, ranked)
        self.offers.require()
        short = routing.shortlist(ranked, self._registry)
        if not short:
            raise _nobody(ranked)
        why = routing.reason(short[0], sum(one.excluded is None for one in ranked))
        return Choice(tuple(one.offer for one in short), routing.explain(short, ranked, why), why)

    def _named(self, name: str, who: str, need: routing.Need, ranked: Sequence[Ranked]) -> Choice:
        """Keep to a name; others may follow only where a fallback is allowed."""
        found = routing.resolve(name, self.offers, self._registry)
        own = routing.rank(found, need, self._billing, self._max_cost, self._learned)
        several = len({(one.offer.model) for one in own}) > 1
        short = routing.shortlist(own, self._registry) if several else own[:1]
        if not short or short[0].excluded:
            raise _nobody(own)
        why = f"{name} was {who}"
        if self._fallback:
            rest = [one for one in ranked if one.offer not in [mine.offer for mine in short]]
            short = routing.shortlist([*short, *rest], self._registry)
        return Choice(tuple(one.offer for one in short), routing.explain(short, own, why), why)


def _nobody(ranked: Sequence[Ranked]) -> AgentsError:
    told = "; ".join(f"{one.offer.id}: {one.excluded}" for one in ranked[:5])
    return NoAdapter(
        f"No model can take this{f' ({told})' if told else ''}.",
        "Raise the budget or configure another model.",
    )
