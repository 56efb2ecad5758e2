"""Starts, ends and resumes runs: makes what one needs, holds it while it goes on, and says how it ended."""

import asyncio
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Literal

import msgspec

from nexus_agents import consensus, planning
from nexus_agents import results as r
from nexus_agents.adapters.base import Usage
from nexus_agents.budget import Budget
from nexus_agents.calls import Answer, Calls
from nexus_agents.errors import AgentsError, BudgetExceeded, Misuse, NoAdapter
from nexus_agents.experts import Expert
from nexus_agents.offers import Offer
from nexus_agents.options import OnProgress, OrchestrateOptions, Raised, VoteOptions
from nexus_agents.orchestrate import Run, quiet, telling
from nexus_agents.parts import Parts
from nexus_agents.redact import redact, secrets
from nexus_agents.routing import need, rank, resolve
from nexus_agents.settings import MAX_DEPTH
from nexus_agents.toolbox import Toolbox, connect
from nexus_agents.trace import Planned, Status, new_id

LONGEST_TASK = 50_000
ErrorKind = Literal["failed", "budget", "no_adapter", "interrupted"]


class Runner:
    """Runs, one after the other or at once."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._settings = parts.settings
        self._runs = parts.stored_runs
        self._secrets = secrets(self._settings.environ)

    async def orchestrate(
        self, task: str, options: OrchestrateOptions, progress: OnProgress | None
    ) -> r.Orchestration:
        """Start a run."""
        task = self._acceptable(task)
        run_id = new_id("orch")
        analysis = planning.analyse(task, run_id)
        if self._settings.mock_allowed and not (await self._parts.offers()).all:
            return _mock(run_id, analysis)
        run = await self._make(run_id, task, options, progress)
        run.router.choose(task, self._expert(options))
        with self._runs.locks.hold(run_id):
            self._runs.begin(run_id, "orchestrate", task, msgspec.to_builtins(options))
            return await self._carry_out(run, analysis)

    async def expert(
        self,
        expert_id: str,
        expert: Expert,
        task: str,
        options: OrchestrateOptions,
        progress: OnProgress | None,
    ) -> r.ExpertRun:
        """Have one expert answer."""
        settings = self._settings
        within = msgspec.structs.replace(
            options, max_tokens=settings.budget_tokens, max_cost_usd=settings.budget_cost_usd, plan="never"
        )
        done = await self.orchestrate(task, within, progress)
        return r.ExpertRun(
            expert_id=expert_id,
            role=expert.role,
            output=done.text,
            duration_ms=done.duration_ms,
            tokens_used=done.usage.total,
            status="completed" if done.success else "failed",
            run_id=done.run_id,
            error=done.error,
            model_used=done.model,
        )

    async def workflow(
        self, name: str, task: str, steps: Sequence[Planned], *, dry_run: bool, progress: OnProgress | None
    ) -> r.WorkflowRun:
        """Start a run whose steps are given; without any it is planned."""
        if dry_run:
            shown = tuple(step.shown() for step in steps)
            return r.WorkflowRun(name=name, dry_run=True, success=True, steps=shown)
        done = await self._given(task, steps, progress)
        return r.WorkflowRun(
            name=name,
            dry_run=False,
            success=done.success,
            steps=done.steps,
            text=done.text,
            run_id=done.run_id,
            error=done.error,
        )

    async def _given(
        self, task: str, steps: Sequence[Planned], progress: OnProgress | None
    ) -> r.Orchestration:
        options = OrchestrateOptions(
            max_tokens=self._settings.budget_tokens,
            max_cost_usd=self._settings.budget_cost_usd,
            max_calls=max(self._settings.max_calls, 3 * len(steps) + 6),
        )
        task = self._acceptable(task)
        run_id = new_id("flow")
        run = await self._make(run_id, task, options, progress)
        run.router.offers.require()
        with self._runs.locks.hold(run_id):
            self._runs.begin(run_id, "workflow", task, msgspec.to_builtins(options))
            if steps:
                self._runs.plan(run_id, tuple(steps), {})
            return await self._carry_out(run, planning.analyse(task, run_id))

    async def resume(
        self, run_id: str, progress: OnProgress | None, raised: Raised | None = None
    ) -> r.Orchestration:
        """Go on with a run, within the budget it was begun with or a raised one.

        Raises:
            Misuse: it is done, or goes on elsewhere, or is a vote.
            UnknownRun.
        """
        run_id = self._runs.stored(run_id)[2].run_id
        with self._runs.locks.hold(run_id):
            task, options, summary = self._unfinished(run_id, raised)
            run = await self._make(run_id, task, options, progress)
            run.router.offers.require()
            before = self._runs.attempts(run_id)
            spent = Usage(input_tokens=summary.input_tokens, output_tokens=summary.output_tokens)
            run.calls.budget.resume(spent, sum(one.cost_usd or 0.0 for one in before), len(before))
            self._runs.again(run_id)
            return await self._carry_out(run, planning.analyse(task, run_id))

    def _unfinished(self, run_id: str, raised: Raised | None) -> tuple[str, OrchestrateOptions, r.RunSummary]:
        task, stored, summary = self._runs.stored(run_id)
        if summary.kind == "vote":
            raise Misuse("A vote is not resumed.", "Vote again.")
        if summary.status == "done":
            raise Misuse(f"Run {run_id} is done.", f"`nexus-agents trace show {run_id}` shows its answer.")
        more = {
            name: value
            for name, value in msgspec.to_builtins(raised or Raised()).items()
            if value is not None
        }
        return task, msgspec.convert({**stored, **more}, OrchestrateOptions), summary

    async def vote(self, proposal: str, options: VoteOptions, progress: OnProgress | None) -> r.Consensus:
        """Hold a vote."""
        proposal = consensus.acceptable(proposal)
        begun = time.monotonic()
        run_id = new_id("vote")
        if options.simulate:
            return self._simulated(run_id, proposal, options)
        self._check_depth()
        models = await self._panel_models(proposal, options)
        seats = consensus.chosen(options.quick)
        budget = Budget(options.max_tokens, options.max_cost_usd, len(seats) * consensus.CALLS_A_SEAT)
        progress = progress or quiet
        panel = consensus.Panel(
            run_id, proposal, options, models, self._calls(run_id, budget, progress), progress
        )
        with self._runs.locks.hold(run_id):
            self._runs.begin(run_id, "vote", proposal, msgspec.to_builtins(options))
            try:
                votes = await panel.vote()
            except BaseException:
                self._runs.finish(run_id, "interrupted", error="The vote was interrupted.")
                raise
            result = _consensus(run_id, proposal, options, votes, budget, begun)
            self._runs.event(run_id, "vote", msgspec.to_builtins(result))
            self._runs.finish(run_id, "done", text=f"{result.decision}: {result.policy_reason}")
        return result

    async def _panel_models(self, proposal: str, options: VoteOptions) -> Sequence[Offer]:
        offers = await self._parts.offers()
        offers.require()
        registry, settings = self._parts.registry, self._settings
        wanted = need(proposal, preferred="reasoning")
        names = options.models or ((settings.default_model,) if settings.default_model else ())
        named = [resolve(name, offers, registry) for name in names]
        ranked = rank(offers.automatic, wanted, settings.billing, options.max_cost_usd)
        models = consensus.deal(
            consensus.ranked_for(ranked, named, wanted), len(consensus.chosen(options.quick))
        )
        if not models:
            raise NoAdapter("No model can take this vote.", "Raise the budget or configure another model.")
        return models

    def _simulated(self, run_id: str, proposal: str, options: VoteOptions) -> r.Consensus:
        """Show the shape of a vote: seats that abstain, since nobody voted."""
        if not self._settings.simulate_allowed:
            raise Misuse("Simulated votes are not allowed.", "NEXUS_ALLOW_SIMULATE=1 allows them.")
        reasoning = "Simulated: no model was asked."
        votes = tuple(
            r.Seat(role=seat.name, decision="abstain", confidence=0.0, reasoning=reasoning, simulated=True)
            for seat in consensus.chosen(options.quick)
        )
        return _consensus(run_id, proposal, options, votes, Budget(0, 0.0, 0), time.monotonic())

    async def _make(
        self, run_id: str, task: str, options: OrchestrateOptions, progress: OnProgress | None
    ) -> Run:
        self._check_depth()
        progress = progress or quiet
        budget = Budget(options.max_tokens, options.max_cost_usd, options.max_calls)
        return Run(
            run_id=run_id,
            task=task,
            options=options,
            router=await self._parts.router(options),
            calls=self._calls(run_id, budget, progress),
            runs=self._runs,
            experts=self._parts.experts_known,
            concurrency=self._settings.concurrency,
            timeout=min(options.timeout, self._settings.expert_timeout),
            progress=progress,
        )

    def _calls(self, run_id: str, budget: Budget, progress: OnProgress) -> Calls:
        parts = self._parts
        return Calls(
            run_id, self._runs, budget, parts.outcomes, parts.cooldowns, told=telling(run_id, progress)
        )

    async def _carry_out(self, run: Run, analysis: r.Analysis) -> r.Orchestration:
        """Do the work and write down how it ended, whatever happens."""
        begun = time.monotonic()
        answer: Answer | None = None
        error: str | None = None
        kind: ErrorKind | None = None
        status: Status = "done"
        try:
            async with asyncio.timeout(run.options.timeout), self._tools(run):
                answer = await run.go(analysis)
        except TimeoutError:
            error, kind, status = (
                f"The run did not end within {run.options.timeout:g} seconds.",
                "failed",
                "failed",
            )
        except BudgetExceeded as exceeded:
            error, kind, status = str(exceeded), "budget", "budget"
        except AgentsError as failed:
            error, kind, status = redact(str(failed), self._secrets), "failed", "failed"
        except BaseException:
            self._runs.finish(run.run_id, "interrupted", error="The run was interrupted.")
            raise
        text = answer.completion.text if answer else ""
        self._runs.finish(run.run_id, status, text=text, error=error)
        return self._result(run, analysis, answer, error, kind, round((time.monotonic() - begun) * 1000))

    def _result(
        self,
        run: Run,
        analysis: r.Analysis,
        answer: Answer | None,
        error: str | None,
        kind: ErrorKind | None,
        duration_ms: int,
    ) -> r.Orchestration:
        summary = self._runs.stored(run.run_id)[2]
        steps = run.steps
        experts = [step.expert for step in steps] or ([run.options.expert] if run.options.expert else [])
        return r.Orchestration(
            run_id=run.run_id,
            success=answer is not None,
            model=answer.completion.model if answer else None,
            duration_ms=duration_ms,
            text=answer.completion.text if answer else "",
            usage=Usage(input_tokens=summary.input_tokens, output_tokens=summary.output_tokens),
            cost_usd=summary.cost_usd,
            analysis=analysis,
            routing=run.routing,
            steps=tuple(step.shown() for step in steps),
            experts_used=tuple(dict.fromkeys(experts)),
            trace=self._runs.attempts(run.run_id),
            warnings=(*run.warnings, *(answer.completion.warnings if answer else ())),
            error=error,
            error_kind=kind,
        )

    @asynccontextmanager
    async def _tools(self, run: Run) -> AsyncGenerator[None, None]:
        """Connect the run to the gateway's tools, where it asked for them."""
        async with AsyncExitStack() as stack:
            if run.options.tools:
                run.toolbox = await self._toolbox(run, stack)
            yield

    async def _toolbox(self, run: Run, stack: AsyncExitStack) -> Toolbox | None:
        where = self._parts.tools_at()
        if where is None:
            run.warnings.append("There are no tools: set NEXUS_GATEWAY_URL to a Nexus gateway.")
            return None
        try:
            return await stack.enter_async_context(connect(*where))
        except AgentsError:
            raise
        except Exception as error:  # the SDK raises groups of whatever went wrong below it
            raise AgentsError(f"The gateway's tools cannot be used: {type(error).__name__}.") from error

    def _expert(self, options: OrchestrateOptions) -> Expert | None:
        return self._parts.experts_known.find(options.expert) if options.expert else None

    def _acceptable(self, task: str) -> str:
        self._check_depth()
        if not 1 <= len(task.strip()) <= LONGEST_TASK:
            raise Misuse(f"A task has 1 to {LONGEST_TASK} characters; this one has {len(task)}.")
        try:
            task.encode()
        except UnicodeEncodeError:
            raise Misuse("The task is not valid Unicode text.") from None
        return task

    def _check_depth(self) -> None:
        if self._settings.depth >= MAX_DEPTH:
            raise Misuse(
                f"Agents {self._settings.depth} levels below other agents start nothing: it would be a loop."
            )


