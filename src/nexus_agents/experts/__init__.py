"""Experts and panel seats: data files, and the user's own experts beside them."""

from collections.abc import Iterator
from functools import cache
from importlib.resources import files

import msgspec

from nexus_agents.errors import UnknownExpert
from nexus_agents.results import ExpertRow
from nexus_agents.settings import File

NAMES = (
    "code",
    "architecture",
    "security",
    "documentation",
    "testing",
    "devops",
    "research",
    "pm",
    "ux",
    "infrastructure",
)
_SUFFIX = "_expert"


class Expert(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A persona with what it is good at."""

    name: str = ""
    prompt: str
    description: str = ""
    capabilities: tuple[str, ...] = ()
    category: str = "general"
    preferred: str | None = None
    """What its model should be good at: reasoning, code, speed or context."""
    temperature: float | None = None
    model: str | None = None
    tools: tuple[str, ...] = ("*",)
    """Patterns of the gateway's tools it may use."""

    @property
    def role(self) -> str:
        return f"{self.name}{_SUFFIX}"

    def shown(self) -> ExpertRow:
        return ExpertRow(
            role=self.role, name=self.name, description=self.description, capabilities=self.capabilities
        )


class PanelSeat(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A seat of a vote."""

    name: str = ""
    quick: bool
    persona: str
    criteria: tuple[str, ...]


class Experts:
    """The built-in experts and the user's own, which may replace one of the same name."""

    def __init__(self, file: File) -> None:
        self._all = dict(_built_in())
        for name, own in file.experts.items():
            name = name.removesuffix(_SUFFIX)
            self._all[name] = Expert(
                name=name,
                prompt=own.prompt,
                description=own.description or own.prompt.strip().split("\n\n")[0][:200],
                capabilities=own.capabilities,
                category=own.category or "general",
                temperature=own.temperature,
                model=own.model,
                tools=own.tools or ("*",),
            )

    def __iter__(self) -> Iterator[Expert]:
        return iter(self._all.values())

    @property
    def names(self) -> list[str]:
        return list(self._all)

    def find(self, name: str) -> Expert:
        """Find an expert by its name or role.

        Raises:
            UnknownExpert: with those there are.
        """
        found = self._all.get(name.strip().lower().removesuffix(_SUFFIX))
        if found is None:
            raise UnknownExpert(f'There is no expert "{name}".', f"There are {', '.join(self._all)}.")
        return found


@cache
def _built_in() -> dict[str, Expert]:
    folder = files("nexus_agents.experts")
    return {
        name: msgspec.structs.replace(
            msgspec.toml.decode(folder.joinpath(f"{name}.toml").read_bytes(), type=Expert), name=name
        )
        for name in NAMES
    }


@cache
def panel() -> tuple[PanelSeat, ...]:
    """Read the seats of a vote in their order."""
    seats = msgspec.toml.decode(
        files("nexus_agents.experts").joinpath("panel.toml").read_bytes(), type=dict[str, PanelSeat]
    )
    return tuple(msgspec.structs.replace(seat, name=name) for name, seat in seats.items())
