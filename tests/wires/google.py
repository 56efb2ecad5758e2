"""A reader of Gemini requests, for tests only: clients cannot speak this protocol to the gateway.

Written against the API's reference, apart from the writer it is held against. https://ai.google.dev/api/generate-content
"""

from typing import cast

import msgspec

from nexus.llm.canonical import (
    AnyPart,
    AnyTool,
    ChatRequest,
    Format,
    FunctionTool,
    HostedTool,
    Inline,
    Json,
    Link,
    Media,
    Opaque,
    Role,
    Text,
    Thinking,
    ToolCall,
    ToolChoice,
    ToolResult,
    Turn,
)
from nexus.llm.protocols.media import kind_of
from nexus.llm.protocols.node import Node

_Fields = dict[str, Json]
_CAMEL = {
    "parameters_json_schema": "parametersJsonSchema",
    "file_uri": "fileUri",
    "mime_type": "mimeType",
}


def normal(body: bytes) -> Json:
    """Decode a request and put aside the differences that mean nothing.

    Names in snake case are those in camel case, an empty `generationConfig` or description says nothing, an empty text says
    nothing among other parts, and a signature on an empty text is the signature of the text before it.
    """
    fields = cast("_Fields", _camel(msgspec.json.decode(body)))
    if fields.get("generationConfig") == {}:
        del fields["generationConfig"]
    for tool in cast("list[_Fields]", fields.get("tools", [])):
        for function in cast("list[_Fields]", tool.get("functionDeclarations", [])):
            if function.get("description") == "":
                del function["description"]
    for content in cast("list[_Fields]", fields["contents"]):
        content["parts"] = _normal_parts(cast("list[_Fields]", content["parts"]))
    return fields


def _normal_parts(parts: list[_Fields]) -> list[_Fields]:
    said: list[_Fields] = []
    for part in parts:
        if (
            part.keys() == {"text", "thoughtSignature"}
            and not part["text"]
            and said
            and said[-1].keys() == {"text"}
        ):
            said[-1]["thoughtSignature"] = part["thoughtSignature"]
        elif part != {"text": ""}:
            said.append(part)
    return said or parts[:1]


def _camel(value: Json) -> Json:
    if isinstance(value, dict):
        fields = cast("_Fields", value)
        return {_CAMEL.get(name, name): _camel(one) for name, one in fields.items()}
    return [_camel(one) for one in cast("list[Json]", value)] if isinstance(value, list) else value


def read_request(body: bytes, model: str) -> ChatRequest:
    """Read a request for a model."""
    root = Node(_camel(msgspec.json.decode(body)))
    turns: list[Turn] = []
    if (system := root.node("systemInstruction")) is not None:
        turns.append(_read_turn(system, "system"))
    turns += [
        _read_turn(content, "assistant" if content.peek("role") == "model" else "user")
        for content in root.nodes("contents")
    ]
    request = ChatRequest(protocol="google", model=model, turns=turns)
    request.tools = [tool for entry in root.nodes("tools") for tool in _read_tools(entry)]
    extras: _Fields = {}
    _read_tool_config(root.node("toolConfig"), request, extras)
    _read_config(root.node("generationConfig"), request, extras)
    request.service_tier = root.text("serviceTier")
    request.extras = {**extras, **root.rest()}
    return request


def _read_turn(content: Node, role: Role) -> Turn:
    content.take("role")
    parts = [part for node in content.nodes("parts") for part in _read_part(node)]
    assert not content.rest()
    return Turn(role, parts, content.path)


def _read_part(node: Node) -> list[AnyPart]:
    if any(node.peek(kind) is not None for kind in ("functionCall", "functionResponse")):
        return [_read_function(node)]
    if node.peek("inlineData") is not None or node.peek("fileData") is not None:
        return [_read_media(node)]
    text = node.peek("text")
    if text is None:
        kind = next(name for name in node.everything() if name != "thoughtSignature")
        return [Opaque(protocol="google", kind=kind, raw=node.everything(), path=node.path)]
    node.take("text")
    signature = node.text("thoughtSignature") or ""
    assert isinstance(text, str)
    if node.flag("thought"):
        return [Thinking(text, signature, origin="google", path=node.path, extras=node.rest())]
    signed: list[AnyPart] = [Thinking("", signature, origin="google", path=node.path)] if signature else []
    return [*([Text(text, path=node.path, extras=node.rest())] if text or not signature else []), *signed]


