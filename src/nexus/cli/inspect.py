"""`nexus check`, `nexus schema`, `nexus models`: look at a configuration without serving it."""

import asyncio
from collections.abc import Mapping
from pathlib import Path

import msgspec
from rich.console import Console
from rich.table import Column, Table

from nexus.cli.source import find
from nexus.config import Config
from nexus.config import schema as config_schema
from nexus.errors import ConfigError
from nexus.llm.providers.base import ProviderFailed
from nexus.llm.providers.local import Local
from nexus.server.app import Gateway
from nexus.telemetry import logs

_WIDE = 10_000
"""Columns of an output nobody looks at: what reads it wants one line for each model."""


def check(file: Path | None, environ: Mapping[str, str]) -> int:
    """Check a file; gives 0 when it can be served."""
    try:
        loaded, _ = find(file, environ)
    except (ConfigError, OSError) as error:
        logs.complain(str(error))
        return 1
    try:
        _installed(Gateway(loaded.config))
    except (OSError, ValueError, ProviderFailed) as error:
        logs.complain(f"{loaded.origin}: {error}")
        return 1
    out = Console(soft_wrap=True, highlight=False)
    for warning in loaded.warnings:
        out.print(f"warning: {warning}", markup=False)
    out.print(f"{loaded.origin}: good ({_counted(loaded.config)})", markup=False)
    return 0


def _installed(gateway: Gateway) -> None:
    """Look for what local models need.

    Raises:
        ProviderFailed: it is not there.
    """
    for provider in gateway.providers:
        if isinstance(provider, Local):
            provider.file()


def _counted(config: Config) -> str:
    counts = ((len(config.llm.providers), "provider"), (len(config.mcp.servers), "MCP server"))
    return ", ".join(f"{count} {noun}{'' if count == 1 else 's'}" for count, noun in counts if count)


def schema() -> None:
    """Print the JSON Schema."""
    print(msgspec.json.format(msgspec.json.encode(config_schema()), indent=2).decode())  # noqa: T201  # it is the output


def models(file: Path | None, environ: Mapping[str, str]) -> int:
    """Print what is served; gives 1 when a provider could not be asked."""
    logs.setup(logs.Level.ERROR, None)
    try:
        loaded, _ = find(file, environ)
        gateway = Gateway(loaded.config)
    except (ConfigError, OSError, ValueError) as error:
        logs.complain(str(error))
        return 1
    try:
        asyncio.run(_ask(gateway))
    except ProviderFailed as error:
        logs.complain(str(error))
        return 1
    out = Console(soft_wrap=True, highlight=False)
    if not out.is_terminal:
        out.width = _WIDE
    out.print(_table(gateway))
    for name, trouble in gateway.catalog.troubles.items():
        logs.complain(f"{name}: {trouble}")
    return 1 if gateway.catalog.troubles else 0


async def _ask(gateway: Gateway) -> None:
    try:
        for provider in gateway.providers:
            await provider.start()
        await gateway.catalog.start(forgiving=True)
    finally:
        await gateway.close()


def _table(gateway: Gateway) -> Table:
    snapshot = gateway.catalog.snapshot
    names = ("model", "provider", "type", "known by", "sent as")
    columns = [Column(name, overflow="fold") for name in names]  # a name that is cut is none
    table = Table(*columns, box=None, pad_edge=False)
    for name in snapshot.models:
        owner = snapshot.owners.get(name) or name.partition("/")[0]
        shelf = snapshot.shelves[owner]
        known = "discovery" if name in snapshot.owners else "configuration"
        bare = name.removeprefix(f"{owner}/")
        table.add_row(name, owner, shelf.provider.kind, known, shelf.upstream.get(bare, name))
    return table
