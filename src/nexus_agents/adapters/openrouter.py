"""OpenRouter: its catalogue is public and changes daily, so it is kept on disk for six hours and never written into code."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from nexus_agents.adapters.base import Listed
from nexus_agents.adapters.compatible import Compatible
from nexus_agents.errors import AdapterError
from nexus_agents.guard import Policy

BASE_URL = "https://openrouter.ai/api/v1"
FRESH = 6 * 3600.0


class _Kept(msgspec.Struct, frozen=True):
    base_url: str
    at: float
    models: tuple[Listed, ...]


class OpenRouter(Compatible):
    """The adapter of path A."""

    def __init__(
        self,
        *,
        key: str,
        pinned: str,
        policy: Policy,
        cache: Path,
        base_url: str = BASE_URL,
        allow_paid: bool = True,
        secrets: Sequence[str] = (),
        now: Callable[[], float] = time.time,
    ) -> None:
        super().__init__(
            name="openrouter",
            title="OpenRouter",
            base_url=base_url,
            key=key,
            policy=policy,
            pinned=pinned,
            headers={"X-Title": "nexus-agents"},
            secrets=secrets,
        )
        self.allow_paid = allow_paid
        self._cache = cache
        self._now = now

    async def models(self) -> Sequence[Listed]:
        """List the catalogue; a stale one serves when OpenRouter cannot be asked."""
        kept = self._kept()
        if kept is not None and 0 <= self._now() - kept.at < FRESH:
            return kept.models
        try:
            models = tuple(await super().models())
        except AdapterError:
            if kept is None:
                raise
            return kept.models
        self._keep(models)
        return models

    def _kept(self) -> _Kept | None:
        try:
            kept = msgspec.json.decode(self._cache.read_bytes(), type=_Kept)
        except (OSError, msgspec.DecodeError, UnicodeDecodeError):
            return None
        return kept if kept.base_url == self.base_url and kept.models else None

    def _keep(self, models: tuple[Listed, ...]) -> None:
        """Write the cache whole or not at all; a disk that cannot be written only costs the next start a request."""
        fresh = self._cache.with_suffix(f".{time.time_ns()}.tmp")
        try:
            self._cache.parent.mkdir(parents=True, exist_ok=True)
            fresh.write_bytes(msgspec.json.encode(_Kept(self.base_url, self._now(), models)))
            fresh.replace(self._cache)
        except OSError:
            fresh.unlink(missing_ok=True)
