"""Adapters and models: what there is, which one is chosen, and why."""

from typing import Any, Literal

import msgspec

from nexus_agents.results.base import Result


class AdapterStatus(Result, frozen=True, kw_only=True):
    """One configured (or detected) adapter: what `doctor` prints."""

    name: str
    title: str
    source: str
    """Where the configuration comes from: `environment`, `nexus-agents.toml`, `found on this machine`, `PATH`."""
    host: str
    state: Literal["usable", "broken"]
    explicit: bool
    """Configured by the user; a broken explicit adapter makes `doctor` exit 1."""
    error: str | None = None
    fix: str | None = None
    models: int | None = None
    pinned: str | None = None
    warnings: tuple[str, ...] = ()


class LiveCheck(Result, frozen=True, kw_only=True):
    name: str
    status: Literal["ok", "failed", "skipped"]
    duration_ms: int | None = None
    detail: str = ""


class ModelRow(Result, frozen=True, kw_only=True):
    id: str
    adapter: str
    model: str
    available: bool
    context_window: int
    max_output_tokens: int
    input_per_million: float | None
    output_per_million: float | None
    reasoning: int
    code: int
    speed: int
    cost: int
    aliases: tuple[str, ...] = ()
    origin: Literal["registry", "overlay", "catalogue"] = "registry"


class Term(Result, frozen=True, kw_only=True):
    """One term of a score, so that a decision can be explained."""

    name: str
    value: float


class Candidate(Result, frozen=True, kw_only=True):
    id: str
    adapter: str
    model: str
    score: float
    terms: tuple[Term, ...] = ()
    excluded: str | None = None
    """Why it was not considered."""


class Routing(Result, frozen=True, kw_only=True):
    adapter: str
    model: str
    reason: str
    confidence: float
    """0..1: the winner's lead over the runner-up; 1 when chosen explicitly."""
    candidates: tuple[Candidate, ...] = ()


class Capabilities(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    reasoning: int
    context_window: int
    code_generation: int
    speed: int
    cost: int


class Alternative(msgspec.Struct, frozen=True, kw_only=True):
    model: str
    score: float
    tradeoff: str


class Delegation(msgspec.Struct, frozen=True, kw_only=True):
    """A recommendation; nothing was run. Its JSON names are snake_case, as the tool's contract has it."""

    recommended_model: str
    reasoning: str
    capabilities: Capabilities
    estimated_tokens: int
    available: bool
    alternatives: tuple[Alternative, ...] = ()
    warnings: tuple[str, ...] = ()


class Weather(Result, frozen=True, kw_only=True):
    """How models did lately, from this machine's own outcomes."""

    rows: tuple[dict[str, Any], ...]
    total: int


class Overlay(Result, frozen=True, kw_only=True):
    """A draft for the user's registry overlay; nothing was written."""

    text: str
    path: str
    warnings: tuple[str, ...] = ()
