"""What a client may ask, method by method: one verb each, results of servers given back as they came."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Protocol, cast

from mcp.shared.exceptions import MCPError
from mcp_types import INVALID_PARAMS, METHOD_NOT_FOUND

from nexus.config.mcp import ChildServer
from nexus.mcp import shown
from nexus.mcp.arguments import read_keywords, read_limit, read_name, read_object
from nexus.mcp.caller import Caller
from nexus.mcp.changes import Changes, Lists
from nexus.mcp.client import Client
from nexus.mcp.link import Envelope, Raw, encode
from nexus.mcp.mirrored import repeated
from nexus.mcp.pool import Pool
from nexus.mcp.toolbox import Entry, Toolbox
from nexus.mcp.upstream import Upstream
from nexus.mcp.uris import matches
from nexus.mcp.view import View
from nexus.telemetry import mcp as observed
from nexus.telemetry import observation

RATE_LIMITED = -32000
RESERVED = "io.modelcontextprotocol/"
_DOWNSTREAM = {"tools/call": "downstream:call_tool", "prompts/get": "downstream:get_prompt"}


class Limit(Protocol):
    """Decides whether a call may go on; counts it if so."""

    async def __call__(self, caller: Caller, server: str, tool: str) -> bool:
        """Tell whether a call is within its limits."""
        ...


async def unlimited(caller: Caller, server: str, tool: str) -> bool:
    """Let every call go on."""
    return True


class Service:
    """One view, served."""

    def __init__(
        self,
        view: View,
        pool: Pool,
        *,
        structured: bool = True,
        sessions: bool = False,
        limit: Limit = unlimited,
    ) -> None:
        self._view = view
        self._pool = pool
        self._structured = structured
        self._sessions = sessions
        self._limit = limit
        self._verbs: Mapping[str, Callable[[Client, Raw], Awaitable[Raw]]] = {
            "ping": self._ping,
            "tools/list": self._list_tools,
            "tools/call": self._call_tool,
            "prompts/list": self._list_prompts,
            "prompts/get": self._get_prompt,
            "resources/list": self._list_resources,
            "resources/templates/list": self._list_templates,
            "resources/read": self._read_resource,
            "completion/complete": self._complete,
            **(
                {"resources/subscribe": self._subscribe, "resources/unsubscribe": self._unsubscribe}
                if sessions
                else {}
            ),
            **({"logging/setLevel": self._set_level} if sessions else {}),
        }

    async def greeting(self, client: Client) -> Raw:
        """Say what this is: the parts that `initialize` and `server/discover` have in common."""
        shape = self._view.shape
        return {
            "capabilities": await self._capabilities(client),
            "serverInfo": self.info(),
            "instructions": shown.instructions(shape.servers, shape.mode),
        }

    @property
    def listened(self) -> Sequence[str]:
        """Name the lists that may change: `search` and `execute` alone never do."""
        return ("prompts", "resources", "tools")[: 2 if self._view.shape.mode == "search" else 3]

    def info(self) -> Raw:
        """Name the endpoint."""
        return shown.info(self._view.shape.servers)

    def changes(self, client: Client) -> Changes:
        """Follow the lists a client sees."""

        async def lists() -> Lists:
            toolbox = await self._view.toolbox(client.caller)
            found: dict[str, list[object]] = {
                "prompts": list(toolbox.prompts.values()),
                "resources": [*toolbox.resources.values(), *toolbox.templates],
            }
            if self._view.shape.mode != "search":
                found["tools"] = list(toolbox.direct.items())
            return found

        return Changes(lists, self._pool.signal, client.caller.expires)

    async def handle(self, method: str, params: Raw, client: Client) -> Raw:
        """Answer one request.

        Raises:
            MCPError: what the client is to be told instead.
        """
        verb = self._verbs.get(method)
        if verb is None:
            raise MCPError(METHOD_NOT_FOUND, method)
        with observed.begin(method, params):
            return await verb(client, params)

    async def _capabilities(self, client: Client) -> Raw:
        found: dict[str, Raw] = {"prompts": {}, "resources": {}, "tools": {}}
        if self._sessions or client.modern:
            for name in self.listened:
                found[name]["listChanged"] = True
        if self._sessions and not client.modern:
            theirs = (await self._view.toolbox(client.caller)).capabilities.values()
            if any("logging" in one for one in theirs):
                found["logging"] = {}
            if any(cast("Raw", one.get("resources") or {}).get("subscribe") for one in theirs):
                found["resources"]["subscribe"] = True
        if self._view.shape.mode != "search":
            theirs = (await self._view.toolbox(client.caller)).capabilities.values()
            if any("completions" in one for one in theirs):
                found["completions"] = {}
        return found

    async def _ping(self, client: Client, params: Raw) -> Raw:
        return {}

    # tools

    async def _list_tools(self, client: Client, params: Raw) -> Raw:
        tools: list[Raw] = [] if self._view.shape.mode == "direct" else [shown.SEARCH, shown.EXECUTE]
        if self._view.shape.mode != "search":
            toolbox = await self._view.toolbox(client.caller)
            tools += ({**one.raw, "name": name} for name, one in toolbox.direct.items())
        return {"tools": tools}

    async def _call_tool(self, client: Client, params: Raw) -> Raw:
        name = params.get("name")
        arguments: object = params.get("arguments")
        mode = self._view.shape.mode
        if mode != "direct" and name == "search":
            return await self._search(client, read_object(arguments, "arguments"))
        if mode != "direct" and name == "execute":
            given = read_object(arguments, "arguments")
            return await self._execute(
                client, read_name(given), read_object(given.get("arguments"), "arguments"), params
            )
        if mode != "search" and isinstance(name, str):
            return await self._execute(client, name, arguments, params)
        raise MCPError(METHOD_NOT_FOUND, "tools/call")

    async def _search(self, client: Client, arguments: Raw) -> Raw:
        keywords, limit = read_keywords(arguments), read_limit(arguments)
        toolbox = await self._view.toolbox(client.caller)
        with observation.span("index:search"):
            matches_ = (await toolbox.index()).search(keywords, limit)
        names = toolbox.names()
        found = [(names[one.position], one.score) for one in matches_]
        items = [shown.result_item(name, toolbox.tools[name].raw, score) for name, score in found]
        if (seen := observed.current()) is not None:
            seen.found(len(items))
        content = [_text(item) for item in items]
        structured: Raw = {"results": items}
        if (note := await self._note(client, {toolbox.tools[name].server for name, _ in found})) is not None:
            content.append({"type": "text", "text": note})
            structured["note"] = note
        return (
            {"content": content, "structuredContent": structured}
            if self._structured
            else {"content": content}
        )

    async def _note(self, client: Client, servers: set[str]) -> str | None:
        """Warn of servers whose tools are listed as they last were, and of those whose tools are not known yet."""
        upstreams = await self._view.upstreams(client.caller)
        down = sorted(name for name in servers if name in upstreams and upstreams[name].trouble is not None)
        starting = await self._view.starting(client.caller)
        notes: list[str] = []
        if down:
            text = "Tools of theirs may fail until they are back."
            notes.append(f"Not available at the moment: {', '.join(down)}. {text}")
        if starting:
            text = "Their tools are not known yet; search again in a moment."
            notes.append(f"Still starting: {', '.join(starting)}. {text}")
        return " ".join(notes) or None

    async def _execute(self, client: Client, name: str, arguments: object, params: Raw) -> Raw:
        toolbox = await self._view.toolbox(client.caller)
        tool = toolbox.find(name)
        if tool is None and await self._view.arrived(client.caller, name):
            toolbox = await self._view.toolbox(client.caller)
            tool = toolbox.find(name)
        if tool is None:  # unknown or forbidden: a client cannot tell
            raise MCPError(METHOD_NOT_FOUND, "tools/call")
        if (seen := observed.current()) is not None:
            seen.runs(tool.server, tool.name)
        if not await self._limit(client.caller, tool.server, tool.name):
            raise MCPError(RATE_LIMITED, "Rate limit exceeded")
        call = {**_plain(params), "name": tool.name, "arguments": arguments}
        if arguments is None:
            del call["arguments"]
        # a client that knows the tool repeats its arguments in headers itself
        known = name in toolbox.direct and params.get("name") == name
        headers = None if known else repeated(tool.raw, arguments)
        with observation.span("downstream:execute"):
            return await self._ask(client, tool.server, "tools/call", call, headers)

    async def _ask(
        self, client: Client, server: str, method: str, params: Raw, headers: Mapping[str, str] | None = None
    ) -> Raw:
        upstream = await self._upstream(client, server)
        envelope = client.envelope
        if envelope is not None and headers:
            envelope = Envelope(envelope.meta, {**headers, **envelope.headers})
        with observation.span(_DOWNSTREAM.get(method, f"downstream:{method}"), "client") as span:
            span.set(mcp__method=method, mcp__server=server, mcp__transport=self._transport(server))
            if passed := observation.passed_on():
                # https://github.com/modelcontextprotocol/modelcontextprotocol/pull/414
                params = {**params, "_meta": {**cast("Raw", params.get("_meta") or {}), **dict(passed)}}
            return await upstream.call(method, params, client.peer, envelope)

    def _transport(self, server: str) -> str:
        return "stdio" if isinstance(self._pool.config.servers[server], ChildServer) else "http"

    async def _upstream(self, client: Client, server: str) -> Upstream:
        """Give the connection a client's requests go by: within a session one of its own."""
        if client.session is not None:
            capabilities = client.capabilities or {}
            return self._pool.owned(client.session, client.caller, server, capabilities, client.standing)
        upstream = (await self._view.upstreams(client.caller)).get(server)
        if upstream is None:
            raise MCPError(METHOD_NOT_FOUND, "tools/call")
        return upstream

    # prompts

    async def _list_prompts(self, client: Client, params: Raw) -> Raw:
        toolbox = await self._view.toolbox(client.caller)
        prefix = self._view.shape.prefix
        return {
            "prompts": [
                {**one.raw, "name": name} if prefix else one.raw for name, one in toolbox.prompts.items()
            ]
        }

    async def _get_prompt(self, client: Client, params: Raw) -> Raw:
        prompt = _prompt(
            await self._view.toolbox(client.caller), str(params.get("name")), prefix=self._view.shape.prefix
        )
        if prompt is None:
            raise MCPError(METHOD_NOT_FOUND, "Prompt not found")
        return await self._ask(client, prompt.server, "prompts/get", {**_plain(params), "name": prompt.name})

    # resources

    async def _list_resources(self, client: Client, params: Raw) -> Raw:
        toolbox = await self._view.toolbox(client.caller)
        return {"resources": [one.raw for one in toolbox.resources.values()]}

    async def _list_templates(self, client: Client, params: Raw) -> Raw:
        toolbox = await self._view.toolbox(client.caller)
        return {"resourceTemplates": [one.raw for one in toolbox.templates]}

    async def _read_resource(self, client: Client, params: Raw) -> Raw:
        return await self._of_resource(client, "resources/read", params)

    async def _subscribe(self, client: Client, params: Raw) -> Raw:
        return await self._of_resource(client, "resources/subscribe", params)

    async def _unsubscribe(self, client: Client, params: Raw) -> Raw:
        return await self._of_resource(client, "resources/unsubscribe", params)

    async def _of_resource(self, client: Client, method: str, params: Raw) -> Raw:
        toolbox = await self._view.toolbox(client.caller)
        server = _owner(toolbox, str(params.get("uri")))
        if server is None:
            if client.modern:
                raise MCPError(INVALID_PARAMS, "Resource not found", {"uri": params.get("uri")})
            raise MCPError(METHOD_NOT_FOUND, "Resource not found")
        return await self._ask(client, server, method, _plain(params))

    # the rest

    async def _complete(self, client: Client, params: Raw) -> Raw:
        toolbox = await self._view.toolbox(client.caller)
        ref = cast("Raw", params.get("ref") or {})
        if ref.get("type") == "ref/prompt":
            prompt = _prompt(toolbox, str(ref.get("name")), prefix=self._view.shape.prefix)
            server = prompt.server if prompt is not None else None
            ref = {**ref, "name": prompt.name} if prompt is not None else ref
        else:
            uri = str(ref.get("uri"))
            server = next((one.server for one in toolbox.templates if one.name == uri), None) or _owner(
                toolbox, uri
            )
        if server is None or "completions" not in toolbox.capabilities.get(server, {}):
            return {"completion": {"values": []}}
        return await self._ask(client, server, "completion/complete", {**_plain(params), "ref": ref})

    async def _set_level(self, client: Client, params: Raw) -> Raw:
        if client.session is None:
            raise MCPError(METHOD_NOT_FOUND, "logging/setLevel")
        toolbox = await self._view.toolbox(client.caller)
        talkative = [server for server, one in toolbox.capabilities.items() if "logging" in one]
        await asyncio.gather(
            *(self._ask(client, server, "logging/setLevel", _plain(params)) for server in talkative)
        )
        return {}


def _prompt(toolbox: Toolbox, name: str, *, prefix: bool) -> Entry | None:
    if prefix or name in toolbox.prompts:
        return toolbox.prompts.get(name)
    return next((one for one in toolbox.prompts.values() if one.name == name), None)


def _owner(toolbox: Toolbox, uri: str) -> str | None:
    """Find the server of a URI: listed, or fitting a template, or of the only server there is."""
    if (one := toolbox.resources.get(uri)) is not None:
        return one.server
    for template in toolbox.templates:
        if matches(template.name, uri):
            return template.server
    return (
        next(iter(toolbox.capabilities))
        if len(toolbox.capabilities) == 1 and len(toolbox.resources)
        else None
    )


def _text(item: Raw) -> Raw:
    return {"type": "text", "text": encode(item).decode()}


def _plain(params: Raw) -> Raw:
    """Take what belongs to the way to us out of the parameters."""
    return _with_meta({key: value for key, value in params.items() if key != "_meta"}, params)


def _with_meta(call: Raw, params: Raw) -> Raw:
    meta = cast("Raw", params.get("_meta") or {})
    kept = {key: value for key, value in meta.items() if not key.startswith(RESERVED)}
    return {**call, "_meta": kept} if kept else call
