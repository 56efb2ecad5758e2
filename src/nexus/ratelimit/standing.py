"""How the request that runs now stands with its limits: noted where it is counted, told to its client by who answers."""

from collections.abc import Sequence
from contextvars import ContextVar

from nexus.ratelimit import Charge, Decision


class Standing:
    """What is left of the strictest limit a request was counted by: the one with the least share left."""

    __slots__ = ("_share", "limit", "remaining", "reset", "resource")

    def __init__(self) -> None:
        self.resource = ""
        """What is limited; empty while nothing was counted."""
        self.limit = 0
        self.remaining = 0
        self.reset = 0
        """Seconds until nothing of what was used up to now counts any more."""
        self._share = 2.0

    def note(self, resources: Sequence[str], charges: Sequence[Charge], decision: Decision) -> None:
        """Take in a decision; of a refusal only the limit that refused. There may be more resources than charges."""
        for number, (resource, charge, used) in enumerate(
            zip(resources, charges, decision.used, strict=False)
        ):
            if decision.refused is not None and decision.refused != number:
                continue
            remaining = max(0, charge.limit - used)
            share = -1.0 if decision.refused is not None else remaining / charge.limit
            if share >= self._share:
                continue
            self._share = share
            self.resource, self.limit, self.remaining = resource, charge.limit, remaining
            self.reset = -(-(charge.window.span + 1) * charge.window.slot // 1000)


_current: ContextVar[Standing | None] = ContextVar("nexus.standing", default=None)
current = _current.get
"""Give where to note how the request that runs now stands; None where nobody will tell."""
enter = _current.set
leave = _current.reset
