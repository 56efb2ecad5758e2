"""Which models there are, and who has them. Readers see an immutable snapshot; discovery builds the next one and swaps it.

Providers are asked at start, at every interval, and when a model is asked for that nobody has. Each stands for itself: one
that fails keeps its last good list.
"""

import asyncio
import logging
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from nexus.errors import NexusError, NotReady, UpstreamError
from nexus.llm.canonical import Model
from nexus.llm.providers.base import Provider

log = logging.getLogger(__name__)

EXPLICIT_CREATED = 1719475200
"""What the contract says of models from the file."""
_ASK_TIMEOUT = 60.0
_PATIENCE = 30.0
"""Seconds a request waits for the first round."""
_MIN_REFRESH = 10.0
"""Seconds between two refreshes on demand: a client that asks for nonsense must not make us ask everybody each time."""


class DiscoveryFailed(Exception):
    """A provider answered discovery with an error at start."""


@dataclass(frozen=True, slots=True)
class Rules:
    """What the file says about the models of one provider."""

    explicit: Mapping[str, str | None] = field(default_factory=dict[str, str | None])
    """Keys of `models`, each with its `rename`."""
    allowed: re.Pattern[str] | None = None
    """`model_filter`: discovered ids it does not find are not served."""
    forwards_keys: bool = False
    explicit_only: bool = False
    strict: bool = False
    """Whether a request is refused when anything in it has to be left out."""
    cache_prompts: bool = False
    """Whether prompts are marked for caching where the client marked none."""


