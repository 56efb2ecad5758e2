"""AWS Bedrock behind the gateway: what it is asked, how that is signed, and what clients get of its answers."""

import asyncio
import base64
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import msgspec
import pytest

from gateway import command, gateway
from nexus.llm.providers import aws
from recorded import exchanges, needed
from upstreams.scripted import Asked, Told, upstream
from wires.eventstream import event, exception

CHAT = "/llm/openai/v1/chat/completions"
MESSAGES = "/llm/anthropic/v1/messages"
SONNET = "us.anthropic.claude-sonnet-4-5-20250929-v1:0"
NOVA = "us.amazon.nova-micro-v1:0"
STREAM = "application/vnd.amazon.eventstream"
KEYS = 'access_key_id = "AKID"\nsecret_access_key = "secret"\nsession_token = "token"'
PROFILES: dict[str, Any] = {
    "inferenceProfileSummaries": [
        {
            "inferenceProfileId": SONNET,
            "models": [{"modelArn": f"arn:aws:bedrock:us-east-1::foundation-model/{SONNET[3:]}"}],
        }
    ]
}
APPLICATION: dict[str, Any] = {
    "inferenceProfileSummaries": [
        {
            "inferenceProfileId": "abc123",
            "inferenceProfileArn": "arn:aws:bedrock:us-east-1:1:application-inference-profile/abc123",
            "models": [{"modelArn": f"arn:aws:bedrock:us-east-1::foundation-model/{SONNET[3:]}"}],
        }
    ]
}
FOUNDATION: dict[str, Any] = {
    "modelSummaries": [{"modelId": "amazon.nova-micro-v1:0", "providerName": "Amazon"}, {"modelId": "x.y"}]
}
ANSWER: dict[str, Any] = {
    "output": {"message": {"role": "assistant", "content": [{"text": "Hello!"}]}},
    "stopReason": "end_turn",
    "usage": {"inputTokens": 10, "outputTokens": 15, "totalTokens": 25},
    "metrics": {"latencyMs": 1},
}
WHOLE = (
    b'{"model":"claude-sonnet-4-5-20250929","id":"msg_1","type":"message","role":"assistant","content":[]}'
)


@pytest.fixture(autouse=True)
def no_keys_but_those_of_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_ACCESS_KEY_ID", "AWS_BEARER_TOKEN_BEDROCK"):
        monkeypatch.delenv(name, raising=False)


def toml(url: str, keys: str = KEYS) -> str:
    return (
        f'llm.protocols.anthropic.enabled = true\n[llm.providers.aws]\ntype = "bedrock"\nregion = "eu-west-1"\n'
        f'base_url = "{url}"\n{keys}\n[llm.providers.aws.models.nova]\nrename = "{NOVA}"\n'
        f'[llm.providers.aws.models.claude]\nrename = "{SONNET}"\n'
    )


def script(answer: Callable[[Asked], Told] = lambda _: told(ANSWER)) -> Callable[[Asked], Told]:
    """Answer the lists as Bedrock does, and anything else as given."""

    def one(asked: Asked) -> Told:
        if asked.method != "GET":
            return answer(asked)
        if asked.target.startswith("/v1/foundation-models"):
            return told(FOUNDATION)
        return told(APPLICATION if "type=APPLICATION" in asked.target else PROFILES)

    return one


def told(content: object, status: int = 200) -> Told:
    return Told(status, pieces=(content if isinstance(content, bytes) else msgspec.json.encode(content),))


def streamed(*events: bytes) -> Callable[[Asked], Told]:
    data = b"".join(events)
    return lambda _: Told(content_type=STREAM, pieces=[data[at : at + 11] for at in range(0, len(data), 11)])


def chunk(inner: bytes) -> bytes:
    return event("chunk", {"bytes": base64.b64encode(inner).decode(), "p": "ab"})


