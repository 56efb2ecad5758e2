"""Requests that go through as they are, over real sockets: to Anthropic, and to providers that are opened."""

import asyncio
import contextlib
import gzip
import posixpath
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from urllib.parse import unquote

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway import Answer, read_answer
from nexus.config import loads
from nexus.errors import InvalidRequest
from nexus.server.asgi import Receive, Scope, Send
from nexus.server.listener import Listener, bind
from nexus.server.passthrough import Passthrough, Proxy, plain, private_headers
from upstreams.misbehaving import Wire, saying, serving
from upstreams.misbehaving import answer as framed
from upstreams.scripted import Told, Upstream, upstream

MESSAGES = "/proxy/anthropic/v1/messages"
BODY = b'{ "model":"claude-opus-4-8", "messages":[{"role":"user","content":"caf\\u00e9"}],"max_tokens": 10,"new": 1.0e1 }'
JSON = {"content-type": "application/json"}
SECRETS = {
    "authorization": "Bearer client",
    "x-api-key": "client",
    "api-key": "client",
    "x-goog-api-key": "client",
    "cookie": "session=client",
    "x-provider-api-key": "client",
    "proxy-authorization": "Bearer client",
    "x-nexus-csrf-protection": "client",
}


@dataclass
class Client:
    """What talks to the applications under test."""

    port: int

    async def ask(
        self, method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None
    ) -> Answer:
        """Send one request on a connection of its own."""
        lines = {"host": "test", "content-length": str(len(body)), "connection": "close", **(headers or {})}
        head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        async with self.connected() as (reader, writer):
            writer.write(f"{method} {path} HTTP/1.1\r\n{head}\r\n".encode() + body)
            return await read_answer(reader)

    @contextlib.asynccontextmanager
    async def connected(self) -> AsyncGenerator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            yield reader, writer
        finally:
            writer.close()


@contextlib.asynccontextmanager
async def mounted(toml: str) -> AsyncGenerator[Client]:
    """Serve what a configuration asks for of the applications under test, and nothing else."""
    config = loads(toml, {}).config
    limit, withheld = config.server.max_body_size, private_headers(config.server)
    proxy = Proxy(config.llm.proxy.anthropic, max_body=limit, withheld=withheld)
    passthrough = Passthrough(config.llm.providers, max_body=limit, withheld=withheld)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        claims = {one.claims(scope["path"]): one for one in (proxy, passthrough)}
        claims.pop(0, None)
        if not claims:
            await send({"type": "http.response.start", "status": 404, "headers": []})
            await send({"type": "http.response.body", "body": b"not claimed"})
            return
        with contextlib.suppress(asyncio.CancelledError):
            await claims[max(claims)](scope, receive, send)

    bound = bind("127.0.0.1", 0)
    listener = Listener(bound, app, None, 65536)
    await listener.start()
    try:
        yield Client(bound.getsockname()[1])
    finally:
        hurry = asyncio.Event()
        hurry.set()
        await listener.drain(0, hurry)
        await proxy.close()
        await passthrough.close()


def proxied(url: str) -> str:
    return f'[llm.proxy.anthropic]\nenabled = true\nbase_url = "{url.removesuffix("/v1")}"\n'


def opened(url: str, more: str = "", type: str = "openai") -> str:
    head = f'[llm.providers.up]\ntype = "{type}"\nbase_url = "{url}"\npassthrough = true\n'
    return (
        head + ("" if "api_key =" in more or "forward_token" in more else 'api_key = "own"\n') + more + "\n"
    )


def error(answer: Answer) -> tuple[int, object, object]:
    told = msgspec.json.decode(answer.body)
    assert (told["type"], told["request_id"]) == ("error", None)
    assert answer.headers["content-type"] == "application/json"
    return answer.status, told["error"]["type"], told["error"]["message"]


