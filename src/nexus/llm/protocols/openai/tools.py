"""Tools, and which of them the model may choose."""

from collections.abc import Sequence

from nexus.llm.canonical import AnyTool, CustomTool, Extras, FunctionTool, HostedTool, Json, ToolChoice
from nexus.llm.protocols.node import Node, object_of
from nexus.llm.protocols.openai.options import PROTOCOL
from nexus.llm.protocols.openai.part_reader import read_cache

LEGACY = "functions"
"""Where tools stood before there were tools: their paths tell a client that reads `function_call`."""


def read_tools(request: Node) -> list[AnyTool]:
    """Take the tools of a request, and the functions of an old one."""
    tools = [_read_tool(node) for node in request.nodes("tools")]
    return [*tools, *(_read_function(node, node) for node in request.nodes(LEGACY))]


def _read_tool(node: Node) -> AnyTool:
    kind = node.peek("type")
    if kind not in ("function", "custom", None):
        return HostedTool(protocol=PROTOCOL, kind=str(kind), raw=node.everything(), path=node.path)
    node.take("type")
    field = "custom" if kind == "custom" else "function"
    inner = node.node(field)
    if inner is None:
        raise node.fail(field, "is missing")
    return _read_custom(node, inner) if kind == "custom" else _read_function(node, inner)


def _read_function(node: Node, inner: Node) -> FunctionTool:
    return FunctionTool(
        name=inner.needed("name"),
        description=inner.text("description") or "",
        schema=inner.take("parameters"),
        strict=inner.flag("strict"),
        path=node.path,
        cache=read_cache(node),
        extras=_rest(node, inner, "function"),
    )


def _read_custom(node: Node, inner: Node) -> CustomTool:
    return CustomTool(
        name=inner.needed("name"),
        description=inner.text("description") or "",
        format=_flat(inner.take("format")),
        path=node.path,
        cache=read_cache(node),
        extras=_rest(node, inner, "custom"),
    )


def _rest(node: Node, inner: Node, field: str) -> Extras:
    if inner is node or not (unknown := inner.rest()):
        return node.rest()
    return {**node.rest(), field: unknown}


def _flat(format: Json) -> Json:
    """Read a grammar, which stands one level deeper here than in the Responses protocol."""
    outer = object_of(format) or {}
    grammar = object_of(outer.get("grammar"))
    return format if grammar is None else {"type": "grammar", **grammar}


def _nested(format: Json) -> Json:
    form = object_of(format)
    if form is None or form.get("type") != "grammar" or "grammar" in form:
        return format
    return {"type": "grammar", "grammar": {name: form[name] for name in form if name != "type"}}


def write_function(tool: FunctionTool) -> dict[str, Json]:
    """Write a function; what a client left out stays out."""
    written: dict[str, Json] = {"name": tool.name}
    if tool.description:
        written["description"] = tool.description
    if tool.schema is not None:
        written["parameters"] = tool.schema
    if tool.strict is not None:
        written["strict"] = tool.strict
    return {"type": "function", "function": written}


def write_custom(tool: CustomTool) -> dict[str, Json]:
    """Write a tool that takes free text."""
    written: dict[str, Json] = {"name": tool.name}
    if tool.description:
        written["description"] = tool.description
    if tool.format is not None:
        written["format"] = _nested(tool.format)
    return {"type": "custom", "custom": written}


def read_choice(request: Node) -> ToolChoice | None:
    """Take what an old or a new request says of the choice; an unknown word for it stays in the request."""
    value = request.peek("tool_choice")
    if isinstance(value, str):
        return _read_word(request, "tool_choice", value)
    if (node := request.node("tool_choice")) is not None:
        return _read_object(node)
    value = request.peek("function_call")
    if isinstance(value, str):
        return _read_word(request, "function_call", value)
    named = request.node("function_call")
    return None if named is None else ToolChoice("one", named.needed("name"))


def _read_word(request: Node, field: str, word: str) -> ToolChoice | None:
    match word:
        case "auto" | "none" | "required":
            choice = ToolChoice(word)
        case "any":
            choice = ToolChoice("required")
        case _:
            return None
    request.take(field)
    return choice


def _read_object(node: Node) -> ToolChoice:
    match node.text("type"):
        case "function":
            return ToolChoice("one", _name_in(node, "function"))
        case "custom":
            return ToolChoice("one", _name_in(node, "custom"))
        case "allowed_tools":
            return _read_allowed(node.node("allowed_tools") or node)
        case "auto":
            return ToolChoice("auto")
        case "none":
            return ToolChoice("none")
        case "required" | "any":
            return ToolChoice("required")
        case _:
            raise node.fail("type", "must be function, custom or allowed_tools")


def _read_allowed(node: Node) -> ToolChoice:
    names = [_name_in(tool, "custom" if tool.peek("custom") else "function") for tool in node.nodes("tools")]
    return ToolChoice("required" if node.text("mode") == "required" else "auto", allowed=names)


def _name_in(node: Node, field: str) -> str:
    """Take a name from the object of `field`, or from beside it, where the Responses protocol has it."""
    inner = node.node(field)
    return (inner or node).needed("name")


def write_choice(choice: ToolChoice, tools: Sequence[AnyTool]) -> Json:
    """Write a choice among tools of which the custom ones are told as such."""
    custom = {tool.name for tool in tools if isinstance(tool, CustomTool)}

    def named(name: str) -> dict[str, Json]:
        kind = "custom" if name in custom else "function"
        return {"type": kind, kind: {"name": name}}

    if choice.mode == "one":
        return named(choice.name)
    if not choice.allowed or choice.mode == "none":
        return choice.mode
    allowed: Json = {"mode": choice.mode, "tools": [named(name) for name in choice.allowed]}
    return {"type": "allowed_tools", "allowed_tools": allowed}
