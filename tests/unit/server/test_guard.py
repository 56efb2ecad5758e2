"""The layers around a route with hand-made scopes: what each refuses, with which bytes, and in which order."""

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from nexus.auth.jwks import KeysUnavailable
from nexus.auth.jwt import Malformed, Refused
from nexus.config.auth import ProtectedResource
from nexus.config.llm import ProviderConfig
from nexus.config.ratelimit import RateLimits
from nexus.config.server import ClientIpConfig, ServerConfig
from nexus.context import UNKNOWN, Claims, Identity, RequestContext, of
from nexus.ratelimit import Charge, Decision, StoreFailed
from nexus.ratelimit.limiter import FAILURES, Limiter
from nexus.ratelimit.memory import MemoryStore
from nexus.server.asgi import App, Message, Receive, Scope, Send
from nexus.server.middleware.client_ip import finder
from nexus.server.middleware.guard import guard
from nexus.server.wellknown import wellknown

Lines = Sequence[tuple[bytes, bytes]]
BARE = b'Bearer resource_metadata="http://localhost/.well-known/oauth-protected-resource"'
INVALID = BARE + b', error="invalid_token"'
OAUTH: dict[str, object] = {
    "url": "http://issuer.test/jwks",
    "protected_resource": {
        "resource": "http://localhost/api",
        "authorization_servers": ["http://issuer.test"],
    },
}
HEADERS: dict[str, object] = {
    "enabled": True,
    "client_id": {"http_header": "x-client-id"},
    "group_id": {"http_header": "x-group-id"},
    "validation": {"group_values": ["pro"]},
}


class Inner:
    """A route that remembers what reached it."""

    def __init__(self) -> None:
        self.scopes: list[Scope] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.scopes.append(scope)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"in"})

    @property
    def context(self) -> RequestContext:
        return of(self.scopes[-1])


class Verifier:
    """Believes `good`; everything else says what it is."""

    def known(self, _: str) -> Claims | None:
        return None

    async def verify(self, token: str) -> Claims:
        if token == "good":
            return {"sub": "alice"}
        raise {"malformed": Malformed, "down": KeysUnavailable}.get(token, Refused)


async def unread() -> Message:
    raise AssertionError("nothing is read here")


class Said:
    def __init__(self, messages: list[Message]) -> None:
        start, body = messages
        self.status: int = start["status"]
        self.headers: dict[bytes, bytes] = dict(start["headers"])
        self.body: bytes = body["body"]


async def ask(app: App, *headers: tuple[bytes, bytes], peer: str = "9.9.9.9", **more: Any) -> Said:
    messages: list[Message] = []

    async def send(message: Message) -> None:
        messages.append(message)

    scope = {
        "type": "http",
        "method": "POST",
        "path": "/",
        "headers": list(headers),
        "client": (peer, 1),
        **more,
    }
    await app(scope, unread, send)
    return Said(messages)


def limiter(tables: Mapping[str, object] | None = None, store: MemoryStore | None = None) -> Limiter:
    limits = RateLimits.model_validate({"enabled": True, **tables} if tables else {"enabled": False})
    return Limiter(store or MemoryStore(lambda: 0), limits, dict[str, ProviderConfig](), {})


def guarded(
    inner: App, config: dict[str, object], limits: Limiter | None = None, *, native: bool = False
) -> App:
    server = ServerConfig.model_validate(config)
    verifier: Any = Verifier() if server.oauth is not None else None
    return guard(inner, server, verifier, limits or limiter(), native=native)


def token(value: bytes, name: bytes = b"authorization") -> tuple[bytes, bytes]:
    return name, value


async def test_without_configuration_there_is_no_guard() -> None:
    inner = Inner()
    assert guarded(inner, {}) is inner
    assert (await ask(inner)).status == 200
    assert inner.context == RequestContext()


MISSING = b'{"error":"invalid_token","error_description":"missing token"}'
BAD = b'{"error":"invalid_token","error_description":"invalid token"}'
PREFIX = b'{"error":"invalid_token","error_description":"token must be prefixed with Bearer"}'
UNAUTHORIZED = b'{"error":"unauthorized"}'


