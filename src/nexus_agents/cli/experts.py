"""`nexus-agents experts`: list them, or `experts run ROLE TASK`."""

from typing import Annotated

import typer

from nexus_agents.cli.output import Format, FormatOption, progress, run, show_json, table
from nexus_agents.results import ExpertRun
from nexus_agents.services import Services

app = typer.Typer(add_completion=False, rich_markup_mode=None, help="List experts, or run one.")


@app.callback(invoke_without_command=True)
def experts(
    context: typer.Context,
    format: Annotated[Format, typer.Option(help="How the list is printed.")] = Format.TEXT,
) -> None:
    """List the experts."""
    if context.invoked_subcommand is not None:
        return
    rows = run(lambda services: services.experts(), format)
    if format is Format.JSON:
        show_json({"experts": rows, "count": len(rows)})
        return
    table(
        ("ROLE", "CAPABILITIES", "DESCRIPTION"),
        ((row.role, ", ".join(row.capabilities), row.description) for row in rows),
    )


@app.command("run")
def run_expert(
    role: Annotated[str, typer.Argument(help="Its role or name.")],
    task: Annotated[str, typer.Argument(help="What to do.")],
    timeout: Annotated[float, typer.Option(min=1, help="Seconds it may take.")] = 300.0,
    format: FormatOption = Format.TEXT,
) -> None:
    """Have one expert do a task."""

    async def work(services: Services) -> ExpertRun:
        with progress(format) as tell:
            return await services.execute_expert(role, task, timeout=timeout, progress=tell)

    done = run(work, format)
    if format is Format.JSON:
        show_json(done)
    elif done.status == "completed":
        typer.echo(done.output)
    else:
        typer.echo(f"{done.error}", err=True)
    raise typer.Exit(0 if done.status == "completed" else 1)
