import asyncio

import msgspec
import pytest

from gateway import gateway, provider, read_answer
from upstreams.scripted import Asked, Told, upstream

CHAT = "/llm/openai/v1/chat/completions"
COMPLETION = (
    b'{"id": "chatcmpl-1","object":"chat.completion", "created":1,"model":"gpt-4o-2024-08-06","choices":[{"index":0,'
    b'"message":{"role":"assistant","content":"Hi \\"model\\":\\"x\\""},"logprobs":null}],"usage":{"total_tokens": 0.10}}'
)
EVENTS = [
    b'data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"gpt-4o-2024-08-06","choices":[{"delta":{"content":"'
    + word
    + b'"}}]}\n\n'
    for word in (b"Hel", b"lo", "é".encode())
]
DONE = b"data: [DONE]\n\n"


async def test_only_the_model_changes_on_both_ways() -> None:
    async with upstream(lambda _: Told(pieces=(COMPLETION,))) as up, gateway(provider(up.url)) as nexus:
        body = b'{"model": "up/gpt-4o", "messages":[{"role":"user","content":"caf\\u00e9", "x": 1.50 }],"seed": 0.10,"new":[ ]}'
        answer = await nexus.ask("POST", CHAT, body)
        assert answer.status == 200
        assert answer.headers["content-type"] == "application/json"
        assert answer.body == COMPLETION.replace(b"gpt-4o-2024-08-06", b"up/gpt-4o")
        assert up.last.target == "/v1/chat/completions"
        assert up.last.headers["authorization"] == "Bearer test-key"
        assert up.last.body == (
            b'{"model":"gpt-4o","messages":[{"role":"user","content":"caf\\u00e9", "x": 1.50 }],"seed":0.10,"new":[ ]}'
        )


async def test_a_stream_passes_event_by_event_as_it_comes() -> None:
    gates = [asyncio.Event() for _ in EVENTS]
    pieces = [part for pair in zip(EVENTS, gates, strict=True) for part in pair]
    async with upstream(lambda _: Told(content_type="text/event-stream", pieces=[*pieces, DONE])) as up:
        async with gateway(provider(up.url)) as nexus:
            reader, writer = await asyncio.open_connection("127.0.0.1", nexus.port)
            body = b'{"model":"gpt-4o","stream":true,"messages":[]}'
            writer.write(b"POST %s HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n" % CHAT.encode())
            writer.write(b"content-length: %d\r\n\r\n%s" % (len(body), body))
            head = await reader.readuntil(b"\r\n\r\n")
            assert b"200 OK" in head
            assert b"content-type: text/event-stream" in head
            # the upstream goes on only when what it has said has come through
            for event, gate in zip(EVENTS, gates, strict=True):
                assert event.replace(b"gpt-4o-2024-08-06", b"gpt-4o") in await reader.readuntil(b"\n\n")
                gate.set()
            assert DONE in await reader.readuntil(DONE)
            writer.close()


async def test_every_header_of_the_client_stays_here() -> None:
    async with upstream() as up, gateway(provider(up.url)) as nexus:
        await nexus.ask(
            "POST", CHAT, b'{"model":"gpt-4o"}', authorization="Bearer mine", cookie="a=b", x_secret="s"
        )
        sent = up.last.headers
        assert sent["authorization"] == "Bearer test-key"
        assert set(sent) == {
            "host",
            "authorization",
            "user-agent",
            "accept",
            "accept-encoding",
            "content-type",
            "content-length",
        }


async def test_only_harmless_headers_of_the_upstream_reach_the_client() -> None:
    told = Told(
        headers={
            "x-request-id": "req-1",
            "x-ratelimit-remaining-tokens": "7",
            "openai-organization": "secret-org",
            "set-cookie": "a=b",
            "server": "x",
            "connection": "keep-alive",
        }
    )
    async with upstream(lambda _: told) as up, gateway(provider(up.url)) as nexus:
        answer = await nexus.ask("POST", CHAT, b'{"model":"gpt-4o"}')
        assert answer.headers["x-request-id"] == "req-1"
        assert answer.headers["x-ratelimit-remaining-tokens"] == "7"
        assert not {"openai-organization", "set-cookie", "server"} & set(answer.headers)


