"""Tools and the choice among them, read from a client and written for a provider.

Clients may put tools into a namespace; other providers know none. A tool of a namespace gets a flat name, which the model
sees, and its calls go back to the client under its own. https://platform.openai.com/docs/guides/function-calling
"""

import hashlib
import re
from collections.abc import Iterable, Mapping

import msgspec

from nexus.errors import InvalidRequest, Unrepresentable
from nexus.llm.canonical import (
    AnyTool,
    ChatRequest,
    CustomTool,
    Extras,
    FunctionTool,
    HostedTool,
    Json,
    Loss,
    ToolChoice,
)
from nexus.llm.protocols import strictness
from nexus.llm.protocols.node import Node, array_of, object_of
from nexus.llm.protocols.responses import NAME

_MAX_NAME = 64
_UNFIT = re.compile(r"[^a-zA-Z0-9_-]")
_GROUP = "namespace"
"""What the first tool of a namespace keeps of the namespace in its extras."""
_ANY_OBJECT: Json = {"type": "object", "properties": {}}

Names = Mapping[tuple[str, str], str]
"""Flat names by namespace and name in it."""


def read_tools(nodes: list[Node]) -> tuple[list[AnyTool], Names]:
    """Read all tools of a request, those of namespaces flattened."""
    taken = {name for node in nodes if type(name := node.peek("name")) is str}
    names: dict[tuple[str, str], str] = {}
    tools: list[AnyTool] = []
    for node in nodes:
        if node.peek("type") == "namespace" and node.peek("tools"):
            tools += _read_namespace(node, names, taken)
        else:
            tools.append(_read_tool(node))
    return tools, names


def _read_tool(node: Node) -> AnyTool:
    kind = node.peek("type")
    match kind:
        case "function":
            node.take("type")
            return FunctionTool(
                name=node.needed("name"),
                description=node.text("description") or "",
                schema=node.take("parameters"),
                strict=node.flag("strict"),
                path=node.path,
                extras=node.rest(),
            )
        case "custom":
            node.take("type")
            return CustomTool(
                name=node.needed("name"),
                description=node.text("description") or "",
                format=node.take("format"),
                path=node.path,
                extras=node.rest(),
            )
        case str():
            return HostedTool(protocol=NAME, kind=kind, raw=node.everything(), path=node.path)
        case _:
            raise node.fail("type", "is missing" if kind is None else "must be a string")


def _read_namespace(node: Node, names: dict[tuple[str, str], str], taken: set[str]) -> list[AnyTool]:
    node.take("type")
    namespace = node.needed("name")
    members = [_read_tool(member) for member in node.nodes("tools")]
    about = node.rest()
    tools: list[AnyTool] = []
    for tool in members:
        if isinstance(tool, HostedTool):
            raise InvalidRequest(f"{tool.path}.type: a namespace holds functions and custom tools only")
        flat = flat_name(namespace, tool.name)
        if flat in taken:
            flat = _shortened(flat, namespace, tool.name)
        taken.add(flat)
        names[namespace, tool.name] = flat
        extras: Extras = {**tool.extras, _GROUP: about} if about and not tools else tool.extras
        tools.append(
            msgspec.structs.replace(tool, name=flat, namespace=namespace, local_name=tool.name, extras=extras)
        )
    return tools


def flat_name(namespace: str, name: str) -> str:
    """Name a tool of a namespace for providers that know none; the same always gives the same."""
    joined = namespace + name if namespace.endswith("__") else f"{namespace}__{name}"
    if len(joined) <= _MAX_NAME and not _UNFIT.search(joined):
        return joined
    return _shortened(joined, namespace, name)


def _shortened(joined: str, namespace: str, name: str) -> str:
    digest = hashlib.sha256(f"{namespace}\0{name}".encode()).hexdigest()[:8]
    return f"{_UNFIT.sub('_', joined)[: _MAX_NAME - 9]}_{digest}"


def read_choice(node: Node, tools: Iterable[AnyTool], names: Names, *, stateful: bool) -> ToolChoice | None:
    """Take whether and what has to be called.

    Raises:
        Unrepresentable: it has to be a tool that only OpenAI runs, and `stateful` does not say that it is asked.
    """
    value = node.peek("tool_choice")
    if value is None or type(value) is str:
        node.take("tool_choice")
        match value:
            case None:
                return None
            case "auto" | "none" | "required":
                return ToolChoice(value)
            case _:
                raise node.fail("tool_choice", "must be auto, none, required or an object")
    chosen = Node(value, node.at("tool_choice"))
    if not stateful:
        node.take("tool_choice")
    known = {tool.name for tool in tools if not isinstance(tool, HostedTool)}
    if chosen.peek("type") == "allowed_tools":
        return _read_allowed(chosen, known, names, stateful=stateful)
    name = _named(chosen, names)
    if name in known or stateful:
        return ToolChoice("one", name)
    if chosen.peek("type") in ("function", "custom"):
        raise chosen.fail("name", f"there is no tool '{name}'")
    raise Unrepresentable(chosen.path, "only a provider that speaks the Responses API runs this tool")


