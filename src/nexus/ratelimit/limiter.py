"""Who is asked for how much: makes charges of requests, calls and tokens, and asks the store."""

import asyncio
import functools
import hashlib
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from ipaddress import IPv6Address
from typing import Literal
from urllib.parse import quote

import msgspec

from nexus.config import Config
from nexus.config.llm import ProviderConfig
from nexus.config.mcp import McpServer
from nexus.config.ratelimit import McpRateLimits, RateLimits, RedisStorage, RequestLimit
from nexus.context import Identity
from nexus.errors import NotReady
from nexus.ratelimit import MAX_AMOUNT, Charge, RateLimited, Store, StoreFailed, Window, standing
from nexus.ratelimit.hold import FREE, Hold
from nexus.ratelimit.memory import MemoryStore
from nexus.ratelimit.quotas import Quota, Quotas

log = logging.getLogger(__name__)

OnError = Literal["allow", "deny"]
FAILURES = 10
"""Refused tokens an address may send for each request it may make; they are counted apart."""
_KEPT, _SHORT = 4096, 256
_INPUT, _OUTPUT = ":in", ":out"
_KINDS = ("input_tokens", "output_tokens")
_REQUESTS = ("requests", "requests")
_TOO_MANY = "Rate limit exceeded"
_TOKENS = f"{_TOO_MANY}: Token rate limit exceeded."
_LATER = f"{_TOKENS} Please try again later."
_NEVER = f"{_TOKENS} Request requires more tokens than the configured limit allows and cannot be fulfilled."
_UNCOUNTED = "limits cannot be counted, so requests are refused"
_AWAY = "Limits cannot be counted at the moment, try again in a moment"


class Estimate(msgspec.Struct, frozen=True):
    """What a request will use, as far as one can tell."""

    input: int
    output: int
    """What the model may write at most."""


class Budget(msgspec.Struct, frozen=True):
    """The tokens of one model that one client may use, and the keys they are counted by."""

    quota: Quota
    input: str
    output: str


class Left(msgspec.Struct, frozen=True):
    """One limit of a client, and what is left of it."""

    provider: str
    model: str
    tokens: Literal["input", "output"]
    limit: int
    remaining: int
    interval: float
    """Seconds."""