@pytest.mark.parametrize(
    "path",
    [
        CHAT,
        "/llm/openai/chat/completions",
        "/llm/v1/chat/completions",
        "/llm/chat/completions",
        "/llm/openai/up/v1/chat/completions",
    ],
)
async def test_every_published_path_works(path: str) -> None:
    async with upstream(lambda _: Told(pieces=(COMPLETION,))) as up, gateway(provider(up.url)) as nexus:
        assert (await nexus.ask("POST", path, b'{"model":"gpt-4o"}')).status == 200
        assert (
            await nexus.ask("GET", path.replace("chat/completions", "models").replace("/up/v1", ""))
        ).status == 200


@pytest.mark.parametrize(
    "name", ["responses", "embeddings", "completions", "moderations", "images/generations"]
)
async def test_other_json_endpoints_are_relayed(name: str) -> None:
    async with (
        upstream(lambda _: Told(pieces=(b'{"model":"gpt-4o-x","y":1.0}',))) as up,
        gateway(provider(up.url, "responses = true")) as nexus,
    ):
        answer = await nexus.ask("POST", f"/llm/openai/v1/{name}", b'{"model":"up/gpt-4o","input":"x"}')
        assert answer.body == b'{"model":"up/gpt-4o","y":1.0}'
        assert (up.last.target, up.last.json["model"]) == (f"/v1/{name}", "gpt-4o")


async def test_responses_events_name_the_model_of_the_client() -> None:
    event = b'event: response.created\ndata: {"type":"response.created","response":{"id":"r","model":"gpt-4o-x"}}\n\n'
    told = Told(content_type="text/event-stream", pieces=(event,))
    async with upstream(lambda _: told) as up, gateway(provider(up.url, "responses = true")) as nexus:
        answer = await nexus.ask("POST", "/llm/openai/v1/responses", b'{"model":"up/gpt-4o","stream":true}')
        assert answer.body == event.replace(b"gpt-4o-x", b"up/gpt-4o")


async def test_speech_comes_through_as_bytes() -> None:
    sound = bytes(range(256)) * 100
    told = Told(content_type="audio/mpeg", pieces=(sound[:999], sound[999:]))
    async with upstream(lambda _: told) as up, gateway(provider(up.url)) as nexus:
        answer = await nexus.ask("POST", "/llm/openai/v1/audio/speech", b'{"model":"up/gpt-4o","input":"x"}')
        assert (answer.body, answer.headers["content-type"]) == (sound, "audio/mpeg")


async def test_a_transcription_form_keeps_its_file_and_changes_its_model() -> None:
    form = b'--B\r\nContent-Disposition: form-data; name="model"\r\n\r\n%s\r\n'
    form += (
        b'--B\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\n\x00\xff\r\n--B--\r\n'
    )
    async with (
        upstream(lambda _: Told(pieces=(b'{"text":"hello"}',))) as up,
        gateway(provider(up.url)) as nexus,
    ):
        answer = await nexus.ask(
            "POST",
            "/llm/openai/v1/audio/transcriptions",
            form % b"up/gpt-4o",
            "multipart/form-data; boundary=B",
        )
        assert answer.body == b'{"text":"hello"}'
        assert up.last.body == form % b"gpt-4o"
        assert up.last.headers["content-type"] == "multipart/form-data; boundary=B"


async def test_files_need_a_provider_in_the_path() -> None:
    async with (
        upstream(lambda _: Told(pieces=(b'{"object":"list"}',))) as up,
        gateway(provider(up.url)) as nexus,
    ):
        assert (await nexus.ask("GET", "/llm/openai/up/v1/files?limit=2")).body == b'{"object":"list"}'
        assert up.last.target == "/v1/files?limit=2"
        assert (await nexus.ask("DELETE", "/llm/openai/up/v1/files/file-1")).status == 200
        assert (up.last.method, up.last.target) == ("DELETE", "/v1/files/file-1")
        refused = await nexus.ask("GET", "/llm/openai/v1/files")
        assert refused.status == 400
        assert b"/<provider>/v1/files" in refused.body
        for trick in (
            "/llm/openai/up/v1/files/../models",
            "/llm/openai/up/v1/files/%2e%2e",
            "/llm/openai/up/v1/admin",
        ):
            assert (await nexus.ask("GET", trick)).status == 404


async def test_an_answer_without_body_passes() -> None:
    told = Told(status=200, content_type="application/json", pieces=(b'{"deleted":true}',))
    async with upstream(lambda _: told) as up, gateway(provider(up.url)) as nexus:
        answer = await nexus.ask("POST", "/llm/openai/up/v1/responses/resp_1/cancel")
        assert answer.body == b'{"deleted":true}'


