"""What every command needs: services, progress, and results as text or JSON. Results go to standard output.

Everything else goes to standard error.
"""

import asyncio
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Generator, Iterable
from contextlib import contextmanager
from enum import StrEnum
from inspect import isawaitable
from types import FrameType
from typing import Annotated, Any, TypeVar, cast

import msgspec
import typer

from nexus_agents.errors import AgentsError
from nexus_agents.options import OnProgress, Progress
from nexus_agents.services import Services

T = TypeVar("T")


class Format(StrEnum):
    TEXT = "text"
    JSON = "json"


FormatOption = Annotated[Format, typer.Option("--format", help="How the result is printed.")]


def run(work: Callable[[Services], Awaitable[T] | T], format: Format) -> T:
    """Do the work of a command with services of this process; an interruption ends it in an orderly way.

    Raises:
        typer.Exit: the work failed, which has been told in the format.
    """

    async def done() -> T:
        async with Services(os.environ) as services:
            if format is not Format.JSON:
                for warning in services.warnings:
                    typer.echo(f"warning: {warning}", err=True)
            found = work(services)
            return cast(T, await found if isawaitable(found) else found)

    previous = signal.signal(signal.SIGTERM, _interrupt)
    try:
        return asyncio.run(done())
    except AgentsError as error:
        raise _failed(error, format) from None
    finally:
        signal.signal(signal.SIGTERM, previous)


def show_json(result: Any) -> None:
    """Print a result as JSON."""
    typer.echo(msgspec.json.format(msgspec.json.encode(result), indent=2).decode())


@contextmanager
def progress(format: Format = Format.TEXT, *, verbose: bool = False) -> Generator[OnProgress, None, None]:
    """Show progress on standard error: a line that moves on a terminal, plain lines for pipes, nothing for JSON."""
    if format is Format.JSON and not verbose:
        yield lambda _: None
        return
    if verbose or not sys.stderr.isatty():
        yield _plain
        return
    from rich.console import Console

    console = Console(stderr=True)
    with console.status("starting") as status:

        def update(told: Progress) -> None:
            counted = f" {told.done}/{told.total}" if told.total else ""
            status.update(f"[dim]{counted}[/dim] {_safe(told.message)}")

        yield update


def table(headings: Iterable[str], rows: Iterable[Iterable[object]]) -> None:
    """Print a table: drawn on a terminal, tab-separated in a pipe."""
    headings = list(headings)
    cells = [[_cell(value) for value in row] for row in rows]
    if not cells:
        typer.echo("There are none.", err=True)
    if not sys.stdout.isatty():
        typer.echo("\n".join("\t".join(row) for row in [headings, *cells]))
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    drawn = Table(box=None, header_style="bold", pad_edge=False)
    for number, heading in enumerate(headings):
        drawn.add_column(heading, overflow="fold", no_wrap=number == 0)  # what is copied stays whole
    for row in cells:
        drawn.add_row(*(Text(cell) for cell in row))
    Console().print(drawn)


def money(cost: float | None) -> str:
    """Write dollars."""
    return "unknown" if cost is None else f"${cost:.4f}"


def _failed(error: AgentsError, format: Format) -> typer.Exit:
    """Tell an error in a format; gives the exit with its code."""
    from nexus_agents.cli import told

    if format is Format.JSON:
        show_json({"success": False, "error": told(error), "exitCode": error.exit_code})
    else:
        typer.echo(told(error), err=True)
    return typer.Exit(error.exit_code)


def _interrupt(signum: int, frame: FrameType | None) -> None:
    signal.raise_signal(signal.SIGINT)


def _plain(told: Progress) -> None:
    counted = f"[{told.done}/{told.total}] " if told.total else ""
    typer.echo(f"{counted}{told.message}", err=True)


def _cell(value: object) -> str:
    if value is None:
        return "-"
    text = f"{value:g}" if isinstance(value, float) else str(value)
    return " ".join(text.split())


def _safe(text: str) -> str:
    from rich.markup import escape

    return escape(" ".join(text.split())[:200])
