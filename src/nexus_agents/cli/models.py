"""`nexus-agents models`."""

from typing import Annotated

import typer

from nexus_agents.cli.output import Format, run, show_json, table


def command(
    available: Annotated[bool, typer.Option("--available", help="Leave out what nothing offers.")] = False,
    search: Annotated[str, typer.Option(help="Only names that contain this.")] = "",
    format: Annotated[Format, typer.Option(help="How the list is printed.")] = Format.TEXT,
) -> None:
    """List the models on offer, and what the registry knows besides."""
    rows = run(lambda services: services.models(), format)
    rows = [row for row in rows if (row.available or not available) and search.lower() in row.id.lower()]
    if format is Format.JSON:
        show_json(rows)
        return
    table(
        (
            "ID",
            "ADAPTER",
            "AVAILABLE",
            "CONTEXT",
            "$ IN",
            "$ OUT",
            "REASONING",
            "CODE",
            "SPEED",
            "COST",
            "FROM",
        ),
        (
            (
                row.id,
                row.adapter,
                "yes" if row.available else "no",
                row.context_window,
                row.input_per_million,
                row.output_per_million,
                row.reasoning,
                row.code,
                row.speed,
                row.cost,
                row.origin,
            )
            for row in rows
        ),
    )
