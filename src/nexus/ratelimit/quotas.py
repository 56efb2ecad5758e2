"""Which token limit applies to whom. Pure: configuration in, one quota or none out."""

from collections.abc import Mapping

import msgspec

from nexus.config.llm import ProviderConfig
from nexus.config.ratelimit import TokenLimit, TokenRateLimits
from nexus.ratelimit import MAX_AMOUNT, Window


class Quota(msgspec.Struct, frozen=True):
    """Tokens a client may use of one model in one interval."""

    window: Window
    interval: float
    """Seconds."""
    input: int
    output: int | None
    """No limit on what the model writes where None."""
    group: str
    """The group it was made for; empty for everybody."""


class _Level(msgspec.Struct, frozen=True):
    """The limits of one model, or of one provider."""

    default: Quota
    groups: Mapping[str, Quota]


class Quotas:
    """Every token limit there is."""

    def __init__(self, providers: Mapping[str, ProviderConfig]) -> None:
        self._providers = {
            name: level
            for name, provider in providers.items()
            if (level := _level(provider.rate_limits)) is not None
        }
        self._models = {
            (name, model): level
            for name, provider in providers.items()
            for model, entry in provider.models.items()
            if (level := _level(entry.rate_limits)) is not None
        }

    def __bool__(self) -> bool:
        return bool(self._providers or self._models)

    def find(self, provider: str, model: str, group: str | None) -> Quota | None:
        """Find the one that applies: what is said of a model hides what is said of its provider, even for groups."""
        level = self._models.get((provider, model)) or self._providers.get(provider)
        if level is None:
            return None
        return level.default if group is None else level.groups.get(group, level.default)


def _level(limits: TokenRateLimits | None) -> _Level | None:
    per_user = limits.per_user if limits is not None else None
    if per_user is None:
        return None
    groups = {name: _quota(limit, name) for name, limit in per_user.groups.items()}
    return _Level(_quota(per_user, ""), groups)


def _quota(limit: TokenLimit, group: str) -> Quota:
    output = limit.output_token_limit
    return Quota(
        Window.of(limit.interval),
        limit.interval,
        min(limit.input_token_limit, MAX_AMOUNT),
        output and min(output, MAX_AMOUNT),
        group,
    )
