"""CORS with hand-made scopes: which headers leave, and that no origin can make matching slow."""

import fnmatch
import re
import time
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nexus.config.server import CorsConfig
from nexus.server.asgi import App, Message, Receive, Scope, Send
from nexus.server.middleware.cors import cors

ALLOW = "access-control-allow-"
EXPOSE = "access-control-expose-headers"
VARY = {"vary": "origin, access-control-request-method, access-control-request-headers"}
EMPTY = {"content-length": "0"}
A = "https://a.test"

Lines = Iterable[tuple[str, str]]


async def inner(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 418, "headers": [(b"x", b"y")]})
    await send({"type": "http.response.body", "body": b"in"})


async def unread() -> Message:
    raise AssertionError("nothing is read here")


async def said(app: App, method: str = "GET", lines: Lines = ()) -> list[Message]:
    messages: list[Message] = []

    async def send(message: Message) -> None:
        messages.append(message)

    headers = [(name.encode(), value.encode()) for name, value in lines]
    await app({"type": "http", "method": method, "path": "/", "headers": headers}, unread, send)
    return messages


async def headers_of(app: App, method: str = "GET", lines: Lines = ()) -> dict[str, str]:
    start = (await said(app, method, lines))[0]
    names = [name for name, _ in start["headers"]]
    assert len(names) == len(set(names)), "a header is said twice"
    return {name.decode(): value.decode() for name, value in start["headers"]}


def layer(**table: Any) -> App:
    return cors(inner, CorsConfig(**table))


async def allowed(app: App, origin: str, method: str = "GET") -> str | None:
    return (await headers_of(app, method, [("origin", origin)])).get(ALLOW + "origin")


BOTH_KINDS: list[tuple[dict[str, Any] | None, dict[str, str], dict[str, str]]] = [
    (
        None,
        {ALLOW + "origin": "*", ALLOW + "methods": "*", ALLOW + "headers": "*"},
        {ALLOW + "origin": "*", EXPOSE: "*"},
    ),
    ({}, VARY, VARY),
    ({"allow_origins": "*"}, VARY | {ALLOW + "origin": "*"}, VARY | {ALLOW + "origin": "*"}),
    ({"allow_origins": A}, VARY | {ALLOW + "origin": A}, VARY | {ALLOW + "origin": A}),
    ({"allow_origins": ["https://b.test"]}, VARY, VARY),
    ({"allow_origins": []}, VARY, VARY),
    ({"allow_methods": "*"}, VARY | {ALLOW + "methods": "*"}, VARY),
    ({"allow_methods": "get"}, VARY | {ALLOW + "methods": "GET,OPTIONS"}, VARY),
    ({"allow_methods": ["OPTIONS", "GET"]}, VARY | {ALLOW + "methods": "OPTIONS,GET"}, VARY),
    ({"allow_headers": "*"}, VARY | {ALLOW + "headers": "*"}, VARY),
    ({"allow_headers": ["X-One", "two"]}, VARY | {ALLOW + "headers": "x-one,two"}, VARY),
    ({"allow_headers": []}, VARY, VARY),
    ({"expose_headers": "*"}, VARY, VARY | {EXPOSE: "*"}),
    ({"expose_headers": ["X-One", "two"]}, VARY, VARY | {EXPOSE: "x-one,two"}),
    ({"max_age": "1h"}, VARY | {"access-control-max-age": "3600"}, VARY),
    ({"max_age": "1500ms"}, VARY | {"access-control-max-age": "1"}, VARY),
    (
        {"allow_credentials": True},
        VARY | {ALLOW + "credentials": "true"},
        VARY | {ALLOW + "credentials": "true"},
    ),
]


@pytest.mark.parametrize(("table", "preflight", "actual"), BOTH_KINDS)
async def test_each_setting_adds_its_headers_and_no_other(
    table: dict[str, Any] | None, preflight: dict[str, str], actual: dict[str, str]
) -> None:
    app = cors(inner, None if table is None else CorsConfig(**table))
    lines = [("origin", A)]
    assert await headers_of(app, "OPTIONS", lines) == preflight | EMPTY
    for method in ("GET", "HEAD", "POST", "DELETE"):
        assert await headers_of(app, method, lines) == actual | {"x": "y"}