async def test_a_message_goes_to_anthropic_untouched_with_the_credentials_of_the_client() -> None:
    told = Told(pieces=(b'{"type":"message", "model": "claude", "usage":{"input_tokens": 1.0}}',))
    more = {
        "content-type": "Application/JSON; charset=utf-8",
        "authorization": "Bearer sk-ant-oat",
        "x-api-key": "sk-ant",
        "anthropic-version": "2023-06-01",
        "anthropic-beta": "oauth-2025-04-20",
        "user-agent": "claude-cli/2.1",
        "accept": "text/html",
        "accept-encoding": "zstd",
        "x-stainless-lang": "js",
    }
    async with upstream(lambda _: told) as up, mounted(proxied(up.url)) as nexus:
        answer = await nexus.ask("POST", MESSAGES + "?beta=true&x=%20", BODY, more)
        assert (answer.status, answer.body) == (200, told.pieces[0])  # pyright: ignore[reportIndexIssue]
        assert (up.last.method, up.last.target) == ("POST", "/v1/messages?beta=true&x=%20")
        assert up.last.body == BODY
        ours = {
            "content-type": "application/json",
            "accept": "*/*",
            "accept-encoding": "identity",
            "content-length": str(len(BODY)),
            "host": up.url.removeprefix("http://").removesuffix("/v1"),
        }
        assert up.last.headers == more | ours


@pytest.mark.parametrize(("method", "path"), [("POST", "/v1/messages"), ("GET", "/v1/files")])
async def test_what_is_meant_for_the_gateway_does_not_reach_anthropic(method: str, path: str) -> None:
    body = BODY if method == "POST" else b""
    hop = {"connection": "close, x-hop", "x-hop": "client", "te": "trailers", "upgrade": "h2c"}
    async with upstream() as up, mounted(proxied(up.url)) as nexus:
        headers = {**JSON, **SECRETS, **hop, "origin": "https://client", "x-kept": "yes"}
        assert (await nexus.ask(method, f"/proxy/anthropic{path}", body, headers)).status == 200
        client = {name for name, value in up.last.headers.items() if "client" in value}
        assert client == {"authorization", "x-api-key", "api-key", "x-goog-api-key"}
        assert up.last.headers["x-kept"] == "yes"
        assert not {"te", "upgrade", "connection", "x-hop", "origin"} & set(up.last.headers)


async def test_what_the_client_expects_of_its_body_is_told_here() -> None:
    async with upstream() as up, mounted(proxied(up.url)) as nexus:
        async with nexus.connected() as (reader, writer):
            writer.write(_request(MESSAGES, b"expect: 100-continue\r\n"))
            assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
            assert (await read_answer(reader)).status == 200
        assert "expect" not in up.last.headers


@pytest.mark.parametrize(
    ("content_type", "body", "message"),
    [
        ("text/plain", BODY, "Unsupported Content-Type, expected: 'Content-Type: application/json'"),
        ("", BODY, "Unsupported Content-Type, expected: 'Content-Type: application/json'"),
        ("application/json", b"{", "Failed to parse request body: "),
        ("application/json", b"[]", "Failed to parse request body: Expected `object`, got `array`"),
        ("application/json", b'{"messages":[],"max_tokens":1}', "required field `model`"),
        ("application/json", b'{"model":"m","max_tokens":1}', "required field `messages`"),
        ("application/json", b'{"model":"m","messages":[]}', "required field `max_tokens`"),
        ("application/json", b'{"model":"m","messages":{},"max_tokens":1}', "Expected `array`"),
        ("application/json", b'{"model":1,"messages":[],"max_tokens":1}', "Expected `str`"),
        ("application/json", b'{"model":"m","messages":[],"max_tokens":"1"}', "Expected `int`"),
        ("application/json", b'{"x":' + b"[" * 5000, "Failed to parse request body: "),
        ("application/json", b" " * 5001, "Request body is too large, limit is 5000 bytes"),
    ],
)
async def test_what_is_no_message_is_refused_here(content_type: str, body: bytes, message: str) -> None:
    toml = "server.max_body_size = 5000\n" if len(body) == 5001 else ""
    async with upstream() as up, mounted(toml + proxied(up.url)) as nexus:
        status, kind, text = error(await nexus.ask("POST", MESSAGES, body, {"content-type": content_type}))
        assert (status, kind) == (400, "invalid_request_error")
        assert message in str(text)
        assert up.asked == []


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/v1/messages/count_tokens?beta=true"),
        ("GET", "/v1/models?limit=1"),
        ("GET", "/v1/models/claude-opus-4-8"),
        ("POST", "/v1/files"),
        ("GET", "/v1/files?after_id=x"),
        ("GET", "/v1/files/file_1"),
        ("DELETE", "/v1/files/file_1"),
        ("GET", "/v1/files/file_1/content"),
        ("GET", "/v1/files/file%201"),
    ],
)
async def test_the_other_routes_keep_method_and_body(method: str, path: str) -> None:
    body = b"--x\r\nnot json\r\n" if method == "POST" else b""
    headers = {"content-type": "multipart/form-data; boundary=x"} if body else {}
    headers |= {"accept": "a/b", "accept-encoding": "zstd", "x-api-key": "mine"}
    async with upstream() as up, mounted(proxied(up.url)) as nexus:
        assert (await nexus.ask(method, f"/proxy/anthropic{path}", body, headers)).status == 200
        (asked,) = up.asked
        assert (asked.method, asked.target, asked.body) == (method, path, body)
        assert headers.items() <= asked.headers.items()
        assert ("content-type" in asked.headers) == bool(body)


