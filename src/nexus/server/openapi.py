"""What a gateway answers to, as an OpenAPI 3.1 document: one table of routes, and where the configuration puts them.

Bodies that are a vendor's are described by their vendor; here is only what the gateway itself reads of them.
"""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import msgspec

from nexus import __version__
from nexus.config import Config, limits
from nexus.config.checks import LIMITS, PASSTHROUGH, READY, WELL_KNOWN
from nexus.server.answer import JSON, show
from nexus.server.asgi import Receive, Scope, Send

Node = dict[str, Any]


class Route(NamedTuple):
    """One method of one path below the place that serves it."""

    place: str
    method: str
    path: str
    summary: str
    body: str = ""
    """The schema of what is sent, or the media type where it is no JSON."""
    answer: str = "Object"
    """The schema of what comes back, or the media type where it is no JSON; nothing if empty."""


ROUTES = (
    Route("health", "get", "", "Tell whether the process is alive.", answer="Health"),
    Route(
        "ready",
        "get",
        "",
        "Tell whether the gateway can do its work, and what keeps it from it.",
        answer="Ready",
    ),
    Route("metrics", "get", "", "Give the metrics as Prometheus reads them.", answer="text/plain"),
    Route("openapi", "get", "", "Give this document."),
    Route("metadata", "get", "", "Say whom to ask for a token (RFC 9728).", answer="ProtectedResource"),
    Route(
        "limits", "get", "", "Tell a client its limits on tokens, and what is left of them.", answer="Limits"
    ),
    Route("openai", "head", "", "Say that somebody is there.", answer=""),
    Route("openai", "get", "/v1/models", "List the models.", answer="Models"),
    Route("openai", "get", "/v1/models/{id}", "Tell of one model.", answer="Model"),
    Route("openai", "post", "/v1/chat/completions", "Answer a conversation.", "Chat"),
    Route("openai", "post", "/v1/responses", "Answer, in the words of the Responses API.", "Call"),
    Route("openai", "post", "/v1/embeddings", "Turn texts into vectors.", "Call"),
    Route("openai", "post", "/v1/completions", "Go on with a text.", "Call"),
    Route("openai", "post", "/v1/moderations", "Judge a text.", "Call"),
    Route("openai", "post", "/v1/images/generations", "Make an image.", "Call"),
    Route("openai", "post", "/v1/images/edits", "Change an image.", "Form"),
    Route("openai", "post", "/v1/images/variations", "Vary an image.", "Form"),
    Route("openai", "post", "/v1/audio/speech", "Say a text.", "Call", "application/octet-stream"),
    Route("openai", "post", "/v1/audio/transcriptions", "Write down what is said.", "Form"),
    Route("openai", "post", "/v1/audio/translations", "Write down in English what is said.", "Form"),
    Route("openai", "get", "/{provider}/v1/files", "List the files a provider keeps."),
    Route("openai", "post", "/{provider}/v1/files", "Give a provider a file.", "Upload"),
    Route("openai", "get", "/{provider}/v1/files/{id}", "Tell of a file."),
    Route("openai", "delete", "/{provider}/v1/files/{id}", "Delete a file."),
    Route(
        "openai",
        "get",
        "/{provider}/v1/files/{id}/content",
        "Give what is in a file.",
        answer="application/octet-stream",
    ),
    Route("openai", "get", "/{provider}/v1/responses/{id}", "Give a response that was kept."),
    Route("openai", "delete", "/{provider}/v1/responses/{id}", "Delete a response."),
    Route("openai", "post", "/{provider}/v1/responses/{id}/cancel", "End a response under way."),
    Route(
        "openai", "get", "/{provider}/v1/responses/{id}/input_items", "List what a response was asked with."
    ),
    Route("anthropic", "head", "", "Say that somebody is there.", answer=""),
    Route("anthropic", "get", "/v1/models", "List the models."),
    Route("anthropic", "get", "/v1/models/{id}", "Tell of one model."),
    Route("anthropic", "post", "/v1/messages", "Answer a conversation.", "Message"),
    Route("anthropic", "post", "/v1/messages/count_tokens", "Count the tokens of a conversation.", "Chat"),
    Route("proxy", "head", "", "Say that somebody is there.", answer=""),
    Route("proxy", "post", "/v1/messages", "Answer a conversation.", "Message"),
    Route("proxy", "post", "/v1/messages/count_tokens", "Count tokens.", "Object"),
    Route("proxy", "get", "/v1/models", "List Anthropic's models."),
    Route("proxy", "get", "/v1/models/{id}", "Tell of one of Anthropic's models."),
    Route("proxy", "get", "/v1/files", "List the files Anthropic keeps."),
    Route("proxy", "post", "/v1/files", "Give Anthropic a file.", "Upload"),
    Route("proxy", "get", "/v1/files/{id}", "Tell of a file."),
    Route("proxy", "delete", "/v1/files/{id}", "Delete a file."),
    Route("proxy", "get", "/v1/files/{id}/content", "Give a file.", answer="application/octet-stream"),
    *(
        Route(
            "passthrough",
            method,
            "/{path}",
            "Pass on as it is, with the provider's key; `path` may hold slashes.",
        )
        for method in ("get", "post", "put", "patch", "delete")
    ),
    Route("mcp", "post", "", "Take one message of MCP and answer it.", "Rpc", "text/event-stream"),
    Route("sessions", "get", "", "Open the stream of a session.", answer="text/event-stream"),
    Route("sessions", "delete", "", "End a session.", answer=""),
)
"""Every route there is. Wherever there is a GET, but for what a provider keeps and for sessions, HEAD is answered as well."""

