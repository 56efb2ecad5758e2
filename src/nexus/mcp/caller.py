"""Who calls: the facts about one request that decide what it may see. Found out elsewhere, only carried here."""

from dataclasses import dataclass, field
from hashlib import sha256


@dataclass(frozen=True, slots=True)
class Caller:
    """One client, as the layers in front have identified it."""

    group: str | None = None
    """The group it belongs to."""
    token: str | None = field(default=None, repr=False)
    """Its bearer token, if the gateway itself has checked it; never anything that merely stood in a header."""
    expires: float | None = None
    """When the token ends, in seconds since the epoch."""
    client: str | None = None
    """Its own name, for logs and limits."""

    @property
    def key(self) -> str | None:
        """Name the token without telling it; `None` without one."""
        return None if self.token is None else sha256(self.token.encode()).hexdigest()


NOBODY = Caller()
"""A client nothing is known of."""