@pytest.mark.parametrize(
    ("method", "path", "status", "kind", "allowed"),
    [
        ("GET", "/v1/messages", 405, "invalid_request_error", "POST"),
        ("DELETE", "/v1/files", 405, "invalid_request_error", "GET, HEAD, POST"),
        ("POST", "/v1/files/a/content", 405, "invalid_request_error", "GET, HEAD"),
        ("POST", "/v1/complete", 404, "not_found_error", None),
        ("GET", "/v1/models/a/b", 404, "not_found_error", None),
        ("GET", "/v1/files/a/../../x", 400, "invalid_request_error", None),
        ("GET", "/v1/files/%2e%2e", 400, "invalid_request_error", None),
        ("GET", "/v1/models/a%2Fb", 400, "invalid_request_error", None),
        ("GET", "/v1/models/", 404, "not_found_error", None),
        ("GET", "", 404, "not_found_error", None),
    ],
)
async def test_the_proxy_has_no_other_routes(
    method: str, path: str, status: int, kind: str, allowed: str | None
) -> None:
    async with upstream() as up, mounted(proxied(up.url)) as nexus:
        answer = await nexus.ask(method, f"/proxy/anthropic{path}")
        assert error(answer)[:2] == (status, kind)
        assert answer.headers.get("allow") == allowed
        assert up.asked == []


async def test_a_body_past_the_limit_is_told_as_anthropic_does() -> None:
    async with upstream() as up, mounted("server.max_body_size = 9\n" + proxied(up.url)) as nexus:
        found = error(await nexus.ask("POST", "/proxy/anthropic/v1/files", b"0123456789"))
        assert found == (413, "request_too_large", "Request body is too large, limit is 9 bytes")
        async with nexus.connected() as (reader, writer):  # one that does not say so beforehand
            writer.write(b"POST /proxy/anthropic/v1/files HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n")
            writer.write(b"5\r\n01234\r\n5\r\n56789\r\n0\r\n\r\n")
            assert error(await read_answer(reader))[0] == 413
        assert up.asked == []


@pytest.mark.parametrize("path", ["", "/"])
async def test_somebody_is_there(path: str) -> None:
    async with mounted(proxied("http://127.0.0.1:9")) as nexus:
        assert (await nexus.ask("HEAD", f"/proxy/anthropic{path}")).status == 200


async def test_without_anthropic_the_client_is_told_so() -> None:
    async with upstream() as up, mounted(proxied(up.url)) as nexus:
        await up.close()
        found = error(await nexus.ask("POST", MESSAGES, BODY, JSON))
        assert found == (500, "api_error", "Could not connect to upstream API")


async def test_an_answer_that_breaks_off_in_its_head_is_told() -> None:
    async with serving(saying(b"HTTP/1.1 200 OK\r\ncontent-")) as up:
        async with mounted(proxied(up.origin.url)) as nexus:
            found = error(await nexus.ask("POST", MESSAGES, BODY, JSON))
            assert found == (500, "api_error", "Could not read response from upstream API")


Mount = Callable[[str], str]
BOTH = [
    pytest.param(proxied, MESSAGES, id="proxy"),
    pytest.param(opened, "/passthrough/up/chat", id="passthrough"),
]


