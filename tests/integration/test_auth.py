"""Who gets in: tokens of a real issuer against the whole gateway; what is refused, word by word, and what attackers try."""

import asyncio
import base64
import gzip
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass

import msgspec
import pytest
import pytest_asyncio
from joserfc import jws
from joserfc.jwk import Key, OctKey, RSAKey

from gateway import Running, gateway, provider
from upstreams.oidc import AUDIENCE, Issuer, issuer, keys
from upstreams.scripted import Told, Upstream, upstream

pytestmark = pytest.mark.asyncio(loop_scope="module")

CHAT = "/llm/v1/chat/completions"
MESSAGES = "/llm/anthropic/v1/messages"
BODY = b'{"model":"gpt-4o","messages":[{"role":"user","content":"Hello"}]}'
BARE = 'Bearer resource_metadata="http://localhost/.well-known/oauth-protected-resource"'
INVALID = BARE + ', error="invalid_token"'
SECRET = "test-key"


def oauth(jwks: str, name: str, more: str = "") -> str:
    return f"""
llm.protocols.anthropic.enabled = true

[server.oauth]
url = "{jwks}"
expected_issuer = "{name}"
expected_audience = "{AUDIENCE}"
{more}

[server.oauth.protected_resource]
resource = "http://localhost/mcp"
authorization_servers = ["{name}"]
"""


@dataclass
class Setup:
    issuer: Issuer
    up: Upstream
    nexus: Running

    async def chat(
        self, token: str | None, path: str = CHAT, **headers: str
    ) -> tuple[int, bytes, str | None]:
        if token is not None:
            headers["authorization"] = f"Bearer {token}"
        answer = await self.nexus.ask("POST", path, BODY, **headers)
        return answer.status, answer.body, answer.headers.get("www-authenticate")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def setup() -> AsyncGenerator[Setup]:
    async with issuer() as made, upstream(lambda _: Told(pieces=(b'{"model":"gpt-4o"}',))) as up:
        async with gateway(oauth(made.jwks, made.url) + provider(up.url)) as nexus:
            yield Setup(made, up, nexus)


@pytest.mark.parametrize("algorithm", ["RS256", "PS256", "ES256", "EdDSA"])
async def test_a_token_of_the_issuer_lets_in(setup: Setup, algorithm: str) -> None:
    assert (await setup.chat(await setup.issuer.token(algorithm)))[:2] == (200, b'{"model":"gpt-4o"}')


async def test_a_token_goes_to_nobody_else(setup: Setup) -> None:
    token = await setup.issuer.token()
    await setup.chat(token)
    sent = setup.up.last
    assert sent.headers["authorization"] == f"Bearer {SECRET}"
    assert token not in repr(sent)


def part(value: object) -> str:
    data = value if isinstance(value, bytes) else msgspec.json.encode(value)
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def forged(key: Key, alg: str, token: str, **header: object) -> str:
    """Sign the claims of a good token with another key."""
    signing = f"{part({'alg': alg, **header})}.{token.split('.')[1]}"
    return f"{signing}.{part(jws.JWSRegistry.algorithms[alg].sign(signing.encode(), key))}"


MINE = RSAKey.generate_key(2048, {"kid": "rsa-1"})
UNAUTHORIZED = b'{"error":"unauthorized"}'
MISSING = b'{"error":"invalid_token","error_description":"missing token"}'
MALFORMED = b'{"error":"invalid_token","error_description":"invalid token"}'
CLAIMS: dict[str, dict[str, object]] = {
    "expired": {"exp": 1_700_000_000},
    "without an end": {"exp": None},
    "an end that is no number": {"exp": "never"},
    "not yet": {"nbf": 99_999_999_999},
    "another issuer": {"iss": "https://attacker.test"},
    "no issuer": {"iss": None},
    "audiences that are all others": {"aud": ["https://a.test", "https://b.test"]},
    "an audience of a longer name": {"aud": AUDIENCE + ".attacker.test"},
}


@pytest.mark.parametrize("path", [CHAT, MESSAGES, "/llm/v1/models", "/llm/openai/v1/anything"])
async def test_without_a_token_nobody_gets_in(setup: Setup, path: str) -> None:
    assert await setup.chat(None, path) == (401, MISSING, BARE)


@pytest.mark.parametrize("what", CLAIMS)
async def test_a_token_that_says_the_wrong_thing_is_refused(setup: Setup, what: str) -> None:
    token = await setup.issuer.token(claims=CLAIMS[what])
    assert await setup.chat(token) == (401, UNAUTHORIZED, INVALID)


