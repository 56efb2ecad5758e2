"""The 24 tools: what is called, what it is given, and what kind of thing it does."""

import inspect
from collections.abc import Awaitable, Callable, Mapping
from functools import cached_property
from typing import Any

import msgspec

from nexus_agents.options import OnProgress
from nexus_agents.server import calls, inputs
from nexus_agents.services import Services

Call = Callable[[Services, Any, OnProgress], Awaitable[Any]]

QUICK = 60.0
LONG = 915.0
"""Seconds. Long ones have limits of their own that end a little sooner, with what was done so far."""


class Tool(msgspec.Struct, frozen=True, dict=True):
    """One tool."""

    call: Call
    input: type[msgspec.Struct]
    models: bool = False
    """Whether it calls models; such are not offered to agents that agents run."""
    reads: bool = True
    """Whether it leaves everything as it was."""
    network: bool = False

    @property
    def name(self) -> str:
        return self.call.__name__

    @property
    def description(self) -> str:
        return " ".join(inspect.cleandoc(self.call.__doc__ or "").split())

    @property
    def seconds(self) -> float:
        return LONG if self.models else QUICK

    @cached_property
    def schema(self) -> dict[str, Any]:
        """The JSON schema of the input, everything in one place."""
        _, components = msgspec.json.schema_components([self.input])
        schema: dict[str, Any] = components[self.input.__name__]
        return {key: value for key, value in schema.items() if key != "title"}

    @cached_property
    def names(self) -> frozenset[str]:
        """The names of the input's fields."""
        return frozenset(field.encode_name for field in msgspec.structs.fields(self.input))


ALL: tuple[Tool, ...] = (
    Tool(calls.orchestrate, inputs.Orchestrate, models=True, reads=False),
    Tool(calls.create_expert, inputs.CreateExpert, models=True, reads=False),
    Tool(calls.execute_expert, inputs.ExecuteExpert, models=True, reads=False),
    Tool(calls.run_workflow, inputs.RunWorkflow, models=True, reads=False),
    Tool(calls.delegate_to_model, inputs.Delegate),
    Tool(calls.consensus_vote, inputs.Vote, models=True, reads=False),
    Tool(calls.list_experts, inputs.ListExperts),
    Tool(calls.list_workflows, inputs.Nothing),
    Tool(calls.research_query, inputs.ResearchQuery),
    Tool(calls.research_add, inputs.ResearchAdd, reads=False, network=True),
    Tool(calls.research_discover, inputs.ResearchDiscover, network=True),
    Tool(calls.research_analyze, inputs.ResearchAnalyze),
    Tool(calls.research_catalog_review, inputs.CatalogReview, reads=False),
    Tool(calls.memory_query, inputs.MemoryQuery),
    Tool(calls.memory_stats, inputs.Nothing),
    Tool(calls.memory_write, inputs.MemoryWrite, reads=False),
    Tool(calls.weather_report, inputs.Weather),
    Tool(calls.issue_triage, inputs.Triage, network=True),
    Tool(calls.run_graph_workflow, inputs.RunGraph, models=True, reads=False),
    Tool(calls.execute_spec, inputs.ExecuteSpec, models=True, reads=False),
    Tool(calls.registry_import, inputs.RegistryImport),
    Tool(calls.query_trace, inputs.QueryTrace),
    Tool(calls.repo_analyze, inputs.Repo, network=True),
    Tool(calls.repo_security_plan, inputs.SecurityPlan, network=True),
)


def offered(depth: int) -> Mapping[str, Tool]:
    """Choose the tools for a depth: agents that agents run may look things up and call no further models."""
    return {tool.name: tool for tool in ALL if depth == 0 or not tool.models}