@pytest.mark.parametrize(
    ("headers", "body", "challenge"),
    [
        ([], MISSING, BARE),
        ([token(b"")], MISSING, BARE),
        ([token(b"Bearer")], MISSING, BARE),
        ([token(b"Bearer ")], MISSING, BARE),
        ([token(b"good")], PREFIX, INVALID),
        ([token(b"Basic good")], PREFIX, INVALID),
        ([token(b"Bearergood")], PREFIX, INVALID),
        ([token(b"Bearer\tgood")], PREFIX, INVALID),
        ([token(b" Bearer good")], PREFIX, INVALID),
        ([token("Bearer gööd".encode())], BAD, INVALID),
        ([token("Bäsic good".encode("latin-1"))], BAD, INVALID),
        ([token(b"Bearer malformed")], BAD, INVALID),
        ([token(b"Bearer  good")], UNAUTHORIZED, INVALID),
        ([token(b"Bearer good ")], UNAUTHORIZED, INVALID),
        ([token(b"Bearer good, Bearer good")], UNAUTHORIZED, INVALID),
        ([token(b"Bearer bad")], UNAUTHORIZED, INVALID),
        ([token(b"Bearer bad"), token(b"Bearer good")], UNAUTHORIZED, INVALID),
        ([token(b"Bearer good", b"x-authorization")], MISSING, BARE),
        ([token(b"Bearer good", b"proxy-authorization")], MISSING, BARE),
        ([token(b"Bearer good", b"x-forwarded-authorization")], MISSING, BARE),
        ([(b"cookie", b"authorization=Bearer good"), (b"x-api-key", b"good")], MISSING, BARE),
    ],
)
async def test_who_has_no_good_token_stays_outside(headers: Lines, body: bytes, challenge: bytes) -> None:
    inner = Inner()
    said = await ask(guarded(inner, {"oauth": OAUTH}), *headers)
    assert (said.status, said.body) == (401, body)
    assert said.headers == {
        b"content-type": b"application/json",
        b"content-length": b"%d" % len(body),
        b"www-authenticate": challenge,
    }
    assert inner.scopes == []


async def test_keys_that_cannot_be_had_are_our_fault() -> None:
    said = await ask(guarded(Inner(), {"oauth": OAUTH}), token(b"Bearer down"))
    body = b'{"error":"internal_server_error","error_description":"An internal error occurred"}'
    assert (said.status, said.body, said.headers[b"www-authenticate"]) == (500, body, BARE)


@pytest.mark.parametrize("scheme", [b"Bearer", b"bearer", b"BEARER"])
async def test_a_good_token_lets_in_and_goes_no_further(scheme: bytes) -> None:
    inner = Inner()
    said = await ask(
        guarded(inner, {"oauth": OAUTH}), (b"x", b"y"), token(scheme + b" good"), token(b"Bearer again")
    )
    assert said.status == 200
    assert inner.scopes[0]["headers"] == [(b"x", b"y")]
    assert (inner.context.token, inner.context.claims) == ("good", {"sub": "alice"})


async def test_on_a_native_route_the_vendors_credentials_stay() -> None:
    inner = Inner()
    route = guarded(inner, {"oauth": OAUTH}, native=True)
    vendors = token(b"Bearer sk-ant")
    assert (await ask(route, token(b"Bearer good", b"proxy-authorization"), vendors)).status == 200
    assert inner.scopes[-1]["headers"] == [vendors]
    assert (await ask(route, token(b"Bearer good"))).status == 200
    assert inner.scopes[-1]["headers"] == []
    assert (
        await ask(route, token(b"Bearer bad", b"proxy-authorization"), token(b"Bearer good"))
    ).status == 401


@pytest.mark.parametrize("kind", ["websocket", "lifespan"])
async def test_nothing_but_requests_reaches_a_route_that_asks_for_tokens(kind: str) -> None:
    inner = Inner()

    async def send(message: Message) -> None:
        raise AssertionError("nothing is said")

    app = guarded(inner, {"oauth": OAUTH})
    await app({"type": kind, "headers": [], "client": None}, unread, send)
    assert inner.scopes == []


async def test_a_context_shows_no_secrets() -> None:
    shown = repr(RequestContext("1.1.1.1", "secret-token", {"email": "secret-mail"}, Identity("alice")))
    assert "secret" not in shown
    assert of({}) is UNKNOWN
    assert of({"state": {}}) is UNKNOWN


ALICE, PRO = (b"x-client-id", b"alice"), (b"x-group-id", b"pro")


async def test_a_known_client_is_left_in_the_context() -> None:
    inner = Inner()
    await ask(guarded(inner, {"client_identification": HEADERS}), ALICE, PRO)
    assert inner.context.identity == Identity("alice", "pro")


