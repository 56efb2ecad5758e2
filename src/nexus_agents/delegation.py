"""Recommends models without calling any: the answer of `delegate_to_model`, and drafts of registry rows."""

import msgspec

from nexus_agents import routing
from nexus_agents.adapters.base import Listed
from nexus_agents.offers import Offer, Offers
from nexus_agents.options import Billing
from nexus_agents.registry import Profile, Registry
from nexus_agents.results import Alternative, Capabilities, Delegation, Overlay
from nexus_agents.routing import Need
from nexus_agents.settings import Settings

ALTERNATIVES = 3


def recommend(
    task: str,
    tokens: int | None,
    offers: Offers,
    registry: Registry,
    *,
    preferred: str | None,
    hint: str | None,
    billing: Billing,
) -> Delegation:
    """Recommend: the hint where there is one, else the best on offer, else the best the registry knows.

    Raises:
        UnknownModel: the hint means nothing; it is never passed over in silence.
    """
    need = routing.need(task, tokens=tokens, preferred=preferred)
    if hint is not None:
        return _hinted(hint, need, offers, registry, billing)
    ranked = [
        one.offer.profile
        for one in routing.rank(offers.automatic, need, billing, float("inf"))
        if not one.excluded
    ]
    warnings = () if ranked else ("No configured adapter offers a model: this is what the registry knows.",)
    available = bool(ranked)
    known = sorted(registry.profiles.values(), key=lambda row: -_score(row, need, billing))
    rows = ranked or [row for row in known if routing.excluded(row, need, float("inf")) is None] or known
    best = rows[0]
    others = tuple(_alternative(row, best, need, billing) for row in rows[1 : 1 + ALTERNATIVES])
    why = f"{best.id} has the highest score for this task: {_terms(best, need, billing)}."
    return _delegation(best, why, need.tokens, available, others, warnings)


def _hinted(hint: str, need: Need, offers: Offers, registry: Registry, billing: Billing) -> Delegation:
    row = registry.named(hint)
    offered = _offered(hint, offers, registry, row)
    profile = offered.profile if offered else row
    if profile is None:
        raise AssertionError("resolve() gives an offer or raises")
    name = row.id if row is not None else profile.id
    warnings = () if offered else (f"No configured adapter offers {hint} now.",)
    others = [one.profile for one in offers.automatic if one.profile.id != profile.id]
    others.sort(key=lambda one: -_score(one, need, billing))
    shown = tuple(_alternative(one, profile, need, billing) for one in others[:ALTERNATIVES])
    return _delegation(
        profile, f"{name} was asked for.", need.tokens, offered is not None, shown, warnings, name
    )


def _offered(hint: str, offers: Offers, registry: Registry, row: Profile | None) -> Offer | None:
    if row is not None:
        return next(
            (one for one in offers.all if one.id == row.id or one.profile.names == row.names != ()), None
        )
    return routing.resolve(hint, offers, registry)[0]


def _delegation(
    profile: Profile,
    why: str,
    tokens: int,
    available: bool,
    others: tuple[Alternative, ...],
    warnings: tuple[str, ...],
    name: str | None = None,
) -> Delegation:
    return Delegation(
        recommended_model=name or profile.id,
        reasoning=why,
        capabilities=Capabilities(
            reasoning=profile.reasoning,
            context_window=profile.context,
            code_generation=profile.code,
            speed=profile.speed,
            cost=profile.cost,
        ),
        estimated_tokens=tokens,
        available=available,
        alternatives=others,
        warnings=warnings,
    )


def _alternative(row: Profile, best: Profile, need: Need, billing: Billing) -> Alternative:
    tradeoffs = (
        (row.speed > best.speed, "faster"),
        (row.cost > best.cost, "cheaper"),
        (row.context > best.context, "larger context"),
        (row.reasoning > best.reasoning, "better reasoning"),
    )
    words = ", ".join(word for differs, word in tradeoffs if differs)
    return Alternative(model=row.id, score=_score(row, need, billing), tradeoff=words or "different")


def _score(row: Profile, need: Need, billing: Billing) -> float:
    return sum(term.value for term in routing.terms(row, need, billing))


def _terms(row: Profile, need: Need, billing: Billing) -> str:
    return ", ".join(f"{term.name} {term.value:g}" for term in routing.terms(row, need, billing))


def draft(provider: str, model: str, offers: Offers, registry: Registry, settings: Settings) -> Overlay:
    """Write a `[models.<id>]` table for a model, from its catalogue where an adapter lists it."""
    listed = next((one for one in offers.all if one.adapter.name == provider and one.model == model), None)
    profile = listed.profile if listed else registry.describe(provider, Listed(id=model))
    name = "".join(char if char.isalnum() else "-" for char in f"{provider}-{model}".lower()).strip("-")
    numbers = {
        "context": profile.context,
        "output": profile.output,
        "input_per_million": profile.input_per_million,
        "output_per_million": profile.output_per_million,
        "reasoning": profile.reasoning,
        "code": profile.code,
        "speed": profile.speed,
        "cost": profile.cost,
    }
    lines = [f"[models.{name}]", f"adapter = {_quoted(provider)}", f"model = {_quoted(model)}"]
    lines += [
        f"{key} = {value:g}" if isinstance(value, float) else f"{key} = {value}"
        for key, value in numbers.items()
        if value is not None
    ]
    warnings = (
        () if listed else (f"No configured adapter {provider} lists {model}: the numbers are guesses.",)
    )
    path = settings.file_path or settings.cwd / "nexus-agents.toml"
    return Overlay(text="\n".join(lines) + "\n", path=str(path), warnings=warnings)


def _quoted(text: str) -> str:
    """Write a TOML string: JSON's escapes are a subset of its own."""
    return msgspec.json.encode(text).decode()