async def test_a_token_for_somebody_else_is_refused(setup: Setup) -> None:
    token = await setup.issuer.token(audience="https://other.test")
    assert await setup.chat(token) == (401, UNAUTHORIZED, INVALID)


async def test_a_token_that_is_too_long_is_not_looked_at(setup: Setup) -> None:
    token = await setup.issuer.token(claims={"padding": "x" * 20_000})
    assert await setup.chat(token) == (401, MALFORMED, INVALID)


async def test_public_paths_ask_for_nothing(setup: Setup) -> None:
    assert (await setup.nexus.ask("GET", "/health")).status == 200
    assert (await setup.nexus.ask("GET", "/nowhere")).status == 404
    preflight = await setup.nexus.ask("OPTIONS", CHAT, origin="https://page.test")
    assert (preflight.status, preflight.headers["access-control-allow-origin"]) == (200, "*")
    for path in ("", "/mcp"):
        answer = await setup.nexus.ask("GET", f"/.well-known/oauth-protected-resource{path}")
        assert answer.headers["access-control-allow-origin"] == "*"
        assert msgspec.json.decode(answer.body) == {
            "resource": "http://localhost/mcp",
            "authorization_servers": [f"{setup.issuer.url}/"],
        }


async def test_a_page_may_read_why_it_was_refused(setup: Setup) -> None:
    answer = await setup.nexus.ask("POST", CHAT, BODY, origin="https://page.test")
    assert answer.headers["access-control-allow-origin"] == "*"
    assert answer.headers["access-control-expose-headers"] == "*"


async def test_on_the_anthropic_routes_a_proxy_header_goes_before(setup: Setup) -> None:
    token = await setup.issuer.token()
    proxy = {"proxy_authorization": f"Bearer {token}"}
    # past the door: what is behind it has no such model, or speaks another protocol
    assert (await setup.chat(token, MESSAGES))[0] != 401
    assert (await setup.chat("sk-ant-of-the-client", MESSAGES, **proxy))[0] != 401
    assert (await setup.chat("sk-ant-of-the-client", MESSAGES))[0] == 401
    assert (await setup.chat("sk-ant-of-the-client", CHAT, **proxy))[0] == 401
    assert (await setup.chat(token, MESSAGES, proxy_authorization="Bearer no"))[0] == 401


def request(line: str, *headers: str, body: bytes = BODY) -> bytes:
    head = "\r\n".join((line, *headers, "content-type: application/json", "connection: close"))
    return head.encode("latin-1") + b"\r\n\r\n" + body


POST = f"POST {CHAT} HTTP/1.1"
LENGTH = f"content-length: {len(BODY)}"
Attack = Callable[[str, Issuer], bytes]


def post(*headers: str) -> Attack:
    return lambda token, _: request(
        POST, "host: x", LENGTH, *(line.replace("GOOD", token) for line in headers)
    )


def to(target: str, *headers: str) -> Attack:
    return lambda _, __: request(f"POST {target} HTTP/1.1", "host: x", LENGTH, *headers)


def bearing(make: Callable[[str, Issuer], str]) -> Attack:
    def attack(token: str, issued: Issuer) -> bytes:
        return request(POST, "host: x", LENGTH, f"authorization: Bearer {make(token, issued)}")

    return attack


def public(issued: Issuer) -> bytes:
    return issued.keys[0].as_pem(private=False)  # type: ignore[union-attr]  # the first is an RSA key


def secret_of(data: bytes) -> OctKey:
    return OctKey.import_key(base64.urlsafe_b64encode(data).decode().rstrip("="), {"kid": "rsa-1"})