@pytest.mark.parametrize(("toml", "path"), BOTH)
@pytest.mark.parametrize(
    ("status", "content_type", "body"),
    [
        (400, "application/json", b'{"type":"error", "error":{"type":"invalid_request_error"}}'),
        (401, "application/json", b'{"type":"error"}'),
        (529, "application/json", b'{"type":"error"}'),
        (502, "text/html", b"<html>"),
        (200, "text/plain", b"not json"),
        (307, "text/plain", b""),
    ],
)
async def test_answers_of_any_kind_pass(
    toml: Mount, path: str, status: int, content_type: str, body: bytes
) -> None:
    told = Told(status, content_type, (body,) if body else ())
    async with upstream(lambda _: told) as up, mounted(toml(up.url)) as nexus:
        answer = await nexus.ask("POST", path, BODY, JSON)
        assert (answer.status, answer.headers["content-type"], answer.body) == (status, content_type, body)
        assert answer.whole


@pytest.mark.parametrize(("toml", "path"), BOTH)
async def test_a_stream_passes_byte_for_byte_as_it_comes(toml: Mount, path: str) -> None:
    pieces = [
        b'event: message_start\r\ndata: {"a',
        b'": "\xc3',
        b'\xa9"}\r\n\r\n',
        b": odd\n",
        b"data: not json\n\n",
    ]
    gates = [asyncio.Event() for _ in pieces]
    told = Told(
        content_type="text/event-stream",
        pieces=[part for pair in zip(pieces, gates, strict=True) for part in pair],
    )
    async with upstream(lambda _: told) as up, mounted(toml(up.url)) as nexus:
        async with nexus.connected() as (reader, writer):
            writer.write(_request(path))
            assert b"content-type: text/event-stream" in await reader.readuntil(b"\r\n\r\n")
            for piece, gate in zip(
                pieces, gates, strict=True
            ):  # the upstream waits until this one is through
                assert await reader.readexactly(len(b"%x\r\n%s\r\n" % (len(piece), piece))) == (
                    b"%x\r\n%s\r\n" % (len(piece), piece)
                )
                gate.set()
            assert await reader.readexactly(5) == b"0\r\n\r\n"


@pytest.mark.parametrize(("toml", "path"), BOTH)
async def test_an_answer_cut_upstream_is_cut_here(
    toml: Mount, path: str, caplog: pytest.LogCaptureFixture
) -> None:
    for headers in ({}, {"content-length": "100"}):
        event = b"data: {}\n\n"

        async def cut(wire: Wire, headers: dict[str, str] = headers, event: bytes = event) -> None:
            await wire.request()
            framing = b"content-length: 100" if headers else b"transfer-encoding: chunked"
            await wire.say(b"HTTP/1.1 200 OK\r\n" + framing + b"\r\n\r\n")
            await wire.say(event if headers else b"%x\r\n%s\r\n" % (len(event), event))
            wire.hang_up()

        async with serving(cut) as up, mounted(toml(up.origin.url)) as nexus:
            answer = await nexus.ask("POST", path, BODY, JSON)
            assert (answer.status, answer.body, answer.whole) == (200, event, False)
    assert caplog.text.count("an answer broke off: the upstream closed the connection amid its answer") == 2


@pytest.mark.parametrize(("toml", "path"), BOTH)
async def test_a_client_that_leaves_before_the_answer_is_not_worked_for(toml: Mount, path: str) -> None:
    asked, left = asyncio.Event(), asyncio.Event()

    async def wait(wire: Wire) -> None:
        await wire.request()
        asked.set()
        await wire.gone()
        left.set()

    async with serving(wait) as up, mounted(toml(up.origin.url)) as nexus:
        async with nexus.connected() as (_, writer):
            writer.write(_request(path))
            await asked.wait()
        await asyncio.wait_for(left.wait(), 5)


@pytest.mark.parametrize(("toml", "path"), BOTH)
async def test_a_client_that_leaves_amid_the_answer_is_not_worked_for(toml: Mount, path: str) -> None:
    endless = Told(pieces=(b"{", asyncio.Event()))
    async with upstream(lambda _: endless) as up, mounted(toml(up.url)) as nexus:
        async with nexus.connected() as (reader, writer):
            writer.write(_request(path))
            await reader.readuntil(b"{")
        await asyncio.wait_for(up.left.wait(), 5)


def _request(path: str, more: bytes = b"") -> bytes:
    head = f"POST {path} HTTP/1.1\r\ncontent-type: application/json\r\ncontent-length: {len(BODY)}\r\n"
    return head.encode() + more + b"\r\n" + BODY