def _read_function(node: Node) -> AnyPart:
    if (call := node.node("functionCall")) is not None:
        signature = node.text("thoughtSignature") or ""
        return ToolCall(
            call.text("id") or "",
            call.needed("name"),
            msgspec.json.encode(call.take("args") or {}).decode(),
            signature=signature,
            origin="google" if signature else "",
            path=node.path,
            extras=node.rest(),
        )
    answer = node.node("functionResponse")
    assert answer is not None
    answer.take("name")
    response = answer.node("response")
    assert response is not None
    is_error = response.everything().keys() == {"error"}
    value = response.take("error") if is_error else response.everything()
    text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    content = [Text(text), *(_read_media(part) for part in answer.nodes("parts"))]
    return ToolResult(
        answer.text("id") or "", content, is_error=is_error, path=node.path, extras=answer.rest()
    )


def _read_media(node: Node) -> Media:
    if (blob := node.node("inlineData")) is not None:
        source = Inline(blob.needed("mimeType"), blob.needed("data"))
    else:
        file = node.node("fileData")
        assert file is not None
        source = Link(file.needed("fileUri"), file.text("mimeType") or "")
    return Media(kind=kind_of(source.media_type), source=source, path=node.path, extras=node.rest())


def _read_tools(entry: Node) -> list[AnyTool]:
    if entry.peek("functionDeclarations") is None:
        (kind,) = entry.everything()
        return [HostedTool(protocol="google", kind=kind, raw=entry.everything(), path=entry.path)]
    return [
        FunctionTool(
            name=node.needed("name"),
            description=node.text("description") or "",
            schema=node.take("parametersJsonSchema"),
            path=node.path,
            extras=node.rest(),
        )
        for node in entry.nodes("functionDeclarations")
    ]


def _read_tool_config(config: Node | None, request: ChatRequest, extras: _Fields) -> None:
    if config is None:
        return
    calling = Node(config.peek("functionCallingConfig") or {})
    mode, allowed = calling.text("mode"), calling.texts("allowedFunctionNames")
    match mode:
        case "ANY" if len(allowed) == 1:
            request.tool_choice = ToolChoice("one", allowed[0])
        case "ANY":
            request.tool_choice = ToolChoice("required", allowed=allowed)
        case "NONE":
            request.tool_choice = ToolChoice("none")
        case "AUTO":
            request.tool_choice = ToolChoice("auto")
        case _:
            config.everything()["functionCallingConfig"] = {"mode": mode} if mode else None
            request.tool_choice = None
    if request.tool_choice is not None:
        config.take("functionCallingConfig")
    if rest := config.rest():
        extras["toolConfig"] = rest


def _read_config(config: Node | None, request: ChatRequest, extras: _Fields) -> None:
    if config is None:
        return
    request.temperature = config.number("temperature")
    request.top_p = config.number("topP")
    request.top_k = config.integer("topK")
    request.max_tokens = config.integer("maxOutputTokens")
    request.presence_penalty = config.number("presencePenalty")
    request.frequency_penalty = config.number("frequencyPenalty")
    request.stop = config.texts("stopSequences")
    request.seed = config.integer("seed")
    request.logprobs = config.flag("responseLogprobs") or False
    request.top_logprobs = config.integer("logprobs")
    if config.peek("responseMimeType") == "application/json":
        config.take("responseMimeType")
        schema = config.take("responseJsonSchema")
        request.format = Format("json" if schema is None else "schema", schema)
    if rest := config.rest():
        extras["generationConfig"] = rest