@dataclass(frozen=True, slots=True)
class Shelf:
    """One provider and what it has: a slice of a snapshot."""

    provider: Provider
    rules: Rules
    discovered: tuple[Model, ...] = ()
    asked: bool = False
    """Whether discovery has succeeded at least once."""
    upstream: Mapping[str, str] = field(default_factory=dict[str, str])
    """Every known name of a model, as what the provider calls it."""
    names: tuple[str, ...] = ()
    """The explicit models as users see them."""

    def stocked(self, discovered: Sequence[Model], *, asked: bool) -> "Shelf":
        """Give this shelf with a newer list, the filter and both readings of `rename` applied."""
        everything = {model.id for model in discovered}
        kept = () if self.rules.explicit_only else tuple(filter(self._allows, discovered))
        upstream = {model.id: model.id for model in kept}
        names: list[str] = []
        for key, rename in self.rules.explicit.items():
            swapped = rename is not None and key in everything and rename not in everything
            target = key if swapped or rename is None else rename
            names.append(rename if swapped and rename is not None else key)
            upstream[key] = target
            if rename is not None:
                upstream.setdefault(rename, target)
        return Shelf(self.provider, self.rules, kept, asked, upstream, tuple(names))

    def _allows(self, model: Model) -> bool:
        return self.rules.allowed is None or self.rules.allowed.search(model.id) is not None


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything that is served at one moment."""

    shelves: Mapping[str, Shelf]
    models: Mapping[str, Model]
    """All listed models, bare ids first, then those with a provider in front, each part sorted."""
    owners: Mapping[str, str]
    """Which provider serves a discovered id."""

    @classmethod
    def of(cls, shelves: Mapping[str, Shelf]) -> "Snapshot":
        """Build the lists; of two providers with the same model the first in the file has it."""
        listed: dict[str, Model] = {}
        owners: dict[str, str] = {}
        for name, shelf in shelves.items():
            for model in shelf.discovered:
                shown = f"{name}/{model.id}" if model.id.partition("/")[0] in shelves else model.id
                if owners.setdefault(shown, name) == name:
                    listed.setdefault(shown, Model(shown, model.created, model.owned_by))
            for key in shelf.names:
                shown = f"{name}/{key}"
                listed.setdefault(shown, Model(shown, EXPLICIT_CREATED, _owner(shelf.provider)))
        ordered = sorted(listed, key=lambda shown: ("/" in shown, shown.encode()))
        return cls(shelves, {shown: listed[shown] for shown in ordered}, owners)


def _owner(provider: Provider) -> str:
    return provider.name if provider.kind == "bedrock" else provider.kind


class Catalog:
    """Keeps the snapshot fresh. Start and close it in the loop that serves."""

    def __init__(
        self, providers: Sequence[tuple[Provider, Rules]], interval: float, clock: Callable[[], float]
    ) -> None:
        self._interval = interval
        self._clock = clock
        self._asking: asyncio.Task[list[str]] | None = None
        self._asked_at = float("-inf")
        self._keeper: asyncio.Task[None] | None = None
        self._ready = asyncio.Event()
        self.troubles: dict[str, str] = {}
        """Providers whose last discovery failed, and why; without the upstream's words, as anybody may read it."""
        self.snapshot = Snapshot.of(
            {provider.name: Shelf(provider, rules).stocked((), asked=False) for provider, rules in providers}
        )

    @property
    def ready(self) -> bool:
        """Whether discovery has been round once."""
        return self._ready.is_set()

    async def start(self, *, forgiving: bool) -> None:
        """Ask every provider once, then keep asking in the background.

        Raises:
            DiscoveryFailed: a provider answered with an error and we are not forgiving.
        """
        refused = await self.refresh()
        if refused and not forgiving:
            raise DiscoveryFailed("; ".join(refused))
        self._ready.set()
        self._keeper = asyncio.create_task(self._keep(), name="catalog")

    async def wait(self) -> None:
        """Wait for the first round of discovery.

        Raises:
            NotReady: it takes too long.
        """
        if self._ready.is_set():
            return
        try:
            async with asyncio.timeout(_PATIENCE):
                await self._ready.wait()
        except TimeoutError:
            raise NotReady("The model list is not there yet, try again in a moment") from None

    async def refresh(self) -> list[str]:
        """Ask every provider now; callers at the same time share one round. Gives what was answered with an error."""
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(self._ask_all(), name="discovery")
        return await asyncio.shield(self._asking)

    async def refresh_for(self, model: str) -> None:
        """Ask again because nobody had `model`, but not more often than every few seconds."""
        if self._clock() - self._asked_at >= _MIN_REFRESH:
            log.debug("model %r is unknown, asking the providers again", model)
            await self.refresh()

    async def close(self) -> None:
        """Stop asking."""
        for task in (self._keeper, self._asking):
            if task is not None:
                task.cancel()
                await asyncio.wait((task,))

    async def _keep(self) -> None:
        while True:
            await asyncio.sleep(self._interval)
            await self.refresh()

    async def _ask_all(self) -> list[str]:
        shelves = dict(self.snapshot.shelves)
        askable = [shelf for shelf in shelves.values() if shelf.provider.discovers]
        answers = await asyncio.gather(*(self._ask(shelf) for shelf in askable))
        refused: list[str] = []
        for shelf, answer in zip(askable, answers, strict=True):
            if not isinstance(answer, NexusError):
                self.troubles.pop(shelf.provider.name, None)
                shelves[shelf.provider.name] = shelf.stocked(answer, asked=True)
                continue
            self.troubles[shelf.provider.name] = str(answer)
            trouble = _trouble(shelf.provider.name, answer)
            log.warning("%s", trouble)
            if isinstance(answer, UpstreamError):
                refused.append(trouble)
        self.snapshot = Snapshot.of(shelves)
        self._asked_at = self._clock()
        return refused

    async def _ask(self, shelf: Shelf) -> Sequence[Model] | NexusError:
        try:
            async with asyncio.timeout(_ASK_TIMEOUT):
                return await shelf.provider.models()
        except NexusError as error:
            return error
        except TimeoutError:
            return NexusError(f"no answer within {_ASK_TIMEOUT:g} seconds")


def _trouble(name: str, error: NexusError) -> str:
    said = ""
    if isinstance(error, UpstreamError):
        said = ": " + " ".join(error.body[:300].decode("utf-8", "replace").split())
    return f"provider '{name}' did not give its models: {error}{said}"