@pytest.mark.parametrize(("toml", "path"), BOTH)
async def test_headers_of_the_answer_pass_but_for_those_of_the_connection(toml: Mount, path: str) -> None:
    body = gzip.compress(b"{}", mtime=0)
    kept = {
        "content-type": "application/json",
        "content-encoding": "gzip",
        "content-length": str(len(body)),
        "request-id": "req_1",
        "retry-after": "1",
        "anthropic-ratelimit-requests-remaining": "7",
        "location": "https://elsewhere/x",
        "etag": '"x"',
    }
    dropped = {
        "connection": "keep-alive, x-hop",
        "keep-alive": "timeout=5",
        "x-hop": "1",
        "alt-svc": 'h3=":443"',
        "strict-transport-security": "max-age=1",
        "access-control-allow-origin": "*",
        "date": "Thu, 01 Jan 1970 00:00:00 GMT",
    }
    of_the_owner = {
        "set-cookie": "a=b",
        "openai-organization": "o",
        "openai-project": "p",
        "anthropic-organization-id": "i",
    }
    lines = [f"{name}: {value}".encode() for name, value in {**kept, **dropped, **of_the_owner}.items()]
    length = b"content-length: %d" % len(body)
    told = framed(body, *(line for line in lines if line != length))
    async with serving(saying(told)) as up, mounted(toml(up.origin.url)) as nexus:
        answer = await nexus.ask("POST", path, BODY, JSON)
        assert answer.body == body
        assert kept.items() <= answer.headers.items()
        assert not (set(dropped) - {"date", "connection"}) & set(answer.headers)
        assert "1970" not in answer.headers.get("date", "")
        assert answer.headers.get("connection") == "close"  # as this client asked
        assert bool(of_the_owner.keys() & answer.headers.keys()) == (toml is proxied)


@pytest.mark.parametrize("path", ["/proxy/anthropic/v1/models", "/passthrough/up/models"])
async def test_a_head_is_answered_without_waiting_for_a_body(path: str) -> None:
    said = b"HTTP/1.1 200 OK\r\ncontent-length: 99\r\netag: x\r\n\r\n"
    async with serving(saying(said, then=Wire.gone)) as up:
        async with mounted(proxied(up.origin.url) + opened(up.origin.url)) as nexus:
            async with nexus.connected() as (reader, writer):
                writer.write(f"HEAD {path} HTTP/1.1\r\nconnection: close\r\n\r\n".encode())
                head = await reader.read()
                assert head.startswith(b"HTTP/1.1 200 ")
                assert b"content-length: 99\r\n" in head
                assert head.endswith(b"\r\n\r\n")


async def test_providers_are_closed_until_the_file_opens_them() -> None:
    async with upstream() as up:
        shut = opened(up.url).replace("passthrough = true", "passthrough = false")
        async with mounted(shut) as nexus:
            assert (await nexus.ask("GET", "/passthrough/up/files")).body == b"not claimed"
        other = opened(up.url) + shut.replace("providers.up", "providers.other")
        async with mounted(other) as nexus:
            for path in ("other/files", "none/files", "up", "", "%75p%2Ffiles"):
                answer = await nexus.ask("GET", f"/passthrough/{path}")
                assert (answer.status, b"not_found_error" in answer.body) == (404, True)
        assert up.asked == []


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE"])
@pytest.mark.parametrize(
    "path", ["/batches?a=b&a=c", "/", "/a/b%20c/d:e;f", "/fine..name/.well-known", "/x/"]
)
async def test_an_opened_provider_takes_any_method_and_path(method: str, path: str) -> None:
    headers = {"content-type": "a/b", "x-any": "1", "user-agent": "client", "accept": "c/d"}
    async with upstream() as up, mounted(opened(up.url)) as nexus:
        assert (await nexus.ask(method, f"/passthrough/up{path}", b"\0raw", headers)).status == 200
        assert (up.last.method, up.last.target, up.last.body) == (method, f"/v1{path}", b"\0raw")
        assert headers.items() <= up.last.headers.items()


