"""One vote."""

from typing import Literal

from nexus_agents.adapters.base import Usage
from nexus_agents.results.base import Result


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
