"""What can be called at this moment: every configured adapter's models, each with what the registry knows of it."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from nexus_agents.adapters import Configured, Found
from nexus_agents.adapters.base import Adapter, Listed
from nexus_agents.adapters.openrouter import OpenRouter
from nexus_agents.errors import AdapterError, AgentsError, NoAdapter, Refused
from nexus_agents.registry import Profile, Registry, chat_models

ADEQUATE = 6
"""The least reasoning of a model that may be paid for unasked."""


@dataclass(frozen=True, slots=True)
class Offer:
    """One model of one adapter."""

    adapter: Adapter
    profile: Profile
    tier: int
    automatic: bool = True
    """Whether it may be chosen without being asked for."""
    pinned: bool = False
    verified: bool = True
    """Whether the adapter lists it; a list that cannot be read verifies nothing."""
    parameters: tuple[str, ...] | None = None
    created: int = 0
    warning: str = ""

    @property
    def id(self) -> str:
        return self.profile.id

    @property
    def model(self) -> str:
        return self.profile.model

    @property
    def free(self) -> bool:
        return self.profile.free

    @property
    def paid(self) -> bool:
        """Whether it costs by the token at OpenRouter, where free models go first."""
        return self.adapter.name == "openrouter" and not self.free

    @property
    def basis(self) -> str:
        """Tell what a cost computed for it rests on."""
        if self.free:
            return "free"
        return "unknown" if self.profile.price is None else "price list"


@dataclass(frozen=True, slots=True)
class Offers:
    """All of them, in the order of preference, and what keeps the others away."""

    all: tuple[Offer, ...]
    troubles: dict[str, AgentsError]
    """By the adapter's name: why its models are not known."""
    found: Found

    @property
    def automatic(self) -> list[Offer]:
        return [offer for offer in self.all if offer.automatic]

    def require(self) -> None:
        """Be content only if anything can be called.

        Raises:
            NoAdapter: with what was configured and why it cannot be used, or how to configure something.
        """
        if self.all:
            return
        told = [f"{half.title}: {half.error} {half.fix}" for half in self.found.halves]
        told += [f"{_title(self.found, name)}: {error}" for name, error in self.troubles.items()]
        if told:
            raise NoAdapter(f"No configured adapter can be used. {' '.join(told)}")
        raise NoAdapter(
            "No model adapter configured.",
            "Set OPENROUTER_API_KEY, or NEXUS_CUSTOM_API_BASE_URL, NEXUS_CUSTOM_API_KEY and NEXUS_CUSTOM_MODEL,"
            " or start a Nexus gateway, or install OpenCode; `nexus-agents doctor` tells more.",
        )


async def gather(found: Found, registry: Registry) -> Offers:
    """Ask every adapter for its models at once."""
    answers = await asyncio.gather(*(_listing(one.adapter) for one in found.adapters))
    offers, troubles = list[Offer](), dict[str, AgentsError]()
    for configured, answer in zip(found.adapters, answers, strict=True):
        if isinstance(answer, AgentsError):
            troubles[configured.adapter.name] = answer
            offers += _unverified(configured, registry, answer)
        else:
            offers += _listed(configured, registry, chat_models(answer))
    return Offers(tuple(offers), troubles, found)


async def _listing(adapter: Adapter) -> Sequence[Listed] | AgentsError:
    try:
        return await adapter.models()
    except (AdapterError, Refused) as error:
        return error


def _listed(configured: Configured, registry: Registry, listed: Sequence[Listed]) -> list[Offer]:
    adapter, pinned = configured.adapter, configured.adapter.pinned
    profiles = [(registry.describe(adapter.name, one), one) for one in listed]
    offers = [
        Offer(
            adapter,
            profile,
            configured.tier,
            automatic=(one.id == pinned) if pinned else _automatic(adapter, profile),
            pinned=one.id == pinned,
            parameters=one.parameters,
            created=one.created,
        )
        for profile, one in profiles
    ]
    if pinned and not any(offer.pinned for offer in offers):
        base = pinned.partition(":")[0]
        warning = "" if any(o.model == base for o in offers) else f"{adapter.title} does not list {pinned}."
        offers.append(_pin(configured, registry, warning))
    if offers and not any(offer.automatic for offer in offers) and adapter.name != "openrouter":
        offers = [_made_automatic(offer) for offer in offers]
    return offers


def _automatic(adapter: Adapter, profile: Profile) -> bool:
    """OpenCode lists whatever its vendors sell, OpenRouter thousands: there only what is known is taken unasked."""
    if adapter.name == "openrouter":
        known = bool(profile.names) or not profile.id.startswith("openrouter/")
        may_pay = not isinstance(adapter, OpenRouter) or adapter.allow_paid
        return profile.free or (may_pay and known and profile.reasoning >= ADEQUATE)
    return adapter.name != "opencode" or not profile.id.startswith("opencode/") or profile.free


def _unverified(configured: Configured, registry: Registry, error: AgentsError) -> list[Offer]:
    """Offer what was named without a list to check it by: a pin, and the registry's own rows."""
    if isinstance(error, Refused):
        return []
    if configured.adapter.pinned:
        return [_pin(configured, registry, "Its model list could not be read.")]
    if not isinstance(error, AdapterError) or configured.adapter.name != "opencode":
        return []
    rows = [row for row in registry.profiles.values() if row.adapter == configured.adapter.name]
    return [Offer(configured.adapter, row, configured.tier, verified=False) for row in rows]


def _pin(configured: Configured, registry: Registry, warning: str) -> Offer:
    profile = registry.describe(configured.adapter.name, Listed(id=configured.adapter.pinned))
    return Offer(
        configured.adapter, profile, configured.tier, pinned=True, verified=not warning, warning=warning
    )


def _made_automatic(offer: Offer) -> Offer:
    return Offer(offer.adapter, offer.profile, offer.tier, parameters=offer.parameters, created=offer.created)


def _title(found: Found, name: str) -> str:
    return next((one.adapter.title for one in found.adapters if one.adapter.name == name), name)