class Limiter:
    """All limits of one configuration. What has no limit is let through without asking anybody."""

    def __init__(
        self,
        store: Store,
        limits: RateLimits,
        providers: Mapping[str, ProviderConfig],
        servers: Mapping[str, McpServer],
        on_error: OnError | None = None,
    ) -> None:
        self._store = store
        self._on_error = on_error
        self._quotas = Quotas(providers)
        everybody = limits.global_ if limits.enabled else None
        per_ip = limits.per_ip if limits.enabled else None
        self._all = everybody and _request("{requests}:global", everybody)
        self._per_ip = per_ip and _request("{requests}:ip", per_ip)
        self._failed = per_ip and _request("{requests}:auth", per_ip, times=FAILURES)
        self._servers = {
            name: server.rate_limits
            for name, server in servers.items()
            if limits.enabled and server.rate_limits is not None
        }
        self._booking: set[asyncio.Task[None]] = set()
        # who comes once comes again: what does not change between two requests is made once
        self._kept_budget = functools.lru_cache(_KEPT)(self._budget)
        self._kept_requests = functools.lru_cache(_KEPT)(self._requests)

    @property
    def limits_requests(self) -> bool:
        """Whether any request could be refused by `admit`."""
        return self._all is not None or self._per_ip is not None

    @property
    def limits_tokens(self) -> bool:
        """Whether any request could be refused by `reserve`."""
        return bool(self._quotas)

    async def trouble(self) -> str | None:
        """Tell why requests are refused without being counted; None while they are not."""
        denies = self._on_error == "deny" and self.limits_tokens
        denies |= self._on_error != "allow" and self.limits_requests
        if not denies:
            return None
        try:
            await self._store.check()
        except StoreFailed:  # its own words name addresses, and this is for everybody
            return _UNCOUNTED
        return None

    async def start(self) -> None:
        """Connect to the store.

        Raises:
            StoreFailed: it cannot be reached.
        """
        await self._store.start()

    async def close(self) -> None:
        """Finish what is being booked."""
        await asyncio.gather(*self._booking, return_exceptions=True)
        await self._store.close()

    async def admit(self, address: str) -> None:
        """Count a request, for everybody and for its address: both or neither.

        Raises:
            RateLimited: there is no room for it.
            StoreFailed: nobody can tell, and then none passes.
        """
        await self._take(self._kept_requests(address), _REQUESTS)

    async def failed(self, address: str) -> None:
        """Count a token that was refused.

        Raises:
            RateLimited: there were too many from this address.
        """
        if self._failed is not None:
            try:
                await self._take([_of(self._failed, address)])
            except StoreFailed:
                return  # the refusal itself stands

    async def call(self, server: str, tool: str) -> None:
        """Count a call of a tool: with its own limit where it has one, else with all the others of its server.

        Raises:
            RateLimited: there is no room for it.
            NotReady: nobody can tell.
        """
        limits = self._servers.get(server)
        if limits is None:
            return
        own = limits.tools.get(tool)
        key = f"{{server:{_safe(server)}}}"
        charge = _request(f"{key}:tool:{_safe(tool)}", own) if own else _request(key, limits)
        try:
            await self._take([charge])
        except StoreFailed as error:
            raise NotReady(_AWAY) from error

    def budget(self, identity: Identity, provider: str, model: str) -> Budget | None:
        """Find what a client may use of a model, as it is called without its provider; None if it is not limited."""
        # what is kept must not be as long as a client likes
        find = self._kept_budget if len(identity.client) + len(model) < _SHORT else self._budget
        return find(identity, provider, model)

    async def reserve(self, budget: Budget, wanted: Estimate) -> Hold:
        """Hold the tokens a request will use.

        Raises:
            RateLimited: there is no room for them.
            NotReady: nobody can tell, and that is configured to refuse.
        """
        if wanted.input > budget.quota.input:
            raise RateLimited(_NEVER)
        charges = _charges(budget, wanted)
        try:
            decision = await self._store.charge(charges)
        except StoreFailed as error:
            if self._on_error == "deny":
                raise NotReady(_AWAY) from error
            return FREE
        if (noted := standing.current()) is not None:
            noted.note(_KINDS, charges, decision)
        if decision.refused is not None:
            raise RateLimited(_LATER)
        return Hold(charges, decision.at, self._book)

    async def left(self, identity: Identity, models: Iterable[tuple[str, str]]) -> list[Left]:
        """Give what is left to a client of each limited one among some models, named by provider and model.

        Raises:
            NotReady: nobody can tell.
        """
        found = [
            (provider, model, budget.quota, charge)
            for provider, model in models
            if (budget := self._budget(identity, provider, model)) is not None
            for charge in _charges(budget, Estimate(0, 0))
        ]
        if not found:
            return []
        try:
            decision = await self._store.charge([charge for *_, charge in found])
        except StoreFailed as error:
            raise NotReady(_AWAY) from error
        return [
            Left(
                provider,
                model,
                "output" if charge.key.endswith(_OUTPUT) else "input",
                charge.limit,
                max(0, charge.limit - used),
                quota.interval,
            )
            for (provider, model, quota, charge), used in zip(found, decision.used, strict=True)
        ]

    def _requests(self, address: str) -> tuple[Charge, ...]:
        """Charge a request to everybody and to its address."""
        own = self._per_ip and _of(self._per_ip, address)
        return tuple(charge for charge in (self._all, own) if charge is not None)

    def _budget(self, identity: Identity, provider: str, model: str) -> Budget | None:
        quota = self._quotas.find(provider, model, identity.group)
        return None if quota is None else Budget(quota, *_keys(identity.client, provider, model, quota))

    async def _take(self, charges: Sequence[Charge], resources: Sequence[str] = ()) -> None:
        if not charges:
            return
        try:
            decision = await self._store.charge(charges)
        except StoreFailed:
            if self._on_error == "allow":
                return
            raise
        if resources and (noted := standing.current()) is not None:
            noted.note(resources, charges, decision)
        if decision.refused is not None:
            raise RateLimited(_TOO_MANY)

    def _book(self, charges: Sequence[Charge]) -> None:
        if isinstance(self._store, MemoryStore):
            self._store.decide(charges)  # there is nothing to wait for, so no task is needed
            return
        task = asyncio.create_task(self._charge(charges), name="settle")
        self._booking.add(task)
        task.add_done_callback(self._booking.discard)

    async def _charge(self, charges: Sequence[Charge]) -> None:
        try:
            await self._store.charge(charges)
        except StoreFailed:
            log.debug("a hold was not settled; it stands until it leaves the window")