@pytest.mark.parametrize(
    ("headers", "error"),
    [([PRO], b"missing_client_id"), ([ALICE, (b"x-group-id", b"root")], b"invalid_group")],
)
async def test_a_client_nobody_knows_is_refused(headers: Lines, error: bytes) -> None:
    inner = Inner()
    said = await ask(guarded(inner, {"client_identification": HEADERS}), *headers)
    assert (said.status, said.headers[b"content-type"]) == (400, b"application/json")
    assert error in said.body
    assert inner.scopes == []


async def test_a_claim_of_the_token_names_the_client() -> None:
    inner = Inner()
    identification = {"enabled": True, "client_id": {"jwt_claim": "sub"}}
    app = guarded(inner, {"oauth": OAUTH, "client_identification": identification})
    await ask(app, token(b"Bearer good"), (b"x-client-id", b"mallory"))
    assert inner.context.identity == Identity("alice")


TWO = {"limit": 2, "interval": "10s"}


async def test_what_is_limited_is_refused_in_plain_words() -> None:
    inner = Inner()
    app = guarded(inner, {}, limiter({"global": TWO}))
    assert [(await ask(app)).status for _ in range(4)] == [200, 200, 429, 429]
    said = await ask(app)
    assert said.body == b"Rate limit exceeded"
    assert said.headers == {b"content-type": b"text/plain", b"content-length": b"19"}
    assert len(inner.scopes) == 2


async def test_each_address_has_its_own() -> None:
    app = guarded(Inner(), {}, limiter({"per_ip": {"limit": 1, "interval": "10s"}}))
    assert [(await ask(app, peer=peer)).status for peer in ("1.1.1.1", "2.2.2.2", "1.1.1.1")] == [
        200,
        200,
        429,
    ]
    assert (await ask(app, client=None)).status == 200


class Away(MemoryStore):
    async def charge(self, charges: Sequence[Charge]) -> Decision:
        raise StoreFailed("away")


async def test_a_store_that_is_away_is_our_fault() -> None:
    inner = Inner()
    said = await ask(guarded(inner, {}, limiter({"global": TWO}, Away())))
    assert (said.status, said.body, said.headers[b"content-type"]) == (
        500,
        b"Internal server error",
        b"text/plain",
    )
    assert inner.scopes == []


async def test_layers_refuse_in_order_and_only_what_passes_is_counted() -> None:
    inner = Inner()
    config: dict[str, object] = {"oauth": OAUTH, "client_identification": HEADERS}
    app = guarded(inner, config, limiter({"per_ip": {"limit": 1, "interval": "10s"}}))
    good = token(b"Bearer good")
    for _ in range(3):
        assert (await ask(app)).status == 401
        assert (await ask(app, good)).status == 400
    assert (await ask(app, good, ALICE, PRO)).status == 200
    assert (await ask(app, good, ALICE, PRO)).status == 429
    assert (await ask(app, good)).status == 400
    assert (await ask(app)).status == 401


async def test_too_many_refused_tokens_are_refused_otherwise() -> None:
    app = guarded(Inner(), {"oauth": OAUTH}, limiter({"per_ip": {"limit": 1, "interval": "10s"}}))
    for _ in range(FAILURES):
        assert (await ask(app)).status == 401
    assert (await ask(app)).status == 429
    assert (await ask(app, token(b"Bearer good"))).status == 200
    assert (await ask(app, peer="8.8.8.8")).status == 401


def forwarded(*values: str) -> list[tuple[bytes, bytes]]:
    return [(b"x-forwarded-for", value.encode("latin-1")) for value in values]


