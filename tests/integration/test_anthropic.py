"""The Anthropic protocol, relayed to providers that speak it."""

import asyncio

import msgspec
import pytest

from gateway import gateway
from upstreams.scripted import Told, upstream

MESSAGES = "/llm/anthropic/v1/messages"
ANSWER = (
    b'{"model":"claude-opus-4-8","id":"msg_1","type":"message","role":"assistant","content":[{"type":"thinking","thinking":"",'
    b'"signature":"Eq=="},{"type":"text","text":"Hi"}],"stop_reason":"end_turn","usage":{"input_tokens": 3}}'
)
STREAM = [
    b'event: message_start\ndata: {"type":"message_start","message":{"model":"claude-opus-4-8","id":"msg_1","content":[]}}\n\n',
    b'event: ping\ndata: {"type": "ping"}\n\n',
    b'event: content_block_delta\ndata: {"type":"content_block_delta","delta":{"text":"\\"model\\":\\"x\\""}}\n\n',
    b'event: message_stop\ndata: {"type":"message_stop"}\n\n',
]


def toml(url: str, more: str = "") -> str:
    return (
        "llm.protocols.anthropic.enabled = true\n"
        + more
        + f'\n[llm.providers.up]\ntype = "anthropic"\napi_key = "test-key"\n'
        f'base_url = "{url}"\n[llm.providers.up.models.opus]\nrename = "claude-opus-4-8"\n'
    )


def said(message: str, kind: str) -> bytes:
    return msgspec.json.encode({"type": "error", "error": {"type": kind, "message": message}})


async def test_only_the_model_changes_on_both_ways() -> None:
    body = b'{"model":"up/opus","max_tokens":64000,"system":[{"type":"text","text":"x","cache_control":{"type":"ephemeral"}}],'
    body += b'"thinking":{"type":"adaptive"},"context_management":{"edits":[]},"messages":[{"role":"system","content":"y"}]}'
    async with upstream(lambda _: Told(pieces=(ANSWER,))) as up, gateway(toml(up.url)) as nexus:
        beta = "claude-code-20250219,effort-2025-11-24"
        answer = await nexus.ask(
            "POST", MESSAGES + "?beta=true", body, anthropic_beta=beta, authorization="Bearer client"
        )
        assert (answer.status, answer.body) == (200, ANSWER.replace(b"claude-opus-4-8", b"up/opus"))
        assert up.last.target == "/v1/messages?beta=true"
        assert up.last.body == body.replace(b"up/opus", b"claude-opus-4-8")
        assert up.last.headers["x-api-key"] == "test-key"
        assert up.last.headers["anthropic-version"] == "2023-06-01"
        assert up.last.headers["anthropic-beta"] == beta
        assert "authorization" not in up.last.headers


async def test_the_version_of_the_client_wins() -> None:
    async with upstream(lambda _: Told(pieces=(ANSWER,))) as up, gateway(toml(up.url)) as nexus:
        await nexus.ask("POST", MESSAGES, b'{"model":"up/opus"}', anthropic_version="2099-01-01")
        assert up.last.headers["anthropic-version"] == "2099-01-01"


async def test_streams_name_the_model_of_the_client_in_their_first_event() -> None:
    told = Told(content_type="text/event-stream; charset=utf-8", pieces=STREAM)
    async with upstream(lambda _: told) as up, gateway(toml(up.url)) as nexus:
        answer = await nexus.ask("POST", MESSAGES, b'{"model":"up/opus","stream":true}')
        assert answer.body == b"".join(STREAM).replace(b"claude-opus-4-8", b"up/opus")


async def test_silence_is_filled_with_pings() -> None:
    gate = asyncio.Event()
    told = Told(content_type="text/event-stream", pieces=(STREAM[0], gate, STREAM[3]))
    more = 'llm.keep_alive = "100ms"'
    async with upstream(lambda _: told) as up, gateway(toml(up.url, more).replace("test-key", "k")) as nexus:
        asking = asyncio.create_task(nexus.ask("POST", MESSAGES, b'{"model":"up/opus","stream":true}'))
        await asyncio.sleep(1.5)
        gate.set()
        assert b'event: ping\ndata: {"type": "ping"}\n\n' in (await asking).body


