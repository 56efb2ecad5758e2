"""One orchestration: its steps, its calls to models, and how it is looked at afterwards."""

from typing import Any, Literal

from nexus_agents.adapters.base import Usage
from nexus_agents.results.base import Result
from nexus_agents.results.models import Routing


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
