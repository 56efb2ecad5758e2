"""Is the process alive, and can it do its work: two questions, two answers."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from nexus.llm.catalog import Catalog
from nexus.llm.protocols.fields import encode
from nexus.llm.providers.base import Provider
from nexus.server.answer import JSON, show
from nexus.server.asgi import Receive, Scope, Send
from nexus.server.connection import LEAVING

_HEALTHY = b'{"status":"healthy"}'


class Health:
    """Alive: always the same answer."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer GET and HEAD."""
        await show(scope, send, JSON, _HEALTHY)


class Servers(Protocol):
    """The MCP servers, as far as readiness goes: one that is down keeps nobody from working."""

    @property
    def troubles(self) -> Mapping[str, str]:
        """What keeps a server from working, by its name."""
        ...

    @property
    def settled(self) -> bool:
        """Whether each has come up or failed once."""
        ...


class Limits(Protocol):
    """What counts requests, as far as readiness goes."""

    async def trouble(self) -> str | None:
        """Tell why requests are refused without being counted; None while they are not."""
        ...


class Ready:
    """Ready: every part with what keeps it from working, if anything does."""

    def __init__(
        self,
        providers: Sequence[Provider],
        catalog: Catalog,
        mcp: Servers | None = None,
        limits: Limits | None = None,
    ) -> None:
        self._providers = providers
        self._mcp = mcp
        self._limits = limits
        self._catalog = catalog

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer GET and HEAD: 200 from when everything was tried and at least one provider works until a stop, else 503."""
        parts = {f"llm.providers.{provider.name}": self._state(provider) for provider in self._providers}
        if self._mcp is not None:
            parts |= {f"mcp.servers.{name}": trouble for name, trouble in self._mcp.troubles.items()}
        if not self._catalog.ready:
            parts["llm.catalog"] = "asking the providers for their models"
        works = any(self._state(provider) == "up" for provider in self._providers)
        tried = self._catalog.ready and (self._mcp is None or self._mcp.settled)
        ready = tried and (works or not self._providers)
        if self._limits is not None and (trouble := await self._limits.trouble()) is not None:
            # told, but no less ready: not everything is limited, and replicas that share a store are no better off
            parts["server.rate_limits"] = trouble
        if LEAVING in scope.get("state", ()):
            ready, parts["server"] = False, "shutting down"
        await show(scope, send, JSON, encode({"ready": ready, "parts": parts}), 200 if ready else 503)

    def _state(self, provider: Provider) -> str:
        return provider.trouble or self._catalog.troubles.get(provider.name) or "up"
