"""What the services give back: plain data whose JSON (`msgspec.to_builtins`) is what the tools and `--format json` show."""

from typing import Any, Literal

import msgspec

from nexus_agents.adapters.base import Usage


class Result(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=False):
    """Base of every answer."""


# orchestrate


class Attempt(Result, frozen=True, kw_only=True):
    """One call to a model, as the trace tells it."""

    step: str
    kind: str
    """plan, work, verify, redo, synthesise, answer, vote, expert."""
    adapter: str
    title: str = ""
    """The adapter's name for people: `OpenRouter`, `Custom OpenAI`."""
    model: str
    host: str
    attempt: int
    status: str
    """`ok` or the kind of failure."""
    duration_ms: int
    input_tokens: int = 0
    output_tokens: int = 0
    cost_usd: float | None = None
    basis: str = ""
    """What the cost rests on: `free`, `provider`, `price list`, `unknown`."""
    reason: str = ""
    """Why this model; or what failed."""


class Step(Result, frozen=True, kw_only=True):
    id: str
    title: str
    expert: str
    depends_on: tuple[str, ...] = ()
    status: str
    """pending, running, done, failed, skipped."""
    output: str = ""
    model: str | None = None


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


class Analysis(Result, frozen=True, kw_only=True):
    task_id: str
    complexity: int
    task_type: str
    requirements: tuple[str, ...] = ()
    risks: tuple[str, ...] = ()
    needs_decomposition: bool = False
    approach: str = ""
    estimated_effort: str = ""


class Orchestration(Result, frozen=True, kw_only=True):
    run_id: str
    success: bool
    mock: bool = False
    model: str | None
    """The model that wrote the final text."""
    duration_ms: int
    text: str = ""
    usage: Usage = Usage()
    cost_usd: float | None = None
    """None when a price was not known for any call."""
    analysis: Analysis | None = None
    routing: Routing | None = None
    steps: tuple[Step, ...] = ()
    experts_used: tuple[str, ...] = ()
    trace: tuple[Attempt, ...] = ()
    warnings: tuple[str, ...] = ()
    error: str | None = None
    error_kind: Literal["failed", "budget", "no_adapter", "interrupted"] | None = None


class RunSummary(Result, frozen=True, kw_only=True):
    run_id: str
    task: str
    """Its first 200 characters."""
    status: Literal["running", "done", "failed", "interrupted", "budget"]
    kind: str
    created: str
    """ISO 8601."""
    steps_done: int = 0
    steps_total: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost_usd: float | None = None


class TraceEvent(Result, frozen=True, kw_only=True):
    seq: int
    at: str
    type: str
    """run_started, plan, step_started, attempt, step_done, step_failed, run_done, run_failed, resumed, vote, ..."""
    step: str | None = None
    data: dict[str, Any]


class Trace(Result, frozen=True, kw_only=True):
    run: RunSummary
    steps: tuple[Step, ...]
    events: tuple[TraceEvent, ...]
    text: str = ""


# models


class AdapterStatus(Result, frozen=True, kw_only=True):
    """One configured (or detected) adapter: what `doctor` prints."""

    name: str
    title: str
    source: str
    """Where the configuration comes from: `environment`, `nexus-agents.toml`, `found on this machine`, `PATH`."""
    host: str
    state: Literal["usable", "broken", "unconfigured"]
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


# experts


class ExpertRow(Result, frozen=True, kw_only=True):
    role: str
    """`code_expert`, ..."""
    name: str
    description: str
    capabilities: tuple[str, ...] = ()


class CreatedExpert(Result, frozen=True, kw_only=True):
    expert_id: str
    role: str
    capabilities: tuple[str, ...]
    status: Literal["ready"] = "ready"


class ExpertRun(Result, frozen=True, kw_only=True):
    expert_id: str
    role: str
    output: str
    duration_ms: int
    tokens_used: int
    status: Literal["completed", "failed"]
    run_id: str
    error: str | None = None
    model_used: str | None = None


# consensus


class Seat(Result, frozen=True, kw_only=True):
    role: str
    decision: Literal["approve", "reject", "abstain", "error"]
    confidence: float
    reasoning: str
    error: str | None = None
    simulated: bool = False
    model_used: str | None = None
    conditions: tuple[str, ...] = ()
    rejection_categories: tuple[str, ...] = ()


class VoteCounts(Result, frozen=True, kw_only=True):
    approve: int = 0
    reject: int = 0
    abstain: int = 0
    error: int = 0


