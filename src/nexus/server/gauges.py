"""What a gateway knows of itself and nobody has to count, shown among the metrics."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Protocol

from nexus.llm.catalog import Catalog
from nexus.llm.providers.base import Connected, Provider
from nexus.telemetry.instruments import Gauge, Key, Number

if TYPE_CHECKING:
    from nexus.server.mcp import Mcp  # its SDK takes a second to load


class Gateway(Protocol):
    """What is looked at."""

    active: int
    catalog: Catalog
    mcp: "Mcp | None"

    @property
    def providers(self) -> Sequence[Provider]:
        """Whom the models are of."""
        ...


def of(gateway: Gateway) -> Iterator[Gauge]:
    """Make the gauges of a gateway."""
    yield Gauge(
        "http.server.active_requests",
        "{request}",
        "Requests under way.",
        read=lambda: [((), gateway.active)],
        kind="sum",
    )
    yield Gauge(
        "nexus.models",
        "{model}",
        "Models that are served.",
        read=lambda: [((), len(gateway.catalog.snapshot.models))],
    )
    yield Gauge(
        "nexus.provider.up",
        "",
        "Whether a provider is believed to work.",
        "gen_ai.provider.name",
        read=lambda: _providers(gateway),
    )
    yield Gauge(
        "http.client.open_connections",
        "{connection}",
        "Connections to a provider.",
        "gen_ai.provider.name",
        "http.connection.state",
        read=lambda: _connections(gateway),
        kind="sum",
    )
    if gateway.mcp is not None:
        yield Gauge(
            "mcp.upstream.up",
            "",
            "Whether an MCP server is connected.",
            "server_name",
            read=lambda: _servers(gateway),
        )


def _providers(gateway: Gateway) -> Iterator[tuple[Key, Number]]:
    troubles = gateway.catalog.troubles
    for provider in gateway.providers:
        yield (provider.name,), int(provider.trouble is None and provider.name not in troubles)


def _connections(gateway: Gateway) -> Iterator[tuple[Key, Number]]:
    for provider in gateway.providers:
        if isinstance(provider, Connected):
            active, idle = provider.connections
            yield (provider.name, "active"), active
            yield (provider.name, "idle"), idle


def _servers(gateway: Gateway) -> Iterator[tuple[Key, Number]]:
    if gateway.mcp is not None:
        for name, upstream in tuple(gateway.mcp.pool.shared.items()):  # read from other threads
            yield (name,), int(upstream.trouble is None)
