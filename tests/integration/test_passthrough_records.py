"""Calls of models that go through as they are leave a record as any other does, and come through as if nobody looked."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator

import msgspec
import pytest

from gateway import Answer, Running, gateway
from integration.telemetry_gateway import CHAT, otlp, until
from nexus.telemetry.records import RequestRecord, Tokens, UsageRecord
from nexus.telemetry.setup import Telemetry
from upstreams.otlp import by_grpc
from upstreams.scripted import Told, upstream

OPENAI = b'{"model":"gpt-4o-2024","choices":[{"finish_reason":"stop"}],"usage":{"prompt_tokens":7,"completion_tokens":2}}'
OPENAI_EVENTS = (
    b'data: {"model":"gpt-4o-2024","choices":[{"delta":{"content":"hi"}}]}\n\nda',
    b'ta: {"model":"gpt-4o-2024","choices":[{"finish_reason":"stop"}],"usage":{"prompt_tokens":7,"completion_tokens":2}}\n',
    b"\ndata: [DONE]\n\n",
)
CLAUDE = b'{"type":"message","model":"claude-1","stop_reason":"end_turn","usage":{"input_tokens":7,"output_tokens":2}}'
CLAUDE_EVENTS = (
    b'event: message_start\ndata: {"message":{"model":"claude-1","usage":{"input_tokens":7,"output_tokens":1}}}\n\n',
    b'event: content_block_delta\ndata: {"delta":{"text":"hi"}}\n\n',
    b'event: message_delta\ndata: {"delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":2}}\n\n',
)
GEMINI = (
    b'{"modelVersion":"gemini-1","candidates":[{"content":{"parts":[{"text":"hi"}]},"finishReason":"STOP"}],'
    b'"usageMetadata":{"promptTokenCount":7,"candidatesTokenCount":1,"thoughtsTokenCount":1}}'
)
USED = Tokens(7, 2)
THOUGHT = Tokens(7, 2, reasoning=1)


def events(*pieces: bytes) -> Told:
    return Told(content_type="text/event-stream", pieces=pieces)


def opened(type: str, url: str) -> str:
    table = f'[llm.providers.up]\ntype = "{type}"\napi_key = "k"\nbase_url = "{url}"\npassthrough = true\n'
    proxy = f'[llm.proxy.anthropic]\nenabled = true\nbase_url = "{url.removesuffix("/v1")}"\n'
    return table + proxy + '[llm.discovery]\non_start_error = "warn"\n'


@contextlib.asynccontextmanager
async def recording(type: str, told: Told) -> AsyncGenerator[tuple[Running, list[RequestRecord]]]:
    records: list[RequestRecord] = []
    telemetry = Telemetry(None)
    telemetry.subscribe(records.extend)
    async with upstream(lambda _: told) as up, gateway(opened(type, up.url), telemetry=telemetry) as nexus:
        yield nexus, records


async def recorded(type: str, path: str, body: bytes, told: Told) -> tuple[Answer, RequestRecord]:
    """Ask once; give the answer and the record."""
    async with recording(type, told) as (nexus, records):
        answer = await nexus.ask("POST", path, body)
        await until(lambda: records)
    assert len(records) == 1
    return answer, records[0]


def asks(model: str, **more: object) -> bytes:
    return msgspec.json.encode({"model": model, "messages": [], "max_tokens": 9, **more})


PASSED = "/passthrough/up/chat/completions"
PARENT = {"traceparent": "00-" + "1" * 32 + "-" + "2" * 16 + "-01", "tracestate": "a=b"}
GOOGLE = "/passthrough/up/models/gemini:"
ANTHROPIC = "/proxy/anthropic/v1/messages"
CHATS = [
    (
        "openai",
        "/passthrough/up/chat/completions",
        asks("gpt-4o"),
        Told(pieces=(OPENAI,)),
        "gpt-4o-2024",
        USED,
    ),
    (
        "openai",
        "/passthrough/up/chat/completions",
        asks("gpt-4o", stream=True),
        events(*OPENAI_EVENTS),
        "gpt-4o-2024",
        USED,
    ),
    ("anthropic", "/passthrough/up/messages", asks("claude"), Told(pieces=(CLAUDE,)), "claude-1", USED),
    (
        "anthropic",
        "/passthrough/up/messages",
        asks("claude", stream=True),
        events(*CLAUDE_EVENTS),
        "claude-1",
        USED,
    ),
    ("anthropic", ANTHROPIC, asks("claude"), Told(pieces=(CLAUDE[:40], CLAUDE[40:])), "claude-1", USED),
    ("anthropic", ANTHROPIC, asks("claude", stream=True), events(*CLAUDE_EVENTS), "claude-1", USED),
    ("google", GOOGLE + "generateContent", b"{}", Told(pieces=(GEMINI,)), "gemini-1", THOUGHT),
    (
        "google",
        GOOGLE + "streamGenerateContent",
        b"{}",
        Told(pieces=(b"[", GEMINI, b"]")),
        "gemini-1",
        THOUGHT,
    ),
    (
        "google",
        GOOGLE + "streamGenerateContent?alt=sse",
        b"{}",
        events(b"data: " + GEMINI + b"\r\n\r\n"),
        "gemini-1",
        THOUGHT,
    ),
]


@pytest.mark.parametrize(("type", "path", "body", "told", "served", "tokens"), CHATS)
async def test_a_chat_is_recorded_and_untouched(
    type: str, path: str, body: bytes, told: Told, served: str, tokens: Tokens
) -> None:
    answer, record = await recorded(type, path, body, told)
    assert (answer.status, answer.body) == (
        200,
        b"".join(one for one in told.pieces if isinstance(one, bytes)),
    )
    one = record.work
    assert isinstance(one, UsageRecord)
    asked = msgspec.json.decode(body).get("model", "gemini")
    assert (one.operation, one.asked, one.served) == ("chat.completions", asked, served)
    assert (one.provider, one.status, one.error, one.finish) == (
        "anthropic" if path == ANTHROPIC else "up",
        200,
        None,
        "stop",
    )
    assert one.tokens == tokens
    assert one.stream == (b"stream" in body or "stream" in path)
    assert (one.first_token is not None) == (told.content_type == "text/event-stream")
    assert record.route == ("/proxy/anthropic/*" if path == ANTHROPIC else "/passthrough/*")


@pytest.mark.parametrize(
    ("path", "body", "operation"),
    [
        ("embeddings", b'{"model":"e","input":"x"}', "embeddings"),
        ("responses", b'{"model":"e","input":"x"}', "chat.completions"),
        ("chat/completions", b"no JSON", "chat.completions"),
        ("audio/transcriptions", b"--x--", "audio.transcriptions"),
    ],
)
async def test_other_calls_of_models_are_recorded(path: str, body: bytes, operation: str) -> None:
    _, record = await recorded("openai", f"/passthrough/up/{path}", body, Told())
    assert isinstance(record.work, UsageRecord)
    assert (record.work.operation, record.work.error) == (operation, None)
    assert record.work.asked == ("e" if b'"e"' in body else "")


@pytest.mark.parametrize(
    ("type", "path"),
    [
        ("openai", "files"),
        ("openai", "batches"),
        ("google", "models/m:doSomething"),
        ("google", "cachedContents"),
    ],
)
async def test_what_calls_no_model_has_no_record_of_a_call(type: str, path: str) -> None:
    _, record = await recorded(type, f"/passthrough/up/{path}", b"{}", Told())
    assert (record.status, record.work) == (200, None)


async def test_a_refusal_of_the_provider_is_recorded_as_its_kind() -> None:
    told = Told(429, pieces=(b'{"error":{"message":"slow down"}}',))
    answer, record = await recorded("openai", "/passthrough/up/chat/completions", asks("m"), told)
    assert (answer.status, answer.body) == (429, b'{"error":{"message":"slow down"}}')
    assert isinstance(record.work, UsageRecord)
    assert (record.work.status, record.work.error) == (429, "rate_limit_exceeded")


@pytest.mark.parametrize("path", ["/passthrough/up/chat/completions", ANTHROPIC])
async def test_an_answer_that_breaks_off_is_recorded_as_broken(path: str) -> None:
    async with recording("openai", Told(pieces=(b"{",), cut=True)) as (nexus, records):
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            assert not (await nexus.ask("POST", path, asks("m"))).whole
        await until(lambda: records)
    work = records[0].work
    assert isinstance(work, UsageRecord)
    assert work.error == "connection_error"


async def test_answers_too_large_to_be_kept_pass_all_the_same() -> None:
    large = OPENAI[:-1] + b',"pad":"' + b"x" * 5_000_000 + b'"}'
    answer, record = await recorded(
        "openai", "/passthrough/up/chat/completions", asks("m"), Told(pieces=(large,))
    )
    assert answer.body == large
    assert isinstance(record.work, UsageRecord)
    assert (record.work.tokens, record.work.error) == (None, None)


async def test_clients_that_take_compressed_answers_are_recorded_with_their_tokens() -> None:
    async with upstream(lambda _: Told(pieces=(OPENAI,))) as up:
        telemetry = Telemetry(None)
        telemetry.subscribe(lambda _: None)
        async with gateway(opened("openai", up.url), telemetry=telemetry) as nexus:
            await nexus.ask("POST", PASSED, asks("m"), accept_encoding="gzip, deflate, br, zstd")
            assert up.last.headers["accept-encoding"] == "identity"


@pytest.mark.parametrize("path", [PASSED, "/proxy/anthropic/v1/messages"])
async def test_who_is_behind_is_told_of_no_trace(path: str) -> None:
    async with upstream(lambda _: Told(pieces=(OPENAI,))) as up, gateway(opened("openai", up.url)) as nexus:
        await nexus.ask("POST", path, asks("m"), **PARENT)
        assert not {"traceparent", "tracestate"} & up.last.headers.keys()


async def test_who_is_behind_is_told_of_the_trace_where_that_is_configured() -> None:
    with by_grpc() as receiver:
        more = otlp(receiver, "[telemetry.tracing.propagation]\nupstream = true")
        async with (
            upstream(lambda _: Told(pieces=(OPENAI,))) as up,
            gateway(opened("openai", up.url) + more) as nexus,
        ):
            await nexus.ask("POST", PASSED, asks("m"), **PARENT)
            await until(lambda: len(receiver.spans) == 2, receiver)
            call = next(one for one in receiver.spans if one.name.startswith("llm:"))
            assert up.last.headers["traceparent"] == f"00-{'1' * 32}-{call.span_id}-01"


@pytest.mark.parametrize(
    ("path", "error"),
    [
        (PASSED, b'data: {"error":{"message":"overloaded","type":"server_error"}}\n\n'),
        (CHAT, b'data: {"error":{"message":"overloaded","type":"server_error"}}\n\n'),
        (
            "/passthrough/up/responses",
            b'data: {"type":"response.failed","response":{"status":"failed","error":{"code":"x"}}}\n\n',
        ),
    ],
)
async def test_a_stream_that_tells_of_an_error_has_failed(path: str, error: bytes) -> None:
    async with recording("openai", events(error)) as (nexus, records):
        await nexus.ask("POST", path, asks("up/gpt-4o", stream=True))
        await until(lambda: records)
    assert isinstance(records[0].work, UsageRecord)
    assert records[0].work.error == "provider_api_error"


@pytest.mark.parametrize(
    ("type", "path", "asked"),
    [
        ("openai", "chat/completion%73", "m"),
        ("openai", "chat/completions/", "m"),
        ("google", "models/m%3AgenerateContent", "m"),
        ("google", "models/gemini%2d1:generateContent", "gemini-1"),
    ],
)
async def test_no_spelling_of_a_path_escapes_its_record(type: str, path: str, asked: str) -> None:
    _, record = await recorded(type, f"/passthrough/up/{path}", asks("m"), Told())
    assert isinstance(record.work, UsageRecord)
    assert record.work.asked == asked


@pytest.mark.parametrize("stream", [1, "true"])
async def test_a_flag_of_another_kind_hides_no_model(stream: object) -> None:
    _, record = await recorded("openai", PASSED, asks("m", stream=stream), Told())
    assert isinstance(record.work, UsageRecord)
    assert record.work.asked == "m"


async def test_the_model_of_a_form_is_recorded() -> None:
    form = b'--x\r\ncontent-disposition: form-data; name="model"\r\n\r\nwhisper-1\r\n--x--\r\n'
    async with recording("openai", Told()) as (nexus, records):
        kind = "multipart/form-data; boundary=x"
        await nexus.ask("POST", "/passthrough/up/audio/transcriptions", form, kind)
        await until(lambda: records)
    assert isinstance(records[0].work, UsageRecord)
    assert records[0].work.asked == "whisper-1"
