"""Tokens: each rule with a token that keeps it and one that breaks it, and the confusions attackers try."""

import base64
from collections.abc import Mapping, Sequence

import msgspec
import pytest
from joserfc import jws
from joserfc.jwk import ECKey, Key, OctKey, OKPKey, RSAKey

from nexus.auth.jwks import Jwks, KeysUnavailable
from nexus.auth.jwt import LEEWAY, MAX_TOKEN, Issuer, Malformed, Refused, Verifier

NOW = 1_800_000_000
RSA = RSAKey.generate_key(2048, {"kid": "rsa"})
P256 = ECKey.generate_key("P-256", {"kid": "p256"})
P384 = ECKey.generate_key("P-384", {"kid": "p384"})
P521 = ECKey.generate_key("P-521", {"kid": "p521"})
ED = OKPKey.generate_key("Ed25519", {"kid": "ed"})
SECRET = OctKey.generate_key(512, {"kid": "oct"})
ALL = (RSA, P256, P384, P521, ED, SECRET)
OTHER = RSAKey.generate_key(2048, {"kid": "rsa"})
GOOD = {"sub": "alice", "iss": "https://issuer.test", "aud": "nexus", "exp": NOW + 600}


def part(value: object) -> str:
    data = value if isinstance(value, bytes) else msgspec.json.encode(value)
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def signed(key: Key, alg: str, claims: object = GOOD, /, **header: object) -> str:
    protected = {"alg": alg, "kid": key.kid, **header}
    protected = {name: value for name, value in protected.items() if value is not None}
    signing = f"{part(protected)}.{part(claims)}"
    signature = jws.JWSRegistry.algorithms[alg].sign(signing.encode(), key)
    return f"{signing}.{part(signature)}"


class Source:
    def __init__(self, *keys: Key, failing: bool = False, more: Mapping[str, object] | None = None) -> None:
        self.keys: Sequence[Mapping[str, object]] = [{**key.as_dict(), **(more or {})} for key in keys]
        self.failing = failing
        self.asked = 0

    async def fetch(self) -> bytes:
        self.asked += 1
        if self.failing:
            raise OSError
        return msgspec.json.encode({"keys": self.keys})

    async def close(self) -> None: ...


class Clock:
    def __init__(self) -> None:
        self.now = float(NOW)

    def __call__(self) -> float:
        return self.now


def verifier(
    *keys: Key,
    name: str | None = "https://issuer.test",
    audience: str | None = "nexus",
    hmac: bool = False,
    clock: Clock | None = None,
    more: Mapping[str, object] | None = None,
) -> Verifier:
    clock = clock or Clock()
    jwks = Jwks(Source(*(keys or ALL), more=more), None, clock)
    return Verifier([Issuer(jwks, name, audience, hmac=hmac)], clock)


@pytest.mark.parametrize(
    ("key", "alg"),
    [
        *((RSA, f"{family}{size}") for family in ("RS", "PS") for size in (256, 384, 512)),
        (P256, "ES256"),
        (P384, "ES384"),
        (P521, "ES512"),
        (ED, "EdDSA"),
        (ED, "Ed25519"),
    ],
)
async def test_every_public_algorithm_is_believed(key: Key, alg: str) -> None:
    assert (await verifier().verify(signed(key, alg)))["sub"] == "alice"


@pytest.mark.parametrize("alg", ["HS256", "HS384", "HS512"])
async def test_a_shared_secret_is_believed_only_where_that_is_said(alg: str) -> None:
    token = signed(SECRET, alg)
    assert (await verifier(hmac=True).verify(token))["sub"] == "alice"
    with pytest.raises(Refused):
        await verifier().verify(token)


