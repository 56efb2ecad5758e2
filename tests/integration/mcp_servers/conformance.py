"""The server that the public conformance suite expects, in both eras: what to offer is written in its scenarios.

https://www.npmjs.com/package/@modelcontextprotocol/conformance
"""

import asyncio
import hashlib
import hmac
import socket
import sys
from typing import Any

import uvicorn
from mcp.server.lowlevel.server import Server
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from mcp.server.subscriptions import (
    InMemorySubscriptionBus,
    ListenHandler,
    PromptsListChanged,
    ToolsListChanged,
)
from mcp.server.transport_security import TransportSecuritySettings
from mcp.shared.exceptions import MCPError
from mcp.shared.message import ServerMessageMetadata
from mcp_types import LOG_LEVEL_META_KEY, Request, SubscriptionsListenRequestParams
from mcp_types.version import MODERN_PROTOCOL_VERSIONS
from pydantic import BaseModel, ConfigDict

Raw = dict[str, Any]
PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8DwHwAFBQIAX8jx0gAAAABJRU5ErkJggg=="
WAV = "UklGRiYAAABXQVZFZm10IBAAAAABAAEAQB8AAAB9AAACABAAZGF0YQIAAAA="
KEY = b"only for tests"
CLIENT_CAPABILITIES = "io.modelcontextprotocol/clientCapabilities"


class Question(Request[dict[str, Any], str]):
    """Any message to the client."""


class Reply(BaseModel):
    model_config = ConfigDict(extra="allow")


def text(value: str) -> Raw:
    return {"type": "text", "text": value}


def image() -> Raw:
    return {"type": "image", "data": PNG, "mimeType": "image/png"}


def resource(uri: str, content: str, kind: str = "text/plain") -> Raw:
    return {"type": "resource", "resource": {"uri": uri, "mimeType": kind, "text": content}}


def schema(**properties: Raw) -> Raw:
    return {"type": "object", "properties": properties, "required": list(properties)}


STRING = {"type": "string"}
RICH = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "$defs": {
        "address": {
            "$anchor": "addressDef",
            "type": "object",
            "properties": {"street": STRING, "city": STRING},
        }
    },
    "properties": {
        "name": STRING,
        "address": {"$ref": "#/$defs/address"},
        "contactMethod": {"type": "string", "enum": ["phone", "email"]},
        "phone": STRING,
        "email": STRING,
    },
    "allOf": [{"anyOf": [{"required": ["phone"]}, {"required": ["email"]}]}],
    "if": {"properties": {"contactMethod": {"const": "phone"}}, "required": ["contactMethod"]},
    "then": {"required": ["phone"]},
    "else": {"required": ["email"]},
    "additionalProperties": False,
}
DEFAULTS = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "default": "John Doe"},
        "age": {"type": "integer", "default": 30},
        "score": {"type": "number", "default": 95.5},
        "status": {"type": "string", "enum": ["active", "inactive", "pending"], "default": "active"},
        "verified": {"type": "boolean", "default": True},
    },
}
_TITLED = [
    {"const": f"value{at}", "title": f"{name} Option"}
    for at, name in enumerate(("First", "Second", "Third"), 1)
]
_PLAIN = ["option1", "option2", "option3"]
ENUMS = {
    "type": "object",
    "properties": {
        "untitledSingle": {"type": "string", "enum": _PLAIN},
        "titledSingle": {"type": "string", "oneOf": _TITLED},
        "legacyEnum": {"type": "string", "enum": ["opt1", "opt2"], "enumNames": ["Option One", "Option Two"]},
        "untitledMulti": {"type": "array", "items": {"type": "string", "enum": _PLAIN}},
        "titledMulti": {"type": "array", "items": {"anyOf": _TITLED}},
    },
}
HEADERS = {
    "type": "object",
    "properties": {
        "region": {"type": "string", "x-mcp-header": "Region"},
        "query": STRING,
        "priority": {"type": "integer", "x-mcp-header": "Priority"},
    },
}
FIXED: dict[str, list[Raw]] = {
    "test_simple_text": [text("This is a simple text response for testing.")],
    "test_image_content": [image()],
    "test_audio_content": [{"type": "audio", "data": WAV, "mimeType": "audio/wav"}],
    "test_embedded_resource": [resource("test://embedded-resource", "This is an embedded resource content.")],
    "test_multiple_content_types": [
        text("Multiple content types test:"),
        image(),
        resource("test://mixed-content-resource", '{"test":"data","value":123}', "application/json"),
    ],
    "json_schema_2020_12_tool": [text("ok")],
    "test_custom_headers": [text("ok")],
    "test_custom_headers_null": [text("ok")],
}