class Consensus(Result, frozen=True, kw_only=True):
    run_id: str
    proposal: str
    strategy: str
    decision: Literal["approved", "rejected", "no_quorum"]
    approval_percentage: float
    """Approvals of all who took a side, for people to read; the decision is taken on whole numbers."""
    vote_counts: VoteCounts
    votes: tuple[Seat, ...]
    minority: tuple[Seat, ...]
    """Who took the other side than the decision."""
    distinct_models: int
    duration_ms: int
    policy_reason: str
    warnings: tuple[str, ...] = ()
    simulate_votes: bool = False
    usage: Usage = Usage()
    cost_usd: float | None = None


# memory


class MemoryEntry(Result, frozen=True, kw_only=True):
    id: int
    source: str
    """The kind: session, belief, agentic, adaptive, typed."""
    key: str
    content: str
    confidence: Literal["high", "medium", "low"]
    scope: str
    tags: tuple[str, ...] = ()
    relevance: float = 0.0
    created: str = ""
    timestamp: str = ""
    """Last written."""
    uses: int = 0
    metadata: dict[str, Any] = msgspec.field(default_factory=dict[str, Any])


class MemoryFound(Result, frozen=True, kw_only=True):
    query: str
    results: tuple[MemoryEntry, ...]
    count: int
    source: str


class MemoryWritten(Result, frozen=True, kw_only=True):
    success: bool
    backend: str
    key: str
    id: int
    deduplicated: bool = False


class MemoryStats(Result, frozen=True, kw_only=True):
    backends: dict[str, int]
    """Entries of each kind."""
    total: int
    scopes: dict[str, int]
    size_bytes: int
    path: str
    collected_at: str


class Forgotten(Result, frozen=True, kw_only=True):
    count: int


# research


class Paper(Result, frozen=True, kw_only=True):
    id: str
    """`arxiv-2401.00001`, or a URL where there is no number."""
    title: str
    url: str
    summary: str = ""
    authors: tuple[str, ...] = ()
    published: str = ""
    topics: tuple[str, ...] = ()
    priority: str | None = None
    status: str = "not-started"


class Discovered(Result, frozen=True, kw_only=True):
    source: str
    title: str
    url: str
    description: str
    already_in_registry: bool
    discovered_at: str
    relevance_score: float


class FailedSource(Result, frozen=True, kw_only=True):
    source: str
    error: str


class Discovery(Result, frozen=True, kw_only=True):
    topic: str
    sources_queried: tuple[str, ...]
    failed_sources: tuple[FailedSource, ...]
    items: tuple[Discovered, ...]
    total_found: int
    already_in_registry: int
    new_items: int
    filtered_by_relevance: int


class Added(Result, frozen=True, kw_only=True):
    success: bool
    dry_run: bool
    already_in_registry: bool
    paper: Paper


class Answered(Result, frozen=True, kw_only=True):
    """The answer of research_query, research_analyze and research_catalog_review."""

    action: str
    success: bool
    data: dict[str, Any]
    recommendations: tuple[str, ...] = ()


# workflows and the rest


class WorkflowRow(Result, frozen=True, kw_only=True):
    name: str
    description: str
    category: str
    keywords: tuple[str, ...] = ()
    inputs: tuple[str, ...] = ()
    """Names of the inputs; a trailing `?` marks an optional one."""


class WorkflowRun(Result, frozen=True, kw_only=True):
    name: str
    dry_run: bool
    success: bool
    steps: tuple[Step, ...]
    text: str = ""
    run_id: str | None = None
    error: str | None = None


class Weather(Result, frozen=True, kw_only=True):
    """How models did lately, from this machine's own outcomes."""

    rows: tuple[dict[str, Any], ...]
    total: int


class Overlay(Result, frozen=True, kw_only=True):
    """A draft for the user's registry overlay; nothing was written."""

    text: str
    path: str
    warnings: tuple[str, ...] = ()


class Triage(Result, frozen=True, kw_only=True):
    issue: str
    title: str
    trust: Literal["maintainer", "contributor", "first-time", "unknown"]
    labels: tuple[str, ...]
    actions: tuple[dict[str, str], ...]
    dry_run: bool
    warnings: tuple[str, ...] = ()


class RepoAnalysis(Result, frozen=True, kw_only=True):
    repo: str
    languages: dict[str, int]
    frameworks: tuple[str, ...]
    package_managers: tuple[str, ...]
    ci: tuple[str, ...]
    security: tuple[str, ...]
    gaps: tuple[str, ...]


class SecurityPlan(Result, frozen=True, kw_only=True):
    repo: str
    scanners: tuple[dict[str, str], ...]
    covered: tuple[str, ...]
