"""One run, top to bottom: understand, plan, work in parallel, review, put together. The file to read first.

Everything is on disk before the next call is made, so a run that was killed goes on where it stopped.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import msgspec

from nexus_agents import asking, planning
from nexus_agents.adapters.base import Completion, Message, Prompt
from nexus_agents.calls import Answer, Calls
from nexus_agents.errors import AdapterError, AgentsError, BudgetExceeded
from nexus_agents.experts import Expert, Experts
from nexus_agents.options import OnProgress, OrchestrateOptions, Progress
from nexus_agents.results import Analysis, Attempt, Routing
from nexus_agents.router import Choice, Router
from nexus_agents.toolbox import Toolbox
from nexus_agents.trace import Planned, Runs

PLAIN = "You are a helpful assistant. Answer the task directly and completely."
TOOL_ROUNDS = 8
"""How often an expert may use tools before it has to answer."""
LONGEST_INPUT = 24_000
"""Characters of one step's result that another step, the reviewer or the final answer is shown."""
_CUT = "\n[... {} characters were cut here ...]"


@dataclass(slots=True)
class Run:
    """One orchestration. Made for one use."""

    run_id: str
    task: str
    options: OrchestrateOptions
    router: Router
    calls: Calls
    runs: Runs
    experts: Experts
    concurrency: int
    timeout: float
    """Seconds for one call."""
    progress: OnProgress
    toolbox: Toolbox | None = None
    warnings: list[str] = field(default_factory=list[str])
    routing: Routing | None = None
    _steps: dict[str, Planned] = field(default_factory=dict[str, Planned])

    async def go(self, analysis: Analysis) -> Answer:
        """Do the task; what was already done in an earlier life of the run is kept.

        Raises:
            AgentsError: it cannot be done; the steps done so far are stored.
        """
        steps = self.runs.steps(self.run_id) or await self._plan(analysis)
        if not steps:
            return await self._answer()
        self._steps = {step.id: step for step in steps}
        await self._work()
        await self._review()
        return await self._combine()

    @property
    def steps(self) -> tuple[Planned, ...]:
        return tuple(self._steps.values())

    async def _plan(self, analysis: Analysis) -> tuple[Planned, ...]:
        """Ask for a plan where the task wants one; a model that cannot plan answers the task at once instead."""
        options = self.options
        wanted = options.plan == "always" or (options.plan == "auto" and analysis.needs_decomposition)
        if not wanted or options.expert or options.max_steps < 2:
            return ()
        self._say("planning")
        choice = self._choose(self.task)
        most, experts = options.max_steps, self.experts
        asked = asking.prompt(
            planning.question(experts, most),
            self._told(self.task),
            schema=planning.schema(experts, most),
            output=4_096,
            timeout=self.timeout,
        )
        try:
            plan, _ = await asking.ask(
                self.calls, "plan", "plan", asked, choice.offers, planning.Plan, "a plan",
                check=lambda found: planning.checked(found, experts, most), why=choice.why, category="planning",
            )  # fmt: skip
        except AdapterError as error:
            self.warnings.append(f"The task was not planned but answered at once: {error.message}")
            self.runs.event(self.run_id, "not_planned", {"why": error.message})
            return ()
        steps = planning.stored(plan)
        details = {"approach": plan.approach, "requirements": plan.requirements, "risks": plan.risks}
        self.runs.plan(self.run_id, steps, details)
        return steps

    async def _answer(self) -> Answer:
        """Answer with a single call."""
        expert = self.experts.find(self.options.expert) if self.options.expert else None
        choice = self._choose(self.task, expert)
        self._say("answering")
        return await self._converse("answer", "answer", self._told(self.task), expert, choice)

    async def _work(self) -> None:
        """Run every step that is not done, each as soon as those it depends on are.

        Raises:
            AgentsError: what the first step to fail said; steps that do not need it were still done.
        """
        room = asyncio.Semaphore(self.concurrency)
        ended = {one: asyncio.Event() for one in self._steps}
        failures = list[AgentsError]()
        for step in self.steps:
            if step.status == "done":
                ended[step.id].set()

        async def run(step: Planned) -> None:
            for one in step.depends_on:
                await ended[one].wait()
            try:
                if any(self._steps[one].status != "done" for one in step.depends_on):
                    self._mark(step.id, "skipped", why="a step it depends on failed")
                    return
                async with room:
                    await self._step(step)
            except AgentsError as error:
                failures.append(error)
                self._mark(step.id, "failed", why=error.message)
            finally:
                ended[step.id].set()

        async with asyncio.TaskGroup() as group:
            for step in planning.in_order(self.steps):
                if step.status != "done":
                    group.create_task(run(step), name=f"step {step.id}")
        if failures:
            raise next((one for one in failures if isinstance(one, BudgetExceeded)), failures[0])

    async def _step(self, step: Planned, problem: str = "") -> None:
        expert = self.experts.find(step.expert)
        choice = self._choose(step.task, expert)
        self._mark(step.id, "running")
        self._say(f"{step.id} {step.title} ({expert.name}) on {choice.offers[0].id}")
        parts = [step.task]
        parts += [
            f"Result of {one} ({self._steps[one].title}):\n{_clip(self._steps[one].output)}"
            for one in step.depends_on
        ]
        if problem:
            parts.append(
                f"Your earlier result:\n{_clip(step.output)}\n\nA reviewer found: {problem}\nDo it again, better."
            )
        answer = await self._converse(
            step.id, "redo" if problem else "work", "\n\n".join(parts), expert, choice
        )
        self._mark(step.id, "done", output=answer.completion.text, model=answer.completion.model)

    async def _review(self) -> None:
        """Have the results reviewed once, and what was found wrong done again with all that builds on it."""
        if len(self._steps) < 2 or self.runs.has(self.run_id, "reviewed"):
            return
        self._say("reviewing")
        choice = self._choose(self.task)
        asked = asking.prompt(
            planning.REVIEW,
            f"The task:\n{self._told(self.task)}\n\n{self._results()}",
            schema=planning.verdict_schema(list(self._steps)),
            output=2_048,
            timeout=self.timeout,
        )
        try:
            verdict, _ = await asking.ask(
                self.calls, "verify", "verify", asked, choice.offers, planning.Verdict, "a verdict",
                why=choice.why, category="review",
            )  # fmt: skip
        except AdapterError as error:
            self.warnings.append(f"The results were not reviewed: {error.message}")
            self.runs.event(self.run_id, "reviewed", {"ok": None, "why": error.message})
            return
        problems = {
            one.step: one.problem
            for one in verdict.problems
            if one.step in self._steps and one.problem.strip()
        }
        if problems and not verdict.ok:
            await self._redo(problems)
        self.runs.event(self.run_id, "reviewed", {"ok": verdict.ok, "problems": problems})

    async def _redo(self, problems: dict[str, str]) -> None:
        again = planning.affected(self.steps, set(problems))
        for step in planning.in_order(self.steps):
            if step.id in again:
                why = problems.get(step.id, "a step it builds on was done again")
                await self._step(self._steps[step.id], why)

    async def _combine(self) -> Answer:
        self._say("putting the results together")
        text = f"The task:\n{self._told(self.task)}\n\n{self._results()}"
        choice = self._choose(text)
        prompt = asking.prompt(
            planning.COMBINE, text, output=self.options.max_output_tokens, timeout=self.timeout
        )
        return await self.calls.complete("answer", "synthesise", prompt, choice.offers, why=choice.why)

    async def _converse(
        self, step: str, kind: str, text: str, expert: Expert | None, choice: Choice
    ) -> Answer:
        """Call a model as an expert, with tools where there are any, until it answers in words."""
        patterns = expert.tools if expert else ("*",)
        tools = self.toolbox.allowed(patterns) if self.toolbox else ()
        offers = (
            [offer for offer in choice.offers if offer.adapter.has_tools] if tools else list(choice.offers)
        )
        if not offers:
            offers, tools = list(choice.offers), ()
            self.warnings.append(
                f"{choice.offers[0].adapter.title} cannot use tools: {step} was done without."
            )
        options = self.options
        prompt = Prompt(
            messages=(
                Message(role="system", text=expert.prompt if expert else PLAIN),
                Message(role="user", text=text),
            ),
            max_output_tokens=options.max_output_tokens,
            temperature=expert.temperature if expert else None,
            tools=tools,
            timeout=self.timeout,
            variant=options.variant,
            thinking=options.thinking,
            work_dir=options.work_dir,
            allow_edits=options.allow_edits,
        )
        category = expert.category if expert else "general"
        for _ in range(TOOL_ROUNDS):
            answer = await self.calls.complete(step, kind, prompt, offers, why=choice.why, category=category)
            if not answer.completion.tool_calls or self.toolbox is None:
                return answer
            prompt = await self._with_results(step, prompt, answer.completion, patterns)
            offers = [answer.offer, *(offer for offer in offers if offer is not answer.offer)]
        last = msgspec.structs.replace(prompt, tools=())
        return await self.calls.complete(
            step, kind, last, offers, why="the rounds of tools are used up", category=category
        )

    async def _with_results(
        self, step: str, prompt: Prompt, said: Completion, patterns: Sequence[str]
    ) -> Prompt:
        assert self.toolbox is not None
        results = await asyncio.gather(*(self.toolbox.call(call, patterns) for call in said.tool_calls))
        for call, result in zip(said.tool_calls, results, strict=True):
            failed = result.startswith("Error:")
            self.runs.event(
                self.run_id, "tool", {"name": call.name, "failed": failed, "characters": len(result)}, step
            )
        messages = (
            *prompt.messages,
            Message(role="assistant", text=said.text, tool_calls=said.tool_calls),
            *(
                Message(role="tool", text=result, tool_call_id=call.id)
                for call, result in zip(said.tool_calls, results, strict=True)
            ),
        )
        return msgspec.structs.replace(prompt, messages=messages)

    def _choose(self, text: str, expert: Expert | None = None) -> Choice:
        choice = self.router.choose(text, expert, tools=self.toolbox is not None and expert is not None)
        self.routing = self.routing or choice.routing
        return choice

    def _told(self, task: str) -> str:
        """Add the caller's context to the task."""
        if not self.options.context:
            return task
        return f"{task}\n\nContext:\n{msgspec.json.format(msgspec.json.encode(self.options.context), indent=2).decode()}"

    def _results(self) -> str:
        return "\n\n".join(
            f"Result of step {step.id} ({step.title}, by the {step.expert} expert):\n{_clip(step.output)}"
            for step in self.steps
        )

    def _mark(
        self, step_id: str, status: str, *, output: str = "", model: str | None = None, why: str = ""
    ) -> None:
        step = self._steps[step_id]
        self._steps[step_id] = msgspec.structs.replace(
            step, status=status, output=output or step.output, model=model
        )
        self.runs.step(self.run_id, step_id, status, output=output, model=model, why=why)
        if status in ("failed", "skipped"):
            self._say(f"{step_id} {status}: {why}")

    def _say(self, message: str) -> None:
        done = sum(step.status == "done" for step in self._steps.values())
        self.progress(Progress(run_id=self.run_id, message=message, done=done, total=len(self._steps)))


def quiet(_: Progress) -> None:
    """Tell nobody."""


def telling(run_id: str, progress: OnProgress) -> Callable[[Attempt], None]:
    """Make what tells of each failed attempt."""

    def tell(attempt: Attempt) -> None:
        if attempt.status != "ok":
            progress(Progress(run_id=run_id, message=f"{attempt.step}: {attempt.reason}"))

    return tell


def _clip(text: str) -> str:
    """Keep the beginning and say how much is gone."""
    if len(text) <= LONGEST_INPUT:
        return text
    return text[:LONGEST_INPUT] + _CUT.format(len(text) - LONGEST_INPUT)
