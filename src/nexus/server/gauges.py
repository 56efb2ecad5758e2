"""What a gateway knows of itself and nobody has to count, shown among the metrics."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from nexus.telemetry.instruments import Gauge, Key, Number

if TYPE_CHECKING:
    from nexus.server.app import Gateway


def of(gateway: "Gateway") -> Iterator[Gauge]:
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
    if gateway.mcp is not None:
        yield Gauge(
            "mcp.upstream.up",
            "",
            "Whether an MCP server is connected.",
            "server_name",
            read=lambda: _servers(gateway),
        )


def _providers(gateway: "Gateway") -> Iterator[tuple[Key, Number]]:
    troubles = gateway.catalog.troubles
    for provider in gateway.providers:
        yield (provider.name,), int(provider.trouble is None and provider.name not in troubles)


def _servers(gateway: "Gateway") -> Iterator[tuple[Key, Number]]:
    if gateway.mcp is not None:
        for name, upstream in gateway.mcp.pool.shared.items():
            yield (name,), int(upstream.trouble is None)
