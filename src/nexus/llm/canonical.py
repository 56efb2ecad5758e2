"""What every protocol and every provider means by the same word. Data only."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Model:
    """A name that can be asked for."""

    id: str
    created: int
    """Unix seconds, 0 where the provider does not say."""
    owned_by: str
