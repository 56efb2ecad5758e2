"""Clients of one protocol, providers of another, over real sockets."""

import asyncio
from functools import partial
from typing import Any

import msgspec
import pytest

from gateway import gateway
from nexus.http import frames
from upstreams.scripted import Asked, Told, upstream

MESSAGES = "/llm/anthropic/v1/messages"
COUNT = "/llm/anthropic/v1/messages/count_tokens"
CHAT = "/llm/openai/v1/chat/completions"

CLAUDE = msgspec.json.encode(
    {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude-x",
        "content": [{"type": "text", "text": "Hi"}],
        "stop_reason": "end_turn",
        "usage": {"input_tokens": 10, "output_tokens": 15, "cache_read_input_tokens": 4},
    }
)
CLAUDE_STREAM = tuple(
    b"event: %s\ndata: %s\n\n" % (str(event["type"]).encode(), msgspec.json.encode(event))
    for event in (
        {"type": "message_start", "message": {"id": "msg_1", "model": "c", "usage": {"input_tokens": 9}}},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hé"}},
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 5}},
        {"type": "message_stop"},
    )
)
BUSY = b'event: error\ndata: {"type":"error","error":{"type":"overloaded_error","message":"Busy"}}\n\n'
_USAGE = {"prompt_tokens": 10, "completion_tokens": 15, "total_tokens": 25}
GPT = msgspec.json.encode(
    {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 7,
        "model": "gpt-x",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hi"}, "finish_reason": "stop"}],
        "usage": _USAGE,
    }
)
_CHOICES: tuple[tuple[dict[str, Any], dict[str, Any]], ...] = (
    ({"index": 0, "delta": {"role": "assistant", "content": ""}}, {}),
    ({"index": 0, "delta": {"content": "Hi"}}, {}),
    ({"index": 0, "delta": {}, "finish_reason": "stop"}, {"usage": _USAGE}),
)
GPT_STREAM = (
    *(
        b"data: %s\n\n"
        % msgspec.json.encode(
            {"id": "chatcmpl-1", "created": 7, "model": "gpt-x", "choices": [choice], **more}
        )
        for choice, more in _CHOICES
    ),
    b"data: [DONE]\n\n",
)


def toml(url: str, kind: str, more: str = "") -> str:
    return (
        "llm.protocols.anthropic.enabled = true\n"
        + more
        + f'\n[llm.providers.up]\ntype = "{kind}"\napi_key = "test-key"\nbase_url = "{url}"\n'
        '[llm.providers.up.models.smart]\nrename = "claude-sonnet-4-5"\n'
    )


def ask(**fields: Any) -> bytes:
    return msgspec.json.encode(
        {"model": "up/smart", "messages": [{"role": "user", "content": "Hello"}], **fields}
    )


def answer_with(told: Told, asked: Asked) -> Told:
    return told


def sse(*pieces: bytes) -> Told:
    return Told(content_type="text/event-stream", pieces=pieces)


def events(stream: bytes) -> list[Any]:
    return [
        msgspec.json.decode(data)
        for event in frames.events(stream)
        if (data := frames.payload(event)).startswith(b"{")
    ]


async def test_an_openai_client_talks_to_claude() -> None:
    async with upstream(lambda _: Told(pieces=(CLAUDE,))) as up, gateway(toml(up.url, "anthropic")) as nexus:
        answer = await nexus.ask("POST", CHAT, ask(temperature=0.5), authorization="Bearer client")
        assert answer.status == 200
        assert msgspec.json.decode(answer.body) == {
            "id": "msg_1",
            "object": "chat.completion",
            "created": msgspec.json.decode(answer.body)["created"],
            "model": "up/smart",
            "choices": [
                {"index": 0, "message": {"role": "assistant", "content": "Hi"}, "finish_reason": "stop"}
            ],
            "usage": {
                "prompt_tokens": 14,
                "completion_tokens": 15,
                "total_tokens": 29,
                "prompt_tokens_details": {"cached_tokens": 4},
            },
        }
        assert (up.last.target, up.last.headers["x-api-key"]) == ("/v1/messages", "test-key")
        assert up.last.headers["anthropic-version"] == "2023-06-01"
        assert "authorization" not in up.last.headers
        assert up.last.json == {
            "model": "claude-sonnet-4-5",
            "max_tokens": 4096,
            "temperature": 0.5,
            "messages": [{"role": "user", "content": "Hello"}],
        }
        assert "x-nexus-dropped" not in answer.headers