@pytest.mark.parametrize("hmac", [False, True])
@pytest.mark.parametrize("form", ["pem", "der", "jwk"])
async def test_a_public_key_is_no_secret(form: str, hmac: bool) -> None:
    forms = {"pem": RSA.as_pem(), "der": RSA.as_der(), "jwk": msgspec.json.encode(RSA.as_dict())}
    header = part({"alg": "HS256", "kid": "rsa"})
    secret = OctKey.import_key(base64.urlsafe_b64encode(forms[form]).decode(), {"kid": "rsa"})
    signing = f"{header}.{part(GOOD)}"
    signature = jws.JWSRegistry.algorithms["HS256"].sign(signing.encode(), secret)
    with pytest.raises(Refused):
        await verifier(hmac=hmac).verify(f"{signing}.{part(signature)}")


@pytest.mark.parametrize("alg", ["none", "None", "NONE", "nOnE", "", "RS1", "ES256K", "A128KW", "HS1"])
@pytest.mark.parametrize("signature", ["", "AA"])
async def test_no_signature_is_no_signature(alg: str, signature: str) -> None:
    with pytest.raises(Refused):
        await verifier(hmac=True).verify(f"{part({'alg': alg})}.{part(GOOD)}.{signature}")


def cases() -> Sequence[tuple[str, str]]:
    head, body, signature = signed(RSA, "RS256").split(".")
    return [
        ("empty", ""),
        ("one part", head),
        ("two parts", f"{head}.{body}"),
        ("four parts", f"{head}.{body}.{signature}.{signature}"),
        ("encrypted", f"{head}.{body}.{signature}.{signature}.{signature}"),
        ("padded", f"{head}=.{body}.{signature}"),
        ("plain base64", f"{head}.{body}.+/"),
        ("not base64", f"{head}.{body}.!!!!"),
        ("a space before", f" {head}.{body}.{signature}"),
        ("a line break", f"{head}.{body}.{signature}\n"),
        ("a cut part", f"{head}.{body}.AAAAA"),
        ("a header that is no JSON", f"{part(b'{')}.{body}.{signature}"),
        ("a header that is no object", f"{part([])}.{body}.{signature}"),
        ("a header of bytes", f"{part(b'%ff' + bytes([255]))}.{body}.{signature}"),
        ("no algorithm", f"{part({'kid': 'rsa'})}.{body}.{signature}"),
        ("an algorithm that is no text", f"{part({'alg': 1})}.{body}.{signature}"),
        ("nested too deeply", f"{part(b'[' * 5000)}.{body}.{signature}"),
        ("another content", f"{part({'alg': 'RS256', 'cty': 'JWT'})}.{body}.{signature}"),
        ("too long", f"{head}.{'A' * MAX_TOKEN}.{signature}"),
    ]


@pytest.mark.parametrize(("what", "token"), cases())
async def test_what_is_no_token_asks_for_no_keys(what: str, token: str) -> None:
    source, clock = Source(*ALL), Clock()
    with pytest.raises(Malformed):
        await Verifier([Issuer(Jwks(source, None, clock))], clock).verify(token)
    assert source.asked == 0


@pytest.mark.parametrize(
    "claims",
    [
        {**GOOD, "exp": NOW - LEEWAY - 1},
        {name: value for name, value in GOOD.items() if name != "exp"},
        {**GOOD, "exp": None},
        {**GOOD, "exp": str(NOW + 600)},
        {**GOOD, "exp": True},
        {**GOOD, "nbf": NOW + LEEWAY + 1},
        {**GOOD, "nbf": "now"},
        {**GOOD, "iss": "https://issuer.test/"},
        {**GOOD, "iss": "HTTPS://ISSUER.TEST"},
        {**GOOD, "iss": ["https://issuer.test"]},
        {name: value for name, value in GOOD.items() if name != "iss"},
        {**GOOD, "aud": "Nexus"},
        {**GOOD, "aud": ["other"]},
        {**GOOD, "aud": []},
        {**GOOD, "aud": {"nexus": 1}},
        {**GOOD, "aud": [["nexus"]]},
        {name: value for name, value in GOOD.items() if name != "aud"},
        [],
        "text",
        b"{",
        b"",
        b"[" * 5000,
        bytes([255]),
    ],
)
async def test_a_claim_that_is_not_as_it_must_be_refuses(claims: object) -> None:
    with pytest.raises(Refused):
        await verifier().verify(signed(RSA, "RS256", claims))


