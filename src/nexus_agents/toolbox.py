"""The tools of an MCP endpoint, as experts may use them: those their patterns allow, and none that would call agents again."""

import re
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

import httpx2
import msgspec

from nexus_agents import guard
from nexus_agents.adapters.base import Tool, ToolCall

if TYPE_CHECKING:  # it takes a second to import, and most runs use no tools
    from mcp import Client

LONGEST_RESULT = 40_000
"""Characters of a tool's result that a model is shown."""
CALL_TIMEOUT = 120.0
_NAME = re.compile(r"[^A-Za-z0-9_-]")
_OWN = re.compile(
    r"(?:^|__|[./])(?:orchestrate|execute_expert|consensus_vote|run_workflow|run_graph_workflow|execute_spec)$"
)
"""Tools that start agents: an expert that called them would begin a loop."""


class Toolbox:
    """The tools of one endpoint, listed once."""

    def __init__(self, client: "Client", tools: Sequence[Tool], names: dict[str, str]) -> None:
        self._client = client
        self._tools = tools
        self._names = names

    def allowed(self, patterns: Sequence[str]) -> tuple[Tool, ...]:
        """List the tools an expert may use."""
        return tuple(tool for tool in self._tools if any(fnmatchcase(tool.name, one) for one in patterns))

    async def call(self, call: ToolCall, patterns: Sequence[str]) -> str:
        """Call a tool for a model. What goes wrong is told to the model: it can choose otherwise."""
        name = self._names.get(call.name)
        if name is None or not any(fnmatchcase(call.name, one) for one in patterns):
            return f"Error: there is no tool {call.name}."
        try:
            arguments = msgspec.json.decode(call.arguments, type=dict[str, Any])
        except (msgspec.DecodeError, msgspec.ValidationError):
            return "Error: the arguments are not a JSON object."
        if _starts_agents(name, arguments):
            return "Error: agents do not start agents."
        from mcp import MCPError

        try:
            result = await self._client.call_tool(name, arguments, CALL_TIMEOUT)
        except (MCPError, httpx2.HTTPError, OSError, TimeoutError) as error:
            return f"Error: the tool could not be called: {type(error).__name__}."
        shown = "\n".join(_shown(part) for part in result.content)
        if len(shown) > LONGEST_RESULT:
            shown = f"{shown[:LONGEST_RESULT]}\n[{len(shown) - LONGEST_RESULT} more characters were cut]"
        return f"Error: {shown}" if result.is_error else shown or "(nothing)"


@asynccontextmanager
async def connect(url: str, policy: guard.Policy, headers: dict[str, str]) -> AsyncGenerator[Toolbox, None]:
    """Connect to an endpoint and list its tools.

    Raises:
        Refused: the guard refuses the URL.
    """
    from mcp import Client
    from mcp.client.streamable_http import streamable_http_client

    guard.check(url, policy)
    http = guard.client(policy, timeout=httpx2.Timeout(CALL_TIMEOUT, connect=10.0))
    http.headers.update(headers)
    async with http, Client(streamable_http_client(url, http_client=http)) as client:
        listed = (await client.list_tools()).tools
        named = [(_NAME.sub("_", one.name)[:64], one) for one in listed if not _OWN.search(one.name)]
        tools = [
            Tool(name=name, description=one.description or "", parameters=one.input_schema)
            for name, one in named
        ]
        yield Toolbox(client, tools, {name: one.name for name, one in named})


def _starts_agents(name: str, arguments: dict[str, Any]) -> bool:
    """Tell whether a call would start agents: directly, or through a gateway's `execute`."""
    inner = arguments.get("name")
    return bool(_OWN.search(name) or (isinstance(inner, str) and _OWN.search(inner)))


def _shown(part: object) -> str:
    text = getattr(part, "text", None)
    if isinstance(text, str):
        return text
    return f"[{getattr(part, 'type', 'something')} left out: only text can be shown here]"
