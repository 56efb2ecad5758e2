"""Let in who has a token. What carried it goes no further: no route below can send it on by accident.

https://www.rfc-editor.org/rfc/rfc6750, https://www.rfc-editor.org/rfc/rfc9728
"""

from collections.abc import Iterable

from nexus.auth.jwks import KeysUnavailable
from nexus.auth.jwt import Malformed, Refused, Verifier
from nexus.context import RequestContext, of, put
from nexus.ratelimit import RateLimited
from nexus.ratelimit.limiter import Limiter
from nexus.server.answer import JSON, answer
from nexus.server.asgi import App, Receive, Scope, Send
from nexus.server.middleware.refusal import too_many

Headers = Iterable[tuple[bytes, bytes]]

_AUTHORIZATION = b"authorization"
_PROXY = b"proxy-authorization"
_MISSING = "missing token"
_INVALID = "invalid token"
_PREFIX = "token must be prefixed with Bearer"
_UNAUTHORIZED = b'{"error":"unauthorized"}'
_FAULT = b'{"error":"internal_server_error","error_description":"An internal error occurred"}'


class NoToken(Exception):
    """A request has no token that could be looked at."""


def auth(app: App, verifier: Verifier, metadata: str, limiter: Limiter, *, native: bool = False) -> App:
    """Let only verified tokens through to `app`, and leave them in the context.

    `metadata` is the URL a refused client is sent to. On a `native` route, where clients bring a vendor's own credentials in
    `Authorization`, `Proxy-Authorization` goes before it.
    """
    bare = b'Bearer resource_metadata="%s"' % metadata.encode()
    told = bare + b', error="invalid_token"'

    async def layer(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return  # nothing else has a way to show a token
        context = of(scope)
        header, challenge = carrier(scope["headers"], native=native), told
        try:
            token = bearer(scope["headers"], header)
            claims = verifier.known(token) or await verifier.verify(token)
        except (NoToken, Malformed) as error:
            description = str(error) or _INVALID
            challenge = bare if description == _MISSING else told
            status, body = 401, b'{"error":"invalid_token","error_description":"%s"}' % description.encode()
        except Refused:
            status, body = 401, _UNAUTHORIZED
        except KeysUnavailable:
            await answer(send, 500, JSON, _FAULT, (b"www-authenticate", bare))
            return
        else:
            kept = [pair for pair in scope["headers"] if pair[0] != header]
            inner = {**scope, "headers": kept}
            put(inner, RequestContext(context.address, token, claims))
            await app(inner, receive, send)
            return
        try:
            await limiter.failed(context.address)
        except RateLimited:
            await too_many(send)
            return
        await answer(send, status, JSON, body, (b"www-authenticate", challenge))

    return layer


def carrier(headers: Headers, *, native: bool) -> bytes:
    """Name the header that carries the token."""
    return _PROXY if native and any(name == _PROXY for name, _ in headers) else _AUTHORIZATION


def bearer(headers: Headers, header: bytes) -> str:
    """Read the token of a header, of the first line where it is repeated.

    Raises:
        NoToken: there is none; the text says why.
    """
    value = _first(headers, header)
    if not value:
        raise NoToken(_MISSING)
    if not value.isascii():  # what else a token may not hold, whoever reads it will find
        raise NoToken(_INVALID)
    scheme, _, token = value.decode().partition(" ")
    if scheme.lower() != "bearer":
        raise NoToken(_PREFIX)
    if not token:
        raise NoToken(_MISSING)
    return token


def _first(headers: Headers, wanted: bytes) -> bytes:
    for name, value in headers:
        if name == wanted:
            return value
    return b""
