"""Clients of other protocols before a gateway whose provider is Gemini."""

from collections.abc import AsyncGenerator
from typing import Any, cast

import msgspec
import pytest

from gateway import Running, gateway
from upstreams.scripted import Asked, Told, Upstream, upstream

CHAT, MESSAGES = "/llm/openai/v1/chat/completions", "/llm/anthropic/v1/messages"
MODEL = "google/gemini-3-flash-preview"
MODELS = b'{"models":[{"name":"models/gemini-3-flash-preview"},{"name":"models/gemini-embedding-001"}]}'
SIGNATURE = "c2lnbmF0dXJl"
Served = tuple[Running, Upstream]
LOOK = {"type": "object", "properties": {"at": {"type": "string"}}}
SAID: dict[str, Any] = {
    "candidates": [
        {
            "content": {
                "role": "model",
                "parts": [
                    {"text": "Let me look."},
                    {
                        "functionCall": {"name": "look", "args": {"at": "a"}},
                        "thoughtSignature": SIGNATURE,
                    },
                    {"functionCall": {"name": "look", "args": {}}},
                ],
            },
            "finishReason": "STOP",
            "index": 0,
        }
    ],
    "usageMetadata": {"promptTokenCount": 10, "candidatesTokenCount": 5, "thoughtsTokenCount": 3},
    "modelVersion": "gemini-3-flash-preview",
    "responseId": "r1",
}


def configuration(up: Upstream) -> str:
    base_url = up.url.removesuffix("/v1") + "/v1beta"
    return f"""
        [llm.protocols.anthropic]
        enabled = true
        [llm.providers.google]
        type = "google"
        api_key = "test-key"
        base_url = "{base_url}"
    """


def answer(asked: Asked) -> Told:
    if asked.method == "GET":
        return Told(pieces=(MODELS,))
    if "streamGenerateContent" in asked.target:
        return Told(content_type="text/event-stream", pieces=stream())
    if "countTokens" in asked.target:
        return Told(pieces=(b'{"totalTokens":31}',))
    if "batchEmbedContents" in asked.target:
        return Told(pieces=(b'{"embeddings":[{"values":[0.5,1]},{"values":[2,3]}]}',))
    return Told(pieces=(msgspec.json.encode(SAID),))


def stream() -> list[bytes]:
    """Write the answer as a stream: a chunk for each part, and an end that says no more."""
    (candidate,) = SAID["candidates"]
    parts = candidate["content"]["parts"]
    chunks = [{**SAID, "candidates": [{"content": {"parts": [part]}}]} for part in parts]
    nothing: dict[str, Any] = {}
    last = {**SAID, "candidates": [{"content": {"parts": [nothing]}, "finishReason": "STOP"}]}
    return [b"data: " + msgspec.json.encode(chunk) + b"\r\n\r\n" for chunk in [*chunks, last]]


@pytest.fixture
async def served() -> AsyncGenerator[Served]:
    async with upstream(answer) as up, gateway(configuration(up)) as running:
        yield running, up


async def ask(running: Running, path: str, body: dict[str, Any]) -> dict[str, Any]:
    got = await running.ask("POST", path, msgspec.json.encode(body))
    assert got.status == 200, got.body
    return msgspec.json.decode(got.body)


def events(body: bytes) -> list[dict[str, Any]]:
    lines = [line[6:] for line in body.split(b"\n") if line.startswith(b"data: {")]
    return [msgspec.json.decode(line) for line in lines]


def chat(*messages: dict[str, Any], **more: Any) -> dict[str, Any]:
    tool = {"type": "function", "function": {"name": "look", "parameters": LOOK}}
    return {"model": MODEL, "messages": messages, "tools": [tool], **more}


def contents(up: Upstream) -> list[dict[str, Any]]:
    return cast("list[dict[str, Any]]", up.last.json["contents"])


async def test_its_models_are_listed(served: Served) -> None:
    got = await served[0].ask("GET", "/llm/openai/v1/models")
    ids = [one["id"] for one in msgspec.json.decode(got.body)["data"]]
    assert ids == ["gemini-3-flash-preview", "gemini-embedding-001"]


async def test_an_openai_client_gets_parallel_calls(served: Served) -> None:
    running, up = served
    body = await ask(running, CHAT, chat({"role": "user", "content": "look twice"}))
    assert up.last.target == "/v1beta/models/gemini-3-flash-preview:generateContent"
    assert up.last.headers["x-goog-api-key"] == "test-key"
    (choice,) = body["choices"]
    assert body["model"] == MODEL
    assert choice["finish_reason"] == "tool_calls"
    assert choice["message"]["content"] == "Let me look."
    calls = [call["function"]["arguments"] for call in choice["message"]["tool_calls"]]
    assert calls == ['{"at":"a"}', "{}"]
    assert body["usage"]["completion_tokens"] == 8


async def test_an_openai_client_gets_a_stream(served: Served) -> None:
    running, up = served
    request = chat({"role": "user", "content": "x"}, stream=True)
    got = await running.ask("POST", CHAT, msgspec.json.encode(request))
    assert up.last.target == "/v1beta/models/gemini-3-flash-preview:streamGenerateContent?alt=sse"
    chunks = events(got.body)
    assert got.body.endswith(b"data: [DONE]\n\n")
    assert len({chunk["id"] for chunk in chunks}) == 1
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks if chunk["choices"]]
    indexes = [call["index"] for delta in deltas for call in delta.get("tool_calls") or ()]
    assert sorted(set(indexes)) == [0, 1]
    reasons = [chunk["choices"][0].get("finish_reason") for chunk in chunks if chunk["choices"]]
    assert [reason for reason in reasons if reason] == ["tool_calls"]