_GUARDED = frozenset(("openapi", "limits", "openai", "anthropic", "proxy", "passthrough", "mcp", "sessions"))
_ERRORS = {
    "openai": "Error",
    "passthrough": "Error",
    "anthropic": "AnthropicError",
    "proxy": "AnthropicError",
}
_VENDORS = {
    "openai": "https://platform.openai.com/docs/api-reference",
    "anthropic": "https://platform.claude.com/docs/en/api/overview",
    "proxy": "https://platform.claude.com/docs/en/api/overview",
    "mcp": "https://modelcontextprotocol.io/specification/2025-11-25/basic/transports",
    "sessions": "https://modelcontextprotocol.io/specification/2025-11-25/basic/transports",
}
"""Who describes the bodies."""
_STREAMED = ("Chat", "Message", "Call")
_TEXT: Node = {"type": "string"}
_FORM = "multipart/form-data"


def _table(*required: str, more: bool = True, **properties: Node) -> Node:
    node: Node = {"type": "object", "properties": properties}
    return (
        node
        | ({"required": list(required)} if required else {})
        | ({} if more else {"additionalProperties": False})
    )


def _list(items: Node) -> Node:
    return {"type": "array", "items": items}


_MODEL = {"type": "string", "description": "A model as `/v1/models` lists it."}
_STREAM = {"type": "boolean", "description": "Whether the answer comes as server-sent events."}
_MESSAGES = _list({"type": "object"})
_WHOLE: Node = {"type": "integer", "minimum": 0}
SCHEMAS: Mapping[str, Node] = {
    "Object": _table(),
    "Health": _table("status", status={"const": "healthy"}),
    "Ready": _table(
        "ready",
        "parts",
        ready={"type": "boolean"},
        parts={
            "type": "object",
            "additionalProperties": _TEXT,
            "description": "Each part, `up` or its trouble.",
        },
    ),
    "ProtectedResource": _table(
        "resource", "authorization_servers", resource=_TEXT, authorization_servers=_list(_TEXT)
    ),
    "Limits": _table(
        "limits",
        client=_TEXT,
        group={"type": ["string", "null"]},
        limits=_list(
            _table(
                provider=_TEXT,
                model=_TEXT,
                tokens={"enum": ["input", "output"]},
                limit=_WHOLE,
                remaining=_WHOLE,
            )
        ),
    ),
    "Model": _table("id", id=_TEXT, object={"const": "model"}, created=_WHOLE, owned_by=_TEXT),
    "Models": _table("data", object={"const": "list"}, data=_list({"$ref": "#/components/schemas/Model"})),
    "Chat": _table("model", "messages", model=_MODEL, messages=_MESSAGES, stream=_STREAM),
    "Message": _table(
        "model", "messages", "max_tokens", model=_MODEL, messages=_MESSAGES, max_tokens=_WHOLE, stream=_STREAM
    ),
    "Call": _table("model", model=_MODEL),
    "Form": _table("model", model=_MODEL),
    "Upload": _table("file", file={"type": "string", "contentMediaType": "application/octet-stream"}),
    "Rpc": _table("jsonrpc", "method", jsonrpc={"const": "2.0"}, method=_TEXT, params={"type": "object"}),
    "Error": _table(error=_table("message", "type", message=_TEXT, type=_TEXT, code={})),
    "AnthropicError": _table(
        type={"const": "error"}, error=_table("message", "type", message=_TEXT, type=_TEXT)
    ),
}