def _read_allowed(node: Node, known: set[str], names: Names, *, stateful: bool) -> ToolChoice:
    required = node.peek("mode") == "required"
    listed = node.peek("tools")
    wanted = [
        _named(Node(tool, f"{node.at('tools')}.{number}"), names)
        for number, tool in enumerate(array_of(listed))
    ]
    allowed = [name for name in wanted if name in known or stateful]
    if allowed:
        return ToolChoice("required" if required else "auto", allowed=allowed)
    if required:
        raise Unrepresentable(node.path, "only a provider that speaks the Responses API runs these tools")
    return ToolChoice("none")


def _named(node: Node, names: Names) -> str:
    """Give the flat name of the tool a choice means; the kind of one that the provider runs."""
    kind, namespace = node.peek("type"), node.peek("namespace")
    name = node.peek("name") if kind in ("function", "custom") else kind
    if not isinstance(name, str):
        raise node.fail("name" if kind in ("function", "custom") else "type", "must be a string")
    return names.get((namespace, name), name) if isinstance(namespace, str) else name


def write_tools(request: ChatRequest, losses: list[Loss]) -> list[Json]:
    """Write the tools of a request, those of a namespace in it again."""
    written: list[Json] = []
    group: dict[str, Json] = {}
    members: list[Json] = []
    for tool in request.tools:
        if isinstance(tool, HostedTool):
            if tool.protocol == NAME:
                written.append(tool.raw)
            else:
                losses.append(Loss(tool.path, f"only {tool.protocol} runs {tool.kind}"))
        elif not tool.namespace:
            written.append(_write_tool(tool, tool.name, request, losses))
        else:
            if not written or written[-1] is not group or group["name"] != tool.namespace:
                members = []
                about = object_of(tool.extras.get(_GROUP)) or {}
                group = {"type": "namespace", "name": tool.namespace, **about, "tools": members}
                written.append(group)
            members.append(_write_tool(tool, tool.local_name, request, losses))
    return written


def _write_tool(tool: FunctionTool | CustomTool, name: str, request: ChatRequest, losses: list[Loss]) -> Json:
    own = request.protocol == NAME
    if isinstance(tool, FunctionTool) and not own:
        tool = strictness.loosened(tool, losses)
    written: dict[str, Json] = {"type": "function" if isinstance(tool, FunctionTool) else "custom"}
    written["name"] = name
    if tool.description:
        written["description"] = tool.description
    if isinstance(tool, CustomTool):
        if tool.format is not None:
            written["format"] = _write_format(tool.format)
    else:
        written["parameters"] = _ANY_OBJECT if tool.schema is None and not own else tool.schema
        if tool.strict is not None or not own:  # absent means strict here, and not strict everywhere else
            written["strict"] = tool.strict or False
    if own:
        written |= {key: value for key, value in tool.extras.items() if key != _GROUP}
    return written


def _write_format(form: Json) -> Json:
    """Write what a custom tool takes; the chat protocol nests its grammar one level deeper."""
    fields = object_of(form) or {}
    grammar = object_of(fields.get("grammar"))
    return form if grammar is None else {"type": "grammar", **grammar}


def write_choice(request: ChatRequest) -> Json:
    """Write whether and what has to be called; None where there is nothing to say.

    Raises:
        Unrepresentable: it has to be a tool that another vendor runs.
    """
    choice = request.tool_choice
    if choice is None:
        return None
    if choice.mode == "one":
        return _write_named(choice.name, request)
    if choice.allowed:
        allowed = [_write_named(name, request) for name in choice.allowed]
        return {"type": "allowed_tools", "mode": choice.mode, "tools": allowed}
    return choice.mode


def _write_named(name: str, request: ChatRequest) -> Json:
    for tool in request.tools:
        match tool:
            case FunctionTool() | CustomTool() if tool.name == name:
                kind = "function" if isinstance(tool, FunctionTool) else "custom"
                if tool.namespace:
                    return {"type": kind, "name": tool.local_name, "namespace": tool.namespace}
                return {"type": kind, "name": name}
            case HostedTool() if tool.kind == name:
                if tool.protocol != NAME:
                    raise Unrepresentable("tool_choice", f"only {tool.protocol} runs {name}")
                return {"type": name}
            case _:
                continue
    return {"type": "function", "name": name}
