"""What is remembered and what was read: memory, papers, repositories."""

from typing import Any, Literal

import msgspec

from nexus_agents.options import Confidence
from nexus_agents.results.base import Result


class MemoryEntry(Result, frozen=True, kw_only=True):
    id: int
    source: str
    """The kind: session, belief, agentic, adaptive, typed."""
    key: str
    content: str
    confidence: Confidence
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
