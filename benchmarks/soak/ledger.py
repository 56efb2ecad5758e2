"""What became of each request: exactly one outcome each, expected or not."""

import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from benchmarks.soak.kinds import Kind

GRACE = 4.0
"""Seconds in which what was disturbed may still be felt."""
_SURE = {
    "none": {"answered"},
    "slow": {"answered"},
    "reset": {"status 502"},
    "hangup": {"status 502"},
    "stall": {"status 504"},
    "busy": {"status 429"},
    "garbage": {"status 502"},
}
"""What a client sees of each fault upstream, whatever it asked for."""
_FELT = {
    "Redis killed": {"status 500", "status 503", "tool failed"},
    "pipe killed": {"tool failed"},
    "web killed": {"tool failed"},
}
"""What a client may see of each disturbance while it lasts."""


@dataclass(frozen=True)
class Entry:
    """One request under way."""

    number: int
    kind: Kind
    fault: str
    began: float


@dataclass
class Span:
    """When something was disturbed."""

    what: str
    began: float
    ended: float = float("inf")


@dataclass
class Ledger:
    """All requests of a run."""

    open: dict[int, Entry] = field(default_factory=dict[int, Entry])
    sent: int = 0
    expected: Counter[tuple[str, str, str]] = field(default_factory=Counter[tuple[str, str, str]])
    """By kind, fault and outcome."""
    unexpected: Counter[tuple[str, str, str]] = field(default_factory=Counter[tuple[str, str, str]])
    details: list[str] = field(default_factory=list[str])
    spans: list[Span] = field(default_factory=list[Span])
    unanswered: set[int] = field(default_factory=set[int])
    """Requests the provider dropped without a byte: it may have been asked them again."""
    slowest: float = 0.0

    def begin(self, kind: Kind, fault: str) -> Entry:
        """Open an entry."""
        self.sent += 1
        entry = Entry(self.sent, kind, fault, time.monotonic())
        self.open[entry.number] = entry
        if fault in ("reset", "hangup"):
            self.unanswered.add(entry.number)
        return entry

    def end(self, entry: Entry, outcome: str, detail: str = "") -> None:
        """Close an entry; a second time it is a mistake of this program."""
        del self.open[entry.number]
        now = time.monotonic()
        self.slowest = max(self.slowest, now - entry.began)
        felt = {span.what for span in self.spans if span.began <= now and span.ended + GRACE >= entry.began}
        right = outcome in expected(entry.kind, entry.fault) | _felt(felt)
        (self.expected if right else self.unexpected)[(entry.kind.name, entry.fault, outcome)] += 1
        if not right and len(self.details) < 40:
            during = f" during {', '.join(sorted(felt))}" if felt else ""
            self.details.append(f"{entry.kind.name}, fault {entry.fault}: {outcome}{during}: {detail}")

    def disturbed(self, what: str) -> Span:
        """Note that something is disturbed from now on."""
        span = Span(what, time.monotonic())
        self.spans.append(span)
        return span

    @property
    def outcomes(self) -> Counter[str]:
        """Count by outcome alone."""
        found = Counter[str]()
        for (_, _, outcome), count in (self.expected + self.unexpected).items():
            found[outcome] += count
        return found


def expected(kind: Kind, fault: str) -> set[str]:
    """Say what a client should see of one fault, where nothing else is disturbed."""
    if fault in _SURE:
        return _SURE[fault] | kind.may
    if fault == "broken":
        return {"status 500"}
    if fault == "leave":
        return {"left"}
    if kind.stream:
        return {"broken"}
    return {"status 502"}


def _felt(spans: Iterable[str]) -> set[str]:
    found = set[str]()
    return found.union(*(_FELT.get(one, found) for one in spans))
