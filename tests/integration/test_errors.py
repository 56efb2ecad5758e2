"""What a client is told when something is wrong: status and exact body."""

import msgspec
import pytest

from gateway import gateway, provider
from upstreams.scripted import Told, upstream

CHAT = "/llm/openai/v1/chat/completions"
ASK = b'{"model":"gpt-4o","messages":[]}'


def said(message: str, kind: str, code: int) -> bytes:
    return msgspec.json.encode({"error": {"message": message, "type": kind, "code": code}})


PARSE = "Failed to parse request body: "
BAD_BODIES = [
    (b"", PARSE + "it is empty, a JSON object is expected"),
    (b"hello", PARSE + "JSON is malformed: invalid character (byte 0)"),
    (b'{"model":"gpt-4o"', PARSE + "Input data was truncated"),
    (b"[1]", PARSE + "Expected `object`, got `array`"),
    (b'{"messages":[]}', PARSE + "missing field `model`"),
    (b'{"model":7}', PARSE + "field `model` must be a string"),
    (b'{"model":null}', PARSE + "field `model` must be a string"),
    (b'{"model":"gpt-4o","stream":1}', PARSE + "field `stream` must be true or false"),
]


@pytest.mark.parametrize(("body", "message"), BAD_BODIES)
async def test_a_bad_body_is_refused_with_its_reason(body: bytes, message: str) -> None:
    async with upstream() as up, gateway(provider(up.url)) as nexus:
        answer = await nexus.ask("POST", CHAT, body, "application/json")
        assert (answer.status, answer.body) == (400, said(message, "invalid_request_error", 400))
        assert answer.headers["content-type"] == "application/json"
        assert all(one.method == "GET" for one in up.asked)


MODELS = [
    ("gpt-9", 404, "Model 'gpt-9' not found", "not_found_error"),
    ("nobody/gpt-4o", 404, "Provider 'nobody' not found", "not_found_error"),
    ("up/", 400, "Invalid model format: expected 'provider/model', got 'up/'", "invalid_request_error"),
    ("", 400, "Invalid model format: expected 'provider/model', got ''", "invalid_request_error"),
]


@pytest.mark.parametrize(("model", "status", "message", "kind"), MODELS)
async def test_a_model_nobody_has_is_refused(model: str, status: int, message: str, kind: str) -> None:
    async with upstream() as up, gateway(provider(up.url)) as nexus:
        answer = await nexus.ask("POST", CHAT, msgspec.json.encode({"model": model}))
        assert (answer.status, answer.body) == (status, said(message, kind, status))


@pytest.mark.parametrize(
    "content_type", ["text/plain", "application/jsonp", "multipart/form-data; boundary=x"]
)
async def test_another_content_type_is_refused(content_type: str) -> None:
    async with upstream() as up, gateway(provider(up.url)) as nexus:
        answer = await nexus.ask("POST", CHAT, ASK, content_type)
        message = "Unsupported Content-Type, expected: 'Content-Type: application/json'"
        assert (answer.status, answer.body) == (415, said(message, "invalid_request_error", 415))


@pytest.mark.parametrize(
    "content_type", ["application/json; charset=utf-8", "Application/JSON", "application/json ;x=y"]
)
async def test_parameters_and_case_of_the_content_type_do_not_matter(content_type: str) -> None:
    async with upstream() as up, gateway(provider(up.url)) as nexus:
        assert (await nexus.ask("POST", CHAT, ASK, content_type)).status == 200


@pytest.mark.parametrize("chunked", [False, True])
async def test_a_body_over_the_limit_is_refused(chunked: bool) -> None:
    async with upstream() as up, gateway("server.max_body_size = 1000\n" + provider(up.url)) as nexus:
        head = f"POST {CHAT} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\nconnection: close\r\n".encode()
        body = b'{"model":"gpt-4o","x":"' + b"y" * 2000 + b'"}'
        if chunked:
            message = head + b"transfer-encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
        else:
            message = head + b"content-length: %d\r\n\r\n" % len(body) + body
        answer = await nexus.send(message)
        text = "Request body is too large, limit is 1000 bytes"
        assert (answer.status, answer.body) == (413, said(text, "invalid_request_error", 413))


