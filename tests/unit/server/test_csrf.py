"""CSRF with hand-made scopes: a request needs the header, whatever it says."""

from typing import Any

import pytest

from nexus.server.asgi import App, Message, Receive, Scope, Send
from nexus.server.middleware.cors import cors
from nexus.server.middleware.csrf import csrf

NAME = "X-Nexus-CSRF-Protection"
SENT = b"x-nexus-csrf-protection"
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")


async def inner(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 418, "headers": [(b"x", b"y")]})
    await send({"type": "http.response.body", "body": b"in"})


async def unread() -> Message:
    raise AssertionError("nothing is read here")


async def said(app: App, method: str, headers: list[tuple[bytes, bytes]]) -> list[Message]:
    messages: list[Message] = []

    async def send(message: Message) -> None:
        messages.append(message)

    await app({"type": "http", "method": method, "path": "/", "headers": headers}, unread, send)
    return messages


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    ("name", "headers", "passes"),
    [
        (NAME, [], False),
        (NAME, [(SENT, b"1")], True),
        (NAME, [(SENT, b"")], True),
        (NAME, [(b"host", b"h"), (SENT, b"anything"), (SENT, b"twice")], True),
        (NAME, [(SENT + b"-not", b"1"), (b"other", SENT)], False),
        ("x-mine", [(SENT, b"1")], False),
        ("x-mine", [(b"x-mine", b"1")], True),
        ("X-MINE", [(b"x-mine", b"1")], True),
    ],
)
async def test_a_request_needs_the_header_with_any_value(
    method: str, name: str, headers: list[tuple[bytes, bytes]], passes: bool
) -> None:
    start, body = await said(csrf(inner, name), method, headers)
    assert (start["status"], body["body"]) == ((418, b"in") if passes else (403, b""))


async def test_a_refusal_says_that_it_is_empty() -> None:
    start, _ = await said(csrf(inner, NAME), "POST", [])
    assert start["headers"] == [(b"content-length", b"0")]


async def test_options_need_no_header() -> None:
    assert (await said(csrf(inner, NAME), "OPTIONS", []))[0]["status"] == 418


async def test_a_refusal_can_be_read_by_the_page() -> None:
    start, _ = await said(cors(csrf(inner, NAME), None), "POST", [])
    assert (start["status"], dict(start["headers"])[b"access-control-allow-origin"]) == (403, b"*")


async def test_a_preflight_is_answered_before() -> None:
    assert (await said(cors(csrf(inner, NAME), None), "OPTIONS", []))[0]["status"] == 200


@pytest.mark.parametrize("kind", ["lifespan", "websocket"])
async def test_other_scopes_pass_as_they_are(kind: str) -> None:
    seen: list[tuple[Any, ...]] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append((scope, receive, send))

    async def send(message: Message) -> None: ...

    scope = {"type": kind}
    await csrf(app, NAME)(scope, unread, send)
    assert seen == [(scope, unread, send)]