def elicit(message: str, wanted: Raw) -> Raw:
    return {"method": "elicitation/create", "params": {"message": message, "requestedSchema": wanted}}


def sample(message: str, tokens: int) -> Raw:
    messages = [{"role": "user", "content": text(message)}]
    return {"method": "sampling/createMessage", "params": {"messages": messages, "maxTokens": tokens}}


ROOTS: Raw = {"method": "roots/list", "params": {}}
NAME = schema(name=STRING)
ROUNDS: dict[str, list[dict[str, Raw]]] = {
    "test_input_required_result_elicitation": [{"user_name": elicit("What is your name?", NAME)}],
    "test_input_required_result_sampling": [
        {"capital_question": sample("What is the capital of France?", 100)}
    ],
    "test_input_required_result_list_roots": [{"client_roots": ROOTS}],
    "test_input_required_result_request_state": [
        {"confirm": elicit("Please confirm", schema(ok={"type": "boolean"}))}
    ],
    "test_input_required_result_multiple_inputs": [
        {
            "user_name": elicit("What is your name?", NAME),
            "greeting": sample("Generate a greeting", 50),
            "client_roots": ROOTS,
        }
    ],
    "test_input_required_result_multi_round": [
        {"step1": elicit("Step 1: What is your name?", NAME)},
        {"step2": elicit("Step 2: What is your favorite color?", schema(color=STRING))},
    ],
    "test_input_required_result_tampered_state": [
        {"confirm": elicit("Please confirm", schema(ok={"type": "boolean"}))}
    ],
    "test_input_required_result_capabilities": [
        {"user_name": elicit("What is your name?", NAME), "greeting": sample("Generate a greeting", 50)}
    ],
    "test_input_required_result_prompt": [
        {"user_context": elicit("What context should the prompt use?", schema(context=STRING))}
    ],
}
_NEEDS = {"elicitation/create": "elicitation", "sampling/createMessage": "sampling", "roots/list": "roots"}
TALKING = {
    "test_tool_with_logging": schema(),
    "test_tool_with_progress": schema(),
    "test_logging_tool": schema(),
    "test_error_handling": schema(),
    "test_sampling": schema(prompt=STRING),
    "test_elicitation": schema(message=STRING),
    "test_elicitation_sep1034_defaults": schema(),
    "test_elicitation_sep1330_enums": schema(),
    "test_missing_capability": schema(),
    "test_streaming_elicitation": schema(),
    "test_trigger_tool_change": schema(),
    "test_trigger_prompt_change": schema(),
}
_SPECIAL = {
    "json_schema_2020_12_tool": RICH,
    "test_custom_headers": HEADERS,
    "test_custom_headers_null": HEADERS,
}
TOOLS: list[Raw] = [
    {"name": name, "description": f"Conformance tool {name}", "inputSchema": wanted}
    for name, wanted in [
        *((name, _SPECIAL.get(name, schema())) for name in FIXED),
        *TALKING.items(),
        *((name, schema()) for name in ROUNDS if name != "test_input_required_result_prompt"),
    ]
]
PROMPTS: list[Raw] = [
    {
        "name": name,
        "description": f"Conformance prompt {name}",
        "arguments": [{"name": one, "required": True} for one in arguments],
    }
    for name, arguments in {
        "test_simple_prompt": (),
        "test_prompt_with_arguments": ("arg1", "arg2"),
        "test_prompt_with_embedded_resource": ("resourceUri",),
        "test_prompt_with_image": (),
        "test_input_required_result_prompt": (),
    }.items()
]
RESOURCES: list[Raw] = [
    {"uri": "test://static-text", "name": "static-text", "description": "Text", "mimeType": "text/plain"},
    {
        "uri": "test://static-binary",
        "name": "static-binary",
        "description": "Binary",
        "mimeType": "image/png",
    },
    {"uri": "test://watched-resource", "name": "watched", "description": "Watched", "mimeType": "text/plain"},
]
TEMPLATES: list[Raw] = [
    {
        "uriTemplate": "test://template/{id}/data",
        "name": "template",
        "description": "Template",
        "mimeType": "application/json",
    }
]
CAPABILITIES: Raw = {
    "tools": {"listChanged": True},
    "prompts": {"listChanged": True},
    "resources": {"subscribe": True},
    "logging": {},
    "completions": {},
}


