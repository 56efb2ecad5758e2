"""Tools of the Anthropic protocol, read from a client and written for a provider.

https://platform.claude.com/docs/en/agents-and-tools/tool-use/overview
"""

from nexus.errors import Unrepresentable
from nexus.llm.canonical import (
    AnyTool,
    Cache,
    ChatRequest,
    CustomTool,
    FunctionTool,
    HostedTool,
    Json,
    Loss,
    ToolChoice,
)
from nexus.llm.protocols import custom_tools
from nexus.llm.protocols.anthropic import generations
from nexus.llm.protocols.anthropic.block_reader import read_cache
from nexus.llm.protocols.arguments import schema_of
from nexus.llm.protocols.bound_schemas import Binder, Bound
from nexus.llm.protocols.node import Node

_ANY_OBJECT: Json = {"type": "object", "properties": {}}


def read_tools(root: Node) -> list[AnyTool]:
    """Take all tools of a request."""
    return [_read_tool(node) for node in root.nodes("tools")]


def _read_tool(node: Node) -> AnyTool:
    kind = node.text("type")
    if kind not in (None, "custom"):
        assert kind is not None
        raw = {"type": kind, **node.everything()}
        return HostedTool(protocol="anthropic", kind=kind, raw=raw, path=node.path)
    return FunctionTool(
        name=node.needed("name"),
        description=node.text("description") or "",
        schema=node.take("input_schema"),
        strict=node.flag("strict"),
        path=node.path,
        cache=read_cache(node),
        extras=node.rest(),
    )


def write_tools(request: ChatRequest, losses: list[Loss], form: Bound | None = None) -> list[Json]:
    """Write the tools the model may call; `form` is what the answer is bound to, which counts with them."""
    allowed = request.tool_choice.allowed if request.tool_choice else ()
    own = request.protocol == "anthropic"
    binder = Binder(request.model, form, able=generations.writes_schemas(request.model))
    written: list[Json] = []
    for tool in request.tools:
        if isinstance(tool, HostedTool):
            if tool.protocol == "anthropic":
                written.append(tool.raw)
            else:
                losses.append(Loss(tool.path, f"only {tool.protocol} runs {tool.kind}"))
        elif not allowed or tool.name in allowed:
            bound = binder.bind(tool, losses) if isinstance(tool, FunctionTool) and not own else None
            written.append(_write_tool(tool, bound, own=own))
    return written


def _write_tool(tool: FunctionTool | CustomTool, bound: Bound | None, *, own: bool) -> Json:
    if isinstance(tool, CustomTool):
        tool = custom_tools.as_function(tool)
    written: dict[str, Json] = {"name": tool.name}
    if tool.description:
        written["description"] = tool.description
    if bound is not None:
        written |= {"input_schema": bound.schema, "strict": True}
    else:
        written["input_schema"] = tool.schema if own and tool.schema is not None else schema_of(tool)
    if own and tool.strict is not None:
        written["strict"] = tool.strict
    if tool.cache is not None:
        written["cache_control"] = write_cache(tool.cache)
    return {**written, **tool.extras} if own else written


def write_cache(cache: Cache) -> Json:
    """Write a cache mark."""
    return {"type": "ephemeral"} if cache.ttl is None else {"type": "ephemeral", "ttl": cache.ttl}


def write_choice(request: ChatRequest, losses: list[Loss]) -> Json:
    """Write whether and what has to be called; None where there is nothing to say."""
    choice, parallel = request.tool_choice, request.parallel_tools
    if choice is None and parallel is None:
        return None
    written: dict[str, Json] = {"type": "auto"} if choice is None else _write_mode(choice, request)
    if is_forced(request) and not generations.forces_calls(request.model) and request.protocol != "anthropic":
        written = {"type": "auto"}
        losses.append(Loss("tool_choice", f"{request.model} cannot be made to call"))
    if parallel is not None and written["type"] != "none":
        written["disable_parallel_tool_use"] = not parallel
    return written


def is_forced(request: ChatRequest) -> bool:
    """Tell whether a tool has to be called."""
    return request.tool_choice is not None and request.tool_choice.mode in ("required", "one")


def _write_mode(choice: ToolChoice, request: ChatRequest) -> dict[str, Json]:
    match choice.mode:
        case "auto":
            return {"type": "auto"}
        case "none":
            return {"type": "none"}
        case "required":
            return {"type": "any"}
        case "one":
            hosted = [tool for tool in request.tools if isinstance(tool, HostedTool)]
            if not choice.name or any(
                tool.protocol != "anthropic" and tool.kind == choice.name for tool in hosted
            ):
                raise Unrepresentable("tool_choice", "this tool can only be run by the vendor it belongs to")
            return {"type": "tool", "name": choice.name}