@pytest.mark.parametrize("table", [None, {}, {"allow_origins": "https://b.test"}])
@pytest.mark.parametrize("lines", [[], [("origin", A)], [("access-control-request-method", "PUT")]])
async def test_every_options_is_answered_empty(table: dict[str, Any] | None, lines: Lines) -> None:
    async def unreachable(scope: Scope, receive: Receive, send: Send) -> None:
        raise AssertionError("an OPTIONS went through")

    app = cors(unreachable, None if table is None else CorsConfig(**table))
    start, body = await said(app, "OPTIONS", lines)
    assert (start["status"], body) == (200, {"type": "http.response.body", "body": b""})


async def test_an_origin_that_is_not_allowed_is_served_all_the_same() -> None:
    start, body = await said(layer(allow_origins=[A]), "POST", [("origin", "https://b.test")])
    assert (start["status"], body["body"]) == (418, b"in")


@pytest.mark.parametrize(
    ("entry", "origin", "passes"),
    [
        (A, A, True),
        (A, "http://a.test", False),
        (A, "https://a.test:8443", False),
        (A, "https://axtest", False),
        (A, "https://a.test.evil.test", False),
        (A, "null", False),
        ("https://a.test/", A, True),
        ("https://a.test:443/some/path?x=[1]", A, True),
        ("http://a.test:80", "http://a.test", True),
        ("http://a.test:443", "http://a.test", False),
        ("https://a.test:8443", "https://a.test:8443", True),
        ("HTTPS://A.test", A, True),
        ("http://[::1]:3000", "http://[::1]:3000", True),
        ("http://[::1]:80/x", "http://[::1]", True),
        ("app://host", "app://host", True),
        ("https://*.a.test", "https://x.a.test", True),
        ("https://*.a.test", "https://x.y.a.test", True),
        ("https://*.a.test", "https://.a.test", True),
        ("https://*.a.test", "https://a.test", False),
        ("https://*.a.test", "https://x.A.test", False),
        ("https://*.a.test", "https://x.a.test.evil.test", False),
        ("https://*.a.test", "https://evil.test/.a.test", False),
        ("https://*.a.test", "https://x/y.a.test", False),
        ("https://*.a.test:443", "https://x.a.test", True),
        ("https://*.a.test/path", "https://x.a.test", True),
        ("*://a.test", "http://a.test", False),
        ("http://localhost:*", "http://localhost:5173", True),
        ("https://**.a.test", "https://x.y.a.test", True),
        ("https://*a*b*.test", "https://aab.test", True),
        ("https://*a*b*.test", "https://ba.test", False),
        ("https://?.test", "https://x.test", True),
        ("https://?.test", "https://xy.test", False),
        ("https://?.test", "https:///.test", False),
        ("https://[ab].test", "https://b.test", True),
        ("https://[ab].test", "https://c.test", False),
        ("https://[a-c0-9-].test", "https://b.test", True),
        ("https://[a-c0-9-].test", "https://-.test", True),
        ("https://[a-c0-9-].test", "https://d.test", False),
        ("https://[+-9].test", "https:///.test", False),
        ("https://[!a].test", "https://b.test", True),
        ("https://[^a].test", "https://a.test", False),
        ("https://[!a].test", "https:///.test", False),
        ("https://[z-a].test", "https://m.test", False),
        ("https://[!z-a].test", "https://m.test", True),
        ("https://[!].test", "https://!.test", True),
        ("https://[]a].test", "https://].test", True),
        ("https://[a.test", "https://[a.test", True),
        ("https://a!.test", "https://a!.test", True),
        ("https://a}.test", "https://a}.test", True),
        (r"https://\*.a.test", "https://*.a.test", True),
        (r"https://\*.a.test", "https://x.a.test", False),
        ("https://{a,b}.test", "https://b.test", True),
        ("https://{a,b}.test", "https://c.test", False),
        ("https://{a,b}.test", "https://a,b.test", False),
        ("https://{a,b{c,d}}.{x,y}", "https://bd.y", True),
        ("https://{a,b{c,d}}.{x,y}", "https://b.y", False),
        ("https://{*.,}a.test", A, True),
        ("https://{*.,}a.test", "https://x.a.test", True),
        ("https://*{*,a}.test", "https://x.test", True),
        ("https://*{abcd,b}*cd.test", "https://abcd.test", True),
        ("https://{a{b}.test", "https://ab.test", False),
        ("https://{a.test", "https://a.test", False),
        (r"https://[{]\{.test", "https://{{.test", True),
    ],
)
async def test_an_origin_is_echoed_when_an_entry_matches(entry: str, origin: str, passes: bool) -> None:
    try:
        app = layer(allow_origins=[entry, "https://other.test"])
    except ValueError:
        assert not passes
        return
    for method in ("GET", "OPTIONS"):
        assert await allowed(app, origin, method) == (origin if passes else None)


