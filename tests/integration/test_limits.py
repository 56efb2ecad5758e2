"""How much: the contract's limits through the whole gateway, counted in memory and in a real Redis, also one that goes away."""

import asyncio
import contextlib
import logging
import os
import sys
from collections.abc import AsyncGenerator, Callable
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest
import redis.asyncio as client
from pydantic import SecretStr

from gateway import Answer, Running, command, gateway, process, provider
from nexus import config
from nexus.config.ratelimit import RedisStorage
from nexus.ratelimit import Charge, StoreFailed, Window
from nexus.ratelimit import redis as module
from nexus.ratelimit.redis import RedisStore
from nexus.server.app import Gateway
from nexus.server.asgi import Message, Scope
from upstreams.redis import Redis, redis
from upstreams.scripted import Asked, Told, upstream

CHAT = "/llm/v1/chat/completions"
LATER = "Rate limit exceeded: Token rate limit exceeded. Please try again later."
NEVER = (
    "Rate limit exceeded: Token rate limit exceeded. Request requires more tokens than the configured limit allows"
    " and cannot be fulfilled."
)
IDENTIFIED = """
[server.client_identification]
enabled = true
client_id.http_header = "X-Client-ID"
group_id.http_header = "X-Group-ID"

[server.client_identification.validation]
group_values = ["free", "pro"]
"""
NO = b'{"error":{"message":"no"}}'
OK = b'{"model":"gpt-4o","usage":{"completion_tokens":3}}'


def body(text: str = "Hello", **more: object) -> bytes:
    return msgspec.json.encode({"model": "gpt-4o", "messages": [{"role": "user", "content": text}], **more})


def tokens(limit: int, more: str = "") -> str:
    return (
        IDENTIFIED
        + f'[llm.providers.up.rate_limits.per_user]\ninput_token_limit = {limit}\ninterval = "60s"\n{more}\n'
    )


def stored(server: Redis, more: str = "") -> str:
    return f'[server.rate_limits.storage]\ntype = "redis"\nurl = "{server.url}"\n{more}\n'


def passes(_: Asked) -> Told:
    return Told(pieces=(OK,))


async def chat(nexus: Running, client: str = "alice", data: bytes = b"", group: str = "") -> Answer:
    named = {"x_group_id": group} if group else {}
    return await nexus.ask("POST", CHAT, data or body(), x_client_id=client, **named)


async def statuses(nexus: Running, count: int, group: str = "") -> list[int]:
    return [(await chat(nexus, group=group)).status for _ in range(count)]


def said(answer: Answer) -> str:
    return msgspec.json.decode(answer.body)["error"]["message"]


async def test_a_limit_of_100_tokens_lets_12_short_requests_pass() -> None:
    async with upstream(passes) as up, gateway(provider(up.url) + tokens(100)) as nexus:
        assert await statuses(nexus, 14) == [200] * 12 + [429] * 2
        refused = await chat(nexus)
        assert msgspec.json.decode(refused.body) == {
            "error": {"message": LATER, "type": "rate_limit_error", "code": 429}
        }
        assert "retry-after" not in refused.headers
        assert (await chat(nexus, "bob")).status == 200
        assert said(await chat(nexus, data=body("Hello " * 200))) == NEVER


async def test_a_model_with_and_without_its_provider_is_one() -> None:
    async with upstream(passes) as up, gateway(provider(up.url) + tokens(16)) as nexus:
        for model in ("gpt-4o", "up/gpt-4o"):
            assert (await chat(nexus, data=body().replace(b"gpt-4o", model.encode()))).status == 200
        assert (await chat(nexus)).status == 429


async def test_a_model_that_its_provider_names_after_itself_has_its_limit() -> None:
    limit = """
[llm.providers.up.models."up/auto".rate_limits.per_user]
input_token_limit = 8
interval = "60s"
"""
    async with upstream(passes) as up, gateway(provider(up.url) + tokens(1000, limit)) as nexus:
        asked = body().replace(b"gpt-4o", b"up/up/auto")
        assert [(await chat(nexus, data=asked)).status for _ in range(2)] == [200, 429]


