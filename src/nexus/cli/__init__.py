"""The command line: `nexus` serves; its subcommands look at a configuration without serving."""

import gc
import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from nexus import __version__
from nexus.telemetry.logs import Level, Style

app = typer.Typer(
    name="nexus",
    help=f"Nexus {__version__}: one endpoint in front of every LLM provider and every MCP server.",
    add_completion=False,
    no_args_is_help=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # else "[default: ...]" in a help text is taken for markup and left out
)

ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--config", "-c", envvar="NEXUS_CONFIG_PATH", help="Configuration file. [default: ./nexus.toml]"
    ),
]


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"nexus {__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def serve(
    context: typer.Context,
    config: ConfigOption = None,
    listen_address: Annotated[
        str | None,
        typer.Option(
            "--listen-address", "-l", envvar="NEXUS_LISTEN_ADDRESS", help="IP:port. [default: 127.0.0.1:8000]"
        ),
    ] = None,
    log: Annotated[Level, typer.Option(envvar="NEXUS_LOG", help="How much is logged.")] = Level.INFO,
    log_style: Annotated[
        Style | None,
        typer.Option(
            envvar="NEXUS_LOG_STYLE", help="How it looks. [default: color on a terminal, else text]"
        ),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(min=1, max=256, envvar="NEXUS_WORKERS", help="Processes on the port. [default: 1]"),
    ] = None,
    version: Annotated[
        bool, typer.Option("--version", "-V", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Serve what the configuration file says, or what the provider keys in the environment allow."""
    if context.invoked_subcommand is not None:
        context.obj = config
        return
    gc.disable()  # all that is loaded stays: to look through it for garbage costs a tenth of the start
    from nexus.cli.serve import Options, serve

    raise typer.Exit(
        serve(Options(config, listen_address, log, log_style, workers), sys.argv[1:], os.environ)
    )


@app.command()
def check(
    context: typer.Context,
    file: Annotated[Path | None, typer.Argument(help="The same as --config.")] = None,
    config: ConfigOption = None,
) -> None:
    """Check the configuration file: everything but the network."""
    from nexus.cli.inspect import check

    raise typer.Exit(check(file or config or context.obj, os.environ))


@app.command()
def schema() -> None:
    """Print the JSON Schema of the file, for editors."""
    from nexus.cli.inspect import schema

    schema()


@app.command()
def models(context: typer.Context, config: ConfigOption = None) -> None:
    """Print what is served, by whom, and how we know."""
    from nexus.cli.inspect import models

    raise typer.Exit(models(config or context.obj, os.environ))


tools = typer.Typer(help="Look at the tools of the MCP servers.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(tools, name="tools")


@tools.command("list")
def list_tools(context: typer.Context, config: ConfigOption = None) -> None:
    """Start the servers and print their tools."""
    from nexus.cli.tools import listed

    raise typer.Exit(listed(config or context.obj, os.environ))


@tools.command()
def search(
    context: typer.Context,
    words: Annotated[list[str], typer.Argument(help="Keywords, as a model would give them.")],
    config: ConfigOption = None,
) -> None:
    """Print what a search for these keywords finds."""
    from nexus.cli.tools import search

    raise typer.Exit(search(config or context.obj, os.environ, words))


@tools.command()
def call(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="Name as server__tool.")],
    arguments: Annotated[str, typer.Argument(help="Arguments as a JSON object.")] = "{}",
    config: ConfigOption = None,
) -> None:
    """Run a tool and print its result."""
    from nexus.cli.tools import call

    raise typer.Exit(call(config or context.obj, os.environ, name, arguments))


@tools.command("eval")
def evaluate_search(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help='Lines of {"keywords": [...], "expect": ["server__tool"]}.')],
    config: ConfigOption = None,
) -> None:
    """Measure the search on queries whose answers are known."""
    from nexus.cli.tools import measure

    raise typer.Exit(measure(config or context.obj, os.environ, file))


def main() -> None:
    """Run the command line."""
    app()
