"""What each tool is given, as types: the schema that clients see and the check of what they send are made from them."""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from nexus_agents.options import Billing, Confidence, MemoryKind, PaperStatus, Source, Strategy

Text = Annotated[str, Meta(min_length=1, max_length=50_000)]
Inputs = Annotated[dict[str, Any], Meta(description="Values for the template's inputs, by name.")]


class Input(msgspec.Struct, kw_only=True, rename="camel"):
    """Base of all."""


class Orchestrate(Input):
    task: Annotated[Text, Meta(description="What is to be done, in plain words.")]
    context: Annotated[dict[str, Any] | None, Meta(description="Facts the models should know.")] = None
    max_iterations: Annotated[int, Meta(ge=1, le=50, description="Most calls to models.")] = 24
    timeout: Annotated[int, Meta(ge=1000, le=900_000, description="Milliseconds for everything.")] = 600_000
    model: Annotated[
        str | None,
        Meta(description="A model's id, alias, `adapter/model` or an adapter's name; automatic without."),
    ] = None
    fallback: Annotated[bool, Meta(description="Whether another may answer when that model fails.")] = False
    expert: Annotated[str | None, Meta(description="Answer as this expert instead of planning.")] = None
    max_tokens: Annotated[int, Meta(ge=1, description="Most tokens for everything.")] = 100_000
    max_cost_usd: Annotated[float, Meta(ge=0, description="Most US dollars for everything.")] = 10.0
    use_tools: Annotated[bool, Meta(description="Whether experts may use the gateway's MCP tools.")] = False
    variant: Annotated[str | None, Meta(description="Effort for OpenCode models: high, max or minimal.")] = (
        None
    )
    thinking: Annotated[
        bool | str, Meta(description="Whether OpenCode shows its thinking; only true counts.")
    ] = False
    work_dir: Annotated[
        str | None, Meta(description="Where OpenCode works; inside the server's directory.")
    ] = None


class CreateExpert(Input):
    role: Annotated[str, Meta(description="As `list_experts` names it: code_expert, security_expert, ...")]
    model_preference: Annotated[str | None, Meta(description="A model's id, alias or `adapter/model`.")] = (
        None
    )


class ExecuteExpert(Input):
    expert_id: Annotated[str, Meta(description="From `create_expert`; a role does as well.")]
    task: Text
    context: dict[str, Any] | None = None
    timeout_ms: Annotated[int, Meta(ge=1000, le=900_000)] = 300_000


class RunWorkflow(Input):
    template: Annotated[
        str, Meta(min_length=1, description="A name of `list_workflows`, or a TOML file's path.")
    ]
    inputs: Inputs = {}
    dry_run: Annotated[bool, Meta(description="Check and show the steps, run none.")] = False


class Delegate(msgspec.Struct, kw_only=True):
    task: Text
    preferred_capability: Literal["reasoning", "context", "speed", "code"] | None = None
    model_hint: Annotated[str, Meta(max_length=100)] | None = None
    estimate_tokens: bool = True
    billing_mode: Billing | None = None


class Vote(Input):
    proposal: Annotated[str, Meta(min_length=1, max_length=4000)]
    strategy: Strategy | None = None
    threshold: Annotated[
        Literal["majority", "supermajority", "unanimous"] | None,
        Meta(description="Older name; strategy goes first."),
    ] = None
    quick_mode: Annotated[bool, Meta(description="Three seats instead of six.")] = False
    simulate_votes: Annotated[
        bool, Meta(description="Made-up votes for trying things out; marked as such.")
    ] = False
    models: Annotated[list[str], Meta(description="Deal the seats over these models.")] = []
    timeout_ms: Annotated[int, Meta(ge=1000, le=600_000, description="Milliseconds for each seat.")] = 300_000


class ListExperts(Input):
    format: Literal["full", "names"] = "full"


class Nothing(Input):
    pass


class ResearchQuery(Input):
    action: Literal["status", "overlap", "stats", "search"]
    technique_id: str | None = None
    query: str | None = None
    status: Literal[PaperStatus, "all"] = "all"
    threshold: Annotated[float, Meta(ge=0, le=1)] = 0.3


class ResearchAdd(Input):
    arxiv_id: Annotated[str, Meta(min_length=1, max_length=40)]
    topic: str | None = None
    priority: Literal["P1", "P2", "P3", "P4"] | None = None
    dry_run: bool = False


class ResearchDiscover(Input):
    topic: Annotated[str, Meta(min_length=1, max_length=200)]
    source: Literal[Source, "all"] = "all"
    max_results: Annotated[int, Meta(ge=1, le=20)] = 10
    since_date: Annotated[str | None, Meta(description="ISO date.")] = None
    relevance_threshold: Annotated[float, Meta(ge=0, le=1)] = 0.3


class ResearchAnalyze(Input):
    focus: Literal["gaps", "trends", "priorities", "stale", "coverage"]
    topic: str | None = None


class CatalogReview(Input):
    action: Literal["list", "approve", "dismiss", "flush"]
    identifier: str | None = None
    topic: str | None = None


class MemoryQuery(Input):
    query: Annotated[str, Meta(min_length=1, max_length=500)]
    limit: Annotated[int, Meta(ge=1, le=50)] = 10
    source: Literal[MemoryKind, "all"] = "all"


class MemoryWrite(Input):
    key: Annotated[str, Meta(min_length=1, max_length=200)]
    content: Annotated[str, Meta(min_length=1, max_length=5000)]
    backend: MemoryKind = "session"
    confidence: Confidence = "medium"
    metadata: dict[str, Any] | None = None
    scope: Annotated[Literal["project", "global"], Meta(description="Where it can be found again.")] = (
        "project"
    )


class Weather(Input):
    cli: Annotated[str | None, Meta(description="Only this adapter.")] = None
    category: str | None = None


class Triage(Input):
    issue_url: Annotated[str, Meta(min_length=1, max_length=500)]
    dry_run: Annotated[bool, Meta(description="Recommend only; nothing is changed either way.")] = True


class RunGraph(Input):
    workflow: Annotated[str, Meta(min_length=1, max_length=100, description='A name, or "list".')]
    inputs: Inputs = {}


class ExecuteSpec(Input):
    spec: Annotated[Text, Meta(description="Markdown; each section is a step.")]
    dry_run: bool = False


class RegistryImport(Input):
    provider: Annotated[str, Meta(min_length=1, max_length=100)]
    model_id: Annotated[str, Meta(min_length=1, max_length=256)]
    dry_run: Annotated[
        bool, Meta(description="Nothing is written either way: the text is for you to keep.")
    ] = True


class QueryTrace(Input):
    run_id: Annotated[str, Meta(min_length=1, max_length=100)]
    event_type: str | None = None
    limit: Annotated[int, Meta(ge=1, le=1000)] = 100


class Repo(Input):
    repo: Annotated[str, Meta(min_length=1, max_length=300, description="owner/name or its GitHub URL.")]


class SecurityPlan(Repo):
    categories: list[str] = []
    max_scanners: Annotated[int, Meta(ge=1, le=20)] = 10
