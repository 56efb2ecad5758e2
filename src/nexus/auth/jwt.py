"""Bearer tokens: is this one ours, whole, in time, and signed by an issuer we believe?

https://www.rfc-editor.org/rfc/rfc7519, https://www.rfc-editor.org/rfc/rfc8725
"""

import base64
import binascii
import hashlib
import re
import time
from collections.abc import Callable, Sequence
from typing import cast

import msgspec
from joserfc.errors import JoseError
from joserfc.jwk import Key
from joserfc.jws import JWSRegistry

from nexus.auth.claims import audiences
from nexus.auth.jwks import Http, Jwks, Keys, KeysUnavailable
from nexus.config.auth import IssuerConfig
from nexus.context import Claims

MAX_TOKEN = 16 * 1024
LEEWAY = 60
"""Seconds another clock may be off."""
HMAC = ("HS256", "HS384", "HS512")
"""Signed with a secret that whoever verifies could sign with too: believed only where the operator says so."""
_PUBLIC = frozenset(f"{family}{size}" for family in ("RS", "PS", "ES") for size in (256, 384, 512)) | {
    "EdDSA",
    "Ed25519",
    "Ed448",
}
_MAX_KNOWN = 10_000
_BASE64URL = re.compile(r"[A-Za-z0-9_-]*")


class TokenError(Exception):
    """A token does not let anybody in."""


class Malformed(TokenError):
    """It is no token."""


class Refused(TokenError):
    """It is a token, and not one we believe."""


class Issuer(msgspec.Struct, frozen=True):
    """Somebody whose tokens are believed."""

    jwks: Jwks
    name: str | None = None
    """Required `iss`; any where None."""
    audience: str | None = None
    """Required member of `aud`; any where None."""
    hmac: bool = False

    @classmethod
    def of(cls, config: IssuerConfig) -> "Issuer":
        """Make one whose keys are at a URL."""
        jwks = Jwks(Http(config.url), config.poll_interval, time.monotonic)
        return cls(jwks, config.expected_issuer, config.expected_audience, config.allow_hmac)


class _Header(msgspec.Struct, frozen=True):
    alg: str
    kid: str | None = None
    cty: str | None = None
    crit: object = msgspec.UNSET


class _Token(msgspec.Struct, frozen=True):
    header: _Header
    signed: bytes
    payload: bytes
    signature: bytes


class _Known(msgspec.Struct, frozen=True):
    """A token found good, for as long as it and the keys that vouched for it last."""

    claims: Claims
    until: float
    issuer: Issuer
    keys: Keys


_read_header = msgspec.json.Decoder(_Header).decode
_read_claims = msgspec.json.Decoder(dict[str, object]).decode


class Verifier:
    """Verifies the tokens of some issuers, each only once while nothing about it changes."""

    def __init__(self, issuers: Sequence[Issuer], now: Callable[[], float] = time.time) -> None:
        self._issuers = tuple(issuers)
        self._now = now
        self._known: dict[bytes, _Known] = {}

    def known(self, token: str) -> Claims | None:
        """Give the claims of a token found good before, while nothing about it has changed."""
        known = self._known.get(_digest(token))
        if known is None or known.issuer.jwks.fresh is not known.keys or self._now() > known.until:
            return None
        return known.claims

    async def verify(self, token: str) -> Claims:
        """Give the claims of a token.

        Raises:
            Malformed: it cannot be read.
            Refused: it is not to be believed.
            KeysUnavailable: nobody can tell.
        """
        if len(token) > MAX_TOKEN:
            raise Malformed
        if (claims := self.known(token)) is not None:
            return claims
        known = await self._verify(_read(token))
        if len(self._known) >= _MAX_KNOWN:
            del self._known[next(iter(self._known))]
        self._known[_digest(token)] = known
        return known.claims

    async def close(self) -> None:
        """Stop asking for keys."""
        for issuer in self._issuers:
            await issuer.jwks.close()

    async def _verify(self, token: _Token) -> _Known:
        if token.header.crit is not msgspec.UNSET:
            raise Refused  # we understand no extension, and this one must be understood
        try:
            claims = _read_claims(token.payload)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            raise Refused from None
        unavailable: KeysUnavailable | None = None
        for issuer in self._issuers:
            if issuer.name is not None and claims.get("iss") != issuer.name:
                continue
            try:
                keys = await _vouches(issuer, token)
            except KeysUnavailable as error:
                unavailable = error
                continue
            until = _good_until(claims, issuer, self._now())
            if keys is not None and until is not None:
                return _Known(claims, until, issuer, keys)
        raise unavailable or Refused


def _digest(token: str) -> bytes:
    return hashlib.blake2b(token.encode(), digest_size=32).digest()


def _read(token: str) -> _Token:
    parts = token.split(".")
    if len(parts) != 3:
        raise Malformed
    header, payload, signature = (_decode(part) for part in parts)
    try:
        read = _read_header(header)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise Malformed from None
    if read.cty is not None and read.cty.lower() != "json":
        raise Malformed
    return _Token(read, token[: token.rindex(".")].encode(), payload, signature)


def _decode(part: str) -> bytes:
    if not _BASE64URL.fullmatch(part):  # Python would pass over what does not belong
        raise Malformed
    try:
        return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
    except (binascii.Error, ValueError):
        raise Malformed from None


async def _vouches(issuer: Issuer, token: _Token) -> Keys | None:
    """Give the keys of an issuer if one of them has signed."""
    alg, kid = token.header.alg, token.header.kid
    if alg not in _PUBLIC and not (issuer.hmac and alg in HMAC):
        return None
    keys = await issuer.jwks.keys()
    if _signed(token, keys.named(kid)):
        return keys
    if kid is not None and keys.named(kid):
        return None  # the key is known, and it did not sign this
    newer = await issuer.jwks.newer(keys)
    return newer if newer is not keys and _signed(token, newer.named(kid)) else None


def _signed(token: _Token, keys: Sequence[Key]) -> bool:
    algorithm = JWSRegistry.algorithms[token.header.alg]
    for key in keys:
        try:
            algorithm.check_key(key)  # its type, its curve, and what its `use` and `alg` allow
            if algorithm.verify(token.signed, token.signature, key):
                return True
        except (JoseError, ValueError):
            continue
    return False


def _good_until(claims: Claims, issuer: Issuer, now: float) -> float | None:
    """Give until when claims are good; None if they are not."""
    expires = claims.get("exp")
    begins = claims.get("nbf", 0)
    if not _is_time(expires) or not _is_time(begins):
        return None
    until = cast("float", expires) + LEEWAY
    if now > until or now < cast("float", begins) - LEEWAY:
        return None
    if issuer.audience is not None and issuer.audience not in audiences(claims):
        return None
    return until


def _is_time(value: object) -> bool:
    return type(value) in (int, float)
