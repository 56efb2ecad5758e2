"""Who asks: read from a header or from the claims of a verified token, and held against the groups that exist."""

import re
from collections.abc import Callable, Iterable
from typing import cast

import msgspec

from nexus.auth.jwt import audiences
from nexus.config.auth import ClientIdentification, IdentitySource
from nexus.context import Claims, Identity

Headers = Iterable[tuple[bytes, bytes]]
_TIMES = frozenset(("exp", "nbf", "iat"))
_VISIBLE = re.compile(rb"[\t\x20-\x7e]*")


class Unidentified(Exception):
    """A request does not say who asks, or says it in a way that is not accepted."""

    def __init__(self, error: str, description: str) -> None:
        super().__init__(description)
        self.body = msgspec.json.encode({"error": error, "error_description": description})
        """What the client is told, as JSON."""


Identify = Callable[[Headers, Claims], Identity]
_Read = Callable[[Headers, Claims], tuple[str, ...]]


def identifier(config: ClientIdentification) -> Identify:
    """Build what reads the identity of a request.

    It raises:
        Unidentified: there is no client, or its group is none that exists.
    """
    clients = _reader(config.client_id, many=False)
    groups = _reader(config.group_id, many=True) if config.group_id is not None else None
    exist = config.validation.group_values

    def identify(headers: Headers, claims: Claims) -> Identity:
        client = next(iter(clients(headers, claims)), None)
        if client is None:
            raise Unidentified("missing_client_id", "Client identification is required")
        found = groups(headers, claims) if groups is not None else ()
        if not found:
            return Identity(client)
        group = next((one for one in found if one in exist), None) if exist else found[0]
        if group is None:
            raise Unidentified("invalid_group", "The specified group is not valid")
        return Identity(client, group)

    return identify


def _reader(source: IdentitySource, *, many: bool) -> _Read:
    if source.jwt_claim is not None:
        claim = source.jwt_claim
        return lambda _, claims: _texts(_find(claims, claim), many=many)
    name = (source.http_header or "").lower().encode()

    def read(headers: Headers, _: Claims) -> tuple[str, ...]:
        value = next((value for key, value in headers if key == name), None)
        return () if value is None or not _VISIBLE.fullmatch(value) else (value.decode(),)

    return read


def _find(claims: Claims, path: str) -> object:
    """Find a claim by its own name, which may hold dots, or else by a path into nested objects."""
    if path in _TIMES:
        return None
    if path == "aud":
        return next(iter(audiences(claims)), None)
    if path in claims:
        return claims[path]
    inner = claims
    *names, last = path.split(".")
    for name in names:
        value = inner.get(name)
        if not isinstance(value, dict):
            return None
        inner = cast("Claims", value)
    return inner.get(last)


def _texts(value: object, *, many: bool) -> tuple[str, ...]:
    if isinstance(value, list):
        items = cast("list[object]", value) if many else []
        return tuple(text for item in items for text in _texts(item, many=False))
    if isinstance(value, str):
        return (value,)
    if isinstance(value, bool):
        return ("true" if value else "false",)
    return (str(value),) if isinstance(value, (int, float)) else ()