def _consensus(
    run_id: str, proposal: str, options: VoteOptions, votes: Sequence[r.Seat], budget: Budget, begun: float
) -> r.Consensus:
    counts = consensus.counted(votes)
    decision, why = consensus.tally(options.strategy, counts)
    sides = counts.approve + counts.reject
    distinct = len({vote.model_used for vote in votes if vote.model_used})
    warnings = (
        ("Every vote came from the same model: this is one opinion in several roles.",)
        if distinct == 1
        else ()
    )
    return r.Consensus(
        run_id=run_id,
        proposal=proposal,
        strategy=options.strategy,
        decision=decision,
        approval_percentage=round(100 * counts.approve / sides, 2) if sides else 0.0,
        vote_counts=counts,
        votes=tuple(votes),
        minority=consensus.minority(votes, decision),
        distinct_models=distinct,
        duration_ms=round((time.monotonic() - begun) * 1000),
        policy_reason=why,
        warnings=warnings,
        simulate_votes=options.simulate,
        usage=budget.spent,
        cost_usd=None if budget.unpriced else budget.spent_usd,
    )


def _mock(run_id: str, analysis: r.Analysis) -> r.Orchestration:
    """Answer without a model, unmistakably."""
    text = (
        "MOCK: no model adapter is configured, so no model was asked. "
        f"By its words alone the task is of type {analysis.task_type} and complexity {analysis.complexity} of 10."
    )
    return r.Orchestration(
        run_id=run_id,
        success=True,
        mock=True,
        model="mock",
        duration_ms=0,
        text=text,
        analysis=analysis,
        cost_usd=0.0,
        warnings=("This is a mock: NEXUS_ALLOW_MOCK_ORCHESTRATION is set and no adapter is configured.",),
    )
