"""What hostile clients and hostile providers send: nothing gets through, and others go on being served."""

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator

import pytest

from gateway import Running, gateway, provider, read_answer
from nexus.llm import reply
from upstreams.misbehaving import CHUNKED, Script, Wire, answer, chunk, serving
from upstreams.scripted import Asked, Told, upstream

pytestmark = pytest.mark.asyncio(loop_scope="module")

CHAT = b'{"model":"up/gpt-4o","messages":[],"max_tokens":9}'
STREAMED = CHAT.replace(b"}", b',"stream":true}')
MESSAGES = "/llm/anthropic/v1/messages"
PATHS = ("/llm/v1/chat/completions", "/passthrough/up/chat/completions")
JSON = b"content-type: application/json"
EVENTS = CHUNKED.replace(b"\r\n\r\n", b"\r\ncontent-type: text/event-stream\r\n\r\n")
MODELS = answer(b'{"object":"list","data":[{"id":"gpt-4o","object":"model"}]}', JSON)
BODY = b"%x\r\n%s\r\n0\r\n" % (len(CHAT), CHAT)
CONFIG = """
llm.protocols.anthropic.enabled = true
llm.discovery.on_start_error = "warn"
"""


def head(path: str) -> bytes:
    lines = "host: x\r\ncontent-type: application/json\r\ntransfer-encoding: chunked"
    return f"POST {path} HTTP/1.1\r\n{lines}\r\n\r\n".encode()


def saying(said: bytes, models: bytes) -> Script:
    """Answer everything but the list of models with the same bytes."""

    async def script(wire: Wire) -> None:
        while True:
            asked = await wire.request()
            await wire.say(models if asked.startswith(b"GET /v1/models") else said)

    return script


@contextlib.asynccontextmanager
async def facing(said: bytes, models: bytes = MODELS) -> AsyncGenerator[Running]:
    """Serve in front of a provider that says this."""
    async with serving(saying(said, models)) as up:
        toml = CONFIG + provider(f"http://127.0.0.1:{up.port}/v1", "passthrough = true")
        async with gateway(toml) as nexus:
            yield nexus


@pytest.mark.parametrize("path", PATHS)
async def test_what_comes_after_a_body_is_no_header(path: str) -> None:
    rule = '[[llm.providers.up.headers]]\nrule = "forward"\npattern = "x-.*"'
    async with upstream(lambda _: Told()) as up:
        async with gateway(provider(up.url, f"passthrough = true\n{rule}")) as nexus:
            assert (await nexus.send(head(path) + BODY + b"x-smuggled: 1\r\n\r\n")).status == 200
            assert "x-smuggled" not in up.last.headers


@pytest.mark.parametrize(
    ("begun", "endless"),
    [
        (BODY, b"x-trailer: and so on\r\n" * 500),
        (b"1;a=", b"extension" * 1000),
        (BODY + b"\r\n", b"\r\n" * 5000),
    ],
)
async def test_a_client_that_goes_on_beside_its_body_is_cut(begun: bytes, endless: bytes) -> None:
    async with facing(answer(b"{}", JSON)) as nexus:
        _, writer = await asyncio.open_connection("127.0.0.1", nexus.port)
        writer.write(head(PATHS[0]) + begun)
        sent = 0
        with contextlib.suppress(ConnectionError):
            while sent < 8_000_000:
                writer.write(endless)
                sent += len(endless)
                await writer.drain()
        writer.transport.abort()
        assert sent < 8_000_000
        assert (await nexus.ask("GET", "/health")).status == 200


