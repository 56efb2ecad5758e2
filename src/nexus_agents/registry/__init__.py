"""What is known of models: a data file, the user's changes to it, and how a listed model is recognised."""

import re
from collections.abc import Iterable, Mapping
from datetime import date
from fnmatch import fnmatchcase
from functools import cache
from importlib.resources import files

import msgspec

from nexus_agents.adapters.base import Listed
from nexus_agents.budget import Price
from nexus_agents.errors import Misuse
from nexus_agents.settings import File, ModelOverlay

UNKNOWN_CONTEXT = 8_192
"""Of a model nobody told us about: better too small than an answer cut off."""
UNKNOWN_OUTPUT = 4_096
NOT_CHAT = re.compile(
    r"embed|rerank|whisper|tts|speech|transcri|moderation|dall-e|imagen|image-|stable-diffusion|veo-|sora",
    re.I,
)


class Profile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One row."""

    id: str = ""
    adapter: str = ""
    """The only adapter that serves it; empty for a description of models several may list."""
    model: str = ""
    """What that adapter calls it."""
    names: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()
    context: int = UNKNOWN_CONTEXT
    output: int = UNKNOWN_OUTPUT
    input_per_million: float | None = None
    output_per_million: float | None = None
    reasoning: int = 5
    code: int = 5
    speed: int = 5
    cost: int = 5
    overlaid: bool = False

    @property
    def price(self) -> Price | None:
        if self.input_per_million is None or self.output_per_million is None:
            return None
        return Price(self.input_per_million, self.output_per_million)

    @property
    def free(self) -> bool:
        return self.input_per_million == 0 and self.output_per_million == 0


class _Data(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    updated: date
    models: dict[str, Profile]
    chains: dict[str, tuple[str, ...]]


class Registry:
    """The rows and chains in effect."""

    def __init__(self, profiles: Iterable[Profile], chains: Mapping[str, tuple[str, ...]]) -> None:
        self.profiles = {profile.id: profile for profile in profiles}
        self.chains = chains
        self._by_name = {name: profile for profile in self.profiles.values() for name in profile.aliases}
        self._by_name |= self.profiles

    def named(self, name: str) -> Profile | None:
        """Find a row by its id or an alias."""
        return self._by_name.get(name)

    @property
    def words(self) -> list[str]:
        """Every id and alias, for suggestions."""
        return list(self._by_name)

    def describe(self, adapter: str, listed: Listed) -> Profile:
        """Describe a listed model: by the row its adapter serves, else by its name; what the catalogue says wins."""
        key = _key(listed.id)
        exact = (p for p in self.profiles.values() if p.adapter == adapter and p.model == listed.id)
        named = (
            p
            for p in self.profiles.values()
            if not p.adapter and any(fnmatchcase(key, name) for name in p.names)
        )
        found = next(exact, None) or next(named, None) or Profile()
        changes: dict[str, object] = {"id": f"{adapter}/{listed.id}", "adapter": adapter, "model": listed.id}
        if found.adapter:
            changes["id"] = found.id
        else:
            changes["aliases"] = ()
        if listed.context:
            changes["context"] = listed.context
        if listed.input_per_million is not None and listed.output_per_million is not None:
            changes |= {
                "input_per_million": listed.input_per_million,
                "output_per_million": listed.output_per_million,
            }
        elif listed.free:
            changes |= {"input_per_million": 0.0, "output_per_million": 0.0}
        return msgspec.structs.replace(found, **changes)

    def chain(self, profile_id: str) -> tuple[str, ...]:
        """List what follows a model, itself left out; empty when it is in no chain."""
        for chain in self.chains.values():
            if profile_id in chain:
                return tuple(one for one in chain if one != profile_id)
        return ()


def load(file: File) -> Registry:
    """Read the data file and lay the user's rows over it.

    Raises:
        Misuse: a chain names a row that is not there, or a new row lacks an adapter or model.
    """
    data = _data()
    rows = {name: msgspec.structs.replace(row, id=name) for name, row in data.models.items()}
    for name, overlay in file.models.items():
        rows[name] = _overlaid(rows.get(name, Profile(id=name)), overlay)
        if not rows[name].names and not (rows[name].adapter and rows[name].model):
            raise Misuse(f"[models.{name}] needs `adapter` and `model`, or `names`.")
    chains = data.chains | file.chains
    for chain, members in chains.items():
        if missing := [one for one in members if one not in rows]:
            raise Misuse(f"[chains] {chain} names {missing[0]}, which is no model of the registry.")
    # the user's descriptions come before the built-in ones: the first whose name fits is taken
    ordered = sorted(rows.values(), key=lambda row: not row.overlaid)
    return Registry(ordered, chains)


def chat_models(listed: Iterable[Listed]) -> list[Listed]:
    """Leave out what does not chat: embeddings, speech, images."""
    return [one for one in listed if not NOT_CHAT.search(one.id)]


@cache
def _data() -> _Data:
    return msgspec.toml.decode(
        files("nexus_agents.registry").joinpath("models.toml").read_bytes(), type=_Data
    )


def _overlaid(row: Profile, overlay: ModelOverlay) -> Profile:
    changes = {name: value for name, value in msgspec.structs.asdict(overlay).items() if value is not None}
    return msgspec.structs.replace(row, overlaid=True, **changes)


def _key(model: str) -> str:
    """Spell a model's name as the patterns do."""
    return model.rpartition("/")[2].partition(":")[0].lower().replace(".", "-")