def is_signed(asked: Asked, keys: aws.Keys, content_type: bytes = b"application/json") -> bool:
    """Tell whether the signature of a request is that of its own bytes."""
    moment = asked.headers["x-amz-date"]
    now = datetime.strptime(moment, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC).timestamp()
    signer = aws.Signer("bedrock", "eu-west-1")
    expected = signer.sign(
        keys,
        asked.method.encode(),
        asked.headers["host"].encode(),
        asked.target.encode(),
        content_type,
        asked.body,
        now,
    )
    return f"authorization: {asked.headers['authorization']}\r\n".encode() in expected


def chat(model: str, **fields: object) -> bytes:
    return msgspec.json.encode({"model": model, "messages": [{"role": "user", "content": "hi"}], **fields})


def events_of(body: bytes) -> list[Any]:
    found = re.findall(rb"^data: (\{.*\})$", body, re.MULTILINE)
    return [msgspec.json.decode(one) for one in found]


async def test_a_chat_is_translated_signed_and_answered() -> None:
    async with upstream(script()) as up, gateway(toml(up.url)) as nexus:
        answer = await nexus.ask("POST", CHAT, chat("aws/nova", temperature=0.5, seed=1))
        found = msgspec.json.decode(answer.body)
        assert answer.status == 200
        assert found["choices"][0]["message"]["content"] == "Hello!"
        assert found["usage"]["prompt_tokens"] == 10
        assert found["model"] == "aws/nova"
        assert found["id"].startswith("bedrock-")
        assert answer.headers["x-nexus-dropped"] == "seed"
        assert up.last.target == "/v1/model/us.amazon.nova-micro-v1%3A0/converse"
        assert up.last.json == {
            "messages": [{"role": "user", "content": [{"text": "hi"}]}],
            "inferenceConfig": {"temperature": 0.5},
        }
        assert is_signed(up.last, aws.Keys("AKID", "secret", "token"))
        assert up.last.headers["x-amz-security-token"] == "token"


async def test_every_list_is_signed_too() -> None:
    async with upstream(script()) as up, gateway(toml(up.url)):
        lists = [asked for asked in up.asked if asked.method == "GET"]
        assert [asked.target for asked in lists] == [
            "/v1/inference-profiles?maxResults=1000",
            "/v1/inference-profiles?maxResults=1000&type=APPLICATION",
            "/v1/foundation-models",
        ]
        assert all(is_signed(asked, aws.Keys("AKID", "secret", "token"), b"") for asked in lists)


async def test_an_api_key_takes_the_place_of_a_signature() -> None:
    async with upstream(script()) as up, gateway(toml(up.url, 'api_key = "bedrock-key"')) as nexus:
        assert (await nexus.ask("POST", CHAT, chat("aws/nova"))).status == 200
        assert {asked.headers["authorization"] for asked in up.asked} == {"Bearer bedrock-key"}
        assert "x-amz-date" not in up.last.headers


async def test_a_key_in_the_environment_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_BEARER_TOKEN_BEDROCK", "environment-key")
    async with upstream(script()) as up, gateway(toml(up.url, "")) as nexus:
        await nexus.ask("POST", CHAT, chat("aws/nova"))
        assert up.last.headers["authorization"] == "Bearer environment-key"


async def test_a_stream_is_read_out_of_its_binary_messages() -> None:
    said = streamed(
        event("messageStart", {"role": "assistant"}),
        event("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": "Hé"}}),
        event("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": "llo"}}),
        event("contentBlockStop", {"contentBlockIndex": 0}),
        event(
            "contentBlockStart",
            {"contentBlockIndex": 1, "start": {"toolUse": {"toolUseId": "t", "name": "f"}}},
        ),
        event("contentBlockStop", {"contentBlockIndex": 1}),
        event("messageStop", {"stopReason": "tool_use"}),
        event("metadata", {"usage": {"inputTokens": 1, "outputTokens": 2}, "metrics": {"latencyMs": 1}}),
    )
    async with upstream(script(said)) as up, gateway(toml(up.url)) as nexus:
        body = chat("aws/nova", stream=True, stream_options={"include_usage": True})
        answer = await nexus.ask("POST", CHAT, body)
        assert answer.headers["content-type"] == "text/event-stream"
        assert up.last.target.endswith("/converse-stream")
        events = events_of(answer.body)
        deltas = [one["choices"][0]["delta"] for one in events if one["choices"]]
        assert "".join(delta.get("content") or "" for delta in deltas) == "Héllo"
        calls = [call for delta in deltas for call in delta.get("tool_calls", ())]
        assert "".join(call["function"].get("arguments", "") for call in calls) == "{}"
        assert events[-1]["usage"]["total_tokens"] == 3
        assert answer.body.endswith(b"data: [DONE]\n\n")