async def test_ways_to_write_a_model_that_is_in_no_list_share_one_limit() -> None:
    async with upstream(passes) as up, gateway(provider(up.url) + tokens(16)) as nexus:
        names = ("GPT-4O", "up/gpt-4o:latest", "gpt-4o-2024-08-06", "up/up/gpt-4o")
        asked = [body().replace(b"gpt-4o", f"up/{name}".encode()) for name in names]
        assert [(await chat(nexus, data=one)).status for one in asked] == [200, 200, 429, 429]
        assert (await chat(nexus)).status == 200


async def test_a_group_has_its_own_limit_and_a_client_must_name_itself() -> None:
    groups = (
        '[llm.providers.up.rate_limits.per_user.groups]\npro = { input_token_limit = 24, interval = "60s" }'
    )
    async with upstream(passes) as up:
        async with gateway(provider(up.url) + tokens(16, groups)) as nexus:
            assert await statuses(nexus, 4, group="pro") == [200, 200, 200, 429]
            assert await statuses(nexus, 3, group="free") == [200, 200, 429]
            assert (await chat(nexus)).status == 429  # no group is what `free` is: everybody's limit
            assert (await chat(nexus, group="root")).status == 400
            assert (await nexus.ask("POST", CHAT, body())).status == 400


async def test_what_the_upstream_refuses_uses_up_nothing() -> None:
    async with (
        upstream(lambda _: Told(status=500, pieces=(NO,))) as up,
        gateway(provider(up.url) + tokens(16)) as nexus,
    ):
        assert await statuses(nexus, 10) == [500] * 10
        up.script = passes
        assert await statuses(nexus, 3) == [200, 200, 429]


async def test_counting_of_tokens_and_lists_of_models_use_up_nothing() -> None:
    async with upstream(passes) as up, gateway(provider(up.url) + tokens(8)) as nexus:
        for _ in range(5):
            assert (await nexus.ask("GET", "/llm/v1/models", x_client_id="alice")).status == 200
        assert await statuses(nexus, 2) == [200, 429]


async def test_the_anthropic_protocol_refuses_in_its_own_words() -> None:
    toml = provider("http://127.0.0.1:9").replace('"openai"', '"anthropic"') + tokens(4)
    toml += "[llm.protocols.anthropic]\nenabled = true\n[llm.discovery]\non_start_error = 'warn'\n"
    toml += "[llm.providers.up.models.claude]\n"
    async with gateway(toml) as nexus:
        data = body().replace(b"gpt-4o", b"up/claude")
        refused = await nexus.ask("POST", "/llm/anthropic/v1/messages", data, x_client_id="alice")
        assert refused.status == 429
        told = msgspec.json.decode(refused.body)
        assert (told["type"], told["error"]) == ("error", {"type": "rate_limit_error", "message": NEVER})


REQUESTS = '[server.rate_limits]\nenabled = true\nglobal = {{ limit = {}, interval = "60s" }}\n'


