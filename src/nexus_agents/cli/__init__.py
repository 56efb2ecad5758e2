"""The command line. Commands are in modules of their own, loaded when they run: `--help` and `server` start at once.

Exit codes: 0 good · 1 the task, the vote or a check failed · 2 the call was wrong · 3 nothing is configured that could answer ·
4 the budget is used up · 130 interrupted.
"""

import os
import sys
from importlib import import_module

import typer
import typer.core

from nexus_agents.errors import AgentsError

INTERRUPTED = 130
COMMANDS = {
    "orchestrate": "Do a task: answer it, or plan it and have experts work on it.",
    "vote": "Have a panel vote on a proposal.",
    "models": "List models: what is on offer and what the registry knows.",
    "experts": "List experts, or run one.",
    "memory": "Remember, find, forget, export.",
    "trace": "Show what happened in a run; list runs; resume one.",
    "research": "Find papers and keep a registry of them.",
    "doctor": "Check what is configured and whether it works.",
    "setup": "Connect the agents to OpenCode, Claude Code, Codex or Cursor.",
    "server": "Serve the tools over MCP; the same as no command at all.",
}


class _Lazy(typer.core.TyperGroup):
    """Load a command's module when it is asked for."""

    def list_commands(self, ctx: "typer.Context") -> list[str]:  # pyright: ignore[reportIncompatibleMethodOverride]  # typer's click
        return list(COMMANDS)

    def get_command(self, ctx: "typer.Context", cmd_name: str):  # pyright: ignore[reportIncompatibleMethodOverride, reportUnknownParameterType]  # typer's click
        if cmd_name not in COMMANDS:
            return None
        module = import_module(f"nexus_agents.cli.{cmd_name}")
        found = getattr(module, "app", None)
        if found is None:
            found = typer.Typer(add_completion=False, rich_markup_mode=None)
            found.command()(module.command)
        command = typer.main.get_command(found)
        command.name = cmd_name
        command.short_help = COMMANDS[cmd_name]
        return command


app = typer.Typer(
    name="nexus-agents",
    cls=_Lazy,
    help="Orchestrate, vote, remember and research with any OpenAI-compatible gateway or OpenCode behind it.",
    add_completion=False,
    no_args_is_help=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"nexus-agents {version('nexus-ai-gateway')}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def serve(
    context: typer.Context,
    mode: str = typer.Option("server", "--mode", "-m", help="`server` is the only mode without a command."),
    version: bool = typer.Option(
        False, "--version", "-v", callback=_version, is_eager=True, help="Show the version."
    ),
) -> None:
    """Serve MCP on standard input and output when no command is given."""
    if context.invoked_subcommand is not None:
        return
    if mode != "server":
        raise typer.BadParameter('only "server" can be run; give a command for the rest', param_hint="--mode")
    from nexus_agents.cli.server import command

    command()


def main() -> None:
    """Run the command line and leave with its exit code."""
    try:
        app(prog_name="nexus-agents")
    except AgentsError as error:
        typer.echo(told(error), err=True)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        typer.echo("Interrupted.", err=True)
        sys.exit(INTERRUPTED)
    except BrokenPipeError:
        # who read us has gone, as `head` does; nothing is left to say
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)


def told(error: AgentsError) -> str:
    """Write an error for people."""
    from nexus_agents.redact import redact, secrets

    return redact(f"{error.message}\n{error.cure}".strip(), secrets(os.environ))