async def test_a_failure_within_a_stream_reaches_the_client() -> None:
    said = streamed(
        event("messageStart", {"role": "assistant"}), exception("throttlingException", "Too many tokens")
    )
    async with upstream(script(said)) as up, gateway(toml(up.url)) as nexus:
        answer = await nexus.ask("POST", CHAT, chat("aws/nova", stream=True))
        assert events_of(answer.body)[-1]["error"]["message"] == "Too many tokens"
        assert events_of(answer.body)[-1]["error"]["type"] == "rate_limit_error"


@pytest.mark.parametrize("end", [event("messageStop", {"stopReason": "end_turn"})[:-3], b""])
async def test_a_stream_that_is_cut_ends_with_an_error(end: bytes) -> None:
    said = streamed(
        event("messageStart", {"role": "assistant"}),
        event("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": "a"}}),
        end,
    )
    async with upstream(script(said)) as up, gateway(toml(up.url)) as nexus:
        answer = await nexus.ask("POST", CHAT, chat("aws/nova", stream=True))
        assert "error" in events_of(answer.body)[-1]


@pytest.mark.parametrize(
    ("status", "seen", "kind"),
    [
        (400, 400, "invalid_request_error"),
        (403, 401, "authentication_error"),
        (404, 404, "not_found_error"),
        (429, 429, "rate_limit_error"),
        (408, 502, "api_error"),
        (424, 502, "api_error"),
        (500, 500, "internal_error"),
        (503, 502, "api_error"),
    ],
)
async def test_failures_have_the_statuses_of_the_contract(status: int, seen: int, kind: str) -> None:
    refused = told({"message": "The provided model identifier is invalid."}, status)
    async with upstream(script(lambda _: refused)) as up, gateway(toml(up.url)) as nexus:
        answer = await nexus.ask("POST", CHAT, chat("aws/nova"))
        error = msgspec.json.decode(answer.body)["error"]
        assert (answer.status, error["type"]) == (seen, kind)
        assert "The provided model identifier is invalid." in error["message"]
        if status == 403:
            assert error["message"].startswith("Authentication failed: ")


async def test_claude_is_relayed_in_the_messages_api() -> None:
    body = b'{"model":"aws/claude","max_tokens":9,"messages":[{"role":"user","content":[ {"n":0.10} ]}],"service_tier":"auto"}'
    async with upstream(script(lambda _: told(WHOLE))) as up, gateway(toml(up.url)) as nexus:
        answer = await nexus.ask(
            "POST",
            MESSAGES + "?beta=true",
            body,
            anthropic_version="2023-06-01",
            anthropic_beta="claude-code-20250219,effort-2025-11-24",
        )
        assert (answer.status, answer.body) == (
            200,
            WHOLE.replace(b"claude-sonnet-4-5-20250929", b"aws/claude"),
        )
        assert up.last.target == "/v1/model/us.anthropic.claude-sonnet-4-5-20250929-v1%3A0/invoke"
        assert up.last.body == (
            b'{"max_tokens":9,"messages":[{"role":"user","content":[ {"n":0.10} ]}],'
            b'"anthropic_version":"bedrock-2023-05-31","anthropic_beta":["effort-2025-11-24"]}'
        )
        assert is_signed(up.last, aws.Keys("AKID", "secret", "token"))
        assert "anthropic-beta" not in up.last.headers


