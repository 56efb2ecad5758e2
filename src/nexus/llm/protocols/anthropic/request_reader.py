"""A Messages request into the canonical model.

https://platform.claude.com/docs/en/api/messages
"""

from typing import Literal, get_args

from nexus.llm.canonical import (
    AnyPart,
    ChatRequest,
    Effort,
    Extras,
    Format,
    Json,
    Reasoning,
    Role,
    Text,
    ToolChoice,
    Turn,
)
from nexus.llm.protocols.anthropic.block_reader import read_parts
from nexus.llm.protocols.anthropic.errors import NotThreaded
from nexus.llm.protocols.anthropic.tools import read_tools
from nexus.llm.protocols.node import Node

_EFFORTS: tuple[Effort, ...] = get_args(Effort)
_ROLES: dict[str, Role] = {"user": "user", "assistant": "assistant", "system": "system"}
_TIERS = {"auto": "auto", "standard_only": "default"}


def read_request(body: bytes, *, needs_max_tokens: bool) -> ChatRequest:
    """Read a request.

    Raises:
        InvalidRequest: it breaks a rule of the protocol, or needs state where there is none.
    """
    root = Node.of(body)
    if root.take("thread") is not None:
        raise NotThreaded
    max_tokens = root.integer("max_tokens")
    if max_tokens is None and needs_max_tokens:
        raise root.fail("max_tokens", "is missing; the Anthropic protocol requires it")
    config = root.node("output_config")
    choice, parallel = _read_choice(root)
    reasoning, unread = _read_reasoning(root, config)
    request = ChatRequest(
        protocol="anthropic",
        model=root.needed("model"),
        turns=_read_turns(root),
        stream=root.flag("stream") or False,
        max_tokens=max_tokens,
        temperature=root.number("temperature"),
        top_p=root.number("top_p"),
        top_k=root.integer("top_k"),
        stop=root.texts("stop_sequences"),
        tools=read_tools(root),
        tool_choice=choice,
        parallel_tools=parallel,
        format=_read_format(root, config),
        reasoning=reasoning,
        service_tier=_read_tier(root),
        user=_read_user(root),
    )
    left = {**root.rest(), **unread}
    if config is not None and config.rest():
        left["output_config"] = config.rest()
    request.extras = left
    return request


def _read_turns(root: Node) -> list[Turn]:
    turns: list[Turn] = []
    system = root.peek("system")
    if system:
        turns.append(Turn("system", _content(root, "system"), "system"))
    else:
        root.take("system")
    if root.peek("messages") is None:
        raise root.fail("messages", "is missing")
    turns += [_read_turn(node) for node in root.nodes("messages")]
    return turns


def _read_turn(node: Node) -> Turn:
    role = _ROLES.get(node.needed("role"))
    if role is None:
        raise node.fail("role", "must be user, assistant or system")
    return Turn(role, _content(node, "content"), node.path, node.rest())


def _content(node: Node, name: str) -> list[AnyPart]:
    """Read content that is a string or an array of blocks."""
    value = node.peek(name)
    if type(value) is str:
        node.take(name)
        return [Text(value, path=node.at(name))] if value else []
    if value is None:
        raise node.fail(name, "is missing")
    return read_parts(node.nodes(name))


def _read_choice(root: Node) -> tuple[ToolChoice | None, bool | None]:
    node = root.node("tool_choice")
    if node is None:
        return None, None
    serial = node.flag("disable_parallel_tool_use")
    parallel = None if serial is None else not serial
    match node.needed("type"):
        case "auto":
            return ToolChoice("auto"), parallel
        case "any":
            return ToolChoice("required"), parallel
        case "none":
            return ToolChoice("none"), parallel
        case "tool":
            return ToolChoice("one", node.needed("name")), parallel
        case _:
            raise node.fail("type", "must be auto, any, tool or none")


def _read_format(root: Node, config: Node | None) -> Format | None:
    """Read the form of the answer; the beta had it at the top level."""
    node = config.node("format") if config is not None else None
    node = node or root.node("output_format")
    if node is None:
        return None
    if node.needed("type") != "json_schema":
        raise node.fail("type", "must be json_schema")
    return Format("schema", schema=node.take("schema"), strict=True, path=node.path)


def _read_reasoning(root: Node, config: Node | None) -> tuple[Reasoning | None, Extras]:
    """Read how much to think, and what only this protocol has to say of it."""
    effort = _read_effort(config) if config is not None else None
    node = root.node("thinking")
    if node is None:
        return (Reasoning("unset", effort, path="output_config.effort") if effort is not None else None), {}
    kind, summary = node.needed("type"), node.text("display")
    budget: int | None = None
    mode: Literal["on", "off", "adaptive"] = "off"
    unread: dict[str, Json] = {}
    match kind:
        case "enabled":
            mode, budget = "on", node.integer("budget_tokens")
            if budget is None:
                raise node.fail("budget_tokens", "is missing")
        case "adaptive":
            mode = "adaptive"
        case "disabled":
            pass
        case "between_tools":  # as little as such a model can
            unread["type"] = kind
        case _:
            raise node.fail("type", "must be enabled, adaptive, disabled or between_tools")
    unread |= node.rest()
    return Reasoning(mode, effort, budget, summary, "thinking"), {"thinking": unread} if unread else {}


def _read_effort(config: Node) -> Effort | None:
    effort = config.text("effort")
    if effort is None:
        return None
    for known in _EFFORTS:
        if effort == known:
            return known
    raise config.fail("effort", f"must be one of {', '.join(_EFFORTS)}")


def _read_tier(root: Node) -> str | None:
    tier = root.text("service_tier")
    return None if tier is None else _TIERS.get(tier, tier)


def _read_user(root: Node) -> str | None:
    node = root.node("metadata")
    return node.text("user_id") if node is not None else None
