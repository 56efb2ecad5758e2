"""What is found out about a request of MCP, for the record of it."""

import asyncio
from collections.abc import Mapping
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Any, Self, cast

from nexus.telemetry import failures, observation
from nexus.telemetry.observation import Observation, clock
from nexus.telemetry.records import ToolRecord
from nexus.telemetry.redact import redact, redact_name
from nexus.telemetry.trace import Attribute

_OURS = frozenset(("search", "execute"))
_INTERNAL = -32603
_MAX_KEYWORDS = 1024
_SHOWN = ("tool://", "prompt://")
"""URIs that are names; any other may hold what is nobody's business."""


class Request:
    """One request under way; belongs to a request somebody looks at."""

    def __init__(self, method: str, params: Mapping[str, Any], seen: Observation) -> None:
        self.name = method
        self.began = clock()
        self.span_id = 0
        self.attributes: dict[str, Attribute] = {}
        self._seen = seen
        self._params = params
        self._ended = 0.0
        self._code: int | None = None
        self._server: str | None = None
        self._tool: str | None = None
        self._results: int | None = None

    def runs(self, server: str, tool: str) -> None:
        """Tell which tool of which server is run."""
        self._server, self._tool = server, tool

    def found(self, results: int) -> None:
        """Tell how many tools a search has found."""
        self._results = results

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, asyncio.CancelledError):
            return  # nobody waits any more
        self._ended = clock()
        if error is not None:
            told: object = getattr(
                error, "error", None
            )  # of the SDK's errors, not to be loaded for their class
            self._code = getattr(told, "code", _INTERNAL)

    def finish(self, seen: Observation) -> ToolRecord:
        """Say what became of it."""
        ended = self._ended or seen.ended
        error = failures.of_mcp(self._code) if self._code is not None else None
        if error is None and not self._ended:
            error = failures.DISCONNECTED
        called, arguments = self._called()
        searches = called == "search" and self._tool is None
        keywords = arguments.get("keywords") if searches else None
        record = ToolRecord(
            method=self.name,
            duration=ended - self.began,
            error=error,
            tool="search" if searches else self._shown(called, arguments, error),
            builtin=searches,
            server=self._server,
            keywords=len(cast("list[object]", keywords)) if isinstance(keywords, list) else None,
            results=self._results,
        )
        if seen.sampled:
            self._describe(record, called, arguments)
        return record

    def _called(self) -> tuple[str | None, Mapping[str, Any]]:
        """Give the name that was called, and its arguments."""
        if self.name != "tools/call":
            return None, {}
        name, arguments = self._params.get("name"), self._params.get("arguments")
        known: Mapping[str, Any] = cast("dict[str, Any]", arguments) if isinstance(arguments, dict) else {}
        return name if isinstance(name, str) else None, known

    def _shown(self, called: str | None, arguments: Mapping[str, Any], error: str | None) -> str | None:
        """Name the tool: bare where it was run, in full where that failed."""
        if called is None:
            return None
        if self._tool is not None and error is None:
            return self._tool
        asked = arguments.get("name") if called == "execute" else called
        return asked if isinstance(asked, str) else "execute"

    def _describe(self, record: ToolRecord, called: str | None, arguments: Mapping[str, Any]) -> None:
        about = self.attributes
        about["mcp.method"] = record.method
        about["mcp.auth_forwarded"] = "true" if self._seen.sent(b"authorization") else "false"
        if (identity := self._seen.identity) is not None:
            about["client.id"] = redact_name(identity.client)
            about |= {"client.group": redact_name(identity.group)} if identity.group is not None else {}
        if called is not None:
            about["mcp.tool.name"] = redact_name(called)
            about["mcp.tool.type"] = (
                "builtin" if called in _OURS else "downstream" if self._server else "unknown"
            )
        if record.keywords is not None:
            words = ",".join(str(word) for word in arguments["keywords"])
            about["mcp.search.keywords"] = redact(words[:_MAX_KEYWORDS])
            about["mcp.search.keyword_count"] = record.keywords
        if called is not None and not record.builtin:
            self._describe_target(about, called, arguments)
        if self._code is not None:
            about |= {"error": "true", "mcp.error.code": self._code}
        if record.method == "prompts/get":
            about["mcp.prompt.name"] = redact_name(str(self._params.get("name")))
        uri = self._params.get("uri")
        if isinstance(uri, str) and uri.startswith(_SHOWN):
            about["mcp.resource.uri"] = redact_name(uri)

    def _describe_target(
        self, about: dict[str, Attribute], called: str, arguments: Mapping[str, Any]
    ) -> None:
        asked = arguments.get("name") if called == "execute" else called
        if isinstance(asked, str):
            about["mcp.execute.target_tool"] = redact_name(asked)
            about["mcp.execute.target_server"] = self._server or redact_name(asked.partition("__")[0])


def begin(method: str, params: Mapping[str, Any]) -> AbstractContextManager[object]:
    """Begin a request, to be entered as a context, for whoever looks at what carries it."""
    seen = observation.current()
    if seen is None:
        return observation.NOTHING
    seen.begin(request := Request(method, params, seen))
    return request


def current() -> Request | None:
    """Give the request that is being answered, if somebody looks at it."""
    seen = observation.current()
    return seen.operation if seen is not None and isinstance(seen.operation, Request) else None