async def test_token_counts_are_relayed() -> None:
    async with (
        upstream(lambda _: Told(pieces=(b'{"input_tokens":14}',))) as up,
        gateway(toml(up.url)) as nexus,
    ):
        answer = await nexus.ask(
            "POST", MESSAGES + "/count_tokens?beta=true", b'{"model":"up/opus","messages":[]}'
        )
        assert answer.body == b'{"input_tokens":14}'
        assert up.last.target == "/v1/messages/count_tokens?beta=true"


async def test_models_are_listed_in_its_own_shape() -> None:
    async with upstream() as up:
        page = (
            b'{"data":[{"type":"model","id":"claude-opus-4-8"}],"has_more":true,"last_id":"claude-opus-4-8"}'
        )
        up.listed = lambda asked: Told(
            pieces=(b'{"data":[],"has_more":false}' if "after_id" in asked.target else page,)
        )
        async with gateway(toml(up.url)) as nexus:
            listed = msgspec.json.decode((await nexus.ask("GET", "/llm/anthropic/v1/models?limit=1000")).body)
            assert [one["id"] for one in listed["data"]] == ["claude-opus-4-8", "up/opus"]
            assert listed["data"][0] == {
                "type": "model",
                "id": "claude-opus-4-8",
                "display_name": "claude-opus-4-8",
                "created_at": "1970-01-01T00:00:00Z",
            }
            assert (listed["first_id"], listed["last_id"], listed["has_more"]) == (
                "claude-opus-4-8",
                "up/opus",
                False,
            )
            assert [one.headers["x-api-key"] for one in up.asked] == ["test-key", "test-key"]


@pytest.mark.parametrize("path", ["", "/", "/api/hello"])
async def test_a_head_on_the_base_says_that_somebody_is_there(path: str) -> None:
    async with upstream() as up, gateway(toml(up.url)) as nexus:
        assert (await nexus.ask("HEAD", "/llm/anthropic" + path, connection="close")).status == 200


OWN_WORDS = (
    b'{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"},"request_id":"req_1"}'
)


@pytest.mark.parametrize("status", [400, 429, 529])
async def test_an_error_of_the_same_protocol_is_relayed_as_it_came(status: int) -> None:
    told = Told(status=status, pieces=(OWN_WORDS,), headers={"request-id": "req_1"})
    async with upstream(lambda _: told) as up, gateway(toml(up.url)) as nexus:
        answer = await nexus.ask("POST", MESSAGES, b'{"model":"up/opus"}')
        assert (answer.status, answer.body, answer.headers["request-id"]) == (status, OWN_WORDS, "req_1")


async def test_other_failures_are_told_in_its_own_words() -> None:
    async with upstream(lambda _: Told(status=503, content_type="text/plain", pieces=(b"no",))) as up:
        async with gateway(toml(up.url)) as nexus:
            for body, status, expected in (
                (
                    b"{}",
                    400,
                    said("Failed to parse request body: missing field `model`", "invalid_request_error"),
                ),
                (b'{"model":"nobody/x"}', 404, said("Provider 'nobody' not found", "not_found_error")),
                (b'{"model":"up/opus"}', 502, said("Provider API error (503): no", "api_error")),
            ):
                answer = await nexus.ask("POST", MESSAGES, body)
                assert (answer.status, answer.body) == (status, expected)


async def test_a_cut_stream_ends_with_an_error_event() -> None:
    told = Told(content_type="text/event-stream", pieces=STREAM[:2], cut=True)
    async with upstream(lambda _: told) as up, gateway(toml(up.url)) as nexus:
        answer = await nexus.ask("POST", MESSAGES, b'{"model":"up/opus","stream":true}')
        assert answer.body.split(b"\n\n")[-2].startswith(
            b'event: error\ndata: {"type":"error","error":{"type":"api_error"'
        )
        assert answer.whole


@pytest.mark.local
async def test_the_local_model_speaks_it() -> None:
    from nexus.llm.providers import local

    if not local.server_is_installed() or local.find_model() is None:
        pytest.skip(f"needs the local model: {local.INSTALL}")
    config = 'llm.protocols.anthropic.enabled = true\n[llm.providers.here]\ntype = "local"\ncontext = 2048\nthreads = 1\n'
    body = b'{"model":"here/smollm2-135m-instruct","max_tokens":20,"messages":[{"role":"user","content":"What is the capital'
    body += b' of France?"}]}'
    async with gateway(config) as nexus:
        answer = msgspec.json.decode((await nexus.ask("POST", MESSAGES, body)).body)
        assert (answer["type"], answer["model"]) == ("message", "here/smollm2-135m-instruct")
        assert "Paris" in answer["content"][0]["text"]
