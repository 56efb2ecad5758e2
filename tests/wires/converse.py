"""Converse requests for tests: read, which clients cannot ask of us, and written in few words."""

from typing import Any
from urllib.parse import unquote

import msgspec

from nexus.llm.canonical import (
    AnyPart,
    AnyTool,
    Cache,
    ChatRequest,
    Citation,
    Effort,
    Format,
    FunctionTool,
    HostedTool,
    Inline,
    Json,
    Link,
    Media,
    MediaKind,
    Opaque,
    Reasoning,
    Role,
    Text,
    Thinking,
    ToolCall,
    ToolChoice,
    ToolResult,
    Turn,
)
from nexus.llm.protocols.converse.wire import ConverseWire
from nexus.llm.protocols.node import Node, object_of

CLAUDE = "us.anthropic.claude-sonnet-4-5-20250929-v1:0"
CLAUDE_37 = "us.anthropic.claude-3-7-sonnet-20250219-v1:0"
CLAUDE_46 = "eu.anthropic.claude-opus-4-6-v1"
CLAUDE_47 = "global.anthropic.claude-opus-4-7"
HAIKU_3 = "anthropic.claude-3-haiku-20240307-v1:0"
NOVA = "us.amazon.nova-pro-v1:0"
NOVA_2 = "us.amazon.nova-2-lite-v1:0"
TITAN = "amazon.titan-text-express-v1"
COHERE = "cohere.command-r-plus-v1:0"
LLAMA = "us.meta.llama3-2-3b-instruct-v1:0"
MISTRAL = "mistral.mistral-large-2407-v1:0"
GPT = "openai.gpt-oss-120b-1:0"
QWEN = "qwen.qwen3-32b-v1:0"
GEMMA = "google.gemma-3-27b-it"
DEEPSEEK = "us.deepseek.r1-v1:0"

_MEDIA: dict[str, MediaKind] = {"image": "image", "document": "document", "video": "video", "audio": "audio"}
_TYPES = {
    "pdf": "application/pdf",
    "txt": "text/plain",
    "csv": "text/csv",
    "md": "text/markdown",
    "html": "text/html",
}


def model_of(url_path: str) -> str:
    """Read the model out of a path."""
    return unquote(url_path.split("/")[2])


def read_request(body: bytes, model: str) -> ChatRequest:
    """Read a request; what has no place in the canonical model stays in `extras`."""
    root = Node.of(body)
    turns = [
        Turn(_role(node), _read_blocks(node.nodes("content")), node.path) for node in root.nodes("messages")
    ]
    if system := root.nodes("system"):
        turns.insert(0, Turn("system", _read_blocks(system), "system"))
    request = ChatRequest(protocol="converse", model=model, turns=turns)
    _read_inference(root, request)
    _read_tools(root, request)
    _read_output(root, request)
    _read_fields(root, request)
    request.extras = root.rest()
    return request


def _role(node: Node) -> Role:
    return "assistant" if node.needed("role") == "assistant" else "user"


def _read_blocks(nodes: list[Node]) -> list[AnyPart]:
    parts: list[AnyPart] = []
    for node in nodes:
        if (point := node.node("cachePoint")) is not None:
            parts[-1] = msgspec.structs.replace(parts[-1], cache=_read_point(point))
        else:
            parts.append(_read_block(node))
    return parts


def _read_point(point: Node) -> Cache:
    return Cache("1h") if point.text("ttl") == "1h" else Cache()


def _read_block(node: Node) -> AnyPart:
    everything = dict(node.everything())
    kind = next(iter(everything))
    if kind == "text":
        return Text(node.needed("text"), path=node.path)
    inner = node.node(kind)
    assert inner is not None
    match kind:
        case "toolUse" if inner.peek("type") is None:
            arguments = msgspec.json.encode(inner.take("input")).decode()
            return ToolCall(inner.needed("toolUseId"), inner.needed("name"), arguments, path=node.path)
        case "toolResult":
            content = _read_blocks(inner.nodes("content"))
            failed = inner.text("status") == "error"
            return ToolResult(inner.needed("toolUseId"), content, failed, path=node.path, extras=inner.rest())
        case "reasoningContent":
            return _read_thinking(inner)
        case "citationsContent":
            text = "".join(piece.needed("text") for piece in inner.nodes("content"))
            return Text(text, [Citation("converse", raw) for raw in inner.items("citations")], path=node.path)
        case _ if kind in _MEDIA and (media := _read_media(inner, kind)) is not None:
            return media
        case _:
            return Opaque("converse", kind, everything, path=node.path)