async def test_a_head_over_the_limit_is_refused() -> None:
    async with upstream() as up, gateway("server.max_header_size = 4096\n" + provider(up.url)) as nexus:
        for head in (b"x: " + b"y" * 5000, b"\r\n".join(b"x%d: y" % number for number in range(2000))):
            answer = await nexus.send(b"GET /health HTTP/1.1\r\nhost: x\r\n" + head + b"\r\n\r\n")
            text = "Request header fields are too large, limit is 4096 bytes"
            assert (answer.status, answer.body) == (431, said(text, "invalid_request_error", 431))
        endless = await nexus.send(b"GET /" + b"a" * 6000)
        assert endless.status == 431


async def test_another_method_is_refused_with_the_right_one() -> None:
    async with upstream() as up, gateway(provider(up.url)) as nexus:
        answer = await nexus.ask("GET", CHAT)
        assert (answer.status, answer.headers["allow"]) == (405, "POST")
        assert answer.body == said("Method not allowed, use POST", "invalid_request_error", 405)
        assert (await nexus.ask("DELETE", "/llm/openai/v1/models")).status == 405


async def test_an_unknown_endpoint_says_so() -> None:
    async with upstream() as up, gateway(provider(up.url)) as nexus:
        answer = await nexus.ask("POST", "/llm/openai/v1/chat", ASK)
        assert (answer.status, answer.body) == (
            404,
            said("No endpoint at /llm/openai/v1/chat", "not_found_error", 404),
        )
        nowhere = await nexus.ask("GET", "/nowhere")
        assert (nowhere.status, nowhere.body) == (404, b"")


OWN_WORDS = (
    b'{"error": {"message": "slow down", "type": "tokens", "param": null, "code": "rate_limit_exceeded"}}'
)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 422, 429, 500, 503, 529])
async def test_an_error_of_the_same_protocol_is_relayed_as_it_came(status: int) -> None:
    told = Told(status=status, pieces=(OWN_WORDS,), headers={"retry-after": "3", "x-request-id": "r-1"})
    async with upstream(lambda _: told) as up, gateway(provider(up.url)) as nexus:
        answer = await nexus.ask("POST", CHAT, ASK)
        assert (answer.status, answer.body) == (status, OWN_WORDS)
        assert (answer.headers["retry-after"], answer.headers["x-request-id"]) == ("3", "r-1")


@pytest.mark.parametrize(
    ("upstream_status", "status", "message", "kind"),
    [
        (400, 400, "Invalid request: no", "invalid_request_error"),
        (401, 401, "Authentication failed: no", "authentication_error"),
        (403, 403, "Insufficient quota: no", "insufficient_quota"),
        (404, 404, "no", "not_found_error"),
        (429, 429, "Rate limit exceeded: no", "rate_limit_error"),
        (500, 500, "no", "internal_error"),
        (502, 502, "Provider API error (502): no", "api_error"),
        (422, 502, "Provider API error (422): no", "api_error"),
    ],
)
async def test_an_error_in_other_words_is_told_in_ours(
    upstream_status: int, status: int, message: str, kind: str
) -> None:
    told = Told(status=upstream_status, content_type="text/plain", pieces=(b"no",))
    async with upstream(lambda _: told) as up, gateway(provider(up.url)) as nexus:
        answer = await nexus.ask("POST", CHAT, ASK)
        assert (answer.status, answer.body) == (status, said(message, kind, status))


async def test_success_that_is_no_json_is_the_upstreams_failure() -> None:
    async with upstream(lambda _: Told(pieces=(b"<html>",))) as up, gateway(provider(up.url)) as nexus:
        answer = await nexus.ask("POST", CHAT, ASK)
        text = "The upstream answered with success and a body that is not JSON"
        assert (answer.status, answer.body) == (502, said(text, "api_error", 502))


EVENT = b'data: {"id":"c","model":"gpt-4o","choices":[]}\n\n'


async def test_a_cut_answer_is_a_502() -> None:
    async with (
        upstream(lambda _: Told(pieces=(b'{"model":',), cut=True)) as up,
        gateway(provider(up.url)) as nexus,
    ):
        answer = await nexus.ask("POST", CHAT, ASK)
        text = (
            "Connection error: Failed to read the response of OpenAI:"
            " the upstream closed the connection amid its answer"
        )
        assert (answer.status, answer.body) == (502, said(text, "api_error", 502))


