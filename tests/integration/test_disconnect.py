"""A client that leaves in the middle of a stream ends the call to the provider, on every path there is."""

import asyncio
import base64
from dataclasses import dataclass
from typing import Any

import msgspec
import pytest

from gateway import Running, gateway
from upstreams.scripted import Asked, Told, upstream
from wires.eventstream import event

AT_ONCE = 0.1
"""Seconds."""
CHAT = "/llm/openai/v1/chat/completions"
RESPONSES = "/llm/openai/v1/responses"
MESSAGES = "/llm/anthropic/v1/messages"
EVENT_STREAM = "application/vnd.amazon.eventstream"
MESSAGE_START: dict[str, Any] = {
    "type": "message_start",
    "message": {"id": "msg_1", "model": "claude", "usage": {}},
}


def sse(data: object, name: str = "") -> bytes:
    head = f"event: {name}\n".encode() if name else b""
    return head + b"data: " + msgspec.json.encode(data) + b"\n\n"


CHUNK = sse(
    {"id": "c", "model": "m", "choices": [{"index": 0, "delta": {"role": "assistant", "content": "H"}}]}
)
CREATED = sse({"type": "response.created", "response": {"id": "resp_1", "model": "m"}}, "response.created")
CANDIDATE = sse({"responseId": "r", "candidates": [{"content": {"role": "model", "parts": [{"text": "H"}]}}]})
INVOKED = event("chunk", {"bytes": base64.b64encode(msgspec.json.encode(MESSAGE_START)).decode()})
CONVERSED = event("messageStart", {"role": "assistant"}) + event(
    "contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": "H"}}
)


@dataclass(frozen=True)
class Path:
    """How a client reaches a kind of provider, and how that provider begins its stream."""

    target: str
    provider: str
    first: bytes
    content_type: str = "text/event-stream"
    model: str = "m"
    more: str = 'api_key = "k"'


AWS = 'region = "us-east-1"\naccess_key_id = "AKID"\nsecret_access_key = "secret"'
PATHS = {
    "openai, relayed": Path(CHAT, "openai", CHUNK),
    "responses, relayed": Path(RESPONSES, "openai", CREATED, more="responses = true"),
    "anthropic, relayed": Path(MESSAGES, "anthropic", sse(MESSAGE_START, "message_start")),
    "anthropic to Bedrock, relayed": Path(
        MESSAGES, "bedrock", INVOKED, EVENT_STREAM, "anthropic.claude-sonnet-4-5", AWS
    ),
    "openai to anthropic": Path(CHAT, "anthropic", sse(MESSAGE_START, "message_start")),
    "anthropic to openai": Path(MESSAGES, "openai", CHUNK),
    "responses to openai": Path(RESPONSES, "openai", CHUNK),
    "openai to google": Path(CHAT, "google", CANDIDATE),
    "openai to Bedrock": Path(CHAT, "bedrock", CONVERSED, EVENT_STREAM, "amazon.nova-lite-v1:0", AWS),
}


def body(path: Path) -> bytes:
    asked: dict[str, Any] = {"model": f"up/{path.model}", "stream": True}
    if path.target == RESPONSES:
        return msgspec.json.encode({**asked, "input": "Hello"})
    messages = [{"role": "user", "content": "Hello"}]
    return msgspec.json.encode({**asked, "max_tokens": 9, "messages": messages})


async def ask(nexus: Running, path: Path) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection("127.0.0.1", nexus.port)
    sent = body(path)
    head = f"POST {path.target} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {len(sent)}"
    writer.write(head.encode() + b"\r\n\r\n" + sent)
    return reader, writer


@pytest.mark.parametrize("path", PATHS.values(), ids=PATHS)
async def test_the_call_upstream_ends_at_once(path: Path) -> None:
    never = asyncio.Event()

    def script(asked: Asked) -> Told:
        if asked.method == "GET":
            return Told(pieces=(b'{"data":[],"models":[]}',))
        return Told(content_type=path.content_type, pieces=(path.first, never))

    config = (
        f'llm.protocols.anthropic.enabled = true\n[llm.providers.up]\ntype = "{path.provider}"\n{path.more}\n'
    )
    async with upstream(script) as up:
        up.listed = script
        async with gateway(f'{config}base_url = "{up.url}"\n') as nexus:
            reader, writer = await ask(nexus, path)
            head = await reader.readuntil(b"\r\n\r\n")
            assert b" 200 " in head, head + await reader.read(999)
            await reader.readuntil(b"\n\n")  # the stream has begun
            begun = asyncio.get_running_loop().time()
            writer.transport.abort()
            await up.left.wait()
            assert asyncio.get_running_loop().time() - begun < AT_ONCE
