"""`nexus-agents research`: discover, add, list, search, analyze, pending."""

from typing import Annotated

import typer

from nexus_agents.cli.output import Format, FormatOption, run, show_json, table

app = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
    no_args_is_help=True,
    help="Find papers and keep a registry of them.",
)


@app.command()
def discover(
    topic: Annotated[str, typer.Argument(help="What to look for.")],
    source: Annotated[
        str, typer.Option(help="arxiv, github, semantic_scholar, openalex, ... or all.")
    ] = "all",
    limit: Annotated[int, typer.Option(min=1, max=20, help="How many at most.")] = 10,
    since: Annotated[str | None, typer.Option(help="Only what appeared since this day: 2026-01-31.")] = None,
    threshold: Annotated[float, typer.Option(min=0, max=1, help="The least relevance.")] = 0.3,
    format: FormatOption = Format.TEXT,
) -> None:
    """Search arXiv, GitHub, Semantic Scholar and OpenAlex."""
    found = run(
        lambda services: services.research.discover(
            topic, source=source, limit=limit, since=since, threshold=threshold
        ),
        format,
    )
    if format is Format.JSON:
        show_json(found)
        return
    table(
        ("RELEVANCE", "SOURCE", "KNOWN", "TITLE", "URL"),
        (
            (one.relevance_score, one.source, "yes" if one.already_in_registry else "no", one.title, one.url)
            for one in found.items
        ),
    )
    for failed in found.failed_sources:
        typer.echo(f"failed: {failed.source}: {failed.error}", err=True)


@app.command()
def add(
    arxiv_id: Annotated[str, typer.Argument(help="2401.00001, or its link.")],
    topic: Annotated[str | None, typer.Option(help="What it belongs to.")] = None,
    priority: Annotated[str | None, typer.Option(help="P1 to P4.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show it.")] = False,
    format: FormatOption = Format.TEXT,
) -> None:
    """Add a paper of arXiv to the registry."""
    done = run(
        lambda services: services.research.add(arxiv_id, topic=topic, priority=priority, dry_run=dry_run),
        format,
    )
    if format is Format.JSON:
        show_json(done)
    else:
        what = "Known already" if done.already_in_registry else "Would add" if done.dry_run else "Added"
        typer.echo(f"{what}: {done.paper.id} {done.paper.title}")


@app.command("list")
def list_papers(
    status: Annotated[
        str, typer.Option(help="not-started, planned, in-progress, implemented, rejected or all.")
    ] = "all",
    format: FormatOption = Format.TEXT,
) -> None:
    """List the registry."""
    done = run(lambda services: services.research.query("status", status=status), format)
    if format is Format.JSON:
        show_json(done)
    else:
        table(
            ("ID", "STATUS", "PRIORITY", "TITLE"),
            ((one["id"], one["status"], one["priority"], one["title"]) for one in done.data["papers"]),
        )


@app.command()
def search(
    query: Annotated[str, typer.Argument(help="Words to look for.")], format: FormatOption = Format.TEXT
) -> None:
    """Search the registry."""
    done = run(lambda services: services.research.query("search", query=query), format)
    if format is Format.JSON:
        show_json(done)
    else:
        table(
            ("RELEVANCE", "ID", "TITLE"),
            ((one["relevance"], one["id"], one["title"]) for one in done.data["papers"]),
        )


@app.command()
def analyze(
    focus: Annotated[str, typer.Argument(help="gaps, trends, priorities, stale or coverage.")],
    topic: Annotated[str | None, typer.Option(help="One topic only.")] = None,
) -> None:
    """Count what the registry says; printed as JSON."""
    show_json(run(lambda services: services.research.analyze(focus, topic), Format.TEXT))


@app.command()
def pending(
    action: Annotated[str, typer.Argument(help="list, approve, dismiss or flush.")] = "list",
    identifier: Annotated[str | None, typer.Argument(help="Which one, to approve or dismiss it.")] = None,
    format: FormatOption = Format.TEXT,
) -> None:
    """Review what searches came upon."""
    done = run(lambda services: services.research.review(action, identifier), format)
    if format is Format.JSON:
        show_json(done)
    elif action == "list":
        table(
            ("ID", "SOURCE", "TOPIC", "TITLE"),
            ((one["id"], one["source"], one["topic"], one["title"]) for one in done.data["pending"]),
        )
    elif action == "flush":
        typer.echo(f"Removed {done.data['removed']}.")
    else:
        typer.echo(
            f"{'Approved' if action == 'approve' else 'Dismissed'}: {done.data['id']} {done.data['title']}"
        )