async def test_the_betas_of_the_file_go_on() -> None:
    async with (
        upstream(script(lambda _: told(WHOLE))) as up,
        gateway(toml(up.url, KEYS + '\nbetas = ["b-1"]')) as nexus,
    ):
        await nexus.ask("POST", MESSAGES, b'{"model":"aws/claude"}', anthropic_beta="effort-2025-11-24,b-1")
        assert up.last.json["anthropic_beta"] == ["b-1"]


async def test_streams_of_claude_are_the_events_in_their_chunks() -> None:
    said = [
        ("message_start", b'{"type":"message_start","message":{"model":"claude-sonnet-4-5","content":[]}}'),
        (
            "content_block_delta",
            b'{"type":"content_block_delta","delta":{"type":"thinking_delta","thinking":"\xc3\xa9"}}',
        ),
        (
            "content_block_delta",
            b'{"type":"content_block_delta","delta":{"type":"signature_delta","signature":"c2ln"}}',
        ),
        (
            "message_stop",
            b'{"type":"message_stop","amazon-bedrock-invocationMetrics":{"inputTokenCount": 1}}',
        ),
    ]
    chunks = streamed(*(chunk(inner) for _, inner in said))
    async with upstream(script(chunks)) as up, gateway(toml(up.url)) as nexus:
        answer = await nexus.ask("POST", MESSAGES, b'{"model":"aws/claude","stream":true}')
        assert up.last.target.endswith("/invoke-with-response-stream")
        told = b"".join(b"event: %s\ndata: %s\n\n" % (kind.encode(), inner) for kind, inner in said)
        assert answer.body == told.replace(b"claude-sonnet-4-5", b"aws/claude")


async def test_a_failing_stream_of_claude_ends_with_the_error_of_its_own_protocol() -> None:
    said = streamed(chunk(b'{"type":"ping"}'), exception("modelTimeoutException", "too slow"))
    async with upstream(script(said)) as up, gateway(toml(up.url)) as nexus:
        answer = await nexus.ask("POST", MESSAGES, b'{"model":"aws/claude","stream":true}')
        error = {"type": "error", "error": {"type": "timeout_error", "message": "too slow"}}
        assert answer.body.endswith(b"event: error\ndata: " + msgspec.json.encode(error) + b"\n\n")


async def test_failures_are_told_to_clients_of_the_messages_api_in_its_words() -> None:
    refused = told({"message": "invalid beta flag"}, 400)
    async with upstream(script(lambda _: refused)) as up, gateway(toml(up.url)) as nexus:
        answer = await nexus.ask("POST", MESSAGES, b'{"model":"aws/claude"}')
        error = msgspec.json.decode(answer.body)
        assert (answer.status, error["type"], error["error"]["type"]) == (
            400,
            "error",
            "invalid_request_error",
        )
        assert "invalid beta flag" in error["error"]["message"]


async def test_tokens_are_counted_by_bedrock() -> None:
    async with upstream(script(lambda _: told({"inputTokens": 14}))) as up, gateway(toml(up.url)) as nexus:
        answer = await nexus.ask("POST", MESSAGES + "/count_tokens", b'{"model":"aws/claude","messages":[]}')
        assert (answer.status, answer.body) == (200, b'{"input_tokens":14}')
        assert up.last.target == "/v1/model/anthropic.claude-sonnet-4-5-20250929-v1%3A0/count-tokens"


async def test_clients_of_the_messages_api_reach_other_models_through_converse() -> None:
    async with upstream(script()) as up, gateway(toml(up.url)) as nexus:
        body = b'{"model":"aws/nova","max_tokens":9,"messages":[{"role":"user","content":"hi"}]}'
        answer = msgspec.json.decode((await nexus.ask("POST", MESSAGES, body)).body)
        assert answer["content"] == [{"type": "text", "text": "Hello!"}]
        assert answer["stop_reason"] == "end_turn"
        assert up.last.target.endswith("/converse")


async def listed(nexus: Any) -> Mapping[str, str]:
    answer = await nexus.ask("GET", "/llm/openai/v1/models")
    return {one["id"]: one["owned_by"] for one in msgspec.json.decode(answer.body)["data"]}


