"""The MCP server: 24 tools over the services, by stdio and by streamable HTTP. Nothing here knows how a tool does its work."""

from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed

NAME = "nexus-agents"
INSTRUCTIONS = (
    "Tools of a team of agents: orchestrate a task over models and experts, put a proposal to a vote, keep and find memories, "
    "look up research, read traces. Most answer without a model; those that call one report progress and can take minutes."
)


def version() -> str:
    """Tell the version that is installed; `0` where the source runs without being installed."""
    try:
        return installed("nexus-ai-gateway")
    except PackageNotFoundError:
        return "0"