@pytest.mark.parametrize(
    ("config", "headers", "address"),
    [
        ({}, [*forwarded("1.1.1.1"), (b"x-real-ip", b"2.2.2.2")], "9.9.9.9"),
        ({"x_real_ip": True}, [(b"x-real-ip", b" 2.2.2.2 ")], "2.2.2.2"),
        ({"x_real_ip": True}, [(b"x-real-ip", b"nonsense")], "9.9.9.9"),
        ({"x_real_ip": True}, [(b"x-real-ip", b"::ffff:2.2.2.2")], "2.2.2.2"),
        ({"x_real_ip": True}, [(b"x-real-ip", b"2001:DB8:0::1")], "2001:db8::1"),
        ({"x_real_ip": True}, forwarded("1.1.1.1"), "9.9.9.9"),
        ({"hops": 1}, forwarded("10.0.0.1, 192.168.1.100"), "10.0.0.1"),
        ({"hops": 1}, forwarded("10.0.0.2, 10.0.0.1, 192.168.1.100"), "10.0.0.1"),
        ({"hops": 1}, forwarded("10.0.0.1, 10.0.0.2, 192.168.1.100"), "10.0.0.2"),
        ({"hops": 1}, forwarded("10.0.0.2", "10.0.0.1", "192.168.1.100"), "10.0.0.1"),
        ({"hops": 0}, forwarded("10.0.0.1, 192.168.1.100"), "192.168.1.100"),
        ({"hops": 1}, forwarded("10.0.0.1"), "9.9.9.9"),
        ({"hops": 1}, forwarded(""), "9.9.9.9"),
        ({"hops": 1}, [], "9.9.9.9"),
        ({"hops": 0}, forwarded("unknown"), "9.9.9.9"),
        ({"hops": 0}, forwarded("1.1.1.1:80"), "9.9.9.9"),
        ({"hops": 0}, forwarded("1.1.1.1, \xff"), "9.9.9.9"),
        ({"hops": 0}, [(b"x-real-ip", b"2.2.2.2"), *forwarded("1.1.1.1")], "1.1.1.1"),
        ({"hops": 0, "x_real_ip": True}, [*forwarded("1.1.1.1"), (b"x-real-ip", b"2.2.2.2")], "2.2.2.2"),
    ],
)
def test_only_what_is_believed_names_the_address(
    config: dict[str, object], headers: Lines, address: str
) -> None:
    known = {"x_forwarded_for_trusted_hops" if key == "hops" else key: value for key, value in config.items()}
    assert finder(ClientIpConfig.model_validate(known))("9.9.9.9", headers) == address


@pytest.mark.parametrize(
    ("peer", "address"),
    [("10.1.2.3", "1.1.1.1"), ("::ffff:10.1.2.3", "1.1.1.1"), ("11.0.0.1", "11.0.0.1"), ("", "")],
)
def test_headers_are_believed_only_of_proxies_that_are_trusted(peer: str, address: str) -> None:
    from ipaddress import ip_network

    find = finder(ClientIpConfig(x_forwarded_for_trusted_hops=0), (ip_network("10.0.0.0/8"),))
    assert find(peer, forwarded("1.1.1.1")) == address


def test_an_ipv4_peer_within_ipv6_is_one_of_ipv4() -> None:
    assert finder(ClientIpConfig())("::ffff:1.2.3.4", []) == "1.2.3.4"


METADATA = ProtectedResource(resource="http://localhost/api", authorization_servers=("http://issuer.test",))
DOCUMENT = b'{"resource":"http://localhost/api","authorization_servers":["http://issuer.test/"]}'
WELL_KNOWN = "/.well-known/oauth-protected-resource"


@pytest.mark.parametrize("suffix", ["", "/mcp", "/api"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_metadata_is_for_everybody_and_every_page(suffix: str, method: str) -> None:
    inner = Inner()
    said = await ask(wellknown(inner, METADATA, "/mcp"), path=WELL_KNOWN + suffix, method=method)
    assert (said.status, said.body) == (200, DOCUMENT)
    assert said.headers[b"content-type"] == b"application/json"
    assert said.headers[b"access-control-allow-origin"] == b"*"
    assert said.headers[b"cache-control"] == b"public, max-age=300"
    assert inner.scopes == []


async def test_a_preflight_for_metadata_is_answered() -> None:
    said = await ask(wellknown(Inner(), METADATA), path=WELL_KNOWN, method="OPTIONS")
    assert (said.status, said.headers[b"access-control-allow-origin"]) == (200, b"*")


async def test_metadata_is_only_read() -> None:
    said = await ask(wellknown(Inner(), METADATA), path=WELL_KNOWN, method="POST")
    assert (said.status, said.headers[b"allow"]) == (405, b"GET, HEAD, OPTIONS")


@pytest.mark.parametrize("path", ["/", "/mcp", f"{WELL_KNOWN}/", f"{WELL_KNOWN}/other", f"/x{WELL_KNOWN}"])
async def test_other_paths_go_on(path: str) -> None:
    inner = Inner()
    await ask(wellknown(inner, METADATA, "/mcp"), path=path)
    assert len(inner.scopes) == 1