@pytest.mark.parametrize(
    ("type", "header", "value"),
    [
        ("openai", "authorization", "Bearer own"),
        ("anthropic", "x-api-key", "own"),
        ("google", "x-goog-api-key", "own"),
    ],
)
async def test_the_key_is_the_gateways_and_nothing_secret_of_the_client_passes(
    type: str, header: str, value: str
) -> None:
    hop = {
        "connection": "close, x-hop",
        "x-hop": "client",
        "te": "client",
        "origin": "client",
        "upgrade": "client",
    }
    about = {"forwarded": "for=client", "x-forwarded-for": "client", "x-real-ip": "client"}
    headers = {**SECRETS, **hop, **about, "x-client-id": "client", "x-kept": "client's own"}
    identified = '[server.client_identification]\nenabled = true\nclient_id.http_header = "X-Client-Id"\n'
    async with upstream() as up, mounted(identified + opened(up.url, type=type)) as nexus:
        path = "/passthrough/up/files?key=client&a=1&%6bey=client&access_token=client"
        assert (await nexus.ask("POST", path, b"x", headers)).status == 200
        sent = up.last.headers
        assert {name for name, found in sent.items() if "client" in found} == {"x-kept"}
        assert sent[header] == value
        assert ("client" in up.last.target) == (type != "google")  # nobody else reads keys there


async def test_the_header_of_the_key_is_never_the_clients() -> None:
    async with upstream() as up, mounted(opened(up.url, 'api_key_header = "X-Corp-Key"')) as nexus:
        await nexus.ask("GET", "/passthrough/up/files", headers={"x-corp-key": "client"})
        assert up.last.headers["x-corp-key"] == "own"
        assert "authorization" not in up.last.headers


async def test_parameters_of_the_file_are_not_the_clients_to_set() -> None:
    async with upstream() as up, mounted(opened(up.url, 'query = { "api-version" = "1" }')) as nexus:
        await nexus.ask("GET", "/passthrough/up/files?api-version=2&api%2Dversion=3&b=4")
        assert up.last.target == "/v1/files?api-version=1&b=4"


RULES = """headers = [
  { rule = "forward", name = "Authorization", rename = "X-Client-Authorization" },
  { rule = "remove", name = "X-Internal" },
  { rule = "forward", name = "X-Old", rename = "X-New" },
  { rule = "insert", name = "X-Team", value = "a" },
  { rule = "insert", name = "Content-Length", value = "1" },
]"""


async def test_rules_change_what_passes() -> None:
    client = {"authorization": "Bearer mine", "x-internal": "1", "x-old": "2", "x-other": "3", "cookie": "c"}
    async with upstream() as up, mounted(opened(up.url, RULES)) as nexus:
        assert (await nexus.ask("POST", "/passthrough/up/x", b"body", client)).status == 200
        sent = up.last.headers
        assert up.last.body == b"body"
        assert sent["authorization"] == "Bearer own"
        assert sent["x-client-authorization"] == "Bearer mine"
        assert (sent["x-new"], sent["x-team"], sent["x-other"]) == ("2", "a", "3")
        assert not {"x-internal", "x-old", "cookie"} & set(sent)


async def test_a_rule_that_names_the_authorization_of_the_client_puts_it_in_place_of_the_key() -> None:
    rule = 'headers = [{ rule = "forward", name = "authorization" }]'
    async with upstream() as up, mounted(opened(up.url, rule)) as nexus:
        await nexus.ask("GET", "/passthrough/up/x", headers={"authorization": "Bearer mine"})
        assert up.last.headers["authorization"] == "Bearer mine"
        await nexus.ask("GET", "/passthrough/up/x")
        assert up.last.headers["authorization"] == "Bearer own"


async def test_a_client_brings_its_own_key_where_the_file_lets_it() -> None:
    brought = {"X-Provider-Api-Key": "theirs", "authorization": "Bearer gateway"}
    async with upstream() as up, mounted(opened(up.url, "forward_token = true")) as nexus:
        await nexus.ask("GET", "/passthrough/up/x", headers=brought)
        assert up.last.headers["authorization"] == "Bearer theirs"
        assert "x-provider-api-key" not in up.last.headers
        answer = await nexus.ask("GET", "/passthrough/up/x")
        assert answer.status == 401
        assert b"Token forwarding is enabled but no API key was provided" in answer.body
        assert len(up.asked) == 1


