"""Everything the agents can do, as one object that the command line and the MCP server call.

Methods raise errors of `nexus_agents.errors` and nothing else.
"""

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from nexus_agents import results as r
from nexus_agents.errors import Misuse, UnknownExpert
from nexus_agents.options import Billing, OnProgress, OrchestrateOptions, Raised, VoteOptions
from nexus_agents.parts import Parts

if TYPE_CHECKING:
    from nexus_agents.github import GitHub
    from nexus_agents.runner import Runner

MOST_EXPERTS = 100


class Services(Parts):
    """What can be asked of the agents. `async with Services(environ) as services: ...`."""

    @cached_property
    def _created(self) -> dict[str, tuple[str, str | None]]:
        """Experts made for this server's lifetime: their roles and models."""
        return {}

    @cached_property
    def _runner(self) -> "Runner":
        from nexus_agents.runner import Runner

        return Runner(self)

    @property
    def depth(self) -> int:
        """How many agents are above this process (`NEXUS_SUBPROCESS_DEPTH`)."""
        return self.settings.depth

    @property
    def data_dir(self) -> Path:
        return self.settings.data_dir

    @property
    def warnings(self) -> Sequence[str]:
        """What is odd about the settings, for people."""
        return self.settings.warnings

    # adapters and models

    async def adapters(self) -> Sequence[r.AdapterStatus]:
        """Ask every adapter whether it is usable (catalogue or binary; no model is called)."""
        from nexus_agents.status import statuses

        return statuses(await self.offers())

    async def live(self) -> Sequence[r.LiveCheck]:
        """Call one model of each usable adapter with a tiny prompt."""
        from nexus_agents.status import live

        return await live(await self.offers())

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
        billing: Billing | None = None,
    ) -> r.Delegation:
        """Recommend a model for a task; runs nothing.

        Raises:
            UnknownModel: the hint means nothing.
        """
        from nexus_agents.delegation import recommend

        return recommend(
            task,
            None if estimate_tokens else 0,
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

    # the rest of the tools

    def weather(self, adapter: str | None = None, category: str | None = None) -> r.Weather:
        """Report how models did on this machine in the last seven days."""
        rows = self.outcomes.report(adapter, category)
        return r.Weather(rows=tuple(rows), total=sum(row["calls"] for row in rows))

    async def import_model(self, provider: str, model: str) -> r.Overlay:
        """Draft a registry row for a model; writes nothing."""
        from nexus_agents.delegation import draft

        return draft(provider, model, await self.offers(), self.registry, self.settings)

    def github(self) -> "GitHub":
        """Open GitHub's API; `async with` closes it."""
        from nexus_agents.github import GitHub

        return GitHub(self.settings.environ)