async def test_profiles_and_models_are_listed_with_their_vendors() -> None:
    async with upstream(script()) as up, gateway(toml(up.url)) as nexus:
        assert await listed(nexus) == {
            SONNET: "anthropic",
            "abc123": "anthropic",
            "amazon.nova-micro-v1:0": "Amazon",
            "x.y": "aws",
            "aws/nova": "aws",
            "aws/claude": "aws",
        }


async def test_the_model_behind_an_application_profile_decides_how_it_is_spoken_to() -> None:
    async with upstream(script(lambda _: told(WHOLE))) as up, gateway(toml(up.url)) as nexus:
        await nexus.ask("POST", MESSAGES, b'{"model":"abc123","max_tokens":9,"messages":[]}')
        assert up.last.target == "/v1/model/abc123/invoke"


async def test_all_pages_of_a_list_are_read() -> None:
    def pages(asked: Asked) -> Told:
        if not asked.target.startswith("/v1/foundation-models"):
            return told({"message": "no"}, 403)
        number = int(unquote(asked.target.partition("nextToken=")[2] or "t/0").partition("/")[2])
        page: dict[str, Any] = {"modelSummaries": [{"modelId": f"m.{number}"}]}
        return told(page | ({"nextToken": f"t/{number + 1}"} if number < 2 else {}))

    async with upstream(pages) as up, gateway(toml(up.url)) as nexus:
        assert {"m.0", "m.1", "m.2"} <= {*await listed(nexus)}
        assert up.asked[-1].target == "/v1/foundation-models?nextToken=t%2F2"
        assert is_signed(up.asked[-1], aws.Keys("AKID", "secret", "token"), b"")


async def test_models_of_the_file_are_served_where_no_list_is_given() -> None:
    refused = told(b"not found", 404)
    async with upstream(lambda asked: refused if asked.method == "GET" else told(ANSWER)) as up:
        async with gateway(toml(up.url)) as nexus:
            assert {*await listed(nexus)} == {"aws/nova", "aws/claude"}
            assert (await nexus.ask("POST", CHAT, chat("aws/nova"))).status == 200


async def test_embeddings_are_asked_for_one_by_one_and_answered_in_order() -> None:
    def embed(asked: Asked) -> Told:
        vector = [float(len(str(asked.json["inputText"])))]
        return told({"embedding": vector, "inputTextTokenCount": 2})

    async with upstream(script(embed)) as up, gateway(toml(up.url)) as nexus:
        body = {"model": "aws/amazon.titan-embed-text-v2:0", "input": ["a", "bbb"], "dimensions": 256}
        answer = await nexus.ask("POST", "/llm/openai/v1/embeddings", msgspec.json.encode(body))
        found = msgspec.json.decode(answer.body)
        assert [one["embedding"] for one in found["data"]] == [[1.0], [3.0]]
        assert found["usage"]["prompt_tokens"] == 4
        assert up.last.target == "/v1/model/amazon.titan-embed-text-v2%3A0/invoke"
        assert is_signed(up.last, aws.Keys("AKID", "secret", "token"))


@needed
async def test_a_recorded_stream_reaches_a_client_as_it_was_said() -> None:
    [recorded] = [
        one for one in exchanges("bedrock-converse") if (one.folder / "response.eventstream").exists()
    ]
    async with upstream(script(streamed(recorded.answer))) as up, gateway(toml(up.url)) as nexus:
        answer = await nexus.ask("POST", CHAT, chat("aws/nova", stream=True))
        deltas = [one["choices"][0]["delta"] for one in events_of(answer.body) if one["choices"]]
        said = "".join(delta.get("content") or "" for delta in deltas)
        assert said.startswith("The capital of France is Paris.")


async def test_the_command_line_lists_its_models(tmp_path: Path) -> None:
    file = tmp_path / "nexus.toml"
    async with upstream(script()) as bedrock:
        file.write_text(toml(bedrock.url))
        ended = await asyncio.to_thread(command, "models", "--config", str(file))
    assert (ended.returncode, ended.stderr) == (0, "")
    assert {"aws/nova", "aws/claude", SONNET} <= set(ended.stdout.split())
