"""The provider without a network: what it makes of names, calls, streams and credentials."""

import base64
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest

from nexus.config.llm import BedrockConfig
from nexus.errors import Headers, InvalidRequest, NotFound, UpstreamGarbage
from nexus.http.client import Failed
from nexus.http.eventstream import Corrupt
from nexus.llm.providers import aws
from nexus.llm.providers.base import Call, ProviderFailed
from nexus.llm.providers.bedrock import Bedrock
from nexus.llm.providers.bedrock_invoke import Counted, adapt
from nexus.llm.providers.bedrock_stream import Streamed, Told, Write, write_anthropic, write_converse
from wires.eventstream import event, exception, message

SONNET = "us.anthropic.claude-sonnet-4-5-20250929-v1:0"
CHUNK = b'{"type":"message_stop","amazon-bedrock-invocationMetrics":{"inputTokenCount": 3}}'


def provider(**fields: object) -> Bedrock:
    config = {
        "type": "bedrock",
        "region": "us-east-1",
        "access_key_id": "a",
        "secret_access_key": "s",
        **fields,
    }
    return Bedrock("aws", BedrockConfig.model_validate(config))


class Given:
    """An answer whose pieces are known; None among them is a silence."""

    def __init__(self, *pieces: bytes | None, status: int = 200, headers: Headers = ()) -> None:
        self.heartbeat = 0.0
        self.status = status
        self.headers: Headers = headers or [(b"content-type", b"application/vnd.amazon.eventstream")]
        self.closed = False
        self._pieces = list(pieces)

    def header(self, name: bytes) -> bytes | None:
        return dict(self.headers).get(name)

    async def next(self) -> bytes | None:
        return self._pieces.pop(0) if self._pieces else b""

    async def read(self, limit: int) -> bytes:
        return b"".join(piece or b"" for piece in self._pieces)

    def close(self) -> None:
        self.closed = True


def chunk(inner: bytes) -> bytes:
    return event("chunk", {"bytes": base64.b64encode(inner).decode(), "p": "abcd"})


async def told(write: Write, *pieces: bytes) -> bytes:
    return await Streamed(Given(*pieces), write).read(1 << 20)


async def test_converse_events_are_objects_of_one_key() -> None:
    data = event("messageStart", b'{"role": "assistant"}') + event(
        "contentBlockStop", b'{"contentBlockIndex":0}'
    )
    assert await told(write_converse, data[:7], data[7:]) == (
        b'data: {"messageStart":{"role": "assistant"}}\n\ndata: {"contentBlockStop":{"contentBlockIndex":0}}\n\n'
    )


async def test_failures_are_events_too() -> None:
    unmodelled = message(
        b"", {":message-type": "error", ":error-code": "InternalError", ":error-message": 'a "b"'}
    )
    assert await told(write_converse, exception("throttlingException", "slow"), unmodelled) == (
        b'data: {"throttlingException":{"message":"slow"}}\n\ndata: {"InternalError":{"message":"a \\"b\\""}}\n\n'
    )


async def test_line_breaks_in_json_do_not_break_events() -> None:
    assert (
        await told(write_converse, event("metadata", b'{\n "a": 1\r\n}')) == b'data: {"metadata":{"a":1}}\n\n'
    )
    assert (
        await told(write_anthropic, chunk(b'{"type":\n"ping"}')) == b'event: ping\ndata: {"type":"ping"}\n\n'
    )


async def test_chunks_are_the_events_of_the_messages_api_in_their_own_bytes() -> None:
    delta = b'{"type":"content_block_delta","delta":{"text": "\\u00e9 \xc3\xa9"}, "n":0.10}'
    assert await told(write_anthropic, chunk(delta) + chunk(CHUNK)) == (
        b"event: content_block_delta\ndata: " + delta + b"\n\nevent: message_stop\ndata: " + CHUNK + b"\n\n"
    )


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        (exception("throttlingException", "m"), "rate_limit_error"),
        (exception("validationException", "m"), "invalid_request_error"),
        (exception("serviceUnavailableException", "m"), "overloaded_error"),
        (exception("modelStreamErrorException", "m"), "api_error"),
        (message(b"", {":message-type": "error", ":error-code": "X", ":error-message": "m"}), "api_error"),
    ],
)
async def test_a_failure_is_the_error_event_of_the_messages_api(said: bytes, kind: str) -> None:
    expected = msgspec.json.encode({"type": "error", "error": {"type": kind, "message": "m"}})
    assert await told(write_anthropic, chunk(b'{"type":"ping"}') + said) == (
        b'event: ping\ndata: {"type":"ping"}\n\nevent: error\ndata: ' + expected + b"\n\n"
    )


async def test_events_invented_since_say_nothing_to_clients_of_the_messages_api() -> None:
    assert await told(write_anthropic, event("newEvent", {}), chunk(b'{"type":"ping"}')) == (
        b'event: ping\ndata: {"type":"ping"}\n\n'
    )