async def many(nexus: Running, count: int) -> list[int]:
    """Ask so often at once, over fifty connections kept open."""
    head = f"POST {CHAT} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {len(body())}\r\n\r\n"
    found: list[int] = []

    async def one() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", nexus.port)
        for _ in range(count // 50):
            writer.write(head.encode() + body())
            answer = await reader.readuntil(b"\r\n\r\n")
            found.append(int(answer[9:12]))
            if b"chunked" in answer:
                await reader.readuntil(b"0\r\n\r\n")
            else:
                length = next(line for line in answer.split(b"\r\n") if line.startswith(b"content-length"))
                await reader.readexactly(int(length.split(b":")[1]))
        writer.close()

    await asyncio.gather(*(one() for _ in range(50)))
    return found


async def test_of_a_thousand_requests_exactly_the_limit_passes() -> None:
    async with upstream(passes) as up:
        async with gateway(provider(up.url) + REQUESTS.format(137)) as nexus:
            found = await many(nexus, 1000)
            assert (found.count(200), found.count(429)) == (137, 863)
            refused = await nexus.ask("POST", CHAT, body())
            assert (refused.body, refused.headers["content-type"]) == (b"Rate limit exceeded", "text/plain")
            assert "retry-after" not in refused.headers
            assert (await nexus.ask("GET", "/health")).status == 200
            assert (await nexus.ask("GET", "/nowhere")).status == 404


async def test_of_a_thousand_requests_exactly_the_limit_passes_in_redis_too() -> None:
    async with redis() as server, upstream(passes) as up:
        async with gateway(provider(up.url) + REQUESTS.format(137) + stored(server)) as nexus:
            found = await many(nexus, 1000)
            assert (found.count(200), found.count(429)) == (137, 863)


@pytest.mark.parametrize("shared", [False, True])
async def test_of_a_thousand_requests_at_one_moment_exactly_the_limit_passes(shared: bool) -> None:
    async with contextlib.AsyncExitStack() as stack:
        storage = stored(await stack.enter_async_context(redis())) if shared else ""
        echo = '[llm.providers.up]\ntype = "echo"\n'
        nexus = await stack.enter_async_context(gateway(echo + REQUESTS.format(137) + storage))
        found: list[int] = []

        async def send(message: Message) -> None:
            if message["type"] == "http.response.start":
                found.append(message["status"])

        async def receive() -> Message:
            return {"type": "http.request", "body": b"", "more_body": False}

        async def ask() -> None:
            scope: Scope = {"type": "http", "method": "GET", "path": "/llm/v1/models", "headers": []}
            await nexus.gateway.app(scope, receive, send)

        await asyncio.gather(*(ask() for _ in range(1000)))
        assert (found.count(200), found.count(429)) == (137, 863)


async def test_a_request_asks_redis_once_for_each_kind_of_limit() -> None:
    many = REQUESTS.format(1000) + 'per_ip = { limit = 1000, interval = "60s" }\n'
    async with redis() as server, upstream(passes) as up:
        toml = provider(up.url) + many + stored(server) + tokens(10**6, OUTPUT)
        async with gateway(toml) as nexus, seen_by(server) as asked:
            for number in range(1, 4):
                assert (await chat(nexus, data=body(max_tokens=10))).status == 200
                async with asyncio.timeout(5):
                    while len(asked) < 3 * number:  # the third settles, after the answer
                        await asyncio.sleep(0)
            await chat(nexus, data=b"{")
            assert [one.split()[0] for one in asked] == ["EVALSHA"] * 10


@contextlib.asynccontextmanager
async def seen_by(server: Redis) -> AsyncGenerator[list[str]]:
    """Note every command that comes in from outside."""
    asked: list[str] = []
    looking: Any = client.Redis(port=server.port)
    async with looking, looking.monitor() as monitor:

        async def look() -> None:
            while True:
                told = await monitor.next_command()
                if told["client_type"] != "lua":
                    asked.append(told["command"])

        task = asyncio.create_task(look())
        try:
            yield asked
        finally:
            task.cancel()
            await asyncio.wait((task,))


async def test_counters_outlive_a_reload() -> None:
    async with upstream(passes) as up:
        toml = provider(up.url) + tokens(16)
        async with gateway(toml) as nexus:
            assert await statuses(nexus, 2) == [200, 200]
            fresh = Gateway(config.loads(toml, {}).config, nexus.gateway.memory)
            await fresh.start()
            nexus.current.replace(fresh)
            assert (await chat(nexus)).status == 429


OUTPUT = "output_token_limit = 100"


def stream(*pieces: bytes | asyncio.Event) -> Told:
    return Told(content_type="text/event-stream", pieces=pieces)


def event(text: str) -> bytes:
    return b'data: {"model":"gpt-4o","choices":[{"delta":{"content":"%s"}}]}\n\n' % text.encode()


USAGE = b'data: {"model":"gpt-4o","choices":[],"usage":{"completion_tokens":30}}\n\ndata: [DONE]\n\n'


async def remaining(nexus: Running, client: str = "alice") -> dict[str, int]:
    answer = await nexus.ask("GET", "/v1/limits", x_client_id=client)
    return {one["tokens"]: one["remaining"] for one in msgspec.json.decode(answer.body)["limits"]}


async def settled(nexus: Running, output: int) -> None:
    """Wait until so many output tokens are left."""
    async with asyncio.timeout(5):
        while (await remaining(nexus))["output"] != output:
            await asyncio.sleep(0.01)


async def test_output_is_held_while_it_is_written_and_settled_after() -> None:
    written = asyncio.Event()
    async with upstream(lambda _: stream(event("Hello"), written, USAGE)) as up:
        async with gateway(provider(up.url) + tokens(1000, OUTPUT)) as nexus:
            data = body(stream=True, max_tokens=60)
            running = asyncio.create_task(chat(nexus, data=data))
            await settled(nexus, 40)
            assert (await chat(nexus, data=data)).status == 429
            assert (await remaining(nexus))["input"] == 992
            written.set()
            answer = await running
            assert answer.body.endswith(b"data: [DONE]\n\n")
            await settled(nexus, 70)
            assert (await chat(nexus, data=data)).status == 200


async def test_a_whole_answer_settles_by_what_it_says() -> None:
    async with upstream(passes) as up:
        async with gateway(provider(up.url) + tokens(1000, OUTPUT)) as nexus:
            for left in (97, 94, 91):
                assert (await chat(nexus, data=body(max_tokens=50))).status == 200
                await settled(nexus, left)


async def test_a_client_that_hangs_up_pays_for_what_was_written() -> None:
    never = asyncio.Event()
    async with upstream(lambda _: stream(event("Hello"), event(" world"), never)) as up:
        async with gateway(provider(up.url) + tokens(1000, OUTPUT)) as nexus:
            data = body(stream=True, max_tokens=60)
            reader, writer = await asyncio.open_connection("127.0.0.1", nexus.port)
            head = (
                f"POST {CHAT} HTTP/1.1\r\nhost: x\r\nx-client-id: alice\r\ncontent-type: application/json\r\n"
            )
            writer.write(head.encode() + b"content-length: %d\r\n\r\n" % len(data) + data)
            await reader.readuntil(b" world")
            writer.transport.abort()
            await settled(nexus, 98)


async def test_a_stream_that_does_not_tell_is_counted() -> None:
    async with upstream(lambda _: stream(event("Hello"), event(" world"), b"data: [DONE]\n\n")) as up:
        async with gateway(provider(up.url) + tokens(1000, OUTPUT)) as nexus:
            await chat(nexus, data=body(stream=True, max_tokens=60))
            await settled(nexus, 98)


async def test_an_upstream_that_is_not_there_uses_up_nothing() -> None:
    async with upstream(lambda _: Told(status=503, pieces=(b'{"error":{}}',))) as up:
        async with gateway(provider(up.url) + tokens(1000, OUTPUT)) as nexus:
            await chat(nexus, data=body(max_tokens=60))
            await settled(nexus, 100)
            assert (await remaining(nexus))["input"] == 1000


async def test_many_at_once_never_write_more_than_the_limit() -> None:
    running, most = 0, 0
    go = asyncio.Event()

    def script(_: object) -> Told:
        nonlocal running, most
        running += 1
        most = max(most, running)
        return stream(event("Hello"), go, USAGE)

    async with upstream(script) as up, gateway(provider(up.url) + tokens(10_000, OUTPUT)) as nexus:
        asked = [asyncio.create_task(chat(nexus, data=body(stream=True, max_tokens=30))) for _ in range(20)]
        async with asyncio.timeout(5):
            while sum(task.done() for task in asked) < 17:
                await asyncio.sleep(0.01)
        go.set()
        found = [(await task).status for task in asked]
        assert (most, found.count(200), found.count(429)) == (3, 3, 17)


TLS = "[server.rate_limits.storage.tls]\nenabled = true\n"


def ca(server: Redis) -> str:
    return f'ca_cert_path = "{server.ca}"\n'


def certificate(server: Redis) -> str:
    return f'{ca(server)}client_cert_path = "{server.certificate}"\nclient_key_path = "{server.key}"\n'


SECURED: dict[str, tuple[bool, Callable[[Redis], str], bool]] = {
    "the authority is known": (False, lambda server: TLS + ca(server), True),
    "any certificate is accepted": (False, lambda _: TLS + "insecure = true\n", True),
    "the authority is not known": (False, lambda _: TLS, False),
    "no table, and the authority is not known": (False, lambda _: "", False),
    "we have a certificate": (True, lambda server: TLS + certificate(server), True),
    "we have none": (True, lambda server: TLS + ca(server), False),
}


@pytest.mark.parametrize("what", SECURED)
async def test_redis_with_tls(what: str) -> None:
    mutual, table, works = SECURED[what]
    async with redis(tls=True, mutual=mutual) as server, upstream(passes) as up:
        toml = provider(up.url) + REQUESTS.format(2) + stored(server, table(server))
        if works:
            async with gateway(toml) as nexus:
                assert await statuses(nexus, 3) == [200, 200, 429]
        else:
            made = Gateway(config.loads(toml, {}).config)
            with pytest.raises(StoreFailed, match=r"^Failed to get Redis connection from pool"):
                await made.start()
            await made.close()


async def test_a_start_without_redis_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "nexus.toml"
    storage = '[server.rate_limits.storage]\ntype = "redis"\nurl = "redis://user:hidden@127.0.0.1:1"\n'
    echo = '[llm.providers.up]\ntype = "echo"\n'
    file.write_text(echo + REQUESTS.format(2) + storage)
    ended = command("--config", str(file), "--listen-address", "127.0.0.1:0")
    assert ended.returncode == 1
    assert "Server failed to start: Failed to get Redis connection from pool" in ended.stderr
    assert "hidden" not in ended.stderr


async def test_a_redis_that_goes_away_and_comes_back(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    quick = 'response_timeout = "200ms"\nconnection_timeout = "200ms"'
    async with redis() as server, upstream(passes) as up:
        both = provider(up.url) + tokens(16) + REQUESTS.format(5) + stored(server, quick)
        only_tokens = provider(up.url) + tokens(16) + stored_alone(server, quick)
        async with gateway(both) as strict, gateway(only_tokens) as lenient:
            assert await statuses(strict, 3) == [200, 200, 429]
            await server.kill()
            answers = [await chat(strict) for _ in range(5)]
            assert {(one.status, one.body) for one in answers} == {(500, b"Internal server error")}
            assert await statuses(lenient, 5) == [200] * 5
            lines = [line for line in caplog.messages if "Redis cannot be reached" in line]
            assert len(lines) == 2  # one for each of the two gateways
            await server.start()
            async with asyncio.timeout(10):
                while (await chat(strict, "nobody")).status == 500:
                    await asyncio.sleep(0.05)
                while (await chat(lenient, "carol")).status == 200:
                    await asyncio.sleep(0.05)
            assert len([line for line in caplog.messages if "Redis is back" in line]) == 2


async def test_who_asks_whether_requests_would_be_served_hears_of_redis() -> None:
    quick = 'response_timeout = "200ms"\nconnection_timeout = "200ms"'
    async with redis() as server, upstream(passes) as up:
        async with gateway(provider(up.url) + REQUESTS.format(5) + stored(server, quick)) as nexus:
            assert await ready(nexus) == (200, {"llm.providers.up": "up"})
            await server.kill()
            assert await statuses(nexus, 1) == [500]
            told = {"server.rate_limits": "limits cannot be counted, so requests are refused"}
            assert await ready(nexus) == (200, {"llm.providers.up": "up", **told})
            await server.start()
            async with asyncio.timeout(10):
                while (await ready(nexus))[1].keys() & told:  # nobody else asks for anything
                    await asyncio.sleep(0.05)
            assert await statuses(nexus, 1) == [200]


async def ready(nexus: Running) -> tuple[int, dict[str, str]]:
    """Ask a gateway whether it is ready."""
    answer = await nexus.ask("GET", "/ready")
    return answer.status, msgspec.json.decode(answer.body)["parts"]


async def test_a_redis_is_asked_whether_it_is_there_only_where_nobody_knows(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = list[int]()

    async def ping() -> None:
        asked.append(1)

    async with redis() as server, contextlib.AsyncExitStack() as stack:
        made = store(server)
        stack.push_async_callback(made.close)
        await made.start()
        monkeypatch.setattr(made._redis, "ping", ping)  # pyright: ignore[reportPrivateUsage]
        await made.charge([Charge("k", Window.of(60), 100, 1)])
        await made.check()
        assert asked == []
        monkeypatch.setattr(module, "_FRESH", 0.0)
        await made.check()
        assert asked == [1]


async def test_a_redis_that_does_not_answer_in_time_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_PING", 0.1)
    silent = await asyncio.start_server(_silent, "127.0.0.1", 0)
    url = f"redis://127.0.0.1:{silent.sockets[0].getsockname()[1]}"
    made = RedisStore(RedisStorage(type="redis", url=SecretStr(url), response_timeout=30.0))
    async with asyncio.timeout(3):
        with pytest.raises(StoreFailed, match=r"no answer within 0\.1 seconds"):
            await made.check()
    assert made.trouble is None, "who has more time may still be answered"
    await made.close()
    silent.close()


async def test_a_redis_that_is_killed_under_load_cuts_nobody_off() -> None:
    quick = 'response_timeout = "500ms"\nconnection_timeout = "500ms"'
    async with redis() as server, upstream(passes) as up:
        async with gateway(provider(up.url) + REQUESTS.format(100_000) + stored(server, quick)) as nexus:
            found, enough = list[int](), asyncio.Event()

            async def ask_on() -> None:
                while not enough.is_set():
                    found.extend(await many(nexus, 200))

            async with asyncio.timeout(20):
                load = asyncio.create_task(ask_on())
                while len(found) < 200:
                    await asyncio.sleep(0.01)
                await server.kill()
                while 500 not in found:
                    await asyncio.sleep(0.01)
                await server.start()
                seen = len(found)
                while 200 not in found[seen + 200 :]:
                    await asyncio.sleep(0.01)
                enough.set()
                await load
            assert set(found) == {200, 500}
            assert nexus.gateway.limiter._booking == set()  # pyright: ignore[reportPrivateUsage]  # nothing is left


def stored_alone(server: Redis, more: str) -> str:
    return f"[server.rate_limits]\nenabled = false\n{stored(server, more)}"


@pytest.mark.parametrize(("policy", "request_", "limited"), [("allow", 200, 200), ("deny", 500, 503)])
async def test_what_becomes_of_requests_meanwhile_can_be_chosen(
    policy: str, request_: int, limited: int
) -> None:
    chosen = f'on_store_error = "{policy}"\n'
    async with redis() as server, upstream(passes) as up:
        requests = REQUESTS.format(5).replace("enabled = true\n", f"enabled = true\n{chosen}")
        alone = stored_alone(server, "").replace("enabled = false\n", f"enabled = false\n{chosen}")
        async with gateway(provider(up.url) + tokens(16) + requests + stored(server)) as one:
            async with gateway(provider(up.url) + tokens(16) + alone) as other:
                await server.kill()
                assert (await chat(one)).status == request_
                assert (await chat(other)).status == limited


RACE = int(os.environ.get("NEXUS_RACE", "1000"))
"""Requests, or decisions, in a race; `NEXUS_RACE=100000 pytest -s -k race --timeout 600` runs the long ones."""


@pytest.mark.timeout(max(60, RACE // 200))
async def test_two_gateways_that_race_on_one_redis_pass_exactly_the_limit(tmp_path: Path) -> None:
    async with redis() as server:
        limit = RACE * 3 // 5 + 1
        requests = REQUESTS.format(limit).replace("60s", "1h")
        file = tmp_path / "nexus.toml"
        file.write_text('[llm.providers.up]\ntype = "echo"\n' + requests + stored(server))
        with process("--config", str(file)) as one, process("--config", str(file)) as two:
            for each in (one, two):  # else they would stop where nobody reads what they log
                asyncio.get_running_loop().run_in_executor(None, each.log.extend, each.popen.stderr or ())
            ports = [int(each.url.rsplit(":", 1)[1]) for each in (one, two)]
            found = await asyncio.gather(*(_models(port, RACE // 20) for port in ports * 10))
            passed = sum(status == 200 for answers in found for status in answers)
            print(f"of {RACE} requests {passed} passed, the limit is {limit}")
            assert (passed, sum(map(len, found))) == (limit, RACE)


async def _models(port: int, count: int) -> list[int]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    found: list[int] = []
    for _ in range(count):
        writer.write(b"GET /llm/v1/models HTTP/1.1\r\nhost: x\r\n\r\n")
        head = await reader.readuntil(b"\r\n\r\n")
        found.append(int(head[9:12]))
        length = next(line for line in head.split(b"\r\n") if line.startswith(b"content-length"))
        await reader.readexactly(int(length.split(b":")[1]))
    writer.close()
    return found


HAMMER = """
import asyncio, sys
from nexus.config.ratelimit import RedisStorage
from nexus.ratelimit import Charge, Window
from nexus.ratelimit.redis import RedisStore

async def main(url: str, count: int, limit: int) -> None:
    store = RedisStore(RedisStorage.model_validate({"type": "redis", "url": url}))
    await store.start()
    charge, passed = Charge("k", Window.of(3600), limit, 1), 0

    async def some() -> None:
        nonlocal passed
        for _ in range(count // 20):
            decision = await store.charge([charge])
            passed += decision.refused is None

    await asyncio.gather(*(some() for _ in range(20)))
    await store.close()
    print(passed)

asyncio.run(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
"""


@pytest.mark.timeout(max(60, RACE // 200))
async def test_processes_that_race_never_pass_one_more_than_the_limit() -> None:
    async with redis() as server:
        limit = RACE * 3 // 5 + 1
        arguments = [sys.executable, "-c", HAMMER, server.url, str(RACE // 2), str(limit)]
        running = [
            await asyncio.create_subprocess_exec(*arguments, stdout=asyncio.subprocess.PIPE) for _ in range(2)
        ]
        passed = await asyncio.gather(*(one.communicate() for one in running))
        total = sum(int(out) for out, _ in passed)
        print(f"of {RACE} decisions {total} let pass, the limit is {limit}")
        assert total == limit


def store(server: Redis, **more: object) -> RedisStore:
    return RedisStore(RedisStorage.model_validate({"type": "redis", "url": server.url, **more}))


async def test_keys_have_the_prefix_and_go_by_themselves() -> None:
    async with redis() as server, contextlib.AsyncExitStack() as stack:
        made = store(server, key_prefix="mine:")
        stack.push_async_callback(made.close)
        await made.start()
        await made.charge([Charge("{a}:k", Window.of(0.05), 10, 1)])
        raw = made._redis  # pyright: ignore[reportPrivateUsage]  # what is in there
        assert await raw.keys("*") == [b"mine:{a}:k"]
        await made.charge([Charge("{a}:refused", Window.of(60), 0, 1)])
        async with asyncio.timeout(5):
            while await raw.keys("*"):
                await asyncio.sleep(0.02)


async def test_idle_connections_are_kept_open_and_all_are_bounded() -> None:
    async with redis() as server, contextlib.AsyncExitStack() as stack:
        made = store(server, pool={"min_idle": 3, "max_size": 4})
        stack.push_async_callback(made.close)
        await made.start()
        raw = made._redis  # pyright: ignore[reportPrivateUsage]  # what is in there
        assert (await raw.info("clients"))["connected_clients"] == 3
        window = Window.of(60)
        await asyncio.gather(*(made.charge([Charge("k", window, 1000, 1)]) for _ in range(200)))
        assert (await raw.info("clients"))["connected_clients"] <= 4


async def test_who_waits_for_a_connection_gets_one_in_turn() -> None:
    async with redis() as server, contextlib.AsyncExitStack() as stack:
        made = store(server, pool={"max_size": 1, "timeout_wait": "30s"})
        stack.push_async_callback(made.close)
        await made.start()
        charge = Charge("k", Window.of(60), 10**6, 1)
        done = [0] * 30
        apart: set[int] = set()

        async def busy(number: int) -> None:
            for _ in range(20):
                await made.charge([charge])
                done[number] += 1
                apart.add(max(done) - min(done))

        await asyncio.gather(*(busy(number) for number in range(30)))
        assert max(apart) <= 2
        assert list((await made.charge([charge])).used) == [601]


async def test_who_waits_too_long_for_a_connection_is_told() -> None:
    async with redis() as server, contextlib.AsyncExitStack() as stack:
        made = store(server, pool={"max_size": 1, "timeout_wait": "10ms"})
        stack.push_async_callback(made.close)
        await made.start()
        charge = Charge("k", Window.of(60), 10**6, 1)
        await made._turns.acquire()  # pyright: ignore[reportPrivateUsage]  # somebody holds the only one
        with pytest.raises(StoreFailed, match="in use"):
            await made.charge([charge])
        made._turns.release()  # pyright: ignore[reportPrivateUsage]
        await made.charge([charge])
        assert made.trouble is None


async def test_a_redis_that_does_not_answer_is_given_up() -> None:
    silent = await asyncio.start_server(_silent, "127.0.0.1", 0)
    port = silent.sockets[0].getsockname()[1]
    storage = {"type": "redis", "url": f"redis://127.0.0.1:{port}", "response_timeout": "100ms"}
    made = RedisStore(RedisStorage.model_validate(storage))
    async with asyncio.timeout(3):
        with pytest.raises(StoreFailed):
            await made.start()
    silent.close()


async def test_one_answer_that_is_late_refuses_nobody_else() -> None:
    held = asyncio.Event()
    async with redis() as server, contextlib.AsyncExitStack() as stack:
        proxy = await asyncio.start_server(partial(_through, server.port, held, []), "127.0.0.1", 0)
        stack.callback(proxy.close)
        url = f"redis://127.0.0.1:{proxy.sockets[0].getsockname()[1]}"
        pool = {"min_idle": 2, "max_size": 2}
        made = store(server, url=url, response_timeout="200ms", pool=pool)
        stack.push_async_callback(made.close)
        await made.start()
        held.set()
        charge = Charge("k", Window.of(60), 100, 1)
        late = [asyncio.create_task(made.charge([charge])) for _ in range(2)]
        answered, _ = await asyncio.wait(late, return_when=asyncio.FIRST_COMPLETED)
        assert [task.exception() for task in answered] == [None]
        await asyncio.wait(late)
        assert [type(task.exception()) for task in late if task.exception()] == [StoreFailed]
        assert (made.trouble, made.failures) == (None, 1)
        await made.charge([charge])


async def _through(
    port: int,
    held: asyncio.Event,
    known: list[object],
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
) -> None:
    """Pass bytes on in both directions; once `held` is set, those of the first connection no more."""
    known.append(writer)
    first = known[0] is writer
    ours, theirs = await asyncio.open_connection("127.0.0.1", port)

    async def carry(source: asyncio.StreamReader, to: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await source.read(4096):
                if not (first and held.is_set()):
                    to.write(data)
        to.close()

    await asyncio.gather(carry(reader, theirs), carry(ours, writer))


async def _silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while await reader.read(1000):
            pass
    writer.close()


def test_a_table_for_tls_needs_a_url_for_it() -> None:
    storage = {"type": "redis", "url": "redis://127.0.0.1", "tls": {"enabled": True}}
    with pytest.raises(ValueError, match="rediss://"):
        RedisStore(RedisStorage.model_validate(storage))


def test_counters_in_memory_are_not_shared_between_workers(tmp_path: Path) -> None:
    file = tmp_path / "nexus.toml"
    file.write_text('[llm.providers.up]\ntype = "echo"\n' + REQUESTS.format(2))
    ended = command("--config", str(file), "--workers", "2", "--listen-address", "127.0.0.1:0")
    assert ended.returncode == 1
    assert 'use type = "redis", or --workers 1' in ended.stderr