@pytest.mark.parametrize(
    "path",
    [
        "/../secret",
        "/a/../../secret",
        "/a/..",
        "/a/.",
        "/./a",
        "/..;/a",
        "//evil/a",
        "/a//b",
        "/%2e%2e/a",
        "/.%2E/a",
        "/a%2fb",
        "/a%5C..%5Cb",
        "/a\\..\\b",
        "/%252e%252e/a",
        "/%00",
        "/a%0d%0ahost:evil",
        "/%c0%ae%c0%ae/a",
        "/%u002e",
        "/a%",
        "/http://evil/",
    ],
)
async def test_no_path_leads_out_of_the_base(path: str) -> None:
    async with upstream() as up, mounted(opened(up.url)) as nexus:
        answer = await nexus.ask("GET", f"/passthrough/up{path}")
        assert answer.status == 400
        assert up.asked == []


async def test_the_address_in_a_request_is_not_where_it_goes() -> None:
    async with upstream() as up, mounted(opened(up.url)) as nexus:
        assert (await nexus.ask("GET", "http://evil.example/passthrough/up/x")).status == 200
        assert (up.last.target, up.last.headers["host"]) == ("/v1/x", up.url[7:-3])
        for message in (b"CONNECT evil:443 HTTP/1.1\r\n\r\n", b"TRACE /passthrough/up/x HTTP/1.1\r\n\r\n"):
            async with nexus.connected() as (reader, writer):
                writer.write(message)
                assert (await reader.read(12)).split()[1:] in ([b"400"], [b"405"], [])
        assert len(up.asked) == 1


PIECES = st.sampled_from(
    [
        "/",
        "//",
        "a",
        ".",
        "..",
        ";",
        "%",
        "%2e",
        "%2F",
        "%25",
        "%5c",
        "\\",
        "%00",
        "2e",
        "2f",
        "%c0%ae",
        "5c",
        "é",
    ]
)


@given(st.lists(PIECES, max_size=8).map(lambda found: "/" + "".join(found)))
def test_a_plain_path_stays_where_it_is_however_often_it_is_decoded(path: str) -> None:
    with contextlib.suppress(InvalidRequest):
        read = plain(path)
        while (again := unquote(read)) != read:
            read = again
        assert posixpath.normpath(read) == (read.rstrip("/") or "/")
        assert "\\" not in read
        assert ".." not in [segment.partition(";")[0] for segment in read.split("/")]


async def test_bodies_are_bounded() -> None:
    async with upstream() as up, mounted("server.max_body_size = 3\n" + opened(up.url)) as nexus:
        async with nexus.connected() as (reader, writer):  # told before it is sent
            writer.write(b"PUT /passthrough/up/x HTTP/1.1\r\ncontent-length: 4\r\n\r\n")
            assert (await read_answer(reader)).status == 413
        assert (await nexus.ask("PUT", "/passthrough/up/x", b"1234")).status == 413
        assert up.asked == []
        assert (await nexus.ask("PUT", "/passthrough/up/x", b"123")).status == 200


@pytest.mark.parametrize(
    ("type", "shape"), [("openai", b'{"error":{"message":'), ("anthropic", b'{"type":"error","error":{')]
)
async def test_failures_are_told_as_the_vendor_would(type: str, shape: bytes) -> None:
    async with upstream() as up, mounted(opened(up.url, type=type)) as nexus:
        await up.close()
        answer = await nexus.ask("GET", "/passthrough/up/x")
        assert (answer.status, answer.body.startswith(shape)) == (502, True)


async def test_names_of_providers_may_need_escapes() -> None:
    async with upstream() as up:
        async with mounted(opened(up.url).replace("providers.up", 'providers."my own"')) as nexus:
            assert (await nexus.ask("GET", "/passthrough/my%20own/x")).status == 200
            assert up.last.target == "/v1/x"


async def test_connections_are_used_again(monkeypatch: pytest.MonkeyPatch) -> None:
    accepted = 0
    accept = Upstream.accept

    def count(self: Upstream, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal accepted
        accepted += 1
        accept(self, reader, writer)

    monkeypatch.setattr(Upstream, "accept", count)
    async with upstream() as up, mounted(opened(up.url)) as nexus:
        for _ in range(5):
            assert (await nexus.ask("POST", "/passthrough/up/x", b"1")).status == 200
    assert (accepted, len(up.asked)) == (1, 5)