def limiter(
    config: Config, memory: MemoryStore, watch: Callable[[Store], Store] = lambda store: store
) -> Limiter:
    """Make the limiter of a configuration. `memory` counts where nothing else is asked for; it outlives a configuration.

    `watch` may put something around the store that looks at what it does.

    Raises:
        ValueError: Redis is asked for, and its client is not installed.
    """
    limits, servers = config.server.rate_limits, config.mcp.servers if config.mcp.enabled else {}
    providers = config.llm.providers if config.llm.enabled else {}
    counts = limits.enabled or bool(Quotas(providers))
    store: Store = memory
    if counts and isinstance(limits.storage, RedisStorage):
        try:
            from nexus.ratelimit.redis import RedisStore  # only who shares counters pays for the client
        except ModuleNotFoundError as error:
            cure = "pip install 'nexus-ai-gateway[redis]'"
            raise ValueError(f"server.rate_limits.storage: Redis needs a package more: {cure}") from error
        store = RedisStore(limits.storage)
    return Limiter(watch(store), limits, providers, servers, limits.on_store_error)


def _request(key: str, limit: RequestLimit | McpRateLimits, times: int = 1) -> Charge:
    window = Window.of(limit.interval)
    return Charge(f"{key}:{window.slot * window.span}", window, min(limit.limit * times, MAX_AMOUNT), 1)


def _of(charge: Charge, address: str) -> Charge:
    """Charge one address; of IPv6 the network, as a client has all addresses of it."""
    if ":" in address:
        address = f"{int(IPv6Address(address.partition('%')[0])) >> 64:x}"
    return msgspec.structs.replace(charge, key=f"{charge.key}:{address}")


def _charges(budget: Budget, wanted: Estimate) -> tuple[Charge, ...]:
    """Charge the tokens of a request."""
    quota = budget.quota
    input = Charge(budget.input, quota.window, quota.input, wanted.input)
    if quota.output is None:
        return (input,)
    # what could be written may be more than the whole limit: then it is the only one that runs
    return (input, Charge(budget.output, quota.window, quota.output, min(wanted.output, quota.output)))


def _keys(client: str, provider: str, model: str, quota: Quota) -> tuple[str, str]:
    """Name what is counted together. The group is part of it only where it has a limit of its own.

    Else whoever may name a group would begin anew with each. What is in braces stays on one node of a cluster.
    """
    who, where = f"{{token:{_safe(client)}}}:{_safe(quota.group)}", f"{_safe(provider)}:{_safe(model)}"
    key = f"{who}:{where}:{quota.window.slot * quota.window.span}"
    return key + _INPUT, key + _OUTPUT


def _safe(text: str) -> str:
    """Write any text so that it cannot be mistaken for two parts of a key."""
    if len(text) > 128:
        return "sha256-" + hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
    return quote(text, safe="@", errors="surrogatepass")
