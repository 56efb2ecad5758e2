"""What a token says, read: whom it is for, and what stands at a place in it."""

from collections.abc import Sequence
from typing import cast

from nexus.context import Claims


def audiences(claims: Claims) -> Sequence[str]:
    """Give whom a token is for, whether it names one or several."""
    named = claims.get("aud")
    if isinstance(named, str):
        return (named,)
    if isinstance(named, list):
        return [one for one in cast("list[object]", named) if isinstance(one, str)]
    return ()


def find(claims: Claims, name: str) -> object:
    """Find a claim by its own name, which may hold dots, or else by a path into nested objects."""
    if name in claims:
        return claims[name]
    inner = claims
    *names, last = name.split(".")
    for step in names:
        value = inner.get(step)
        if not isinstance(value, dict):
            return None
        inner = cast("Claims", value)
    return inner.get(last)