def _read_thinking(inner: Node) -> AnyPart:
    if (redacted := inner.text("redactedContent")) is not None:
        return Thinking("", redacted=redacted, origin="converse", path=inner.path)
    thought = inner.node("reasoningText")
    assert thought is not None
    return Thinking(
        thought.needed("text"), thought.text("signature") or "", origin="converse", path=inner.path
    )


def _read_media(inner: Node, kind: str) -> AnyPart | None:
    source = object_of(inner.peek("source")) or {}
    form = inner.text("format") or "txt"
    media_type = _TYPES.get(form, f"{kind}/{form}")
    where = object_of(source.get("s3Location")) or {}
    inner.take("source")
    if isinstance(data := source.get("bytes"), str):
        place = Inline(media_type, data)
    elif isinstance(uri := where.get("uri"), str):
        place = Link(uri, media_type)
    else:
        return None
    return Media(_MEDIA[kind], place, inner.text("name") or "", path=inner.path, extras=inner.rest())


def _read_inference(root: Node, request: ChatRequest) -> None:
    inference = root.node("inferenceConfig")
    if inference is not None:
        request.max_tokens = inference.integer("maxTokens")
        request.temperature = inference.number("temperature")
        request.top_p = inference.number("topP")
        request.stop = inference.texts("stopSequences")
    if (tier := root.node("serviceTier")) is not None:
        request.service_tier = tier.text("type")


def _read_tools(root: Node, request: ChatRequest) -> None:
    config = root.node("toolConfig")
    if config is None:
        return
    tools: list[AnyTool] = []
    for node in config.nodes("tools"):
        everything = dict(node.everything())
        if (point := node.node("cachePoint")) is not None:
            tools[-1] = msgspec.structs.replace(tools[-1], cache=_read_point(point))
        elif (spec := node.node("toolSpec")) is not None:
            schema = spec.node("inputSchema")
            tools.append(
                FunctionTool(
                    name=spec.needed("name"),
                    description=spec.text("description") or "",
                    schema=schema.take("json") if schema is not None else None,
                    strict=spec.flag("strict"),
                    path=node.path,
                    extras=spec.rest(),
                )
            )
        else:
            tools.append(
                HostedTool(protocol="converse", kind=next(iter(everything)), raw=everything, path=node.path)
            )
    request.tools = tools
    choice = config.node("toolChoice")
    if choice is not None:
        one = choice.node("tool")
        mode = "required" if choice.peek("any") is not None else "auto"
        request.tool_choice = ToolChoice(mode) if one is None else ToolChoice("one", one.needed("name"))


def _read_output(root: Node, request: ChatRequest) -> None:
    config = root.node("outputConfig")
    form = config.node("textFormat") if config is not None else None
    structure = form.node("structure") if form is not None else None
    node = structure.node("jsonSchema") if structure is not None else None
    if node is None:
        return
    schema = msgspec.json.decode(node.needed("schema"))
    name, about = node.text("name") or "", node.text("description") or ""
    request.format = Format("schema", schema, name, about, path="outputConfig")


def _read_fields(root: Node, request: ChatRequest) -> None:
    """Read what is told to the model in its vendor's words."""
    fields = dict(object_of(root.take("additionalModelRequestFields")) or {})
    thinking = object_of(fields.get("thinking"))
    effort: Json = None
    for name in ("reasoning_effort", "reasoning_config"):
        if isinstance(fields.get(name), str):
            effort = fields.pop(name)
    if (nova := object_of(fields.pop("reasoningConfig", None))) is not None:
        effort = nova.get("maxReasoningEffort")
    if thinking is not None:
        del fields["thinking"]
        budget = thinking.get("budget_tokens")
        mode = "adaptive" if thinking["type"] == "adaptive" else "on"
        request.reasoning = Reasoning(mode, budget=budget if isinstance(budget, int) else None)
    elif isinstance(effort, str):
        request.reasoning = Reasoning("on", msgspec.convert(effort, Effort))
    if isinstance(top_k := fields.pop("top_k", None), int):
        request.top_k = top_k
    if fields:
        root.everything()["additionalModelRequestFields"] = fields


def user(*parts: AnyPart | str) -> Turn:
    return turn("user", *parts)


def turn(role: Role, *parts: AnyPart | str, path: str = "messages.0") -> Turn:
    return Turn(role, [Text(one, path="t") if isinstance(one, str) else one for one in parts], path)


def write(model: str = CLAUDE, *turns: Turn, **fields: Any) -> tuple[Any, list[str]]:
    """Write a request of an OpenAI client; gives the body and the paths of what was lost."""
    request = ChatRequest(protocol="openai", model=model, turns=turns or [user("hi")], **fields)
    body, losses = ConverseWire().write_request(request)
    return msgspec.json.decode(body), [loss.path for loss in losses]