class OpenApi:
    """Answers with the document of one configuration."""

    def __init__(self, config: Config) -> None:
        self._document = msgspec.json.encode(document(config))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer GET and HEAD."""
        await show(scope, send, JSON, self._document)


def document(config: Config) -> Node:
    """Write the document."""
    guarded = config.server.oauth is not None
    paths: dict[str, Node] = {}
    for place, base in places(config):
        for route in ROUTES:
            if route.place == place:
                operation = _operation(route)
                if guarded and place in _GUARDED:
                    operation["security"] = [{"token": []}]
                paths.setdefault(base + route.path, _parameters(base + route.path))[route.method] = operation
    components: Node = {"schemas": dict(SCHEMAS)}
    if guarded:
        components["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}}
    info = {
        "title": "Nexus",
        "version": __version__,
        "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
    }
    return {"openapi": "3.1.0", "info": info, "paths": paths, "components": components}


def places(config: Config) -> Iterator[tuple[str, str]]:
    """Name what a configuration serves on its main address, each with its path."""
    server, telemetry = config.server, config.telemetry
    if server.health.enabled and server.health.listen is None:
        yield "health", server.health.path
    yield "ready", READY
    if telemetry is not None and (scraped := telemetry.prometheus).enabled and scraped.listen is None:
        yield "metrics", scraped.path
    if server.openapi.enabled:
        yield "openapi", server.openapi.path
    if server.oauth is not None:
        yield "metadata", WELL_KNOWN
    if server.client_identification.enabled and limits.limits_tokens(config):
        yield "limits", LIMITS
    if config.llm.enabled:
        yield from _llm_places(config)
    if config.mcp.enabled and config.mcp.servers:
        for path in (config.mcp.path, *(config.mcp.view_path(name) for name in config.mcp.views)):
            yield "mcp", path
            if config.mcp.sessions:
                yield "sessions", path


def _llm_places(config: Config) -> Iterator[tuple[str, str]]:
    llm = config.llm
    if llm.providers and llm.protocols.openai.enabled:
        yield "openai", llm.protocols.openai.path
    if llm.providers and llm.protocols.anthropic.enabled:
        yield "anthropic", llm.protocols.anthropic.path
    if llm.proxy.anthropic.enabled:
        yield "proxy", llm.proxy.anthropic.path
    for name, provider in llm.providers.items():
        if provider.passthrough:
            yield "passthrough", f"{PASSTHROUGH}/{name}"


def _operation(route: Route) -> Node:
    operation: Node = {"tags": [route.place], "summary": route.summary, "responses": _responses(route)}
    if (vendor := _VENDORS.get(route.place)) is not None:
        operation["externalDocs"] = {"url": vendor}
    if route.body:
        media = _FORM if route.body in ("Form", "Upload") else "application/json"
        operation["requestBody"] = {"required": True, "content": {media: {"schema": _schema(route.body)}}}
    return operation


def _responses(route: Route) -> Node:
    told: Node = {"description": "Good."}
    if "/" in route.answer:
        told["content"] = {route.answer: {}}
    elif route.answer:
        told["content"] = {"application/json": {"schema": _schema(route.answer)}}
        if route.body in _STREAMED:
            told["content"]["text/event-stream"] = {}
    found: Node = {"200": told}
    if route.place == "ready":
        found["503"] = {**told, "description": "Not yet, or no more."}
    if (error := _ERRORS.get(route.place)) is not None:
        content = {"application/json": {"schema": _schema(error)}}
        found["default"] = {"description": "What went wrong.", "content": content}
    return found


def _schema(name: str) -> Node:
    return {"$ref": f"#/components/schemas/{name}"}


def _parameters(path: str) -> Node:
    names = [part[1:-1] for part in path.split("/") if part.startswith("{")]
    found = [{"name": name, "in": "path", "required": True, "schema": _TEXT} for name in names]
    return {"parameters": found} if found else {}
