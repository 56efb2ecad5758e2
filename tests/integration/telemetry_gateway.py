"""A gateway that tells of itself, and what is asked of it in the tests of that."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable

import msgspec

from gateway import Answer, Running, gateway, provider
from integration.mcp_gateway import ACCEPT, answer, stdio
from upstreams.otlp import Receiver
from upstreams.scripted import Asked, Told, Upstream, upstream

CHAT = "/llm/openai/v1/chat/completions"


ANTHROPIC = "/llm/anthropic/v1/messages"


IDENTIFIED = """
[server.client_identification]
enabled = true
client_id.http_header = "X-Client-ID"
group_id.http_header = "X-Group-ID"
validation.group_values = ["pro"]
"""


USAGE = (
    b'{"prompt_tokens":100,"completion_tokens":20,"total_tokens":120,"prompt_tokens_details":{"cached_tokens":64},'
    b'"completion_tokens_details":{"reasoning_tokens":5}}'
)


WHOLE = (
    b'{"id":"1","model":"gpt-4o-2024","choices":[{"message":{"content":"hi"},"finish_reason":"stop"}],"usage":%s}'
    % USAGE
)


WHO = {"X_Client_ID": "alice", "X_Group_ID": "pro"}


def event(delta: str, finish: str = "null", usage: bytes = b"null") -> bytes:
    return (
        b'data: {"id":"1","object":"chat.completion.chunk","model":"gpt-4o-2024","choices":[{"index":0,"delta":%s,'
        b'"finish_reason":%s}],"usage":%s}\n\n' % (delta.encode(), finish.encode(), usage)
    )


STREAM = (
    event('{"role":"assistant","content":""}'),
    event('{"content":"he"}'),
    event('{"content":"llo"}'),
    event("{}", '"tool_calls"'),
    b'data: {"id":"1","object":"chat.completion.chunk","model":"gpt-4o-2024","choices":[],"usage":%s}\n\n'
    % USAGE,
    b"data: [DONE]\n\n",
)


def says(asked: Asked) -> Told:
    if asked.json.get("stream"):
        later = asyncio.Event()  # else all of it is read at once
        asyncio.get_running_loop().call_later(0.05, later.set)
        return Told(content_type="text/event-stream", pieces=(*STREAM[:2], later, *STREAM[2:]))
    return Told(pieces=(WHOLE,))


def otlp(receiver: Receiver, more: str = "", tracing: str = "sampling = 1.0") -> str:
    spoken = "http" if "HTTP" in more else "grpc"
    return f"""
[telemetry]
service_name = "test-nexus"
resource_attributes = {{ environment = "test" }}
[telemetry.exporters.otlp]
enabled = true
endpoint = "{receiver.url}"
protocol = "{spoken}"
timeout = "5s"
[telemetry.exporters.otlp.batch_export]
scheduled_delay = "100ms"
[telemetry.tracing]
{tracing}
{more.replace("HTTP", "")}
"""


async def chat(
    nexus: Running, model: str = "up/gpt-4o", path: str = CHAT, headers: dict[str, str] = WHO, **more: object
) -> Answer:
    body = msgspec.json.encode({"model": model, "messages": [{"role": "user", "content": "Hello"}], **more})
    return await nexus.ask("POST", path, body, **headers)


async def until(condition: Callable[[], object], receiver: Receiver | None = None) -> None:
    """Wait for a condition, for that of what a receiver has got if one is given, while the gateway goes on."""
    if receiver is not None:
        await asyncio.to_thread(receiver.wait, condition)
        return
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.01)


@contextlib.asynccontextmanager
async def telling(
    receiver: Receiver, script: Callable[[Asked], Told] = says, more: str = "", **options: str
) -> AsyncGenerator[tuple[Running, Upstream]]:
    async with (
        upstream(script) as up,
        gateway(provider(up.url) + IDENTIFIED + otlp(receiver, more, **options)) as nexus,
    ):
        yield nexus, up


async def ask_mcp(nexus: Running, method: str, params: object = None) -> dict[str, object]:
    message = msgspec.json.encode({"jsonrpc": "2.0", "id": 1, "method": method, "params": params or {}})
    return answer((await nexus.ask("POST", "/mcp", message, accept=ACCEPT["accept"], **WHO)).body)


async def call(nexus: Running, tool: str, arguments: object) -> dict[str, object]:
    return await ask_mcp(nexus, "tools/call", {"name": tool, "arguments": arguments})


@contextlib.asynccontextmanager
async def aggregating(receiver: Receiver, more: str = "") -> AsyncGenerator[Running]:
    async with gateway(IDENTIFIED + stdio("math", "plain") + otlp(receiver, more)) as nexus:
        assert nexus.gateway.mcp is not None
        await asyncio.wait_for(nexus.gateway.mcp.pool.shared["math"].settled.wait(), 20)
        yield nexus
