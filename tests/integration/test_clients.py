"""Clients nobody here wrote, against the running program."""

import asyncio
import contextlib
import subprocess
from collections.abc import AsyncGenerator
from pathlib import Path

import msgspec
import pytest

from gateway import process, provider
from upstreams.scripted import Asked, Told, upstream
from vendors import javascript

HEAD = {"id": "chatcmpl-1", "created": 1, "model": "gpt-4o-2024-08-06"}
USAGE = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
TOOLS: list[dict[str, object]] = [
    {
        "type": "function",
        "function": {"name": "get_weather", "parameters": {"type": "object", "properties": {}}},
    }
]
QUESTION = [{"role": "user", "content": "What is the weather in Paris?"}]
ARGUMENTS = ['{"city"', ':"Par', 'is"}']


def whole(message: dict[str, object], finish: str = "stop") -> Told:
    choice = {
        "index": 0,
        "message": {"role": "assistant", "content": None} | message,
        "finish_reason": finish,
    }
    return Told(
        pieces=(
            msgspec.json.encode({**HEAD, "object": "chat.completion", "choices": [choice], "usage": USAGE}),
        )
    )


def streamed(*deltas: dict[str, object]) -> Told:
    chunks = [
        {
            **HEAD,
            "object": "chat.completion.chunk",
            "choices": [{"index": 0, "delta": delta, "finish_reason": None}],
        }
        for delta in deltas
    ]
    pieces = [b"data: " + msgspec.json.encode(chunk) + b"\n\n" for chunk in chunks]
    return Told(content_type="text/event-stream", pieces=[*pieces, b"data: [DONE]\n\n"])


def call(index: int, arguments: str, **more: object) -> dict[str, object]:
    return {
        "tool_calls": [
            {
                "index": index,
                **more,
                "function": {"arguments": arguments, **({"name": "get_weather"} if more else {})},
            }
        ]
    }


def openai(asked: Asked) -> Told:
    """Answer as the vendor does: text, or a tool call where tools are given."""
    body = asked.json
    if asked.target.endswith("/embeddings"):
        data = [{"object": "embedding", "index": 0, "embedding": [0.25, -1.5]}]
        return Told(
            pieces=(msgspec.json.encode({"object": "list", "model": "e", "data": data, "usage": USAGE}),)
        )
    if body.get("stream") and body.get("tools"):
        rest = [call(0, part) for part in ARGUMENTS]
        return streamed(
            {"role": "assistant", "content": None}, call(0, "", id="call_1", type="function"), *rest
        )
    if body.get("stream"):
        return streamed({"role": "assistant", "content": ""}, {"content": "It is "}, {"content": "21 °C 🌤"})
    if body.get("tools"):
        function = {"name": "get_weather", "arguments": "".join(ARGUMENTS)}
        return whole(
            {"tool_calls": [{"id": "call_1", "type": "function", "function": function}]}, "tool_calls"
        )
    return whole({"content": "It is 21 °C 🌤"})


@contextlib.asynccontextmanager
async def serving(tmp_path: Path) -> AsyncGenerator[str]:
    """Run the program in front of `openai`; gives the base URL for clients."""
    async with upstream(openai) as up:
        file = tmp_path / "nexus.toml"
        file.write_text(provider(up.url))
        running = process("--config", str(file))
        nexus = await asyncio.to_thread(running.__enter__)
        try:
            yield f"{nexus.url}/llm/openai/v1"
        finally:
            await asyncio.to_thread(running.__exit__, None, None, None)


