"""`nexus-agents memory`: add, search, forget, export, stats."""

from collections.abc import Callable
from typing import Annotated, TypeVar

import typer

from nexus_agents.cli.output import Format, fail, run, show_json, table
from nexus_agents.errors import AgentsError
from nexus_agents.services import Services

app = typer.Typer(
    add_completion=False, rich_markup_mode=None, no_args_is_help=True, help="Remember, find, forget, export."
)
T = TypeVar("T")
Json = Annotated[Format, typer.Option("--format", help="How the result is printed.")]


def _do(format: Format, work: Callable[[Services], T]) -> T:
    async def done(services: Services) -> T:
        return work(services)

    try:
        return run(done, quiet=format is Format.JSON)
    except AgentsError as error:
        raise fail(error, format) from None


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
    format: Json = Format.TEXT,
) -> None:
    """Remember something."""
    if confidence not in ("high", "medium", "low"):
        raise typer.BadParameter("it is high, medium or low", param_hint="--confidence")
    done = _do(
        format,
        lambda services: services.memory.write(
            key,
            content,
            kind=kind,
            confidence=confidence,
            metadata={"tags": tag or []},
            everywhere=everywhere,
        ),
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
    format: Json = Format.TEXT,
) -> None:
    """Find what was remembered."""
    found = _do(
        format,
        lambda services: services.memory.find(query, limit=limit, kind=None if kind == "all" else kind),
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
    done = _do(Format.TEXT, lambda services: services.memory.forget(entry=entry, key=key))
    typer.echo(f"Forgot {done.count}.")
    if not done.count:
        raise typer.Exit(1)


@app.command()
def export() -> None:
    """Print everything of this project, and of all, as Markdown."""
    typer.echo(_do(Format.TEXT, lambda services: services.memory.export()), nl=False)


@app.command()
def stats(format: Json = Format.TEXT) -> None:
    """Count entries."""
    done = _do(format, lambda services: services.memory.stats())
    if format is Format.JSON:
        show_json(done)
    else:
        table(("KIND", "ENTRIES"), done.backends.items())
        typer.echo(f"{done.total} entries, {done.size_bytes} bytes in {done.path}")
