"""CORS and CSRF, layer by layer, with hand-made requests."""

import pytest

from nexus.config import loads
from nexus.server.asgi import App, Message, Receive, Scope, Send
from nexus.server.middleware.cors import cors
from nexus.server.middleware.csrf import csrf

ECHO = '[llm.providers.try]\ntype = "echo"\n'
VARY = ("vary", "origin, access-control-request-method, access-control-request-headers")


async def inner(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 418, "headers": [(b"x", b"y")]})
    await send({"type": "http.response.body", "body": b"in"})


async def ask(app: App, method: str = "GET", **headers: str) -> tuple[int, dict[str, str], bytes]:
    said: list[Message] = []

    async def send(message: Message) -> None:
        said.append(message)

    async def receive() -> Message:
        raise AssertionError("nothing is read here")

    lines = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    await app({"type": "http", "method": method, "path": "/", "headers": lines}, receive, send)
    found = {name.decode(): value.decode() for name, value in said[0]["headers"]}
    return said[0]["status"], found, said[1]["body"]


def configured(toml: str) -> App:
    return cors(inner, loads(ECHO + "[server.cors]\n" + toml, {}).config.server.cors)


async def test_without_a_table_everything_is_allowed() -> None:
    app = cors(inner, None)
    allow = "access-control-allow-"
    assert await ask(app, "OPTIONS") == (
        200,
        {allow + "origin": "*", allow + "methods": "*", allow + "headers": "*", "content-length": "0"},
        b"",
    )
    assert await ask(app) == (
        418,
        {"x": "y", allow + "origin": "*", "access-control-expose-headers": "*"},
        b"in",
    )


async def test_an_empty_table_allows_nothing_and_varies() -> None:
    app = configured("")
    assert await ask(app, "OPTIONS", origin="https://a.test") == (
        200,
        dict([VARY]) | {"content-length": "0"},
        b"",
    )
    assert await ask(app, origin="https://a.test") == (418, dict([VARY]) | {"x": "y"}, b"in")


@pytest.mark.parametrize(
    ("allowed", "origin", "passes"),
    [
        ('"*"', "https://a.test", "*"),
        ('"https://a.test"', "https://a.test", "https://a.test"),
        ('["https://a.test:443/path", "https://b.test"]', "https://a.test", "https://a.test"),
        ('["https://a.test"]', "https://b.test", None),
        ('["https://a.test"]', "http://a.test", None),
        ('["https://a.test:8443"]', "https://a.test", None),
        ('["https://*.a.test"]', "https://x.a.test", "https://x.a.test"),
        ('["https://*.a.test"]', "https://x.y.a.test", "https://x.y.a.test"),
        ('["https://*.a.test"]', "https://a.test", None),
        ('["https://*.a.test"]', "https://evil.test/.a.test", None),
        ('["https://?.{a,b}.test"]', "https://x.b.test", "https://x.b.test"),
        ('["https://[!x].a.test"]', "https://x.a.test", None),
        ('["https://a.test"]', "https://axtest", None),
    ],
)
async def test_origins_are_told_back_only_when_allowed(allowed: str, origin: str, passes: str | None) -> None:
    app = configured(f"allow_origins = {allowed}")
    for method in ("GET", "OPTIONS"):
        assert (await ask(app, method, origin=origin))[1].get("access-control-allow-origin") == passes


async def test_a_hostile_origin_costs_no_time() -> None:
    app = configured('allow_origins = ["https://**********.a.test"]')
    assert "access-control-allow-origin" not in (await ask(app, origin="https://" + "." * 5000))[1]


async def test_preflight_and_answer_have_each_their_own_headers() -> None:
    app = configured(
        'allow_methods = ["GET", "POST"]\nallow_headers = ["X-One", "two"]\nexpose_headers = ["X-Three"]\n'
        'max_age = "1h"\nallow_credentials = true\nallow_origins = ["https://a.test"]'
    )
    _, preflight, _ = await ask(app, "OPTIONS", origin="https://a.test")
    assert preflight == dict([VARY]) | {
        "access-control-allow-origin": "https://a.test",
        "access-control-allow-methods": "GET,POST,OPTIONS",
        "access-control-allow-headers": "x-one,two",
        "access-control-max-age": "3600",
        "access-control-allow-credentials": "true",
        "content-length": "0",
    }
    _, answer, _ = await ask(app, origin="https://a.test")
    assert answer == dict([VARY]) | {
        "x": "y",
        "access-control-allow-origin": "https://a.test",
        "access-control-expose-headers": "x-three",
        "access-control-allow-credentials": "true",
    }


async def test_a_private_network_is_allowed_when_it_is_asked_for() -> None:
    app = configured("allow_private_network = true")
    name = "access-control-allow-private-network"
    assert (await ask(app, "OPTIONS", access_control_request_private_network="true"))[1][name] == "true"
    assert name not in (await ask(app, "OPTIONS"))[1]
    asked = await ask(configured(""), "OPTIONS", access_control_request_private_network="true")
    assert name not in asked[1]


async def test_csrf_wants_its_header_with_any_value() -> None:
    app = csrf(inner, "X-Nexus-CSRF-Protection")
    assert await ask(app, "POST") == (403, {"content-length": "0"}, b"")
    assert (await ask(app, "POST", x_nexus_csrf_protection=""))[0] == 418
    assert (await ask(app, "OPTIONS"))[0] == 418


async def test_a_refusal_of_csrf_can_be_read_by_the_page() -> None:
    _, headers, _ = await ask(cors(csrf(inner, "x-mine"), None), "POST")
    assert headers["access-control-allow-origin"] == "*"


async def test_other_scopes_pass() -> None:
    seen: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(scope["type"])

    async def nothing(*_: Message) -> Message:
        return {}

    await cors(csrf(app, "x"), None)({"type": "lifespan"}, nothing, nothing)  # type: ignore[arg-type]  # never called
    assert seen == ["lifespan"]