ATTACKS: dict[str, Attack] = {
    # paths that mean another place to somebody in front of us
    "a path from a public one": to(f"/health/..{CHAT}"),
    "a path from the metadata": to(f"/.well-known/oauth-protected-resource/..{CHAT}"),
    "a path from the metadata, encoded": to(f"/.well-known/oauth-protected-resource/%2e%2e{CHAT}"),
    "a doubled slash": to(f"/{CHAT}"),
    "a slash at the end": to(f"{CHAT}/"),
    "an encoded slash": to("/llm%2fv1/chat/completions"),
    "an encoded letter": to("/llm/v1/chat/%63ompletions"),
    "upper case": to(CHAT.upper()),
    "a parameter of a segment": to(f"{CHAT};/health"),
    "a public path as the query": to(f"{CHAT}?path=/health"),
    "a null byte": to(f"/health%00{CHAT}"),
    "a backslash": to(f"/health\\..\\{CHAT}"),
    "the full form with a public host": to(f"http://localhost{CHAT}"),
    "a fragment": to(f"/health#{CHAT}"),
    # headers that mean another request to somebody in front of us
    "another URL by header": post("x-original-url: /health", "x-rewrite-url: /health"),
    "another method by header": post("x-http-method-override: OPTIONS", "x-method-override: GET"),
    "a trusted host": lambda _, __: request(POST, "host: localhost", LENGTH, "x-forwarded-host: localhost"),
    "the metadata as host": lambda _, __: request(
        POST, "host: x/.well-known/oauth-protected-resource", LENGTH
    ),
    "no host": lambda _, __: request(POST, LENGTH),
    "two hosts": lambda _, __: request(POST, "host: x", "host: localhost", LENGTH),
    "an address that is trusted": post("x-forwarded-for: 127.0.0.1", "x-real-ip: 127.0.0.1"),
    "an identity": post("x-client-id: admin", "x-user: admin", "x-forwarded-user: admin"),
    # headers that carry a token, and do not count
    "a bad token before a good one": post("authorization: Bearer bad", "authorization: Bearer GOOD"),
    "a good token in another header": post("x-authorization: Bearer GOOD"),
    "a good token for a proxy": post("proxy-authorization: Bearer GOOD"),
    "a good token as a key": post("x-api-key: GOOD", "api-key: GOOD"),
    "a good token as a cookie": post("cookie: authorization=Bearer GOOD; access_token=GOOD"),
    "a good token in the query": lambda token, _: request(
        f"POST {CHAT}?access_token={token} HTTP/1.1", "host: x", LENGTH
    ),
    "a good token as basic": post("authorization: Basic GOOD"),
    "a good token without a scheme": post("authorization: GOOD"),
    "two spaces": post("authorization: Bearer  GOOD"),
    "a list": post("authorization: Bearer bad, Bearer GOOD"),
    "a folded line": post("authorization: Bearer bad\r\n GOOD"),
    "a space in the name": post("authorization : Bearer GOOD"),
    "an underscore in the name": post("http_authorization: Bearer GOOD"),
    # tokens
    "no signature": bearing(lambda token, _: f"{part({'alg': 'none'})}.{token.split('.')[1]}."),
    "no signature, in capitals": bearing(lambda token, _: f"{part({'alg': 'NONE'})}.{token.split('.')[1]}."),
    "the signature cut off": bearing(lambda token, _: token.rsplit(".", 1)[0] + "."),
    "other claims": bearing(
        lambda token, _: ".".join((token.split(".")[0], part({"sub": "root"}), token.split(".")[2]))
    ),
    "another key": bearing(lambda token, _: forged(MINE, "RS256", token)),
    "another key under the same id": bearing(lambda token, _: forged(MINE, "RS256", token, kid="rsa-1")),
    "another key brought along": bearing(
        lambda token, _: forged(MINE, "RS256", token, jwk=MINE.as_dict(private=False))
    ),
    "another key somewhere else": bearing(
        lambda token, _: forged(
            MINE, "RS256", token, jku="http://127.0.0.1:1/jwks", x5u="http://127.0.0.1:1/"
        )
    ),
    "a key id that is a path": bearing(lambda token, _: forged(MINE, "RS256", token, kid="../../dev/null")),
    "a key id that is a query": bearing(lambda token, _: forged(MINE, "RS256", token, kid="' OR 1=1 --")),
    "an empty secret": bearing(
        lambda token, _: forged(secret_of(b"\0" * 32), "HS256", token, kid="../../dev/null")
    ),
    "the public key as a secret": bearing(
        lambda token, issued: forged(secret_of(public(issued)), "HS256", token, kid="rsa-1")
    ),
    "an extension that must be understood": bearing(
        lambda token, _: forged(MINE, "RS256", token, kid="rsa-1", crit=["b64"], b64=False)
    ),
    # bodies and framing
    "a body in two framings": lambda _, __: request(
        POST, "host: x", LENGTH, "transfer-encoding: chunked", body=b"0\r\n\r\n" + BODY
    ),
    "two lengths": lambda _, __: request(POST, "host: x", LENGTH, "content-length: 1"),
    "a length that is none": lambda _, __: request(POST, "host: x", "content-length: -1"),
    "a compressed body": post("content-encoding: gzip"),
    "a head without end": lambda _, __: request(POST, "host: x", LENGTH, f"x: {'y' * 70_000}"),
    "a token without end": lambda _, __: request(
        POST, "host: x", LENGTH, f"authorization: Bearer {'A' * 60_000}.e30.x"
    ),
    "no version": lambda _, __: f"POST {CHAT}\r\n\r\n".encode(),
    "another protocol": lambda _, __: request(
        POST, "host: x", LENGTH, "upgrade: h2c", "http2-settings: AAMAAABk"
    ),
    "a web socket": lambda _, __: request(
        f"GET {CHAT} HTTP/1.1", "host: x", "upgrade: websocket", "sec-websocket-version: 13", body=b""
    ),
}


