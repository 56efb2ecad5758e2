"""`nexus-agents memory`: add, search, forget, export, stats."""

from typing import Annotated

import typer

from nexus_agents.cli.output import Format, FormatOption, run, show_json, table

app = typer.Typer(
    add_completion=False, rich_markup_mode=None, no_args_is_help=True, help="Remember, find, forget, export."
)


@app.command()
def add(
    key: Annotated[str, typer.Argument(help="What it is about.")],
    content: Annotated[str, typer.Argument(help="What to remember.")],
    kind: Annotated[str, typer.Option(help="session, belief, agentic, adaptive or typed.")] = "session",
    confidence: Annotated[str, typer.Option(help="high, medium or low.")] = "medium",
    tag: Annotated[list[str] | None, typer.Option(help="A tag; may be repeated.")] = None,
    everywhere: Annotated[
        bool, typer.Option("--global", help="For every project, not just this one.")
    ] = False,
    format: FormatOption = Format.TEXT,
) -> None:
    """Remember something."""
    if confidence not in ("high", "medium", "low"):
        raise typer.BadParameter("it is high, medium or low", param_hint="--confidence")
    done = run(
        lambda services: services.memory.write(
            key,
            content,
            kind=kind,
            confidence=confidence,
            metadata={"tags": tag or []},
            everywhere=everywhere,
        ),
        format,
    )
    if format is Format.JSON:
        show_json(done)
    else:
        typer.echo(f"{'Known already' if done.deduplicated else 'Remembered'}: {done.id} {done.key}")


@app.command()
def search(
    query: Annotated[str, typer.Argument(help="Words to look for.")],
    limit: Annotated[int, typer.Option(min=1, max=50, help="How many at most.")] = 10,
    kind: Annotated[str, typer.Option(help="session, belief, agentic, adaptive, typed or all.")] = "all",
    format: FormatOption = Format.TEXT,
) -> None:
    """Find what was remembered."""
    found = run(
        lambda services: services.memory.find(query, limit=limit, kind=None if kind == "all" else kind),
        format,
    )
    if format is Format.JSON:
        show_json(found)
    else:
        table(
            ("ID", "RELEVANCE", "KIND", "SCOPE", "KEY", "CONTENT"),
            ((one.id, one.relevance, one.source, one.scope, one.key, one.content) for one in found.results),
        )


@app.command()
def forget(
    entry: Annotated[int | None, typer.Option("--id", help="The entry's number.")] = None,
    key: Annotated[str | None, typer.Option(help="Every entry with this key.")] = None,
) -> None:
    """Delete entries."""
    done = run(lambda services: services.memory.forget(entry=entry, key=key), Format.TEXT)
    typer.echo(f"Forgot {done.count}.")
    if not done.count:
        raise typer.Exit(1)


@app.command()
def export() -> None:
    """Print everything of this project, and of all, as Markdown."""
    typer.echo(run(lambda services: services.memory.export(), Format.TEXT), nl=False)


@app.command()
def stats(format: FormatOption = Format.TEXT) -> None:
    """Count entries."""
    done = run(lambda services: services.memory.stats(), format)
    if format is Format.JSON:
        show_json(done)
    else:
        table(("KIND", "ENTRIES"), done.backends.items())
        typer.echo(f"{done.total} entries, {done.size_bytes} bytes in {done.path}")