async def test_silence_is_filled_with_comments_between_events() -> None:
    gate = asyncio.Event()
    told = Told(
        content_type="text/event-stream", pieces=(EVENTS[0], EVENTS[1][:40], gate, EVENTS[1][40:], DONE)
    )
    more = 'timeouts = { idle = "5s" }\n[llm]\nkeep_alive = "100ms"'
    async with upstream(lambda _: told) as up, gateway(provider(up.url, more)) as nexus:
        asking = asyncio.create_task(nexus.ask("POST", CHAT, b'{"model":"gpt-4o","stream":true}'))
        await asyncio.sleep(0.7)
        gate.set()
        body = (await asking).body
        assert body.count(b": keep-alive\n\n") >= 1
        assert body.replace(b": keep-alive\n\n", b"") == b"".join((*EVENTS[:2], DONE)).replace(
            b"-2024-08-06", b""
        )


async def test_a_client_that_leaves_ends_the_upstream_call_at_once() -> None:
    never = asyncio.Event()
    for told in (
        Told(pieces=(never,), headers={"content-type": "text/event-stream"}),
        Told(content_type="text/event-stream", pieces=(EVENTS[0], never)),
        Told(pieces=(never,)),
    ):
        async with upstream(lambda _, told=told: told) as up, gateway(provider(up.url)) as nexus:
            reader, writer = await asyncio.open_connection("127.0.0.1", nexus.port)
            body = b'{"model":"gpt-4o","stream":true}'
            writer.write(b"POST %s HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n" % CHAT.encode())
            writer.write(b"content-length: %d\r\n\r\n%s" % (len(body), body))
            while len(up.asked) < 2:
                await asyncio.sleep(0.005)
            del reader
            writer.transport.abort()
            async with asyncio.timeout(0.3):
                await up.left.wait()
            assert nexus.current.gateway.active == 0 or await _idle(nexus.current)


async def _idle(current: object) -> bool:
    for _ in range(50):
        if current.gateway.active == 0:  # type: ignore[attr-defined]  # Current, seen as an object here
            return True
        await asyncio.sleep(0.01)
    return False


async def test_two_equal_requests_leave_as_equal_bytes() -> None:
    async with upstream() as up, gateway(provider(up.url)) as nexus:
        for _ in range(2):
            await nexus.ask("POST", CHAT, b'{"z":1,"model":"gpt-4o","a":{"c":1,"b":2}}')
        first, second = (one.body for one in up.asked if one.method == "POST")
        assert first == second == b'{"z":1,"model":"gpt-4o","a":{"c":1,"b":2}}'


async def test_kept_connections_are_used_again() -> None:
    ports: set[str] = set()

    def script(asked: Asked) -> Told:
        ports.add(asked.headers["host"])
        return Told()

    async with upstream(script) as up, gateway(provider(up.url)) as nexus:
        reader, writer = await asyncio.open_connection("127.0.0.1", nexus.port)
        body = b'{"model":"gpt-4o"}'
        for _ in range(20):
            writer.write(b"POST %s HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n" % CHAT.encode())
            writer.write(b"content-length: %d\r\n\r\n%s" % (len(body), body))
            assert (await read_answer(reader)).whole
        writer.close()
        assert nexus.gateway.providers[0]._api._pool.open == 1  # type: ignore[attr-defined]  # the number is the point


async def test_the_model_list_is_complete() -> None:
    more = '[llm.providers.up.models.smart]\nrename = "gpt-4o"\n[llm.providers.up.models."a/b"]'
    async with upstream() as up, gateway(provider(up.url, more)) as nexus:
        listed = msgspec.json.decode((await nexus.ask("GET", "/llm/openai/v1/models")).body)
        assert listed == {
            "object": "list",
            "data": [
                {"id": "gpt-4o", "object": "model", "created": 1677651200, "owned_by": "openai"},
                {"id": "up/a/b", "object": "model", "created": 1719475200, "owned_by": "openai"},
                {"id": "up/smart", "object": "model", "created": 1719475200, "owned_by": "openai"},
            ],
        }
        for one in listed["data"]:
            answer = await nexus.ask("GET", f"/llm/openai/v1/models/{one['id']}")
            assert msgspec.json.decode(answer.body) == one
        encoded = await nexus.ask("GET", "/llm/openai/v1/models/up%2Fa%2Fb")
        assert encoded.status == 200
        missing = await nexus.ask("GET", "/llm/openai/v1/models/gpt-5")
        assert missing.status == 404
        assert (
            missing.body
            == b'{"error":{"message":"Model \'gpt-5\' not found","type":"not_found_error","code":404}}'
        )
