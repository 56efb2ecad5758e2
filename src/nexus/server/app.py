"""The composition root: one configuration becomes one gateway, and a changed one takes its place while requests run."""

import asyncio
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING

from nexus.config import Config
from nexus.config.checks import LIMITS, READY
from nexus.config.llm import ProviderConfig
from nexus.config.telemetry import PrometheusConfig
from nexus.llm.catalog import Catalog, Rules
from nexus.llm.protocols.base import Surface
from nexus.llm.providers import PROVIDERS
from nexus.llm.providers.base import Provider
from nexus.llm.surfaces import ANTHROPIC, OPENAI
from nexus.llm.tokens import Metering
from nexus.ratelimit import Store
from nexus.ratelimit.limiter import Limiter, limiter
from nexus.ratelimit.memory import MemoryStore
from nexus.ratelimit.watched import Pooled, Watched
from nexus.server import gauges
from nexus.server.asgi import App, Receive, Scope, Send
from nexus.server.health import Health, Ready
from nexus.server.limits import Limits
from nexus.server.llm import Routes
from nexus.server.metrics import Exposition
from nexus.server.middleware.cors import cors
from nexus.server.middleware.csrf import csrf
from nexus.server.middleware.guard import guard
from nexus.server.middleware.observe import observe
from nexus.server.middleware.recover import recover
from nexus.server.openapi import OpenApi
from nexus.server.passthrough import PATH, Passthrough, Proxy, private_headers
from nexus.server.router import router
from nexus.server.wellknown import wellknown
from nexus.telemetry.setup import Telemetry

if TYPE_CHECKING:
    from nexus.auth.jwt import Verifier
    from nexus.server.mcp import Mcp


class Gateway:
    """Everything one configuration asks for. Start and close it in the loop that serves."""

    def __init__(
        self, config: Config, memory: MemoryStore | None = None, telemetry: Telemetry | None = None
    ) -> None:
        self.config = config
        self.telemetry = telemetry or Telemetry(config.telemetry, _probed(config))
        """What is told about this process; given on when a configuration is reloaded, and closed after the last of them."""
        self.memory = memory or MemoryStore()
        """What limits in memory have counted; given on when a configuration is reloaded."""
        self.limiter = limiter(config, self.memory, self._watched)
        self.metering = Metering(self.limiter)
        self.verifier = _verifier(config)
        providers = config.llm.providers if config.llm.enabled else {}
        self.providers: list[Provider] = [PROVIDERS[one.type](name, one) for name, one in providers.items()]
        self.catalog = Catalog(
            [(provider, _rules(config, providers[provider.name])) for provider in self.providers],
            config.llm.discovery.interval,
            time.monotonic,
        )
        self.passages: list[Proxy | Passthrough] = _passages(config)
        """What goes through as it is."""
        self.mcp = _mcp(config, self.limiter)
        self.app = self._build()
        self.gauges = tuple(gauges.of(self))
        """What it knows of itself; shown while it is open."""
        self.active = 0
        """Requests under way."""

    async def start(self) -> None:
        """Bring up the providers and ask for their models.

        Raises:
            ProviderFailed: a provider cannot be used.
            DiscoveryFailed: a provider answered with an error, and the file does not forgive that.
            StoreFailed: limits cannot be counted.
        """
        self.telemetry.start()
        if self.telemetry.measures:
            for gauge in self.gauges:
                self.telemetry.metrics.show(gauge)
        await self.limiter.start()
        await self.metering.start()
        if self.mcp is not None:
            await self.mcp.start()
        for provider in self.providers:
            await provider.start()
        await self.catalog.start(forgiving=self.config.llm.discovery.on_start_error == "warn")

    async def close(self) -> None:
        """Give everything back, in reverse order."""
        for gauge in self.gauges:
            self.telemetry.metrics.hide(gauge)
        await self.catalog.close()
        if self.mcp is not None:
            await self.mcp.close()
        for passage in self.passages:
            await passage.close()
        for provider in reversed(self.providers):
            await provider.close()
        if self.verifier is not None:
            await self.verifier.close()
        await self.limiter.close()

    def _build(self) -> App:
        server, llm = self.config.server, self.config.llm
        exact: dict[str, App] = {READY: Ready(self.providers, self.catalog, self.mcp, self.limiter)}
        if self.mcp is not None:
            exact |= dict.fromkeys(self.mcp.paths, self._guard(self.mcp))
        if server.health.enabled and server.health.listen is None:
            exact[server.health.path] = Health()
        if (scraped := scrapes(self.config)) is not None and scraped.listen is None:
            exact[scraped.path] = Exposition(self.telemetry)
        if server.openapi.enabled:
            exact[server.openapi.path] = self._guard(OpenApi(self.config))
        spoken = ((OPENAI, llm.protocols.openai), (ANTHROPIC, llm.protocols.anthropic))
        taken = {*exact, self.config.mcp.path, *(protocol.path for _, protocol in spoken)}
        routes = [
            Routes(
                surface,
                self.catalog,
                self.metering,
                protocol.path,
                taken - {protocol.path},
                keep_alive=llm.keep_alive,
                max_body=server.max_body_size,
            )
            for surface, protocol in spoken
            if self.providers and protocol.enabled
        ]
        places = [*routes, *self.passages]
        if self.limiter.limits_tokens and server.client_identification.enabled:
            exact[LIMITS] = recover(self._guard(Limits(self.catalog, self.limiter), OPENAI), OPENAI)
        app = router(exact, [(one, recover(self._guard(one, one.surface), one.surface)) for one in places])
        if server.csrf.enabled:
            app = csrf(app, server.csrf.header_name)
        app = cors(app, server.cors)
        if server.oauth is not None:
            app = wellknown(app, server.oauth.protected_resource, self.config.mcp.path)
        return observe(app, self.telemetry) if self.telemetry.active else app

    def _watched(self, store: Store) -> Store:
        """Look at what the counters of limits in Redis do, if anybody wants to know."""
        if not self.telemetry.active or not isinstance(store, Pooled):
            return store
        return Watched(store, self.telemetry.metrics)

    def _guard(self, app: App, surface: Surface | None = None) -> App:
        native = surface is ANTHROPIC
        return guard(app, self.config.server, self.verifier, self.limiter, native=native)


