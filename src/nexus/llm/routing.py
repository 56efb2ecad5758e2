"""From the model a client asked for to a provider and what that provider calls it. Pure: a snapshot in, a route out."""

import msgspec

from nexus.errors import InvalidRequest, UnknownModel, UnknownProvider
from nexus.llm.catalog import Rules, Shelf, Snapshot
from nexus.llm.providers.base import Asked, Provider


class Route(msgspec.Struct, frozen=True):
    """Where a request goes."""

    provider: Provider
    model: str
    """The provider's own name for the model."""
    rules: Rules
    asked: Asked | None = None
    """Who asks, and under which name."""


def route(snapshot: Snapshot, model: str) -> Route:
    """Find who serves a model.

    Raises:
        InvalidRequest: it can name no model.
        UnknownProvider: what is before its `/` is no provider.
        UnknownModel: nobody serves it.
    """
    prefix, slash, rest = model.partition("/")
    if not slash:
        return _bare(snapshot, model)
    shelf = snapshot.shelves.get(prefix)
    if shelf is not None and rest:
        return Route(shelf.provider, within(shelf, rest), shelf.rules)
    if model in snapshot.owners:  # upstreams such as OpenRouter have ids with a slash of their own
        return _owned(snapshot, snapshot.owners[model], model)
    if not rest:
        raise _invalid(model)
    raise UnknownProvider(prefix)


def within(shelf: Shelf, model: str) -> str:
    """Find what the provider of one shelf calls a model.

    Raises:
        UnknownModel: it is not served.
    """
    if (upstream := shelf.upstream.get(model)) is not None:
        return upstream
    rules = shelf.rules
    matches = rules.allowed is None or (not shelf.asked and rules.allowed.search(model) is not None)
    reachable = shelf.provider.discovers or rules.forwards_keys
    if rules.explicit_only or not matches or not reachable:
        raise UnknownModel(f"Model '{model}' is not configured")
    return model  # not listed, yet the provider may have it: its own answer is the truth


def _bare(snapshot: Snapshot, model: str) -> Route:
    owner = snapshot.owners.get(model)
    if owner is not None:
        return _owned(snapshot, owner, model)
    if not model or not any("/" not in name for name in snapshot.owners):
        raise _invalid(model)
    raise UnknownModel(f"Model '{model}' not found")


def _owned(snapshot: Snapshot, owner: str, model: str) -> Route:
    shelf = snapshot.shelves[owner]
    return Route(shelf.provider, model, shelf.rules)


def _invalid(model: str) -> InvalidRequest:
    return InvalidRequest(f"Invalid model format: expected 'provider/model', got '{model}'")
