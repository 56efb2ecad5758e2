"""The server of the MCP SDK with our tools behind it: checks what is sent, runs it, and tells failures as results."""

import asyncio
import contextlib
import logging
import math
import re
import secrets
import time
from collections.abc import AsyncGenerator, Callable, Mapping
from typing import Any

import msgspec
from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel.server import Server
from mcp.shared.exceptions import MCPError
from mcp_types import (
    INVALID_PARAMS,
    CallToolRequestParams,
    CallToolResult,
    ListToolsResult,
    PaginatedRequestParams,
    TextContent,
    ToolAnnotations,
)
from mcp_types import Tool as Listed

from nexus_agents.errors import AgentsError
from nexus_agents.options import OnProgress, Progress
from nexus_agents.redact import redact
from nexus_agents.redact import secrets as known_secrets
from nexus_agents.server import INSTRUCTIONS, NAME, version
from nexus_agents.server.tools import Tool, offered
from nexus_agents.services import Services

log = logging.getLogger(__name__)
Context = ServerRequestContext[Any, Any]

BURST = 100
REFILL = 10.0
"""Calls at once, and calls a second after that, for all tools together."""
BEAT = 5.0
"""Seconds after which a call that is silent says that it goes on."""
_PLACE = re.compile(r"^(?P<what>.*?)(?: - at `\$\.?(?P<field>.*?)`)?$", re.S)


class Bucket:
    """A token bucket: a client that calls in a loop is slowed down, not served to death."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._left, self._at = float(BURST), clock()

    def wait(self) -> float:
        """Take a token; gives the seconds until there is one again, 0 if there was."""
        now = self._clock()
        self._left = min(BURST, self._left + (now - self._at) * REFILL)
        self._at = now
        if self._left < 1:
            return (1 - self._left) / REFILL
        self._left -= 1
        return 0.0


class Front:
    """What the SDK calls. `depth_of` tells how many agents are above the one that asks."""

    def __init__(
        self,
        services: Services,
        environ: Mapping[str, str],
        *,
        depth_of: Callable[[Context], int] = lambda context: 0,
        clock: Callable[[], float] = time.monotonic,
        beat: float = BEAT,
    ) -> None:
        self._services = services
        self._secrets = known_secrets(environ)
        self._depth_of = depth_of
        self._bucket = Bucket(clock)
        self._beat = beat

    def tools(self, context: Context) -> Mapping[str, Tool]:
        return offered(max(self._services.depth, self._depth_of(context)))

    async def list_tools(self, context: Context, params: PaginatedRequestParams | None) -> ListToolsResult:
        return ListToolsResult(tools=[_listed(tool) for tool in self.tools(context).values()])

    async def call_tool(self, context: Context, params: CallToolRequestParams) -> CallToolResult:
        tool = self.tools(context).get(params.name)
        if tool is None:
            raise MCPError(INVALID_PARAMS, f"Unknown tool: {params.name[:100]}")
        if wait := self._bucket.wait():
            return _failed(f"Rate limit exceeded. Try again in {math.ceil(wait * 1000)}ms.")
        arguments = params.arguments or {}
        try:
            given = msgspec.convert(arguments, tool.input)
        except msgspec.ValidationError as error:
            return _failed(f"Validation error: {_told(error)}")
        result = await self._run(context, tool, given)
        if unused := sorted(set(arguments) - tool.names):
            result.content.append(TextContent(text=f"Arguments not used: {', '.join(unused)[:500]}"))
        return result

    async def _run(self, context: Context, tool: Tool, given: Any) -> CallToolResult:
        try:
            async with asyncio.timeout(tool.seconds), self._reported(context) as progress:
                answer = msgspec.to_builtins(await tool.call(self._services, given, progress))
        except AgentsError as error:
            return _failed(redact(str(error), self._secrets))
        except TimeoutError:
            return _failed(f"{tool.name} took longer than {tool.seconds:g} seconds.")
        except Exception as error:  # one tool's fault must not end the server; its cause goes to the log
            number = secrets.token_hex(4)
            log.exception("%s failed (%s)", tool.name, number, exc_info=error)
            return _failed(f"{tool.name} failed inside; the server's log says more under {number}.")
        text = msgspec.json.format(msgspec.json.encode(answer)).decode()
        failed = isinstance(answer, dict) and answer.get("success") is False  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]  # any JSON
        return CallToolResult(
            content=[TextContent(text=text)], structured_content=answer, is_error=bool(failed)
        )

    @contextlib.asynccontextmanager
    async def _reported(self, context: Context) -> AsyncGenerator[OnProgress]:
        """Pass progress on as notifications, and say so where there is none for long."""
        news: asyncio.Queue[Progress] = asyncio.Queue()
        reporter = asyncio.create_task(self._report(context, news))
        try:
            yield news.put_nowait
        finally:
            reporter.cancel()
            await asyncio.gather(reporter, return_exceptions=True)  # news that nobody heard spoils no answer

    async def _report(self, context: Context, news: asyncio.Queue[Progress]) -> None:
        said, message = 0, "still at it"
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._beat):
                    message = (await news.get()).message
            said += 1
            # the number only has to grow; how much there will be in the end nobody knows
            await context.session.report_progress(said, None, redact(message, self._secrets))


def build(front: Front) -> Server[Any]:
    """Make the SDK's server."""
    return Server(
        NAME,
        version=version(),
        instructions=INSTRUCTIONS,
        on_list_tools=front.list_tools,
        on_call_tool=front.call_tool,
    )


def _listed(tool: Tool) -> Listed:
    return Listed(
        name=tool.name,
        description=tool.description,
        input_schema=tool.schema,
        annotations=ToolAnnotations(
            read_only_hint=tool.reads, destructive_hint=False, open_world_hint=tool.models or tool.network
        ),
    )


def _failed(text: str) -> CallToolResult:
    return CallToolResult(content=[TextContent(text=text)], is_error=True)


def _told(error: msgspec.ValidationError) -> str:
    """Put msgspec's words as `field: what is wrong`."""
    match = _PLACE.match(str(error))
    assert match
    return f"{match['field']}: {match['what']}" if match["field"] else match["what"]