@pytest.mark.parametrize(
    "claims",
    [
        {**GOOD, "exp": NOW - LEEWAY},
        {**GOOD, "exp": NOW + 0.5},
        {**GOOD, "exp": 10**400},
        {**GOOD, "nbf": NOW + LEEWAY},
        {**GOOD, "nbf": NOW},
        {**GOOD, "iat": NOW + 9999},
        {**GOOD, "aud": ["other", "nexus"]},
        {**GOOD, "aud": [1, "nexus"]},
    ],
)
async def test_clocks_may_differ_and_audiences_be_many(claims: object) -> None:
    assert await verifier().verify(signed(RSA, "RS256", claims))


async def test_issuer_and_audience_are_asked_for_only_where_configured() -> None:
    token = signed(RSA, "RS256", {"exp": NOW + 1})
    assert await verifier(name=None, audience=None).verify(token)


@pytest.mark.parametrize(
    "token",
    [
        signed(OTHER, "RS256"),
        signed(RSA, "RS256", kid="p256"),
        signed(RSA, "RS256", kid="nobody"),
        signed(RSA, "RS256", kid=""),
        signed(RSA, "RS256", crit=["exp"]),
        signed(RSA, "RS256", crit=[]),
        signed(RSA, "RS256", b64=False, crit=["b64"]),
        signed(RSA, "RS256")[:-6] + "AAAAAA",
    ],
)
async def test_a_signature_of_another_key_refuses(token: str) -> None:
    with pytest.raises(Refused):
        await verifier().verify(token)


async def test_changed_claims_refuse() -> None:
    head, _, signature = signed(RSA, "RS256").split(".")
    with pytest.raises(Refused):
        await verifier().verify(f"{head}.{part({**GOOD, 'sub': 'root'})}.{signature}")


async def test_keys_a_token_brings_along_are_not_believed() -> None:
    token = signed(
        OTHER, "RS256", kid=None, jwk=OTHER.as_dict(), jku="http://attacker.test/", x5u="http://a/"
    )
    with pytest.raises(Refused):
        await verifier().verify(token)


async def test_a_token_without_a_key_id_may_be_of_any_key() -> None:
    assert await verifier().verify(signed(RSA, "RS256", kid=None))


@pytest.mark.parametrize(
    "more", [{"use": "enc"}, {"alg": "RS512"}, {"alg": "RSA-OAEP"}, {"key_ops": ["encrypt"]}]
)
async def test_a_key_made_for_something_else_signs_nothing(more: dict[str, object]) -> None:
    with pytest.raises(Refused):
        await verifier(RSA, more=more).verify(signed(RSA, "RS256"))


@pytest.mark.parametrize("more", [{"use": "sig"}, {"alg": "RS256"}, {"key_ops": ["verify"]}])
async def test_a_key_made_for_this_signs(more: dict[str, object]) -> None:
    assert await verifier(RSA, more=more).verify(signed(RSA, "RS256"))


async def test_the_curve_has_to_be_the_algorithms() -> None:
    with pytest.raises(Refused):
        await verifier().verify(signed(P256, "ES256", alg="ES384"))


async def test_a_good_token_is_verified_once(monkeypatch: pytest.MonkeyPatch) -> None:
    verifies = verifier()
    token = signed(RSA, "RS256")
    claims = await verifies.verify(token)

    def again(*_: object) -> bool:
        raise AssertionError("verified again")

    monkeypatch.setattr("nexus.auth.jwt._signed", again)
    assert await verifies.verify(token) is claims


async def test_a_known_token_ends_with_its_time() -> None:
    clock = Clock()
    verifies = verifier(clock=clock)
    token = signed(RSA, "RS256")
    await verifies.verify(token)
    clock.now = NOW + 600 + LEEWAY
    await verifies.verify(token)
    clock.now += 1
    with pytest.raises(Refused):
        await verifies.verify(token)