async def test_a_cut_stream_ends_with_an_error_event() -> None:
    told = Told(content_type="text/event-stream", pieces=(EVENT, b'data: {"half'), cut=True)
    async with upstream(lambda _: told) as up, gateway(provider(up.url)) as nexus:
        answer = await nexus.ask("POST", CHAT, b'{"model":"gpt-4o","stream":true}')
        events = answer.body.split(b"\n\n")
        assert events[0] + b"\n\n" == EVENT
        assert b'"type":"api_error"' in events[1]
        assert events[2] == b"data: [DONE]"
        assert answer.whole


async def test_a_cut_responses_stream_ends_with_its_own_error_event() -> None:
    told = Told(content_type="text/event-stream", pieces=(EVENT,), cut=True)
    async with upstream(lambda _: told) as up, gateway(provider(up.url, "responses = true")) as nexus:
        answer = await nexus.ask("POST", "/llm/openai/v1/responses", b'{"model":"gpt-4o","stream":true}')
        last = answer.body.split(b"\n\n")[-2]
        assert last.startswith(b'event: error\ndata: {"type":"error","code":"server_error"')


async def test_a_cut_download_is_cut_for_the_client_too() -> None:
    told = Told(content_type="audio/mpeg", pieces=(b"\x00" * 1000,), cut=True)
    async with upstream(lambda _: told) as up, gateway(provider(up.url)) as nexus:
        answer = await nexus.ask("POST", "/llm/openai/v1/audio/speech", ASK)
        assert not answer.whole


async def test_a_slow_upstream_is_a_504() -> None:
    async with upstream() as up, gateway(provider(up.url, 'timeouts = { first_byte = "100ms" }')) as nexus:
        up.mute = True
        answer = await nexus.ask("POST", CHAT, ASK)
        text = "Connection error: Failed to send request to OpenAI: the upstream did not answer within 0.1 seconds"
        assert (answer.status, answer.body) == (504, said(text, "api_error", 504))


async def test_a_refused_connection_is_a_502_that_names_no_key() -> None:
    async with upstream() as up, gateway(provider(up.url)) as nexus:
        await up.close()
        answer = await nexus.ask("POST", CHAT, b'{"model":"up/gpt-4o","stream":true}')
        assert answer.status == 502
        assert (
            b"Connection error: Failed to send streaming request to OpenAI: could not connect to 127.0.0.1"
            in answer.body
        )
        assert b"test-key" not in answer.body


async def test_the_log_says_once_which_provider_does_not_answer_and_where_it_is(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO", "nexus.llm")
    async with upstream() as up, gateway(provider(up.url, 'timeouts = { first_byte = "100ms" }')) as nexus:
        up.mute = True
        for _ in range(2):
            assert (await nexus.ask("POST", CHAT, ASK)).status == 504
        up.mute = False
        for _ in range(2):
            assert (await nexus.ask("POST", CHAT, ASK)).status == 200
        host = up.url.removesuffix("/v1")
        assert caplog.messages == [
            f"provider 'up' at {host}: the upstream did not answer within 0.1 seconds",
            "provider 'up' answers again",
        ]


async def test_the_log_says_whose_answer_broke_off(caplog: pytest.LogCaptureFixture) -> None:
    told = Told(content_type="text/event-stream", pieces=(EVENT,), cut=True)
    async with upstream(lambda _: told) as up, gateway(provider(up.url)) as nexus:
        await nexus.ask("POST", CHAT, b'{"model":"gpt-4o","stream":true}')
        (line,) = caplog.messages
        assert line.startswith(f"provider 'up' at {up.url.removesuffix('/v1')}: the upstream ")


async def test_the_log_says_where_a_list_of_models_was_asked_for(caplog: pytest.LogCaptureFixture) -> None:
    async with upstream() as up:
        await up.close()
        async with gateway(provider(up.url)):
            (line,) = caplog.messages
    place = up.url.removesuffix("/v1")
    assert (
        f"provider 'up' did not give its models: Connection error: Failed to send request to {place}: "
        in line
    )
    assert "OpenAI" not in line


async def test_without_a_key_the_vendor_is_not_even_asked() -> None:
    toml = '[llm.providers.openai]\ntype = "openai"\n[llm.providers.openai.models.gpt-4o]'
    async with gateway(toml) as nexus:
        answer = await nexus.ask("POST", CHAT, b'{"model":"openai/gpt-4o"}')
        text = "Authentication failed: No API key configured"
        assert (answer.status, answer.body) == (401, said(text, "authentication_error", 401))
        other = await nexus.ask("POST", CHAT, b'{"model":"openai/gpt-5"}')
        assert other.body == said("Model 'gpt-5' is not configured", "not_found_error", 404)
