"""`nexus-agents vote`: approved leaves with 0, rejected and no quorum with 1."""

import hashlib
from pathlib import Path
from typing import Annotated

import typer

from nexus_agents.cli.output import Format, FormatOption, money, progress, run, show_json
from nexus_agents.errors import Misuse
from nexus_agents.options import Strategy, VoteOptions
from nexus_agents.results import Consensus, Seat
from nexus_agents.services import Services

STRATEGIES: dict[str, Strategy] = {
    "simple_majority": "simple_majority",
    "majority": "simple_majority",
    "supermajority": "supermajority",
    "unanimous": "unanimous",
}


def command(
    proposal: Annotated[str, typer.Argument(help="What to decide.")] = "",
    named: Annotated[str, typer.Option("--proposal", "-p", help="The same as the argument.")] = "",
    strategy: Annotated[
        str, typer.Option(help="simple_majority, supermajority or unanimous.")
    ] = "simple_majority",
    quick: Annotated[bool, typer.Option("--quick", help="Three seats instead of six.")] = False,
    model: Annotated[
        list[str] | None, typer.Option(help="Deal the seats over these models; may be repeated.")
    ] = None,
    artifact_file: Annotated[
        Path | None, typer.Option(help="A text to vote about, added to the proposal.")
    ] = None,
    simulate: Annotated[bool, typer.Option("--simulate", help="Ask no model; every seat abstains.")] = False,
    timeout: Annotated[
        float | None, typer.Option(min=1, help="Seconds for each seat. [default: 300]")
    ] = None,
    max_tokens: Annotated[
        int | None, typer.Option(min=1, help="Tokens the vote may use. [default: 100000]")
    ] = None,
    max_cost_usd: Annotated[
        float | None, typer.Option(min=0, help="Dollars the vote may cost. [default: 10]")
    ] = None,
    format: FormatOption = Format.TEXT,
    verbose: Annotated[bool, typer.Option("--verbose", help="Print every vote as it comes.")] = False,
) -> None:
    """Have a panel vote on a proposal: each seat on a model of its own where there are several."""
    if strategy not in STRATEGIES:
        raise typer.BadParameter("it is simple_majority, supermajority or unanimous", param_hint="--strategy")
    if bool(proposal) == bool(named):
        raise typer.BadParameter("give one proposal", param_hint="PROPOSAL")

    async def work(services: Services) -> Consensus:
        settings = services.settings
        options = VoteOptions(
            strategy=STRATEGIES[strategy],
            quick=quick,
            simulate=simulate,
            models=tuple(model or ()),
            timeout=settings.vote_timeout if timeout is None else timeout,
            max_tokens=settings.budget_tokens if max_tokens is None else max_tokens,
            max_cost_usd=settings.budget_cost_usd if max_cost_usd is None else max_cost_usd,
        )
        text = (proposal or named) + _artifact(artifact_file)
        with progress(format, verbose=verbose) as tell:
            return await services.vote(text, options, tell)

    done = run(work, format)
    show_json(done) if format is Format.JSON else _show(done)
    raise typer.Exit(0 if done.decision == "approved" else 1)


def _artifact(path: Path | None) -> str:
    if path is None:
        return ""
    try:
        data = path.read_bytes()
        text = data.decode()
    except (OSError, UnicodeDecodeError) as error:
        raise Misuse(f"{path} cannot be read as UTF-8 text: {type(error).__name__}.") from None
    return f"\n\nThe text (sha256 {hashlib.sha256(data).hexdigest()}):\n{text}"


def _show(done: Consensus) -> None:
    counts = done.vote_counts
    typer.echo(f"{done.decision.upper().replace('_', ' ')}: {done.policy_reason} ({done.strategy})")
    typer.echo(
        f"approve {counts.approve} · reject {counts.reject} · abstain {counts.abstain} · error {counts.error}\n"
    )
    for seat in done.votes:
        _show_seat(seat)
    if done.minority:
        typer.echo(f"Minority: {', '.join(seat.role for seat in done.minority)}")
    typer.echo(
        f"Models: {done.distinct_models} · run {done.run_id} · {done.usage.total} tokens · cost {money(done.cost_usd)}"
    )
    for warning in done.warnings:
        typer.echo(f"warning: {warning}")


def _show_seat(seat: Seat) -> None:
    typer.echo(f"{seat.role}: {seat.decision} ({seat.confidence:.0%}, {seat.model_used or 'no model'})")
    typer.echo(f"  {seat.error or seat.reasoning}")
    for condition in seat.conditions:
        typer.echo(f"  condition: {condition}")
    if seat.rejection_categories:
        typer.echo(f"  categories: {', '.join(seat.rejection_categories)}")
