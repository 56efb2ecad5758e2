"""`nexus-agents orchestrate`."""

from typing import Annotated, Literal

import typer

from nexus_agents.cli.output import Format, FormatOption, money, progress, run, show_json
from nexus_agents.options import OrchestrateOptions, Raised
from nexus_agents.results import Attempt, Orchestration, Routing
from nexus_agents.services import Services

_EXIT = {None: 0, "failed": 1, "interrupted": 1, "no_adapter": 3, "budget": 4}


def command(
    task: Annotated[str, typer.Argument(help="What to do; - reads it from standard input.")] = "",
    model: Annotated[
        str | None,
        typer.Option(help="A model, an alias, an adapter, or adapter/model. [default: the best on offer]"),
    ] = None,
    format: FormatOption = Format.TEXT,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only show which model would be asked, and why.")
    ] = False,
    max_tokens: Annotated[
        int | None, typer.Option(min=1, help="Tokens the run may use. [default: 100000]")
    ] = None,
    max_cost_usd: Annotated[
        float | None, typer.Option(min=0, help="Dollars the run may cost. [default: 10]")
    ] = None,
    max_calls: Annotated[
        int | None, typer.Option(min=1, help="Calls the run may make. [default: 24]")
    ] = None,
    max_output_tokens: Annotated[
        int | None, typer.Option(min=64, help="Tokens one answer may have. [default: 4096]")
    ] = None,
    timeout: Annotated[float, typer.Option(min=1, help="Seconds the run may take.")] = 900.0,
    fallback: Annotated[
        bool, typer.Option("--fallback", help="Let others stand in when the model of --model fails.")
    ] = False,
    plan: Annotated[str, typer.Option(help="auto, always or never.")] = "auto",
    expert: Annotated[str | None, typer.Option(help="Have one expert answer at once.")] = None,
    tools: Annotated[
        bool, typer.Option("--tools", help="Let experts use the tools of the Nexus gateway.")
    ] = False,
    variant: Annotated[
        str | None, typer.Option(help="OpenCode's reasoning effort: high, max or minimal.")
    ] = None,
    thinking: Annotated[
        bool, typer.Option("--thinking", help="Ask OpenCode for the model's thoughts.")
    ] = False,
    work_dir: Annotated[str | None, typer.Option(help="The directory OpenCode works in.")] = None,
    allow_edits: Annotated[
        bool, typer.Option("--allow-edits", help="Let OpenCode change files and run commands.")
    ] = False,
    resume: Annotated[
        str | None,
        typer.Option(help="Go on with a run that was interrupted or failed; --max-... raise its budget."),
    ] = None,
    verbose: Annotated[bool, typer.Option("--verbose", help="Print every step as a line.")] = False,
) -> None:
    """Do a task: answer it at once, or plan it and have experts work on its steps."""
    if plan not in ("auto", "always", "never"):
        raise typer.BadParameter("it is auto, always or never", param_hint="--plan")
    if bool(task) == bool(resume):
        raise typer.BadParameter("give a task, or --resume with a run", param_hint="TASK")
    given = _task(task)

    async def work(services: Services) -> Orchestration | Routing:
        options = OrchestrateOptions(
            model=model,
            fallback=fallback,
            max_tokens=services.settings.budget_tokens if max_tokens is None else max_tokens,
            max_cost_usd=services.settings.budget_cost_usd if max_cost_usd is None else max_cost_usd,
            max_calls=services.settings.max_calls if max_calls is None else max_calls,
            max_output_tokens=max_output_tokens,
            timeout=timeout,
            plan=_plan(plan),
            expert=expert,
            tools=tools,
            variant=variant,
            thinking=thinking,
            work_dir=work_dir,
            allow_edits=allow_edits,
        )
        if dry_run:
            return await services.route(given, options)
        with progress(format, verbose=verbose) as tell:
            if resume:
                raised = Raised(max_tokens=max_tokens, max_cost_usd=max_cost_usd, max_calls=max_calls)
                return await services.resume(resume, tell, raised)
            return await services.orchestrate(given, options, tell)

    done = run(work, format)
    if isinstance(done, Routing):
        _show_routing(done, format)
        return
    show_json(done) if format is Format.JSON else _show(done)
    raise typer.Exit(_EXIT[done.error_kind])


def _task(task: str) -> str:
    if task != "-":
        return task
    return typer.get_text_stream("stdin").read()


def _plan(plan: str) -> Literal["auto", "always", "never"]:
    return "always" if plan == "always" else "never" if plan == "never" else "auto"


def _show_routing(routing: Routing, format: Format) -> None:
    if format is Format.JSON:
        show_json(routing)
        return
    typer.echo(f"Would ask {routing.adapter} {routing.model}")
    typer.echo(f"Routing: {routing.reason}\nConfidence: {routing.confidence:.1%}\n")
    for one in routing.candidates:
        terms = ", ".join(f"{term.name} {term.value:g}" for term in one.terms)
        typer.echo(f"{one.score:7.1f}  {one.id}  {f'excluded: {one.excluded}' if one.excluded else terms}")


def _show(done: Orchestration) -> None:
    if not done.success:
        _show_failure(done)
        return
    by = f" through {done.trace[-1].title}" if done.trace else ""
    typer.echo(f"Task completed using {done.model}{by} ({done.duration_ms}ms)\n")
    if done.routing:
        typer.echo(f"Routing: {done.routing.reason}\nConfidence: {done.routing.confidence:.1%}")
    if done.mock:
        typer.echo("mock: true")
    typer.echo(f"\n--- Response ---\n{done.text}\n")
    _show_trace(done)
    typer.echo(f"--- Usage ---\nTokens: {done.usage.total}\nCost: {money(done.cost_usd)}")


def _show_failure(done: Orchestration) -> None:
    typer.echo(f"Task failed: {done.error}", err=True)
    typer.echo(f"Duration: {done.duration_ms}ms", err=True)
    _show_trace(done)
    if any(step.status == "done" for step in done.steps):
        typer.echo(f"What was done is kept: nexus-agents orchestrate --resume {done.run_id}", err=True)


def _show_trace(done: Orchestration) -> None:
    typer.echo(f"--- Trace ---\nrun {done.run_id}")
    for attempt in done.trace:
        typer.echo(attempt_line(attempt))
    for warning in done.warnings:
        typer.echo(f"warning: {warning}")
    typer.echo("")


def attempt_line(attempt: Attempt) -> str:
    """Write an attempt as a line of the trace."""
    where = f"{attempt.title or attempt.adapter} {attempt.model}" + (
        f" at {attempt.host}" if attempt.host else ""
    )
    spent = f"{attempt.input_tokens}+{attempt.output_tokens} tokens"
    cost = f" cost {_cost(attempt)}" if attempt.status == "ok" else ""
    reason = f" ({attempt.reason})" if attempt.reason else ""
    step = attempt.kind if attempt.step == attempt.kind else f"{attempt.step} {attempt.kind}"
    return f"{step} {where} #{attempt.attempt} {attempt.status} {attempt.duration_ms}ms {spent}{cost}{reason}"


def _cost(attempt: Attempt) -> str:
    return f"{money(attempt.cost_usd)} ({attempt.basis})" if attempt.cost_usd else attempt.basis
