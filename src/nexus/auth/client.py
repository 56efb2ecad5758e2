"""Who asks: read from a header or from the claims of a verified token, and held against the groups that exist."""

import re
from collections.abc import Callable, Iterable, Sequence
from typing import cast

import msgspec

from nexus.auth.claims import audiences, find
from nexus.config.auth import ClientIdentification, IdentitySource
from nexus.context import Claims, Identity

Headers = Iterable[tuple[bytes, bytes]]
_MAX_KEPT = 4096
_TIMES = frozenset(("exp", "nbf", "iat"))
_VISIBLE = re.compile(rb"[\t\x20-\x7e]*")


class Unidentified(Exception):
    """A request does not say who asks, or says it in a way that is not accepted."""

    def __init__(self, error: str, description: str) -> None:
        super().__init__(description)
        self.body = msgspec.json.encode({"error": error, "error_description": description})
        """What the client is told, as JSON."""


Identify = Callable[[Headers, Claims], Identity]
_Read = Callable[[Headers, Claims], object]


def identifier(config: ClientIdentification) -> Identify:
    """Build what reads the identity of a request.

    It raises:
        Unidentified: there is no client, or its group is none that exists.
    """
    clients = _reader(config.client_id)
    groups = _reader(config.group_id) if config.group_id is not None else None
    exist = config.validation.group_values

    def identify(headers: Headers, claims: Claims) -> Identity:
        client = _text(clients(headers, claims))
        if client is None:
            raise Unidentified("missing_client_id", "Client identification is required")
        found = groups(headers, claims) if groups is not None else None
        if found is None:
            return Identity(client)
        named = _texts(found)
        for group in named:
            if not exist or group in exist:
                return Identity(client, group)
        if named:
            raise Unidentified("invalid_group", "The specified group is not valid")
        return Identity(client)

    sources = (config.client_id, *((config.group_id,) if config.group_id is not None else ()))
    return _kept(identify) if all(source.jwt_claim is not None for source in sources) else identify


def _kept(identify: Identify) -> Identify:
    """Keep whom claims name: a token that is known comes with the same claims each time, and they never change."""
    kept: dict[int, tuple[Claims, Identity]] = {}

    def again(headers: Headers, claims: Claims) -> Identity:
        found = kept.get(id(claims))
        if found is not None and found[0] is claims:
            return found[1]
        identity = identify(headers, claims)
        if len(kept) >= _MAX_KEPT:
            kept.clear()
        kept[id(claims)] = (claims, identity)
        return identity

    return again


def _reader(source: IdentitySource) -> _Read:
    """Build what finds the value of an identity; None where there is none."""
    if (claim := source.jwt_claim) is not None:
        return _claim(claim)
    name = (source.http_header or "").lower().encode()

    def read(headers: Headers, _: Claims) -> str | None:
        for key, value in headers:
            if key == name:
                return value.decode() if _VISIBLE.fullmatch(value) else None
        return None

    return read


def _claim(name: str) -> _Read:
    if name in _TIMES:
        return lambda _, __: None
    if name == "aud":
        return lambda _, claims: next(iter(audiences(claims)), None)
    return lambda _, claims: find(claims, name)


def _texts(value: object) -> Sequence[str]:
    """Write a group, or each of several."""
    if not isinstance(value, list):
        text = _text(value)
        return () if text is None else (text,)
    return [text for item in cast("list[object]", value) if (text := _text(item)) is not None]


def _text(value: object) -> str | None:
    """Write a value that is a single one."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, (int, float)) else None