async def test_globs_and_plain_entries_stand_side_by_side() -> None:
    app = layer(allow_origins=[A, "https://*.b.test", "http://localhost:?000"])
    for origin in (A, "https://x.b.test", "http://localhost:3000"):
        assert await allowed(app, origin) == origin
    assert await allowed(app, "https://c.test") is None


async def test_without_an_origin_none_is_allowed() -> None:
    assert await headers_of(layer(allow_origins=[A, "https://*.a.test"])) == VARY | {"x": "y"}


async def test_the_first_of_two_origins_counts() -> None:
    app = layer(allow_origins=[A])
    assert (await headers_of(app, lines=[("origin", A), ("origin", "https://b.test")]))[ALLOW + "origin"] == A
    assert ALLOW + "origin" not in await headers_of(app, lines=[("origin", "https://b.test"), ("origin", A)])


@pytest.mark.parametrize(
    ("table", "value", "passes"),
    [
        ({"allow_private_network": True}, "true", True),
        ({"allow_private_network": True}, "false", False),
        ({"allow_private_network": True}, None, False),
        ({"allow_private_network": True, "allow_origins": "*"}, "true", True),
        ({"allow_private_network": True, "allow_origins": A}, "true", True),
        ({}, "true", False),
        ({"allow_origins": A}, "true", False),
        (None, "true", False),
    ],
)
async def test_a_private_network_is_allowed_to_those_who_ask(
    table: dict[str, Any] | None, value: str | None, passes: bool
) -> None:
    app = cors(inner, None if table is None else CorsConfig(**table))
    lines = [] if value is None else [("access-control-request-private-network", value)]
    for method in ("GET", "OPTIONS"):
        found = (await headers_of(app, method, lines)).get(ALLOW + "private-network")
        assert found == ("true" if passes else None)


async def test_the_headers_of_the_application_are_not_touched() -> None:
    own = [(b"x", b"y")]
    start: Message = {"type": "http.response.start", "status": 200, "headers": own}

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(start)

    assert (await said(cors(app, None)))[0]["headers"][0] == (b"x", b"y")
    assert own == [(b"x", b"y")]
    assert start["headers"] is own


async def test_an_answer_without_headers_gets_some() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 204})

    assert (await headers_of(cors(app, None)))[ALLOW + "origin"] == "*"


async def test_every_part_of_a_body_passes_as_it_is() -> None:
    parts: list[Message] = [
        {"type": "http.response.body", "body": b"one", "more_body": True},
        {"type": "http.response.body", "body": b"two"},
    ]

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        for part in parts:
            await send(part)

    assert all(got is part for got, part in zip(await said(cors(app, None)), parts, strict=True))


@pytest.mark.parametrize("kind", ["lifespan", "websocket"])
async def test_other_scopes_pass_with_their_own_send(kind: str) -> None:
    seen: list[tuple[Any, ...]] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append((scope, receive, send))

    async def send(message: Message) -> None: ...

    scope = {"type": kind}
    await cors(app, None)(scope, unread, send)
    assert seen == [(scope, unread, send)]


@pytest.mark.parametrize(
    "entry", ["https://*a*a*a*a*a*a*b", "https://{*a,*aa}{*a,*aa}{*a,*aa}*b", "https://" + "*" * 50]
)
async def test_a_hostile_origin_costs_no_time(entry: str) -> None:
    app = layer(allow_origins=[entry])
    began = time.perf_counter()
    await allowed(app, "https://" + "a" * 20_000 + "/")
    assert time.perf_counter() - began < 1  # tried one way after another it takes years


@given(glob=st.text("ab?*.", max_size=10), host=st.text("ab.", max_size=14))
async def test_globs_agree_with_the_shell(glob: str, host: str) -> None:
    expected = re.fullmatch(fnmatch.translate("https://h" + glob), "https://h" + host)
    app = layer(allow_origins=["https://h" + glob])
    assert (await allowed(app, "https://h" + host) is not None) == (expected is not None)