@pytest.mark.parametrize("asked", [False, True])
async def test_prompts_are_marked_for_the_cache_where_the_file_asks_for_it(asked: bool) -> None:
    async with upstream(lambda _: Told(pieces=(CLAUDE,))) as up:
        config = toml(up.url, "anthropic").replace(
            "api_key", f"cache_prompts = {str(asked).lower()}\napi_key"
        )
        async with gateway(config) as nexus:
            answer = await nexus.ask("POST", CHAT, ask())
    assert answer.status == 200
    assert "x-nexus-dropped" not in answer.headers
    marked = [{"type": "text", "text": "Hello", "cache_control": {"type": "ephemeral"}}]
    assert up.last.json["messages"] == [{"role": "user", "content": marked if asked else "Hello"}]


async def test_an_anthropic_client_talks_to_gpt() -> None:
    async with upstream(lambda _: Told(pieces=(GPT,))) as up, gateway(toml(up.url, "openai")) as nexus:
        answer = await nexus.ask("POST", MESSAGES + "?beta=true", ask(max_tokens=9, system="Be brief"))
        assert answer.status == 200
        assert msgspec.json.decode(answer.body) == {
            "id": "chatcmpl-1",
            "type": "message",
            "role": "assistant",
            "model": "up/smart",
            "content": [{"type": "text", "text": "Hi"}],
            "stop_reason": "end_turn",
            "stop_sequence": None,
            "usage": {
                "input_tokens": 10,
                "cache_creation_input_tokens": 0,
                "cache_read_input_tokens": 0,
                "output_tokens": 15,
            },
        }
        assert up.last.target == "/v1/chat/completions"
        assert up.last.json == {
            "model": "claude-sonnet-4-5",
            "messages": [
                {"role": "system", "content": "Be brief"},
                {"role": "user", "content": "Hello"},
            ],
            "max_tokens": 9,
            "stream": False,
        }


async def test_a_stream_of_claude_for_an_openai_client() -> None:
    async with (
        upstream(lambda _: sse(*CLAUDE_STREAM)) as up,
        gateway(toml(up.url, "anthropic")) as nexus,
    ):
        answer = await nexus.ask("POST", CHAT, ask(stream=True))
        assert answer.headers["content-type"] == "text/event-stream"
        assert answer.body.endswith(b"data: [DONE]\n\n")
        chunks = events(answer.body)
        assert {(chunk["id"], chunk["model"]) for chunk in chunks} == {("msg_1", "up/smart")}
        deltas = [chunk["choices"][0]["delta"] for chunk in chunks if chunk["choices"]]
        assert deltas[0]["role"] == "assistant"
        assert "".join(delta.get("content") or "" for delta in deltas) == "Hé"
        assert chunks[-1]["choices"][0]["finish_reason"] == "stop"
        assert chunks[-1]["usage"]["prompt_tokens"] == 9
        assert chunks[-1]["usage"]["completion_tokens"] == 5


async def test_a_stream_of_gpt_for_an_anthropic_client() -> None:
    async with upstream(lambda _: sse(*GPT_STREAM)) as up, gateway(toml(up.url, "openai")) as nexus:
        answer = await nexus.ask("POST", MESSAGES, ask(max_tokens=9, stream=True))
        told = events(answer.body)
        assert [event["type"] for event in told] == [
            "message_start",
            "content_block_start",
            "content_block_delta",
            "content_block_stop",
            "message_delta",
            "message_stop",
        ]
        assert told[0]["message"]["model"] == "up/smart"
        assert told[4]["usage"]["input_tokens"] == 10
        assert up.last.json["stream_options"] == {"include_usage": True}


@pytest.mark.parametrize("size", [1, 7, 50])
async def test_a_stream_comes_out_the_same_however_its_bytes_come(size: int) -> None:
    stream = b"".join(CLAUDE_STREAM)
    pieces = [stream[begin : begin + size] for begin in range(0, len(stream), size)]
    async with upstream(lambda _: sse(*pieces)) as up, gateway(toml(up.url, "anthropic")) as nexus:
        first = await nexus.ask("POST", CHAT, ask(stream=True))
        up.script = partial(answer_with, sse(stream))
        second = await nexus.ask("POST", CHAT, ask(stream=True))
        assert _timeless(first.body) == _timeless(second.body)