class Current:
    """The gateway that answers now. A request stays with the gateway it began with."""

    def __init__(self, gateway: Gateway) -> None:
        self.gateway = gateway
        self._retired: set[asyncio.Task[None]] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        gateway = self.gateway
        gateway.active += 1
        try:
            await gateway.app(scope, receive, send)
        finally:
            gateway.active -= 1

    def replace(self, gateway: Gateway) -> None:
        """Let another gateway answer from now on; the old one is closed after its last request."""
        old, self.gateway = self.gateway, gateway
        task = asyncio.create_task(_retire(old), name="retire")
        self._retired.add(task)
        task.add_done_callback(self._retired.discard)

    async def close(self) -> None:
        """Close every gateway there is."""
        for task in tuple(self._retired):
            task.cancel()
        await asyncio.gather(*self._retired, return_exceptions=True)
        await self.gateway.close()
        await self.gateway.telemetry.close()


async def _retire(gateway: Gateway) -> None:
    if gateway.mcp is not None:
        gateway.mcp.leave()  # who waits for news asks the next one
    try:
        while gateway.active:
            await asyncio.sleep(0.2)
    finally:
        await gateway.close()


def _rules(config: Config, provider: ProviderConfig) -> Rules:
    return Rules(
        explicit={key: model.rename for key, model in provider.models.items()},
        allowed=provider.model_filter,
        forwards_keys=provider.forward_token,
        explicit_only=config.llm.require_explicit_models,
        strict=(provider.loss or config.llm.loss) == "strict",
        cache_prompts=provider.cache_prompts,
    )


def _verifier(config: Config) -> "Verifier | None":
    oauth = config.server.oauth
    if oauth is None:
        return None
    from nexus.auth.jwt import Issuer, Verifier  # their cryptography is worth loading where there are tokens

    return Verifier([Issuer.of(issuer) for issuer in (oauth, *oauth.issuers)])


def _mcp(config: Config, limiter: Limiter) -> "Mcp | None":
    if not config.mcp.enabled or not config.mcp.servers:
        return None
    from nexus.server.mcp import Mcp, limited  # its SDK takes a second to load

    return Mcp(config, limit=limited(limiter))


def scrapes(config: Config) -> PrometheusConfig | None:
    """Give how Prometheus scrapes this, if it does."""
    telemetry = config.telemetry
    return telemetry.prometheus if telemetry is not None and telemetry.prometheus.enabled else None


def _probed(config: Config) -> frozenset[str]:
    """Name the paths that machines ask again and again."""
    scraped = scrapes(config)
    return frozenset((READY, config.server.health.path, *((scraped.path,) if scraped is not None else ())))


def _passages(config: Config) -> list[Proxy | Passthrough]:
    llm, server = config.llm, config.server
    withheld, found = private_headers(server), list[Proxy | Passthrough]()
    if llm.enabled and llm.proxy.anthropic.enabled:
        found.append(Proxy(llm.proxy.anthropic, max_body=server.max_body_size, withheld=withheld))
    if llm.enabled and any(provider.passthrough for provider in llm.providers.values()):
        found.append(Passthrough(llm.providers, max_body=server.max_body_size, withheld=withheld))
    return found


def served(gateway: Gateway) -> Iterable[tuple[str, str]]:
    """Name the endpoints of a gateway, as a person would look for them."""
    llm = gateway.config.llm
    if gateway.providers and llm.protocols.openai.enabled:
        yield "OpenAI LLM endpoint", f"{llm.protocols.openai.path}/v1"
    if gateway.providers and llm.protocols.anthropic.enabled:
        yield "Anthropic LLM endpoint", f"{llm.protocols.anthropic.path}"
    if llm.enabled and llm.proxy.anthropic.enabled:
        yield "Anthropic proxy endpoint", llm.proxy.anthropic.path
    for provider in gateway.providers:
        if llm.providers[provider.name].passthrough:
            yield f"Passthrough to {provider.name}", f"{PATH}/{provider.name}"
    if gateway.mcp is not None:
        for path in gateway.mcp.paths:
            yield "MCP endpoint", path
    if gateway.config.server.health.enabled and gateway.config.server.health.listen is None:
        yield "Health endpoint", gateway.config.server.health.path
