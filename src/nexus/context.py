"""Who asks: the facts about one request that both halves of the product act on. Frozen; each layer adds what it found."""

from collections.abc import Mapping
from typing import Any

import msgspec

Claims = Mapping[str, object]
"""What a verified token says."""

_KEY = "nexus"
_NOTHING: Claims = {}


class Identity(msgspec.Struct, frozen=True):
    """The client of a request, as its operator names it."""

    client: str
    group: str | None = None


class RequestContext(msgspec.Struct, frozen=True):
    """What is known of one request."""

    address: str = ""
    """The client's IP address; empty where there is none."""
    token: str | None = None
    """The verified bearer token, for servers it may be forwarded to."""
    claims: Claims = _NOTHING
    identity: Identity | None = None
    """Who asks; None while client identification is off."""

    def __repr__(self) -> str:  # a token is a key, and claims are nobody's business
        return f"RequestContext(address={self.address!r}, identity={self.identity!r})"


UNKNOWN = RequestContext()


def of(scope: Mapping[str, Any]) -> RequestContext:
    """Give what the layers have found out about a request so far."""
    state: dict[str, Any] | None = scope.get("state")
    return UNKNOWN if state is None else state.get(_KEY, UNKNOWN)


def put(scope: dict[str, Any], context: RequestContext) -> None:
    """Leave what is known for the layers within."""
    scope.setdefault("state", {})[_KEY] = context