def _timeless(stream: bytes) -> list[Any]:
    return [{**chunk, "created": 0} for chunk in events(stream)]


async def test_what_is_left_out_is_named() -> None:
    async with upstream(lambda _: Told(pieces=(CLAUDE,))) as up, gateway(toml(up.url, "anthropic")) as nexus:
        answer = await nexus.ask("POST", CHAT, ask(seed=7, logit_bias={"1": 2}))
        assert answer.status == 200
        assert answer.headers["x-nexus-dropped"] == "seed, logit_bias"
        streamed = await nexus.ask("POST", CHAT, ask(seed=7, stream=True))
        assert streamed.headers["x-nexus-dropped"] == "seed"


@pytest.mark.parametrize("where", ["gateway", "provider"])
async def test_strictness_refuses_what_would_be_left_out(where: str) -> None:
    async with upstream(lambda _: Told(pieces=(CLAUDE,))) as up:
        config = toml(up.url, "anthropic", 'llm.loss = "strict"' if where == "gateway" else "")
        if where == "provider":
            config = config.replace('type = "anthropic"', 'type = "anthropic"\nloss = "strict"')
        async with gateway(config) as nexus:
            answer = await nexus.ask("POST", CHAT, ask(seed=7))
            assert answer.status == 400
            assert msgspec.json.decode(answer.body)["error"]["message"].startswith("seed: ")
            assert (await nexus.ask("POST", CHAT, ask())).status == 200
            assert len([one for one in up.asked if one.method == "POST"]) == 1


async def test_content_the_provider_has_no_words_for_is_refused_by_its_path() -> None:
    audio = {"type": "input_audio", "input_audio": {"data": "UklGRg==", "format": "wav"}}
    async with upstream() as up, gateway(toml(up.url, "anthropic")) as nexus:
        answer = await nexus.ask("POST", CHAT, ask(messages=[{"role": "user", "content": [audio]}]))
        error = msgspec.json.decode(answer.body)["error"]
        assert (answer.status, error["type"]) == (400, "invalid_request_error")
        assert error["message"].startswith("messages.0.content.0: ")


@pytest.mark.parametrize(
    ("body", "path"),
    [
        (ask(max_tokens="x"), "max_tokens"),
        (ask(messages=[{"role": "robot", "content": "x"}]), "messages.0.role"),
        (ask(messages=[{"role": "user", "content": [{"type": "text"}]}]), "messages.0.content.0.text"),
        (ask(tools=[{"description": "x"}]), "tools.0"),
    ],
)
async def test_a_broken_rule_is_told_by_its_path(body: bytes, path: str) -> None:
    async with upstream() as up:
        for kind, url in (("anthropic", CHAT), ("openai", MESSAGES)):
            if url == MESSAGES and b"max_tokens" not in body:
                body = body.replace(b"{", b'{"max_tokens":5,', 1)
            async with gateway(toml(up.url, kind)) as nexus:
                answer = await nexus.ask("POST", url, body)
                assert answer.status == 400
                assert path in msgspec.json.decode(answer.body)["error"]["message"]


async def test_a_failure_of_the_provider_is_told_in_the_words_of_the_client() -> None:
    said = b'{"type":"error","error":{"type":"rate_limit_error","message":"slow down"}}'
    told = Told(429, pieces=(said,), headers={"retry-after": "7", "request-id": "req-9"})
    async with upstream(lambda _: told) as up, gateway(toml(up.url, "anthropic")) as nexus:
        answer = await nexus.ask("POST", CHAT, ask(stream=True))
        error = msgspec.json.decode(answer.body)["error"]
        assert (answer.status, error["type"], error["code"]) == (429, "rate_limit_error", 429)
        assert "slow down" in error["message"]
        assert answer.headers["retry-after"] == "7"
        assert answer.headers["request-id"] == "req-9"