@pytest.mark.parametrize("attack", ATTACKS)
async def test_an_attack_reaches_nobody_and_learns_nothing(setup: Setup, attack: str) -> None:
    token = await setup.issuer.token()
    asked = len(setup.up.asked)
    answer = await setup.nexus.send(ATTACKS[attack](token, setup.issuer))
    # a status of 0 is a connection that was closed without a word
    if answer.status != 200 or b"healthy" not in answer.body:
        assert answer.status in (0, 400, 401, 404, 405, 413, 431)
    assert len(setup.up.asked) == asked
    assert SECRET.encode() not in answer.body
    assert token.encode() not in answer.body
    assert setup.issuer.jwks.encode() not in answer.body


async def test_there_are_enough_attacks() -> None:
    assert len(ATTACKS) >= 40


async def test_who_does_not_end_a_head_is_cut_off(setup: Setup, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nexus.server.connection.HEAD_TIMEOUT", 0.05)
    reader, writer = await asyncio.open_connection("127.0.0.1", setup.nexus.port)
    for drop in (f"{POST}\r\n", "host: x\r\n", "x: y"):
        writer.write(drop.encode())
        await writer.drain()
    async with asyncio.timeout(5):
        assert await reader.read() == b""
    writer.close()


async def test_a_compressed_body_is_never_unpacked(setup: Setup) -> None:
    bomb = gzip.compress(BODY[:-1] + b" " * 30_000_000 + b"}", mtime=0)
    token, asked = await setup.issuer.token(), len(setup.up.asked)
    head = (
        "host: x",
        f"content-length: {len(bomb)}",
        "content-encoding: gzip",
        f"authorization: Bearer {token}",
    )
    answer = await setup.nexus.send(request(POST, *head, body=bomb))
    assert (answer.status, len(setup.up.asked)) == (400, asked)
    assert b"Failed to parse request body" in answer.body


async def test_a_rotated_key_is_found_and_the_old_one_forgotten() -> None:
    async with issuer() as made, upstream() as up:
        toml = oauth(made.jwks, made.url, 'poll_interval = "50ms"') + provider(up.url)
        async with gateway(toml) as nexus:
            setup = Setup(made, up, nexus)
            old = await made.token()
            assert (await setup.chat(old))[0] == 200
            await made.stop()
            assert (await setup.chat(old))[0] == 200  # nobody answers: what is known stays in use
            await made.start(keys("2"))
            _hurry(nexus)
            assert (await setup.chat(await made.token()))[0] == 200
            assert await setup.chat(old) == (401, UNAUTHORIZED, INVALID)


def _hurry(nexus: Running) -> None:
    """Let keys be asked for again at once."""
    assert nexus.gateway.verifier is not None
    for one in nexus.gateway.verifier._issuers:  # pyright: ignore[reportPrivateUsage]  # no test waits for it
        one.jwks._min_interval = 0.0  # pyright: ignore[reportPrivateUsage]


FAULT = b'{"error":"internal_server_error","error_description":"An internal error occurred"}'
KEYS: dict[str, Told] = {
    "an error": Told(status=500),
    "nothing there": Told(status=404),
    "no JSON": Told(pieces=(b"<html>",)),
    "no keys": Told(pieces=(b"{}",)),
    "too much": Told(pieces=(b'{"keys":[]}' + b" " * 2_000_000,)),
    "half an answer": Told(pieces=(b'{"keys":',), cut=True),
}


@pytest.mark.parametrize("what", KEYS)
async def test_keys_that_cannot_be_had_are_a_fault_of_ours(setup: Setup, what: str) -> None:
    async with upstream(lambda _: KEYS[what]) as jwks:
        async with gateway(oauth(f"{jwks.url}/jwks", setup.issuer.url) + provider(setup.up.url)) as nexus:
            one = Setup(setup.issuer, setup.up, nexus)
            token = await setup.issuer.token()
            for _ in range(3):
                assert await one.chat(token) == (500, FAULT, BARE)
            assert await one.chat("no.token") == (401, MALFORMED, INVALID)
            assert len(jwks.asked) == 1


async def test_an_issuer_that_is_slow_or_away_keeps_nobody_waiting(
    setup: Setup, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nexus.auth.jwks._TIMEOUT", 0.05)
    never = asyncio.Event()
    async with upstream(lambda _: Told(pieces=(b'{"keys":[', never))) as slow:
        for url in (f"{slow.url}/jwks", "http://127.0.0.1:1/jwks"):
            async with gateway(oauth(url, setup.issuer.url) + provider(setup.up.url)) as nexus:
                one, token = Setup(setup.issuer, setup.up, nexus), await setup.issuer.token()
                async with asyncio.timeout(5):
                    answers = await asyncio.gather(*(one.chat(token) for _ in range(10)))
                assert answers == [(500, FAULT, BARE)] * 10
        assert len(slow.asked) == 1
        never.set()


async def test_keys_of_no_known_kind_let_nobody_in(setup: Setup) -> None:
    strange = Told(pieces=(b'{"keys":[{"kty":"PQC","kid":"rsa-1"}]}',))
    async with upstream(lambda _: strange) as jwks:
        async with gateway(oauth(f"{jwks.url}/jwks", setup.issuer.url) + provider(setup.up.url)) as nexus:
            one = Setup(setup.issuer, setup.up, nexus)
            assert (await one.chat(await setup.issuer.token()))[:2] == (401, UNAUTHORIZED)


async def test_several_issuers_may_be_believed(setup: Setup) -> None:
    async with issuer() as second:
        more = f"""[[server.oauth.issuers]]
url = "{second.jwks}"
expected_issuer = "{second.url}"
expected_audience = "{AUDIENCE}"
"""
        toml = oauth(setup.issuer.jwks, setup.issuer.url) + more + provider(setup.up.url)
        async with gateway(toml) as nexus:
            one = Setup(setup.issuer, setup.up, nexus)
            assert (await one.chat(await setup.issuer.token()))[0] == 200
            assert (await one.chat(await second.token()))[0] == 200
            assert (await one.chat(await second.token(claims={"iss": setup.issuer.url})))[0] == 401


async def test_identity_comes_from_the_token_and_from_nowhere_else(setup: Setup) -> None:
    toml = (
        oauth(setup.issuer.jwks, setup.issuer.url)
        + provider(setup.up.url)
        + """
[llm.providers.up.rate_limits.per_user]
input_token_limit = 10
interval = "60s"

[llm.providers.up.rate_limits.per_user.groups]
pro = { input_token_limit = 20, interval = "60s" }

[server.client_identification]
enabled = true
client_id.jwt_claim = "user.id"
group_id.jwt_claim = "groups"

[server.client_identification.validation]
group_values = ["pro"]
"""
    )
    async with gateway(toml) as nexus:
        one = Setup(setup.issuer, setup.up, nexus)
        alice = await setup.issuer.token(claims={"user": {"id": "alice"}, "groups": ["staff", "pro"]})
        bob = await setup.issuer.token(claims={"user": {"id": "bob"}})
        statuses = [(await one.chat(alice, x_client_id=f"{number}"))[0] for number in range(3)]
        assert statuses == [200, 200, 429]
        assert [(await one.chat(bob, x_group_id="pro"))[0] for _ in range(2)] == [200, 429]
        left = await nexus.ask("GET", "/v1/limits", authorization=f"Bearer {bob}")
        assert b"bob" in left.body
        assert b"alice" not in left.body
        nobody = await setup.issuer.token()
        assert (await one.chat(nobody))[:2] == (
            400,
            b'{"error":"missing_client_id","error_description":"Client identification is required"}',
        )
        stranger = await setup.issuer.token(claims={"user": {"id": "eve"}, "groups": ["root"]})
        assert (await one.chat(stranger))[:2] == (
            400,
            b'{"error":"invalid_group","error_description":"The specified group is not valid"}',
        )