async def test_the_python_client(tmp_path: Path) -> None:
    sdk = pytest.importorskip("openai")

    def use(base_url: str) -> None:
        with sdk.OpenAI(base_url=base_url, api_key="not-used", max_retries=0) as client:
            assert [model.id for model in client.models.list()] == ["gpt-4o"]
            assert client.models.retrieve("gpt-4o").owned_by == "openai"
            answer = client.chat.completions.create(model="up/gpt-4o", messages=QUESTION)
            assert (answer.model, answer.choices[0].message.content) == ("up/gpt-4o", "It is 21 °C 🌤")
            with client.chat.completions.create(model="gpt-4o", messages=QUESTION, stream=True) as chunks:
                told = [(chunk.model, chunk.choices[0].delta.content) for chunk in chunks]
            assert {name for name, _ in told} == {"gpt-4o"}
            assert "".join(text or "" for _, text in told) == "It is 21 °C 🌤"
            called = client.chat.completions.create(model="gpt-4o", messages=QUESTION, tools=TOOLS)
            assert called.choices[0].message.tool_calls[0].function.arguments == '{"city":"Paris"}'
            assert client.embeddings.create(model="gpt-4o", input="x", encoding_format="float").data[
                0
            ].embedding == [0.25, -1.5]
            with pytest.raises(sdk.NotFoundError, match="Provider 'nobody' not found"):
                client.chat.completions.create(model="nobody/x", messages=QUESTION)

    async with serving(tmp_path) as base_url:
        await asyncio.to_thread(use, base_url)


async def test_the_asynchronous_python_client_with_streamed_tools(tmp_path: Path) -> None:
    sdk = pytest.importorskip("openai")
    async with (
        serving(tmp_path) as base_url,
        sdk.AsyncOpenAI(base_url=base_url, api_key="not-used", max_retries=0) as client,
    ):
        async with client.chat.completions.stream(
            model="up/gpt-4o", messages=QUESTION, tools=TOOLS
        ) as events:
            final = await events.get_final_completion()
        tool = final.choices[0].message.tool_calls[0]
        assert (tool.id, tool.function.name, tool.function.arguments) == (
            "call_1",
            "get_weather",
            '{"city":"Paris"}',
        )


async def test_langchain(tmp_path: Path) -> None:
    langchain = pytest.importorskip("langchain_openai")
    async with serving(tmp_path) as base_url:
        chat = langchain.ChatOpenAI(model="up/gpt-4o", base_url=base_url, api_key="not-used", max_retries=0)
        assert (await chat.ainvoke("What is the weather?")).content == "It is 21 °C 🌤"
        parts = [part.content async for part in chat.astream("What is the weather?")]
        assert "".join(parts) == "It is 21 °C 🌤"
        called = await chat.bind_tools(TOOLS).ainvoke("What is the weather?")
        assert called.tool_calls[0]["args"] == {"city": "Paris"}
        await chat.root_async_client.close()


async def test_the_javascript_client(tmp_path: Path) -> None:
    async with serving(tmp_path) as base_url:
        assert await asyncio.to_thread(javascript, "chat.mjs", base_url) == {
            "models": ["gpt-4o"],
            "whole": ["up/gpt-4o", "It is 21 °C 🌤"],
            "streamed": [["up/gpt-4o"], "It is 21 °C 🌤"],
            "called": {"name": "get_weather", "arguments": '{"city":"Paris"}'},
            "refused": {"kind": "NotFoundError", "status": 404, "message": "404 Provider 'nobody' not found"},
            "embedded": [0.25, -1.5],
        }


async def test_curl(tmp_path: Path) -> None:
    async with serving(tmp_path) as base_url:
        command = [
            "curl",
            "-sSN",
            f"{base_url}/chat/completions",
            "-H",
            "content-type: application/json",
            "-d",
        ]
        body = msgspec.json.encode({"model": "up/gpt-4o", "messages": QUESTION, "stream": True}).decode()
        try:
            ended = await asyncio.to_thread(
                subprocess.run, [*command, body], capture_output=True, timeout=30, check=True
            )
        except FileNotFoundError:
            pytest.skip("curl is not installed")
        assert ended.stdout.count(b'"model":"up/gpt-4o"') == 3
        assert ended.stdout.endswith(b"data: [DONE]\n\n")