class Fixture:
    """Answers everything."""

    def __init__(self) -> None:
        self.bus = InMemorySubscriptionBus()
        self.listen = ListenHandler(self.bus)
        self.sessions: dict[str, Any] = {}
        """Of clients with a session, the last that each of them was seen with."""

    async def __call__(self, ctx: Any, call_next: Any) -> Any:
        if (session := ctx.request.headers.get("mcp-session-id")) is not None:
            self.sessions[session] = ctx.session
        if ctx.request_id is None:
            return await call_next(ctx)
        modern = ctx.protocol_version in MODERN_PROTOCOL_VERSIONS
        result: Raw = await self.answer(ctx, dict(ctx.params or {}), modern=modern)
        if modern:
            result = {"resultType": "complete", **result}
            if result["resultType"] == "complete" and ctx.method not in ("tools/call", "prompts/get"):
                result = {"ttlMs": 0, "cacheScope": "private", **result}
            result["_meta"] = {**result.get("_meta", {}), "io.modelcontextprotocol/serverInfo": INFO}
        return result

    async def answer(self, ctx: Any, params: Raw, *, modern: bool) -> Raw:  # noqa: C901  # one line per method
        match ctx.method:
            case "initialize" if not modern:
                greeting = await self.greeting()
                return {"protocolVersion": params["protocolVersion"], **greeting, "serverInfo": INFO}
            case "subscriptions/listen" if modern:
                wanted = SubscriptionsListenRequestParams.model_validate(params)
                return (await self.listen(ctx, wanted)).model_dump(by_alias=True, exclude_none=True)
            case "server/discover":
                return {"supportedVersions": list(MODERN_PROTOCOL_VERSIONS), **await self.greeting()}
            case "tools/list":
                return {"tools": TOOLS}
            case "tools/call":
                return await self.tool(
                    ctx, params["name"], params.get("arguments") or {}, params, modern=modern
                )
            case "prompts/list":
                return {"prompts": PROMPTS}
            case "prompts/get":
                return self.prompt(params["name"], params.get("arguments") or {}, params)
            case "resources/list":
                return {"resources": RESOURCES}
            case "resources/templates/list":
                return {"resourceTemplates": TEMPLATES}
            case "resources/read":
                return self.read(params["uri"], modern=modern)
            case "completion/complete":
                return {"completion": {"values": ["paris", "park", "party"], "total": 3, "hasMore": False}}
            case "ping" | "resources/subscribe" | "resources/unsubscribe" | "logging/setLevel" if not modern:
                return {}
            case _:
                raise MCPError(-32601, "Method not found", ctx.method)

    async def change(self, lists: list[Raw], what: str) -> Raw:
        """Make a list longer and tell everybody."""
        lists.append({**lists[0], "name": f"changed_{len(lists)}"})
        await self.bus.publish(ToolsListChanged() if what == "tools" else PromptsListChanged())
        for session in self.sessions.values():
            await session.send_notification(Question(method=f"notifications/{what}/list_changed", params={}))
        return {"content": [text("changed")]}

    async def greeting(self) -> Raw:
        return {"capabilities": CAPABILITIES, "instructions": "For tests."}

    async def tool(self, ctx: Any, name: str, arguments: Raw, params: Raw, *, modern: bool) -> Raw:
        if name in FIXED:
            return {"content": FIXED[name]}
        if name in ROUNDS:
            return self.rounds(name, params)
        if name == "test_trigger_tool_change":
            return await self.change(TOOLS, "tools")
        if name == "test_trigger_prompt_change":
            return await self.change(PROMPTS, "prompts")
        if name not in TALKING:
            raise MCPError(-32602, f"Unknown tool: {name}")
        if name == "test_error_handling":
            return {
                "content": [text("This tool intentionally returns an error for testing")],
                "isError": True,
            }
        if name == "test_missing_capability":
            declared = params.get("_meta", {}).get(CLIENT_CAPABILITIES, {})
            if "sampling" not in declared:
                raise MCPError(-32021, "Missing capability", {"requiredCapabilities": {"sampling": {}}})
            return {"content": [text("ok")]}
        return {"content": [text(await self.talk(ctx, name, arguments, params, modern=modern))]}

    async def talk(self, ctx: Any, name: str, arguments: Raw, params: Raw, *, modern: bool) -> str:
        if name in ("test_tool_with_logging", "test_logging_tool"):
            if not modern or LOG_LEVEL_META_KEY in params.get("_meta", {}):
                for at, said in enumerate(("started", "processing data", "completed")):
                    await asyncio.sleep(0.05 if at else 0)
                    subject = "Tool" if at == 1 else "Tool execution"
                    await self.tell(
                        ctx, "notifications/message", {"level": "info", "data": f"{subject} {said}"}
                    )
            return "logged"
        if name == "test_tool_with_progress":
            token = params.get("_meta", {}).get("progressToken")
            for done in (0, 50, 100):
                if token is not None:
                    progress = {"progressToken": token, "progress": done, "total": 100}
                    await self.tell(ctx, "notifications/progress", progress)
                await asyncio.sleep(0.05)
            return str(token)
        if modern:
            return "not here"
        if name == "test_sampling":
            answer = await self.ask(ctx, sample(arguments["prompt"], 100))
            return f"LLM response: {answer['content']['text']}"
        wanted = {
            "test_elicitation_sep1034_defaults": DEFAULTS,
            "test_elicitation_sep1330_enums": ENUMS,
        }.get(name, schema(username=STRING, email=STRING))
        answer = await self.ask(ctx, elicit(arguments.get("message", "Please tell"), wanted))
        return f"Elicitation completed: action={answer['action']}, content={answer.get('content')}"

    def rounds(self, name: str, params: Raw) -> Raw:
        """Go one round: ask what is missing, or be done."""
        rounds, at = ROUNDS[name], 0
        if (state := params.get("requestState")) is not None:
            at = opened(state)
        given: Raw = params.get("inputResponses") or {}
        while at < len(rounds) and all(valid(given.get(key)) for key in rounds[at]):
            at += 1
            given = {}
        if at == len(rounds):
            done = "state-ok" if state is not None else f"Hello, {params.get('inputResponses')}!"
            if name == "test_input_required_result_prompt":
                return {"messages": [{"role": "user", "content": text(done)}]}
            return {"content": [text(done)]}
        declared = params.get("_meta", {}).get(CLIENT_CAPABILITIES, {})
        asked = rounds[at]
        if name == "test_input_required_result_capabilities":
            asked = {key: one for key, one in asked.items() if _NEEDS[one["method"]] in declared}
        result: Raw = {"resultType": "input_required", "inputRequests": asked}
        if len(rounds) > 1 or "state" in name or "multiple" in name:
            result["requestState"] = sealed(at)
        return result

    def prompt(self, name: str, arguments: Raw, params: Raw) -> Raw:
        if name == "test_input_required_result_prompt":
            return self.rounds(name, params)
        contents = {
            "test_simple_prompt": [text("This is a simple prompt for testing.")],
            "test_prompt_with_arguments": [
                text(f"Prompt with arguments: arg1='{arguments.get('arg1')}', arg2='{arguments.get('arg2')}'")
            ],
            "test_prompt_with_embedded_resource": [
                resource(str(arguments.get("resourceUri")), "Embedded resource content for testing."),
                text("Please process the embedded resource above."),
            ],
            "test_prompt_with_image": [image(), text("Please analyze the image above.")],
        }.get(name)
        if contents is None:
            raise MCPError(-32602, f"Unknown prompt: {name}")
        return {"messages": [{"role": "user", "content": one} for one in contents]}

    def read(self, uri: str, *, modern: bool) -> Raw:
        if uri == "test://static-text":
            one: Raw = {"mimeType": "text/plain", "text": "This is the content of the static text resource."}
        elif uri == "test://static-binary":
            one = {"mimeType": "image/png", "blob": PNG}
        elif uri == "test://watched-resource":
            one = {"mimeType": "text/plain", "text": "Watched resource content"}
        elif uri.startswith("test://template/") and uri.endswith("/data"):
            number = uri.split("/")[3]
            content = f'{{"id":"{number}","templateTest":true,"data":"Data for ID: {number}"}}'
            one = {"mimeType": "application/json", "text": content}
        else:
            raise MCPError(-32602 if modern else -32002, "Resource not found", {"uri": uri})
        return {"contents": [{"uri": uri, **one}]}

    async def tell(self, ctx: Any, method: str, params: Raw) -> None:
        await ctx.session.send_notification(Question(method=method, params=params), ctx.request_id)

    async def ask(self, ctx: Any, question: Raw) -> Raw:
        metadata = ServerMessageMetadata(related_request_id=ctx.request_id)
        reply = await ctx.session.send_request(Question(**question), Reply, metadata=metadata)
        return reply.model_dump(by_alias=True)


