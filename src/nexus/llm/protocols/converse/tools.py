"""Tools and the choice among them.

https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ToolConfiguration.html
"""

from collections.abc import Sequence
from typing import NamedTuple

from nexus.errors import Unrepresentable
from nexus.llm.canonical import CustomTool, Format, FunctionTool, HostedTool, Json, ToolCall, ToolResult
from nexus.llm.protocols import custom_tools
from nexus.llm.protocols.arguments import schema_of
from nexus.llm.protocols.bound_schemas import Binder
from nexus.llm.protocols.converse import answer_tool, families
from nexus.llm.protocols.converse.block_writer import write_cache
from nexus.llm.protocols.converse.draft import Block, Draft
from nexus.llm.protocols.node import object_of

_ANY_OBJECT: Json = {"type": "object", "properties": {}}


class _Wanted(NamedTuple):
    """A choice, and the path to blame if it cannot be written."""

    path: str
    mode: str
    name: str = ""


def write_tools(draft: Draft) -> None:
    """Write what may be called, and what has to be. Thinking is written before: it forbids some choices."""
    form = draft.request.format if answer_tool.is_needed(draft.request, draft.base) else None
    choice = draft.request.tool_choice
    called = _called(draft)
    tools: list[Block] = []
    if called or choice is None or choice.mode != "none":
        tools = _write_all(draft)
    if called and not tools:
        tools = _declare(called, draft)
    if form is not None:
        tools.append(answer_tool.write_tool(form))
    if not tools:
        return
    config: Block = {"tools": tools}
    if (chosen := _choose(draft, _names(tools), form)) is not None:
        config["toolChoice"] = chosen
    draft.body["toolConfig"] = config


def _names(tools: Sequence[Block]) -> list[str]:
    specs = (object_of(tool.get("toolSpec")) for tool in tools)
    return [str(spec["name"]) for spec in specs if spec is not None]


def _called(draft: Draft) -> list[str]:
    """Name the tools that occur in messages: Bedrock refuses those if none are declared."""
    parts = [part for turn in draft.request.turns for part in turn.parts]
    names = dict.fromkeys(part.name for part in parts if isinstance(part, ToolCall))
    results = any(isinstance(part, ToolResult) for part in parts)
    return list(names) or ["tool"] * results


def _declare(names: list[str], draft: Draft) -> list[Block]:
    draft.lose("tools", "tools that were called before have to be declared: they are, without their schemas")
    return [{"toolSpec": {"name": name, "inputSchema": {"json": _ANY_OBJECT}}} for name in names]


def _write_all(draft: Draft) -> list[Block]:
    choice = draft.request.tool_choice
    allowed = choice.allowed if choice is not None else ()
    binder = _binder(draft)
    written: list[Block] = []
    for tool in draft.request.tools:
        if isinstance(tool, HostedTool):
            if tool.protocol == "converse" and (raw := object_of(tool.raw)) is not None:
                written.append(raw)
            else:
                draft.lose(tool.path, f"only {tool.protocol} runs {tool.kind}")
        elif not allowed or tool.name in allowed:
            written.append(_write(tool, binder, draft))
            written += _write_mark(tool, draft)
    return written


def _binder(draft: Draft) -> Binder:
    form = draft.request.format
    bound = answer_tool.bound_form(form, draft.base) if form is not None else None
    able = families.writes_schemas(draft.base)
    return Binder(draft.base, bound, able=able, open_objects=not families.is_claude(draft.base))


def _write(tool: FunctionTool | CustomTool, binder: Binder, draft: Draft) -> Block:
    if isinstance(tool, CustomTool):
        tool = custom_tools.as_function(tool)
    written: Block = {"name": tool.name}
    if tool.description:
        written["description"] = tool.description
    bound = binder.bind(tool, draft.losses)
    if bound is not None:
        written |= {"inputSchema": {"json": bound.schema}, "strict": True}
    else:
        written["inputSchema"] = {"json": schema_of(tool)}
    return {"toolSpec": {**written, **tool.extras} if draft.own else written}


def _write_mark(tool: FunctionTool | CustomTool, draft: Draft) -> list[Block]:
    if tool.cache is None:
        return []
    if families.is_nova(draft.base):
        draft.lose(f"{tool.path}.cache_control", f"{draft.base} caches no tools")
        return []
    point = write_cache(tool.cache, tool.path, draft)
    return [] if point is None else [point]


def _choose(draft: Draft, names: list[str], form: Format | None) -> Json:
    """Write the choice; None where there is nothing to say."""
    path, mode, name = _wanted(draft, names, form)
    if mode == "required" and len(names) == 1 and not families.forces_any(draft.base):
        mode, name = "one", names[0]
    if mode in ("required", "one"):
        able = families.forces_any(draft.base) if mode == "required" else families.forces_one(draft.base)
        if not able or draft.is_to_think:
            why = "a model that thinks" if able else draft.base
            draft.lose(path, f"{why} cannot be made to call")
            mode = "auto"
    match mode:
        case "auto":
            return {"auto": {}}
        case "required":
            return {"any": {}}
        case "one":
            return {"tool": {"name": name}}
        case _:
            return None


def _wanted(draft: Draft, names: list[str], form: Format | None) -> _Wanted:
    choice = draft.request.tool_choice
    mode = choice.mode if choice is not None else ""
    if form is not None and mode not in ("required", "one"):
        path = form.path or "response_format"
        if mode == "none" or len(names) == 1:
            return _Wanted(path, "one", answer_tool.NAME)
        return _Wanted(path, "required")  # a tool of the client's, or the answer
    if choice is None:
        return _Wanted("", "")
    if mode == "none":
        draft.lose("tool_choice", "tools that were called before have to stay callable in the Converse API")
    if mode == "one":
        _check_runnable(draft, choice.name)
    return _Wanted("tool_choice", mode, choice.name)


def _check_runnable(draft: Draft, name: str) -> None:
    hosted = [tool for tool in draft.request.tools if isinstance(tool, HostedTool)]
    if not name or any(tool.protocol != "converse" and tool.kind == name for tool in hosted):
        raise Unrepresentable("tool_choice", "this tool can only be run by the vendor it belongs to")