async def test_heads_on_a_kept_connection_have_the_same_bound() -> None:
    async with facing(answer(b"{}", JSON)) as nexus:
        reader, writer = await asyncio.open_connection("127.0.0.1", nexus.port)
        writer.write(b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n")
        assert b"healthy" in await reader.readuntil(b"}")
        writer.write(b"GET /health HTTP/1.1\r\nhost: x\r\nx: " + b"a" * 70_000 + b"\r\n\r\n")
        assert (await reader.readline()).startswith(b"HTTP/1.1 431")
        writer.transport.abort()


async def test_a_connection_too_many_is_told_so_and_hurts_nobody(caplog: pytest.LogCaptureFixture) -> None:
    ask = b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n"
    async with upstream() as up, gateway("server.max_connections = 2\n" + provider(up.url)) as nexus:
        there = [await asyncio.open_connection("127.0.0.1", nexus.port) for _ in range(2)]
        for reader, writer in there:
            writer.write(ask)
            assert b"healthy" in await reader.readuntil(b"}")
        for _ in range(2):
            reader, writer = await asyncio.open_connection("127.0.0.1", nexus.port)
            refused = await read_answer(reader)
            assert (refused.status, refused.headers["connection"], refused.whole) == (503, "close", True)
            assert b"the limit is 2" in refused.body
            writer.close()
        for reader, writer in there:
            writer.write(ask)
            assert b"healthy" in await reader.readuntil(b"}")
            writer.close()
        async with asyncio.timeout(10):  # until it has noticed
            while (await nexus.ask("GET", "/health")).status != 200:
                pass
    assert [one for one in caplog.messages if "server.max_connections" in one] == [
        "new connections are refused: there are 2, as many as server.max_connections allows"
    ]


async def test_a_stream_that_ends_within_a_long_event_holds_nobody_up() -> None:
    unfinished = b'data: {"id":"a","model":"gpt-4o","x":"' + b"a" * 1_000_000
    async with facing(EVENTS + chunk(unfinished) + b"0\r\n\r\n") as nexus:
        began = time.monotonic()
        told = await nexus.ask("POST", PATHS[0], STREAMED)
        assert told.body == unfinished
        assert time.monotonic() - began < 5


async def test_a_status_that_is_none_is_a_bad_gateways() -> None:
    async with facing(answer(b"{}", JSON, status=b"799 Odd")) as nexus:
        for path in PATHS:
            told = await nexus.ask("POST", path, CHAT)
            assert (told.status, told.whole) == (502, True)


async def test_an_event_with_a_number_out_of_range_ends_a_translated_stream_in_its_protocol() -> None:
    event = b'data: {"choices":[],"usage":null,"strange":1e999}\n\n'
    async with facing(EVENTS + chunk(event) + b"0\r\n\r\n") as nexus:
        told = await nexus.ask("POST", MESSAGES, STREAMED)
        assert told.whole
        assert b"event: error" in told.body


@pytest.mark.parametrize(
    "listed",
    [
        b'{"object":"list","data":[' + b"[" * 100_000,
        b'{"object":"list","data":[%s]}' % b",".join(b'{"id":"m%d"}' % number for number in range(20_001)),
    ],
)
async def test_a_list_of_models_that_is_none_keeps_no_other_provider_from_working(listed: bytes) -> None:
    async with (
        serving(saying(b"", answer(listed, JSON))) as bad,
        serving(saying(answer(b"{}", JSON), MODELS)) as up,
    ):
        broken = provider(f"http://127.0.0.1:{bad.port}/v1").replace("providers.up", "providers.bad")
        async with gateway(CONFIG + broken + provider(f"http://127.0.0.1:{up.port}/v1")) as nexus:
            assert set(nexus.gateway.catalog.troubles) == {"bad"}
            assert (await nexus.ask("POST", PATHS[0], CHAT)).status == 200
            assert (await nexus.ask("POST", PATHS[0], CHAT.replace(b"up/gpt-4o", b"unknown"))).status == 404


@pytest.mark.parametrize("path", [PATHS[0], MESSAGES])
async def test_a_provider_that_repeats_its_key_does_not_tell_it_to_clients(path: str) -> None:
    async with upstream(
        lambda asked: Told(401, pieces=(b'{"error":{"message":"no: %s"}}' % told(asked),))
    ) as up:
        async with gateway(CONFIG + provider(up.url).replace("test-key", "a-plain-word")) as nexus:
            failed = await nexus.ask("POST", path, CHAT)
            assert failed.status == 401
            assert b"no: Bearer [redacted]" in failed.body


def told(asked: Asked) -> bytes:
    return asked.headers["authorization"].encode()


async def test_an_endless_translated_stream_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reply, "MAX_WHOLE", 100_000)
    event = b'data: {"choices":[{"index":0,"delta":{"content":"and so on"}}]}\n\n'
    async with facing(EVENTS + chunk(event * 5000)) as nexus:
        told = await nexus.ask("POST", MESSAGES, STREAMED)
        assert told.whole
        assert b"event: error" in told.body