async def test_a_known_token_ends_with_its_key() -> None:
    clock, source = Clock(), Source(RSA)
    verifies = Verifier([Issuer(Jwks(source, 60, clock))], clock)
    token = signed(RSA, "RS256")
    await verifies.verify(token)
    source.keys = [P256.as_dict()]
    await verifies.verify(token)
    clock.now += 61
    with pytest.raises(Refused):
        await verifies.verify(token)


async def test_a_token_that_is_known_but_for_its_signature_is_another() -> None:
    verifies = verifier()
    token = signed(RSA, "RS256")
    await verifies.verify(token)
    with pytest.raises(Refused):
        await verifies.verify(token[:-6] + "AAAAAA")


async def test_known_tokens_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nexus.auth.jwt._MAX_KNOWN", 3)
    verifies = verifier()
    for number in range(10):
        await verifies.verify(signed(ED, "EdDSA", {**GOOD, "jti": number}))
    assert len(verifies._known) == 3  # pyright: ignore[reportPrivateUsage]  # what must not grow is inside


async def test_a_rotated_key_is_found() -> None:
    clock, source = Clock(), Source(RSA)
    verifies = Verifier([Issuer(Jwks(source, None, clock))], clock)
    await verifies.verify(signed(RSA, "RS256"))
    source.keys = [P256.as_dict()]
    clock.now += 10
    assert await verifies.verify(signed(P256, "ES256"))
    assert source.asked == 2


async def test_a_rotated_key_without_an_id_is_found() -> None:
    clock = Clock()
    first, second = (ECKey.generate_key("P-256") for _ in range(2))
    source = Source(first)
    source.keys = [first.as_dict()]
    verifies = Verifier([Issuer(Jwks(source, None, clock))], clock)
    await verifies.verify(signed(first, "ES256", kid=None))
    source.keys = [second.as_dict()]
    clock.now += 10
    assert await verifies.verify(signed(second, "ES256", kid=None))


async def test_unknown_keys_do_not_hammer_the_issuer() -> None:
    clock, source = Clock(), Source(RSA)
    verifies = Verifier([Issuer(Jwks(source, None, clock))], clock)
    for number in range(50):
        with pytest.raises(Refused):
            await verifies.verify(signed(OTHER, "RS256", kid=f"no-{number}"))
    assert source.asked == 1


async def test_a_known_key_that_did_not_sign_is_not_asked_for_again() -> None:
    clock, source = Clock(), Source(RSA)
    verifies = Verifier([Issuer(Jwks(source, None, clock))], clock)
    for _ in range(3):
        clock.now += 10
        with pytest.raises(Refused):
            await verifies.verify(signed(OTHER, "RS256"))
    assert source.asked == 1


async def test_without_keys_nobody_can_tell() -> None:
    clock = Clock()
    verifies = Verifier([Issuer(Jwks(Source(failing=True), None, clock))], clock)
    with pytest.raises(KeysUnavailable):
        await verifies.verify(signed(RSA, "RS256"))


async def test_each_issuer_vouches_only_for_its_own() -> None:
    clock = Clock()
    one = Issuer(Jwks(Source(RSA), None, clock), "one")
    two = Issuer(Jwks(Source(OTHER), None, clock), "two")
    verifies = Verifier([one, two], clock)
    assert await verifies.verify(signed(RSA, "RS256", {**GOOD, "iss": "one"}))
    assert await verifies.verify(signed(OTHER, "RS256", {**GOOD, "iss": "two"}))
    for key, name in ((RSA, "two"), (OTHER, "one"), (RSA, "three")):
        with pytest.raises(Refused):
            await verifies.verify(signed(key, "RS256", {**GOOD, "iss": name}))


async def test_an_issuer_that_is_down_takes_no_other_with_it() -> None:
    clock = Clock()
    down = Issuer(Jwks(Source(failing=True), None, clock), "down")
    up = Issuer(Jwks(Source(RSA), None, clock), "up")
    verifies = Verifier([down, up], clock)
    assert await verifies.verify(signed(RSA, "RS256", {**GOOD, "iss": "up"}))
    with pytest.raises(KeysUnavailable):
        await verifies.verify(signed(RSA, "RS256", {**GOOD, "iss": "down"}))
