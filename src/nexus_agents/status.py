"""The state of adapters and models, as `doctor` and `models` show it."""

import asyncio
import time

import msgspec

from nexus_agents import asking
from nexus_agents.adapters import EXPLICIT, Configured, Half
from nexus_agents.errors import AdapterError, AgentsError, Kind, Refused
from nexus_agents.offers import Offer, Offers
from nexus_agents.registry import Profile, Registry
from nexus_agents.results import AdapterStatus, LiveCheck, ModelRow

LIVE_OUTPUT = 16
LIVE_TIMEOUT = 60.0


def statuses(offers: Offers) -> list[AdapterStatus]:
    """Describe every adapter, the half-configured ones last."""
    return [_status(one, offers) for one in offers.found.adapters] + [
        _half(one) for one in offers.found.halves
    ]


def _status(configured: Configured, offers: Offers) -> AdapterStatus:
    adapter = configured.adapter
    own = [offer for offer in offers.all if offer.adapter is adapter]
    error = offers.troubles.get(adapter.name)
    usable = bool(own) and not _fatal(error)
    fix = error.cure or _fix(error) if error else None
    warnings = list(configured.warnings) + [offer.warning for offer in own if offer.warning]
    if usable and error is not None:
        warnings.append(f"Its models could not be listed: {error.message}")
    if not own and error is None:
        error = AdapterError(Kind.NOT_FOUND, f"{adapter.title} lists no model that chats.")
        fix = "Check what the key may use."
    return AdapterStatus(
        name=adapter.name,
        title=adapter.title,
        source=configured.source,
        host=adapter.host,
        state="usable" if usable else "broken",
        explicit=configured.tier == EXPLICIT,
        error=None if usable or error is None else error.message,
        fix=None if usable else fix,
        models=len(own) if error is None else None,
        pinned=adapter.pinned or None,
        warnings=tuple(dict.fromkeys(warnings)),
    )


def _half(half: Half) -> AdapterStatus:
    return AdapterStatus(
        name=half.name,
        title=half.title,
        source=half.source,
        host="",
        state="broken",
        explicit=True,
        error=half.error,
        fix=half.fix,
    )


def _fatal(error: AgentsError | None) -> bool:
    """Tell whether a failed listing means that calls will fail too; some services just have no list."""
    kinds = (Kind.AUTHENTICATION, Kind.CONNECTION, Kind.TIMEOUT)
    return isinstance(error, Refused) or (isinstance(error, AdapterError) and error.kind in kinds)


def _fix(error: AgentsError) -> str:
    if not isinstance(error, AdapterError):
        return ""
    return {
        Kind.NOT_FOUND: "The base URL usually ends in /v1.",
        Kind.CONNECTION: "Check that the service runs and that the URL is right.",
        Kind.TIMEOUT: "Check that the service runs.",
        Kind.GARBAGE: "Check that the URL is that of an OpenAI-compatible API; it usually ends in /v1.",
    }.get(error.kind, "")


async def live(offers: Offers) -> list[LiveCheck]:
    """Call one model of each adapter."""
    return list(await asyncio.gather(*(_live(one, offers) for one in offers.found.adapters)))


async def _live(configured: Configured, offers: Offers) -> LiveCheck:
    adapter = configured.adapter
    own = [offer for offer in offers.all if offer.adapter is adapter]
    if not own:
        return LiveCheck(name=adapter.name, status="skipped", detail="no model to ask")
    offer = min(own, key=lambda one: (not one.pinned, not one.automatic, not one.free, -one.profile.speed))
    prompt = asking.prompt(
        "", "Answer with the word OK and nothing else.", output=LIVE_OUTPUT, timeout=LIVE_TIMEOUT
    )
    begun = time.monotonic()
    try:
        await adapter.complete(msgspec.structs.replace(prompt, model=offer.model))
    except AgentsError as error:
        spent = round((time.monotonic() - begun) * 1000)
        return LiveCheck(name=adapter.name, status="failed", duration_ms=spent, detail=str(error))
    spent = round((time.monotonic() - begun) * 1000)
    return LiveCheck(name=adapter.name, status="ok", duration_ms=spent, detail=offer.model)


def models(offers: Offers, registry: Registry) -> list[ModelRow]:
    """List what is on offer, then the registry's rows that are not."""
    rows = [_row(offer.profile, offer) for offer in offers.all]
    seen = {row.id for row in rows}
    rows += [
        _row(profile, None)
        for profile in registry.profiles.values()
        if profile.adapter and profile.id not in seen
    ]
    return rows


def _row(profile: Profile, offer: Offer | None) -> ModelRow:
    own = not profile.id.startswith(f"{profile.adapter}/")
    return ModelRow(
        id=profile.id,
        adapter=profile.adapter,
        model=profile.model,
        available=offer is not None and offer.verified,
        context_window=profile.context,
        max_output_tokens=profile.output,
        input_per_million=profile.input_per_million,
        output_per_million=profile.output_per_million,
        reasoning=profile.reasoning,
        code=profile.code,
        speed=profile.speed,
        cost=profile.cost,
        aliases=profile.aliases,
        origin="overlay" if profile.overlaid else "registry" if own else "catalogue",
    )
