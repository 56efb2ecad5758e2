"""Everything the agents can do, as one object that the command line and the MCP server call.

Making it does no I/O and imports nothing slow, so that a server can answer `initialize` at once; what a method needs is
imported and opened when it is first called. Methods raise errors of `nexus_agents.errors` and nothing else.
"""

import asyncio
import sqlite3
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from nexus_agents import results as r
from nexus_agents.errors import Misuse, UnknownExpert
from nexus_agents.options import OnProgress, OrchestrateOptions, Progress, Raised, VoteOptions
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
    from nexus_agents.runner import Runner
    from nexus_agents.trace import Runs

__all__ = ["OnProgress", "OrchestrateOptions", "Progress", "Raised", "Services", "VoteOptions"]

OFFERS_FRESH = 60.0
"""Seconds the state of the adapters is believed."""
MOST_EXPERTS = 100
LIVE_PROMPT = "Answer with the word OK and nothing else."


class Services:
    """The composition root. `async with Services(environ) as services: ...`.

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
        self._created = dict[str, tuple[str, str | None]]()

    async def __aenter__(self) -> "Services":
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._found is not None:
            for configured in self._found.adapters:
                await configured.adapter.close()
        await self._stack.aclose()

    @property
    def depth(self) -> int:
        """How many agents are above this process (`NEXUS_SUBPROCESS_DEPTH`)."""
        return self.settings.depth

    @property
    def mock_allowed(self) -> bool:
        """`NEXUS_ALLOW_MOCK_ORCHESTRATION` is exactly `true`."""
        return self.settings.mock_allowed

    @property
    def data_dir(self) -> Path:
        return self.settings.data_dir

    @property
    def warnings(self) -> Sequence[str]:
        """What is odd about the settings, for people."""
        return self.settings.warnings

    # what the services share, made on first use

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

        database = connect(self.data_dir)
        self._stack.callback(database.close)
        return database

    @cached_property
    def stored_runs(self) -> "Runs":
        from nexus_agents.trace import Runs

        return Runs(self._database, self.data_dir)

    @cached_property
    def outcomes(self) -> "Outcomes":
        from nexus_agents.outcomes import Outcomes

        return Outcomes(self._database)

    @cached_property
    def _memory(self) -> "Memory":
        from nexus_agents.memory import Memory

        return Memory(self._database, self.settings.cwd, self.data_dir / "agents.db")

    @cached_property
    def cooldowns(self) -> "Cooldowns":
        from nexus_agents.calls import Cooldowns

        return Cooldowns()

    @cached_property
    def _research(self) -> "Research":
        from nexus_agents.research import Research

        return Research(self._database, self.settings.environ)

    @cached_property
    def _runner(self) -> "Runner":
        from nexus_agents.runner import Runner

        return Runner(self)

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

    # adapters and models

    async def adapters(self) -> Sequence[r.AdapterStatus]:
        """Ask every adapter whether it is usable (catalogue or binary; no model is called)."""
        from nexus_agents.status import statuses

        return statuses(await self.offers())

    async def live(self) -> Sequence[r.LiveCheck]:
        """Call one model of each usable adapter with a tiny prompt."""
        from nexus_agents.status import live

        return await live(await self.offers(), self.settings)

    async def models(self) -> Sequence[r.ModelRow]:
        """List every model on offer, and the registry's rows that are not."""
        from nexus_agents.status import models

        return models(await self.offers(), self.registry)

    async def route(self, task: str, options: OrchestrateOptions) -> r.Routing:
        """Decide and explain, without running (`--dry-run`)."""
        router = await self.router(options)
        expert = self.experts_known.find(options.expert) if options.expert else None
        return router.choose(task, expert).routing

    async def delegate(
        self,
        task: str,
        *,
        preferred: Literal["reasoning", "context", "speed", "code"] | None = None,
        hint: str | None = None,
        estimate_tokens: bool = True,
        billing: Literal["plan", "api"] | None = None,
    ) -> r.Delegation:
        """Recommend a model for a task; runs nothing.

        Raises:
            UnknownModel: the hint means nothing.
        """
        from nexus_agents.delegation import recommend

        tokens = 2 * -(-len(task) // 4) if estimate_tokens else 0
        return recommend(
            task,
            tokens,
            await self.offers(),
            self.registry,
            preferred=preferred,
            hint=hint,
            billing=billing or self.settings.billing,
        )

    # orchestration

    async def orchestrate(
        self, task: str, options: OrchestrateOptions, progress: OnProgress | None = None
    ) -> r.Orchestration:
        """Plan, work, verify, synthesise; or answer at once. A failed run is a result with `success` false.

        Raises:
            NoAdapter, UnknownModel, Misuse: before anything was run.
        """
        return await self._runner.orchestrate(task, options, progress)

    async def resume(
        self, run_id: str, progress: OnProgress | None = None, raised: Raised | None = None
    ) -> r.Orchestration:
        """Go on with a run that was interrupted or failed; what was done is kept, what was spent stays spent."""
        return await self._runner.resume(run_id, progress, raised)

    async def runs(self, limit: int = 20) -> Sequence[r.RunSummary]:
        """List the latest runs, newest first; what a crash left is `interrupted`."""
        return self.stored_runs.latest(limit)

    async def trace(self, run_id: str, event_type: str | None = None, limit: int = 100) -> r.Trace:
        """Read what happened in a run."""
        return self.stored_runs.trace(run_id, event_type, limit)

    async def vote(
        self, proposal: str, options: VoteOptions, progress: OnProgress | None = None
    ) -> r.Consensus:
        """Have a panel vote."""
        return await self._runner.vote(proposal, options, progress)

    # experts

    def experts(self) -> Sequence[r.ExpertRow]:
        return [expert.shown() for expert in self.experts_known]

    async def create_expert(self, role: str, model: str | None = None) -> r.CreatedExpert:
        """Make an expert ready for `execute_expert`.

        Raises:
            UnknownExpert, UnknownModel, NoAdapter, Misuse.
        """
        import secrets

        expert = self.experts_known.find(role)
        router = await self.router(OrchestrateOptions(model=model))
        router.choose("", expert)
        if len(self._created) >= MOST_EXPERTS:
            raise Misuse(f"There are already {MOST_EXPERTS} experts.")
        expert_id = f"{expert.name}-{secrets.token_hex(4)}"
        self._created[expert_id] = (expert.name, model)
        return r.CreatedExpert(expert_id=expert_id, role=expert.role, capabilities=expert.capabilities)

    async def execute_expert(
        self,
        expert_id: str,
        task: str,
        *,
        context: Mapping[str, Any] | None = None,
        timeout: float = 300.0,
        progress: OnProgress | None = None,
    ) -> r.ExpertRun:
        """Run an expert made by `create_expert`, or one named by its role.

        Raises:
            UnknownExpert: with those there are.
        """
        name, model = self._created.get(expert_id, (expert_id, None))
        try:
            expert = self.experts_known.find(name)
        except UnknownExpert as error:
            created = ", ".join(self._created) or "none yet"
            raise UnknownExpert(error.message, f"{error.cure} Created: {created}.") from None
        options = OrchestrateOptions(
            model=model, expert=expert.name, context=context, timeout=timeout, fallback=True
        )
        return await self._runner.expert(expert_id, expert, task, options, progress)

    # workflows

    def workflows(self) -> Sequence[r.WorkflowRow]:
        from nexus_agents.workflows import built_in

        return [workflow.shown() for workflow in built_in().values()]

    async def run_workflow(
        self,
        template: str,
        inputs: Mapping[str, Any],
        *,
        dry_run: bool = False,
        progress: OnProgress | None = None,
    ) -> r.WorkflowRun:
        """Run a template by its name (or the path of a TOML file inside the working directory) through the same loop."""
        from nexus_agents.workflows import find

        workflow = find(template, self.settings.cwd)
        steps = workflow.steps_for(inputs, self.experts_known)
        return await self._runner.workflow(
            workflow.name, workflow.task_for(inputs), steps, dry_run=dry_run, progress=progress
        )

    async def execute_spec(
        self, spec: str, *, dry_run: bool = False, progress: OnProgress | None = None
    ) -> r.WorkflowRun:
        """Carry out a specification: each of its sections is a step, or a plan is made where it has none."""
        from nexus_agents.workflows import from_spec

        return await self._runner.workflow("spec", spec, from_spec(spec), dry_run=dry_run, progress=progress)

    # memory

    def remember(
        self,
        key: str,
        content: str,
        *,
        backend: str = "session",
        confidence: Literal["high", "medium", "low"] = "medium",
        metadata: Mapping[str, Any] | None = None,
        scope: Literal["project", "global"] = "project",
    ) -> r.MemoryWritten:
        return self._memory.write(
            key,
            content,
            kind=backend,
            confidence=confidence,
            metadata=metadata or {},
            everywhere=scope == "global",
        )

    def recall(self, query: str, *, limit: int = 10, source: str = "all") -> r.MemoryFound:
        return self._memory.find(query, limit=limit, kind=None if source == "all" else source)

    def memory_stats(self) -> r.MemoryStats:
        return self._memory.stats()

    def forget(self, *, entry: int | None = None, key: str | None = None) -> r.Forgotten:
        return self._memory.forget(entry=entry, key=key)

    def export_memory(self) -> str:
        """Write everything of this project and of the global scope as Markdown."""
        return self._memory.export()

    # research

    async def discover(
        self,
        topic: str,
        *,
        source: str = "all",
        limit: int = 10,
        since: str | None = None,
        threshold: float = 0.3,
    ) -> r.Discovery:
        return await self._research.discover(
            topic, source=source, limit=limit, since=since, threshold=threshold
        )

    async def add_paper(
        self, arxiv_id: str, *, topic: str | None = None, priority: str | None = None, dry_run: bool = False
    ) -> r.Added:
        return await self._research.add(arxiv_id, topic=topic, priority=priority, dry_run=dry_run)

    def research(
        self,
        action: Literal["status", "overlap", "stats", "search"],
        *,
        technique: str | None = None,
        query: str | None = None,
        status: str = "all",
        threshold: float = 0.3,
    ) -> r.Answered:
        return self._research.query(
            action, technique=technique, query=query, status=status, threshold=threshold
        )

    def analyze_research(self, focus: str, topic: str | None = None) -> r.Answered:
        return self._research.analyze(focus, topic)

    def review_catalog(
        self, action: str, identifier: str | None = None, topic: str | None = None
    ) -> r.Answered:
        return self._research.review(action, identifier, topic)

    # the rest of the tools

    def weather(self, adapter: str | None = None, category: str | None = None) -> r.Weather:
        """Report how models did on this machine in the last seven days."""
        rows = self.outcomes.report(adapter, category)
        return r.Weather(rows=tuple(rows), total=sum(row["calls"] for row in rows))

    async def import_model(self, provider: str, model: str) -> r.Overlay:
        """Draft a registry row for a model; writes nothing."""
        from nexus_agents.delegation import draft

        return draft(provider, model, await self.offers(), self.registry, self.settings)

    async def triage_issue(self, url: str, *, dry_run: bool = True) -> r.Triage:
        from nexus_agents.github import GitHub

        async with GitHub(self.settings.environ) as github:
            return await github.triage(url, dry_run=dry_run)

    async def analyze_repo(self, repo: str) -> r.RepoAnalysis:
        from nexus_agents.github import GitHub

        async with GitHub(self.settings.environ) as github:
            return await github.analyze(repo)

    async def plan_repo_security(
        self, repo: str, categories: Sequence[str] = (), limit: int = 10
    ) -> r.SecurityPlan:
        from nexus_agents.github import GitHub

        async with GitHub(self.settings.environ) as github:
            return await github.plan_security(repo, categories, limit)