@pytest.mark.parametrize(
    "broken",
    [
        sse(*CLAUDE_STREAM[:3]),
        Told(content_type="text/event-stream", pieces=CLAUDE_STREAM[:3], cut=True),
        sse(
            *CLAUDE_STREAM[:3],
            b'event: error\ndata: {"type":"error","error":{"type":"overloaded_error","message":"Busy"}}\n\n',
        ),
        sse(*CLAUDE_STREAM[:3], b"data: nonsense\n\n"),
    ],
    ids=["ended early", "cut", "told", "nonsense"],
)
async def test_a_stream_that_fails_says_so_and_ends(broken: Told) -> None:
    async with upstream(lambda _: broken) as up, gateway(toml(up.url, "anthropic")) as nexus:
        answer = await nexus.ask("POST", CHAT, ask(stream=True))
        assert answer.whole
        assert b'"content":"H\xc3\xa9"' in answer.body
        *_, error, end = answer.body.split(b"\n\n")[:-1]
        assert end == b"data: [DONE]"
        assert msgspec.json.decode(error.removeprefix(b"data: "))["error"]["message"]


async def test_silence_is_filled_in_the_protocol_of_the_client() -> None:
    gate = asyncio.Event()
    told = Told(content_type="text/event-stream", pieces=(GPT_STREAM[0], gate, *GPT_STREAM[1:]))
    async with (
        upstream(lambda _: told) as up,
        gateway(toml(up.url, "openai", 'llm.keep_alive = "100ms"')) as nexus,
    ):
        asking = asyncio.create_task(nexus.ask("POST", MESSAGES, ask(max_tokens=9, stream=True)))
        asyncio.get_running_loop().call_later(1.5, gate.set)
        assert b'event: ping\ndata: {"type": "ping"}\n\n' in (await asking).body


async def test_an_answer_in_the_other_form_is_put_into_the_one_asked_for() -> None:
    async with upstream(lambda _: Told(pieces=(GPT,))) as up, gateway(toml(up.url, "openai")) as nexus:
        answer = await nexus.ask("POST", MESSAGES, ask(max_tokens=9, stream=True))
        assert [event["type"] for event in events(answer.body)][-1] == "message_stop"
        up.script = partial(answer_with, sse(*GPT_STREAM))
        answer = await nexus.ask("POST", MESSAGES, ask(max_tokens=9))
        assert msgspec.json.decode(answer.body)["content"] == [{"type": "text", "text": "Hi"}]


async def test_nonsense_in_place_of_an_answer_is_the_providers_fault() -> None:
    async with upstream(lambda _: Told(pieces=(b'{"x":1}',))) as up, gateway(toml(up.url, "openai")) as nexus:
        answer = await nexus.ask("POST", MESSAGES, ask(max_tokens=9))
        assert answer.status == 502
        assert msgspec.json.decode(answer.body)["error"]["type"] == "api_error"


async def test_the_same_request_is_the_same_bytes_upstream() -> None:
    tool = {"type": "function", "function": {"name": "t", "parameters": {"type": "object", "z": 1, "a": 2}}}
    async with upstream(lambda _: Told(pieces=(CLAUDE,))) as up, gateway(toml(up.url, "anthropic")) as nexus:
        for _ in range(2):
            await nexus.ask("POST", CHAT, ask(tools=[tool], user="u"))
        first, second = [one.body for one in up.asked if one.method == "POST"]
        assert first == second
        assert b'{"type":"object","z":1,"a":2}' in first


@pytest.mark.parametrize("stream", [False, True])
async def test_a_tool_keeps_its_name_however_long(stream: bool) -> None:
    name = "mcp__" + "server_" * 12 + "tool"
    tool = {"name": name, "input_schema": {"type": "object"}}
    asked: list[str] = []

    def script(one: Asked) -> Told:
        sent: Any = one.json
        asked.append(sent["tools"][0]["function"]["name"])
        call = {"index": 0, "id": "c", "type": "function", "function": {"name": asked[-1], "arguments": "{}"}}
        if stream:
            choice = {
                "index": 0,
                "delta": {"role": "assistant", "tool_calls": [call]},
                "finish_reason": "tool_calls",
            }
            return sse(
                b"data: " + msgspec.json.encode({"id": "x", "choices": [choice]}) + b"\n\n", GPT_STREAM[-1]
            )
        choice = {
            "index": 0,
            "message": {"role": "assistant", "tool_calls": [call]},
            "finish_reason": "tool_calls",
        }
        return Told(pieces=(msgspec.json.encode({"id": "x", "choices": [choice]}),))

    async with upstream(script) as up, gateway(toml(up.url, "openai")) as nexus:
        answer = await nexus.ask("POST", MESSAGES, ask(max_tokens=9, tools=[tool], stream=stream))
        assert len(asked[0]) == 64
        assert f'"name":"{name}"'.encode() in answer.body
        assert asked[0].encode() not in answer.body