async def test_events_that_are_in_no_chunk_are_taken_too() -> None:
    assert (
        await told(write_anthropic, event("chunk", {"type": "ping"}))
        == b'event: ping\ndata: {"type":"ping"}\n\n'
    )


@pytest.mark.parametrize("inner", [b"", b"{}", b"[1]"])
async def test_a_chunk_without_an_event_is_corrupt(inner: bytes) -> None:
    with pytest.raises(Corrupt):
        await told(write_anthropic, chunk(inner))


async def test_a_stream_cut_within_a_message_is_no_whole_stream() -> None:
    streamed = Streamed(Given(event("messageStart", {}), event("messageStop", {})[:-1]), write_converse)
    assert await streamed.next() == b'data: {"messageStart":{}}\n\n'
    with pytest.raises(Corrupt, match="within a message"):
        await streamed.next()


async def test_silences_pass_through_and_pieces_without_a_whole_message_do_not() -> None:
    data = event("messageStop", {})
    inner = Given(data[:5], None, data[5:])
    streamed = Streamed(inner, write_converse)
    streamed.heartbeat = 2.5
    assert [await streamed.next() for _ in range(3)] == [None, b'data: {"messageStop":{}}\n\n', b""]
    assert inner.heartbeat == 2.5
    streamed.close()
    assert inner.closed


async def test_a_stream_is_not_read_beyond_its_limit() -> None:
    inner = Given(event("metadata", b'{"a":"%s"}' % (b"x" * 100)))
    with pytest.raises(Failed, match="more than 50 bytes"):
        await Streamed(inner, write_converse).read(50)
    assert inner.closed


def test_a_stream_says_that_it_is_one_of_server_sent_events() -> None:
    headers = [
        (b"content-type", b"application/vnd.amazon.eventstream"),
        (b"content-length", b"9"),
        (b"x", b"y"),
    ]
    streamed = Streamed(Given(headers=headers), write_converse, [(b"z", b"1")])
    assert streamed.headers == [(b"content-type", b"text/event-stream"), (b"x", b"y"), (b"z", b"1")]
    assert streamed.header(b"content-type") == b"text/event-stream"
    assert streamed.header(b"nothing") is None


@pytest.mark.parametrize(
    ("status", "means"), [(200, 200), (400, 400), (403, 401), (404, 404), (408, 504), (424, 502), (429, 429)]
)
def test_statuses_mean_what_they_mean_elsewhere(status: int, means: int) -> None:
    assert Told(Given(status=status)).status == means


@pytest.mark.parametrize(
    ("model", "spoken"),
    [
        (SONNET, ("anthropic",)),
        ("anthropic.claude-v2", ("anthropic",)),
        ("arn:aws:bedrock:eu-west-1:1:inference-profile/eu.anthropic.claude-opus-4-6-v1", ("anthropic",)),
        ("arn:aws:bedrock:us-east-1::foundation-model/amazon.nova-lite-v1:0", ()),
        ("us.amazon.nova-pro-v1:0", ()),
        ("my-model", ()),
        ("", ()),
    ],
)
def test_only_claude_is_spoken_to_in_the_messages_api(model: str, spoken: Sequence[str]) -> None:
    bedrock = provider()
    assert bedrock.speaks(model) == spoken
    assert bedrock.wire(model).name == "converse"
    assert (bedrock.counter(model) is not None) == bool(spoken)


def test_models_that_embed_are_known() -> None:
    assert provider().embedder("us.cohere.embed-v4:0") is not None
    assert provider().embedder(SONNET) is None


def invoked(
    body: bytes, headers: bytes = b"", betas: frozenset[str] | None = None, *, stream: bool = False
) -> Any:
    call = Call("anthropic", b"POST", "/messages", body, b"application/json", b"beta=true", stream, headers)
    return adapt(call, lambda model: model.removeprefix("us."), betas)


def test_only_the_top_level_of_a_message_changes() -> None:
    body = (
        b'{"model":"%s","stream":true,"max_tokens":9,"messages":[{"role":"user","content":[ {"n":0.10} ]}]}'
    )
    call, dropped = invoked(body % SONNET.encode(), b"anthropic-version: 2023-06-01\r\n", stream=True)
    assert call.path == "/model/us.anthropic.claude-sonnet-4-5-20250929-v1%3A0/invoke-with-response-stream"
    assert call.body == (
        b'{"max_tokens":9,"messages":[{"role":"user","content":[ {"n":0.10} ]}],"anthropic_version":"bedrock-2023-05-31"}'
    )
    assert (call.query, call.headers, call.stream, dropped) == (b"", b"", True, [])


