"""What the services are made of, each part made when it is first wanted.

Making `Parts` does no I/O and imports nothing slow, so that a server can answer `initialize` at once.
"""

import asyncio
import sqlite3
import time
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Self

from nexus_agents.options import OrchestrateOptions
from nexus_agents.settings import Settings

if TYPE_CHECKING:
    from nexus_agents.adapters import Found
    from nexus_agents.calls import Cooldowns
    from nexus_agents.experts import Experts
    from nexus_agents.guard import Policy
    from nexus_agents.memory import Memory
    from nexus_agents.offers import Offers
    from nexus_agents.outcomes import Outcomes
    from nexus_agents.registry import Registry
    from nexus_agents.research import Research
    from nexus_agents.router import Router
    from nexus_agents.trace import Runs

OFFERS_FRESH = 60.0
"""Seconds the state of the adapters is believed."""


class Parts:
    """The composition root: settings become adapters, stores and routers. `async with` closes what was opened.

    Raises:
        Misuse: on making it, when a setting makes no sense.
    """

    def __init__(
        self,
        environ: Mapping[str, str],
        *,
        cwd: Path | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.settings = Settings.read(environ, cwd or Path.cwd())
        self._clock = clock
        self._offers: tuple[float, Offers] | None = None
        self._gathering = asyncio.Lock()
        self._found: Found | None = None
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._found is not None:
            for configured in self._found.adapters:
                await configured.adapter.close()
        await self._stack.aclose()

    @cached_property
    def registry(self) -> "Registry":
        from nexus_agents.registry import load

        return load(self.settings.file)

    @cached_property
    def experts_known(self) -> "Experts":
        from nexus_agents.experts import Experts

        return Experts(self.settings.file)

    @cached_property
    def _database(self) -> sqlite3.Connection:
        from nexus_agents.store import connect

        database = connect(self.settings.data_dir)
        self._stack.callback(database.close)
        return database

    @cached_property
    def stored_runs(self) -> "Runs":
        from nexus_agents.trace import Runs

        return Runs(self._database, self.settings.data_dir)

    @cached_property
    def outcomes(self) -> "Outcomes":
        from nexus_agents.outcomes import Outcomes

        return Outcomes(self._database)

    @cached_property
    def memory(self) -> "Memory":
        """What is remembered."""
        from nexus_agents.memory import Memory

        return Memory(self._database, self.settings.cwd, self.settings.data_dir / "agents.db")

    @cached_property
    def cooldowns(self) -> "Cooldowns":
        from nexus_agents.calls import Cooldowns

        return Cooldowns()

    @cached_property
    def research(self) -> "Research":
        """The registry of papers, and the search for more."""
        from nexus_agents.research import Research

        return Research(self._database, self.settings.environ)

    async def found(self) -> "Found":
        """Make the adapters, once there are any; a local gateway is looked for when nothing was configured."""
        if self._found is None or not self._found.adapters:
            from nexus_agents import adapters

            self._found = await adapters.found(self.settings)
        return self._found

    async def offers(self) -> "Offers":
        """Ask every adapter for its models; believed for a minute."""
        from nexus_agents.offers import gather

        async with self._gathering:
            if self._offers is None or self._clock() - self._offers[0] > OFFERS_FRESH:
                self._offers = (self._clock(), await gather(await self.found(), self.registry))
            return self._offers[1]

    def tools_at(self) -> "tuple[str, Policy, dict[str, str]] | None":
        """Tell where experts find tools: the MCP endpoint of the Nexus gateway, its policy and headers."""
        from nexus_agents.adapters import tools_at

        return tools_at(self.settings, self._found)

    async def router(self, options: OrchestrateOptions) -> "Router":
        """Make the router of one run."""
        from nexus_agents.router import Router

        return Router(
            await self.offers(),
            self.registry,
            billing=self.settings.billing,
            max_cost=options.max_cost_usd,
            learned=self.outcomes.learned,
            explicit=options.model,
            default=self.settings.default_model,
            fallback=options.fallback,
        )