async def test_a_tool_loop_of_an_openai_client_passes_the_check_of_signatures(served: Served) -> None:
    running, up = served
    asked = {"role": "user", "content": "look twice"}
    message = (await ask(running, CHAT, chat(asked)))["choices"][0]["message"]
    # a client that keeps of a call no more than the specification has
    plain = [
        {"id": one["id"], "type": "function", "function": one["function"]} for one in message["tool_calls"]
    ]
    results = [{"role": "tool", "tool_call_id": one["id"], "content": "seen"} for one in plain]
    await ask(running, CHAT, chat(asked, {**message, "tool_calls": plain}, *results))
    first, second = (part for part in contents(up)[1]["parts"] if "functionCall" in part)
    assert first["thoughtSignature"] in (SIGNATURE, "skip_thought_signature_validator")
    assert "thoughtSignature" not in second
    assert [part["functionResponse"]["name"] for part in contents(up)[2]["parts"]] == ["look", "look"]


@pytest.mark.parametrize("streamed", [False, True])
async def test_a_tool_loop_of_an_anthropic_client_keeps_the_signature(served: Served, streamed: bool) -> None:
    running, up = served
    asked = {"role": "user", "content": "look twice"}
    request = {
        "model": MODEL,
        "max_tokens": 100,
        "messages": [asked],
        "tools": [{"name": "look", "input_schema": LOOK}],
    }
    if streamed:
        got = await running.ask("POST", MESSAGES, msgspec.json.encode({**request, "stream": True}))
        content = gathered(events(got.body))
    else:
        content = (await ask(running, MESSAGES, request))["content"]
    calls = [block for block in content if block["type"] == "tool_use"]
    assert [call["input"] for call in calls] == [{"at": "a"}, {}]
    results = [{"type": "tool_result", "tool_use_id": call["id"], "content": "seen"} for call in calls]
    turns = [asked, {"role": "assistant", "content": content}, {"role": "user", "content": results}]
    await ask(running, MESSAGES, {**request, "messages": turns})
    parts = contents(up)[1]["parts"]
    assert [part.get("thoughtSignature") for part in parts] == [None, SIGNATURE, None]
    assert [next(iter(part)) for part in parts] == ["text", "functionCall", "functionCall"]


def gathered(stream: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Gather the blocks of a Messages stream as an SDK does."""
    blocks: dict[int, dict[str, Any]] = {}
    for event in stream:
        if event["type"] == "content_block_start":
            blocks[event["index"]] = {**event["content_block"], "json": ""}
        elif event["type"] == "content_block_delta":
            block, delta = blocks[event["index"]], event["delta"]
            block["json"] += delta.get("partial_json", "")
            for name in ("text", "thinking", "signature"):
                if name in delta:
                    block[name] = block.get(name, "") + delta[name]
    for block in blocks.values():
        written = block.pop("json")
        if block["type"] == "tool_use":
            block["input"] = msgspec.json.decode(written or "{}")
    return [blocks[index] for index in sorted(blocks)]


async def test_tokens_are_counted_by_google(served: Served) -> None:
    running, up = served
    body = {"model": MODEL, "messages": [{"role": "user", "content": "x"}]}
    assert (await ask(running, MESSAGES + "/count_tokens", body))["input_tokens"] == 31
    assert up.last.target == "/v1beta/models/gemini-3-flash-preview:countTokens"


async def test_embeddings_are_made_by_google(served: Served) -> None:
    running, up = served
    body = {"model": "google/gemini-embedding-001", "input": ["a", "b"], "dimensions": 2}
    got = await ask(running, "/llm/openai/v1/embeddings", body)
    assert [one["embedding"] for one in got["data"]] == [[0.5, 1], [2, 3]]
    assert up.last.target == "/v1beta/models/gemini-embedding-001:batchEmbedContents"


async def test_what_was_left_out_is_told(served: Served) -> None:
    request = chat({"role": "user", "content": "x"}, logit_bias={"1": 1}, parallel_tool_calls=False)
    got = await served[0].ask("POST", CHAT, msgspec.json.encode(request))
    assert set(got.headers["x-nexus-dropped"].split(", ")) == {"parallel_tool_calls", "logit_bias"}


async def test_a_failure_on_the_way_ends_the_stream_with_an_error() -> None:
    failed = b'data: {"error":{"code":503,"message":"overloaded","status":"UNAVAILABLE"}}\n\n'

    def script(asked: Asked) -> Told:
        if asked.method == "GET":
            return Told(pieces=(MODELS,))
        return Told(content_type="text/event-stream", pieces=(stream()[0], failed))

    async with upstream(script) as up, gateway(configuration(up)) as running:
        request = chat({"role": "user", "content": "x"}, stream=True)
        got = await running.ask("POST", CHAT, msgspec.json.encode(request))
        assert got.status == 200
        assert any("error" in event for event in events(got.body))
        assert b"overloaded" in got.body