def test_a_whole_answer_is_asked_for_at_another_path() -> None:
    assert invoked(b'{"model":"m:0"}')[0].path == "/model/m%3A0/invoke"


def betas_of(call: Call) -> list[str]:
    return msgspec.json.decode(call.body).get("anthropic_beta", [])


def test_betas_move_into_the_body_if_bedrock_knows_them() -> None:
    headers = b"Anthropic-Beta: claude-code-20250219, context-1m-2025-08-07\r\nanthropic-beta: effort-2025-11-24\r\n"
    body = (
        b'{"model":"%s","anthropic_beta":["interleaved-thinking-2025-05-14","effort-2025-11-24"]}'
        % SONNET.encode()
    )
    call, dropped = invoked(body, headers)
    assert betas_of(call) == ["context-1m-2025-08-07", "effort-2025-11-24", "interleaved-thinking-2025-05-14"]
    assert dropped == ["anthropic-beta.claude-code-20250219"]
    with pytest.raises(InvalidRequest, match="anthropic_beta"):
        invoked(b'{"model":"m","anthropic_beta":"x"}')


def test_newer_models_are_told_no_betas_unless_the_file_says_so() -> None:
    body, headers = (
        b'{"model":"anthropic.claude-opus-4-7"}',
        b"anthropic-beta: context-1m-2025-08-07,new-1\r\n",
    )
    assert betas_of(invoked(body, headers)[0]) == []
    assert betas_of(invoked(body, headers, frozenset(("new-1",)))[0]) == ["new-1"]


def test_settings_that_need_a_beta_go_with_it() -> None:
    body = (
        b'{"model":"%s","context_management":{"edits":[]},"service_tier":"auto","speed":"fast"}'
        % SONNET.encode()
    )
    call, dropped = invoked(body, b"anthropic-beta: context-management-2025-06-27\r\n")
    assert msgspec.json.decode(call.body)["context_management"] == {"edits": []}
    assert dropped == ["speed", "service_tier"]
    call, dropped = invoked(body)
    assert "context_management" not in msgspec.json.decode(call.body)
    assert dropped == ["context_management", "speed", "service_tier"]


@pytest.mark.parametrize(
    ("body", "max_tokens"),
    [
        (b'{"model":"us.m"}', 1),
        (b'{"model":"us.m","max_tokens":7}', 7),
        (b'{"model":"us.m","thinking":{"type":"enabled","budget_tokens":5000}}', 5001),
        (b'{"model":"us.m","thinking":{"type":"adaptive"}}', 1),
        (b'{"model":"us.m","thinking":3}', 1),
    ],
)
def test_tokens_are_counted_for_the_model_behind_a_profile(body: bytes, max_tokens: int) -> None:
    call = Call("anthropic", b"POST", "/messages/count_tokens", body, b"application/json")
    adapted, _ = adapt(call, lambda model: model.removeprefix("us."), None)
    assert adapted.path == "/model/m/count-tokens"
    inner = msgspec.json.decode(adapted.body)["input"]["invokeModel"]["body"]
    asked = msgspec.json.decode(base64.b64decode(inner))
    assert asked["max_tokens"] == max_tokens
    assert asked["anthropic_version"] == "bedrock-2023-05-31"
    assert "model" not in asked


async def test_a_token_count_is_answered_in_the_words_of_the_messages_api() -> None:
    assert await Counted(Given(b'{"inputTokens":14}')).read(99) == b'{"input_tokens":14}'
    assert await Counted(Given(b'{"message":"no"}', status=400)).read(99) == b'{"message":"no"}'
    with pytest.raises(UpstreamGarbage):
        await Counted(Given(b"{}")).read(99)


@pytest.mark.parametrize("path", ["/messages/batches", "/files", "/models"])
def test_what_bedrock_lacks_of_the_messages_api_is_not_found(path: str) -> None:
    with pytest.raises(NotFound, match=path):
        adapt(Call("anthropic", b"POST", path, b"{}"), str, None)


def no_session(profile: str | None) -> aws.Session:
    raise aws.Missing("AWS profiles and roles need botocore; pip install 'nexus-ai-gateway[bedrock]'")


async def test_keys_in_the_file_need_no_botocore(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aws, "open_session", no_session)
    monkeypatch.delenv("AWS_REGION", raising=False)
    monkeypatch.delenv("AWS_DEFAULT_REGION", raising=False)
    for fields in ({}, {"region": None}, {"api_key": "k", "access_key_id": None}):
        bedrock = provider(**fields)
        await bedrock.start()
        await bedrock.close()


async def test_without_keys_and_botocore_the_start_fails_with_the_cure(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(aws, "open_session", no_session)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_BEARER_TOKEN_BEDROCK"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(
        ProviderFailed, match=r"llm\.providers\.aws: .*pip install 'nexus-ai-gateway\[bedrock\]'"
    ):
        await provider(access_key_id=None).start()
