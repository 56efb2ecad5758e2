"""`nexus-agents trace`: list, show, resume, forget."""

from typing import Annotated

import msgspec
import typer

from nexus_agents.cli.orchestrate import attempt_line
from nexus_agents.cli.orchestrate import command as orchestrate
from nexus_agents.cli.output import Format, FormatOption, money, run, show_json, table
from nexus_agents.results import Attempt, Trace

app = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
    no_args_is_help=True,
    help="Show what happened in a run; list runs; resume or forget one.",
)


@app.command("list")
def list_runs(
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many at most.")] = 20,
    format: FormatOption = Format.TEXT,
) -> None:
    """List the latest runs, newest first."""
    rows = run(lambda services: services.runs(limit), format)
    if format is Format.JSON:
        show_json(rows)
        return
    table(
        ("RUN", "STATUS", "STEPS", "TOKENS", "COST", "TASK"),
        (
            (
                row.run_id,
                row.status,
                f"{row.steps_done}/{row.steps_total}",
                row.input_tokens + row.output_tokens,
                money(row.cost_usd),
                row.task[:60],
            )
            for row in rows
        ),
    )


@app.command()
def show(
    run_id: Annotated[str, typer.Argument(help="The run, or the beginning of its name.")],
    event_type: Annotated[str | None, typer.Option("--type", help="Only events of this type.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="How many events at most.")] = 1_000,
    format: FormatOption = Format.TEXT,
) -> None:
    """Show what happened in a run."""
    trace = run(lambda services: services.trace(run_id, event_type, limit), format)
    show_json(trace) if format is Format.JSON else _show(trace)


@app.command()
def resume(
    run_id: Annotated[str, typer.Argument(help="The run, or the beginning of its name.")],
    format: FormatOption = Format.TEXT,
    verbose: Annotated[bool, typer.Option("--verbose", help="Print every step as a line.")] = False,
) -> None:
    """Go on with a run that was interrupted or failed."""
    orchestrate(resume=run_id, format=format, verbose=verbose)


@app.command()
def forget(
    run_id: Annotated[str | None, typer.Argument(help="The run, or the beginning of its name.")] = None,
    older_than: Annotated[
        float | None, typer.Option(min=0, metavar="DAYS", help="Every run that began longer ago.")
    ] = None,
) -> None:
    """Delete runs with everything that is written about them."""
    if (run_id is None) == (older_than is None):
        raise typer.BadParameter("give a run, or --older-than with days", param_hint="RUN_ID")
    done = run(lambda services: services.stored_runs.forget(run_id=run_id, days=older_than), Format.TEXT)
    typer.echo(f"Forgot {done.count}.")


def _show(trace: Trace) -> None:
    row = trace.run
    typer.echo(f"{row.run_id}  {row.status}  {row.created}\n{row.task}\n")
    for step in trace.steps:
        after = f" after {', '.join(step.depends_on)}" if step.depends_on else ""
        typer.echo(
            f"{step.id}  {step.status}  {step.title} ({step.expert}{after}){f' on {step.model}' if step.model else ''}"
        )
    if trace.steps:
        typer.echo("")
    for event in trace.events:
        typer.echo(f"{event.seq:4} {event.at} {_event(event.type, event.step, event.data)}")
    typer.echo(f"\n{row.input_tokens}+{row.output_tokens} tokens · cost {money(row.cost_usd)}")
    if row.status in ("interrupted", "failed", "budget") and row.kind != "vote":
        typer.echo(f"Resume it with: nexus-agents orchestrate --resume {row.run_id}")
    if trace.text:
        typer.echo(f"\n--- Response ---\n{trace.text}")


def _event(type_: str, step: str | None, data: dict[str, object]) -> str:
    if type_ == "attempt":
        return attempt_line(msgspec.convert(data, Attempt))
    told = f"{type_}{f' {step}' if step else ''}"
    return f"{told} {msgspec.json.encode(data).decode()}" if data else told
