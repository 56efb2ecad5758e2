"""What callers may ask for, and how they are told what goes on."""

from collections.abc import Callable, Mapping
from typing import Any, Literal

import msgspec

Billing = Literal["plan", "api"]
Strategy = Literal["simple_majority", "supermajority", "unanimous"]
MemoryKind = Literal["session", "belief", "agentic", "adaptive", "typed"]
Confidence = Literal["high", "medium", "low"]
PaperStatus = Literal["implemented", "planned", "in-progress", "not-started", "rejected"]
Source = Literal[
    "arxiv",
    "github",
    "google_ai",
    "meta_fair",
    "microsoft",
    "deepmind",
    "semantic_scholar",
    "papers_with_code",
    "openalex",
]
"""Where papers and projects are looked for."""


class Progress(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that happened during long work."""

    run_id: str
    message: str
    """For people: `step 2 of 4: review (security expert) on openrouter qwen/qwen3-coder`."""
    done: int = 0
    total: int = 0
    """Model calls or steps; 0 when not known yet."""


OnProgress = Callable[[Progress], None]


class OrchestrateOptions(msgspec.Struct, frozen=True, kw_only=True):
    model: str | None = None
    """A registry id, an alias, `<adapter>/<model>`, a model some adapter lists, or an adapter's name."""
    fallback: bool = False
    """Whether an explicit model may be replaced when it fails. An automatic choice always may."""
    max_tokens: int = 100_000
    max_cost_usd: float = 10.0
    max_calls: int = 24
    max_output_tokens: int | None = None
    """The most an expert or the final text may have; None leaves it to the model and the budget, at most 4096."""
    timeout: float = 900.0
    """Seconds for the whole run."""
    max_steps: int = 6
    plan: Literal["auto", "always", "never"] = "auto"
    expert: str | None = None
    context: Mapping[str, Any] | None = None
    tools: bool = False
    """Whether experts may use the MCP tools of the Nexus gateway; tools can change things, so it has to be asked for."""
    variant: str | None = None
    thinking: bool = False
    work_dir: str | None = None
    allow_edits: bool = False


class VoteOptions(msgspec.Struct, frozen=True, kw_only=True):
    strategy: Strategy = "simple_majority"
    quick: bool = False
    simulate: bool = False
    models: tuple[str, ...] = ()
    """Deal the seats over these; empty means over every distinct model there is."""
    timeout: float = 300.0
    """Seconds for each seat."""
    max_tokens: int = 100_000
    max_cost_usd: float = 10.0


class Raised(msgspec.Struct, frozen=True, kw_only=True):
    """What a resumed run may spend in all, where that is not what it was begun with."""

    max_tokens: int | None = None
    max_cost_usd: float | None = None
    max_calls: int | None = None