def sealed(at: int) -> str:
    return f"{at}.{hmac.new(KEY, str(at).encode(), hashlib.sha256).hexdigest()}"


def opened(state: str) -> int:
    at, _, signature = state.partition(".")
    if not at.isdigit() or not hmac.compare_digest(sealed(int(at)).partition(".")[2], signature):
        raise MCPError(-32602, "requestState is not valid")
    return int(at) + 0


def valid(answer: Any) -> bool:
    return answer != {} and type(answer) is dict


INFO: Raw = {"name": "conformance-fixture", "version": "1"}


def input_schema(name: str) -> Raw | None:
    return next((one["inputSchema"] for one in TOOLS if one["name"] == name), None)


async def main(port: int) -> None:
    """Serve; the port is the first line said, as 0 means any."""
    server: Server[Any] = Server("conformance-fixture", version="1", get_tool_input_schema=input_schema)
    server.middleware.append(Fixture())
    local = ["127.0.0.1:*", "localhost:*"]
    security = TransportSecuritySettings(
        allowed_hosts=local, allowed_origins=[f"http://{one}" for one in local]
    )
    manager = StreamableHTTPSessionManager(server, security_settings=security)
    bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    bound.bind(("127.0.0.1", port))
    bound.listen()
    async with manager.run():
        config = uvicorn.Config(manager.asgi_app, log_level="critical", lifespan="off")
        print(bound.getsockname()[1], flush=True)
        await uvicorn.Server(config).serve([bound])


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