async def test_tokens_are_counted_by_a_provider_that_can() -> None:
    async with (
        upstream(lambda _: Told(pieces=(b'{"input_tokens":14}',))) as up,
        gateway(toml(up.url, "anthropic")) as nexus,
    ):
        answer = await nexus.ask("POST", COUNT, ask())
        assert answer.body == b'{"input_tokens":14}'
        assert "x-nexus-estimated" not in answer.headers


@pytest.mark.parametrize("target", [COUNT, COUNT + "?beta=true"])
async def test_tokens_are_estimated_where_the_upstream_knows_no_counts(target: str) -> None:
    told = Told(404, pieces=(b'{"type":"error","error":{"type":"not_found_error","message":"x"}}',))
    async with upstream(lambda _: told) as up, gateway(toml(up.url, "anthropic")) as nexus:
        answer = await nexus.ask("POST", target, ask())
        assert (answer.status, answer.headers["x-nexus-estimated"]) == (200, "true")
        answer = await nexus.ask("POST", MESSAGES, ask(max_tokens=9))
        assert answer.status == 404


async def test_tokens_are_estimated_for_any_other() -> None:
    async with upstream() as up, gateway(toml(up.url, "openai")) as nexus:
        answer = await nexus.ask(
            "POST", COUNT, ask(system="Be brief", tools=[{"name": "t", "input_schema": {}}])
        )
        assert answer.headers["x-nexus-estimated"] == "true"
        assert 5 < msgspec.json.decode(answer.body)["input_tokens"] < 40
        assert [one for one in up.asked if one.method == "POST"] == []


async def test_a_thought_another_vendor_signed_goes_back_to_it_and_to_nobody_else() -> None:
    """A conversation that moves between vendors: each gets its own signatures, and never one it would refuse."""
    claude = msgspec.json.decode(CLAUDE)
    thought = {"type": "thinking", "thinking": "hm", "signature": "c2ln"}
    claude["content"] = [thought, *claude["content"]]
    body = msgspec.json.encode(claude)

    def script(asked: Asked) -> Told:
        return Told(pieces=(body if asked.target == "/v1/messages" else GPT,))

    async with upstream(script) as up, gateway(toml(up.url, "anthropic")) as nexus:
        answer = await nexus.ask("POST", CHAT, ask(reasoning_effort="low"))
        message = msgspec.json.decode(answer.body)["choices"][0]["message"]
        assert message["reasoning_content"] == "hm"
        history = [{"role": "user", "content": "Hello"}, message, {"role": "user", "content": "Go on"}]
        await nexus.ask("POST", CHAT, ask(messages=history))
        sent: Any = up.last.json
        assert sent["messages"][1]["content"][0] == thought
        config = toml(up.url, "openai")
        async with gateway(config) as other:
            await other.ask("POST", CHAT, ask(messages=history))
            assert b"c2ln" not in up.last.body


async def test_an_anthropic_client_sends_foreign_signatures_no_further() -> None:
    foreign = {"type": "thinking", "thinking": "", "signature": "nexus~google~c2ln"}
    history = [
        {"role": "user", "content": "Hello"},
        {"role": "assistant", "content": [foreign, {"type": "text", "text": "Hi"}]},
        {"role": "user", "content": "Go on"},
    ]
    async with upstream(lambda _: Told(pieces=(CLAUDE,))) as up, gateway(toml(up.url, "anthropic")) as nexus:
        answer = await nexus.ask("POST", MESSAGES, ask(messages=history, max_tokens=9))
        assert answer.status == 200
        sent: Any = up.last.json
        assert sent["messages"][1]["content"] == "Hi"


async def test_the_echo_model_speaks_to_everybody() -> None:
    config = 'llm.protocols.anthropic.enabled = true\n[llm.providers.try]\ntype = "echo"\n'
    async with gateway(config) as nexus:
        body = ask(max_tokens=9).replace(b"up/smart", b"try/echo")
        answer = msgspec.json.decode((await nexus.ask("POST", MESSAGES, body)).body)
        assert answer["content"] == [{"type": "text", "text": "Hello"}]
        streamed = (await nexus.ask("POST", MESSAGES, body.replace(b"{", b'{"stream":true,', 1))).body
        assert events(streamed)[-1] == {"type": "message_stop"}
