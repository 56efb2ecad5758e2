"""What was seen, and whether all is well."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from benchmarks.soak.holding import Holding
from benchmarks.soak.ledger import Ledger
from benchmarks.soak.topology import State

MAX_SLOPE = 512.0
"""Bytes of memory a request may seem to cost: a request of which anything stays costs thousands, reloads make the rest move."""
ENOUGH = 10_000
"""Requests below which memory says nothing: pools, caches and the allocator are still filling."""
_COUNTED = re.compile(r"^http_server_request_duration_seconds_count\{([^}]*)\} (\d+)", re.MULTILINE)
_NOT_OURS = 'http_route="/ready"'
"""Asked before the first client came."""
_TWICE = 2
"""A request may arrive twice: a kept connection that breaks before anything came back is tried once more, on a fresh one."""


@dataclass(frozen=True)
class Memory:
    """One look at how much is resident: after so many requests, so many bytes."""

    requests: int
    resident: float


@dataclass
class Seen:
    """All there is to tell of a run."""

    ledger: Ledger
    seconds: float
    disturbed: dict[str, int]
    before: Holding
    after: Holding
    state: State
    """What the provider says."""
    counted: int
    """Requests the gateway has counted itself."""
    status: int
    """With which it ended."""
    left_processes: int
    stop: float
    """Seconds from the signal to its end."""
    memory: list[Memory] = field(default_factory=list[Memory])

    @property
    def later(self) -> list[Memory]:
        """Give the memory of the later two thirds."""
        return self.memory[len(self.memory) // 3 :]

    @property
    def slope(self) -> float:
        """Fit a line by least squares to it: bytes for each request."""
        points = self.later
        mean_x = sum(one.requests for one in points) / len(points)
        mean_y = sum(one.resident for one in points) / len(points)
        spread = sum((one.requests - mean_x) ** 2 for one in points)
        return sum((one.requests - mean_x) * (one.resident - mean_y) for one in points) / spread

    def faults(self) -> Iterator[str]:
        """Say what is not well, a line each."""
        ledger = self.ledger
        yield from ledger.details
        if ledger.open:
            yield f"{len(ledger.open)} requests without an outcome"
        # a client that leaves may be gone before its request is read
        if not ledger.sent - ledger.outcomes["left"] <= self.counted <= ledger.sent:
            yield f"the gateway counted {self.counted:,} requests of {ledger.sent:,}"
        for number, times in self.state.again.items():
            if times > _TWICE or number not in ledger.unanswered:
                yield f"request {number} reached the provider {times} times"
        if self.state.under_way:
            yield f"{self.state.under_way} answers of the provider nobody has ended"
        yield from self.after.beyond(self.before)
        if self.later[-1].requests - self.later[0].requests >= ENOUGH and self.slope > MAX_SLOPE:
            yield f"memory grows by {self.slope:.0f} bytes a request"
        if self.status or self.left_processes:
            yield f"it ended with status {self.status} and left {self.left_processes} processes"


def counted(metrics: str) -> int:
    """Add up the requests the gateway says it has answered."""
    return sum(int(number) for labels, number in _COUNTED.findall(metrics) if _NOT_OURS not in labels)


def lines(seen: Seen, faults: Sequence[str]) -> Iterator[str]:
    """Write the report."""
    ledger = seen.ledger
    right, wrong = ledger.expected.total(), ledger.unexpected.total()
    yield f"requests: {ledger.sent:,} in {seen.seconds:.0f} s; {right:,} ended as expected, {wrong:,} did not"
    yield "outcomes: " + ", ".join(f"{count:,} {name}" for name, count in ledger.outcomes.most_common())
    yield "disturbances: " + ", ".join(f"{name} {count} times" for name, count in seen.disturbed.items())
    yield f"slowest request: {ledger.slowest:.1f} s; stopped in {seen.stop:.1f} s"
    yield f"counted by the gateway: {seen.counted:,}; exports to the collector: {seen.state.exports:,}"
    again, dropped = len(seen.state.again), len(ledger.unanswered)
    yield f"tried again upstream: {again:,} of {dropped:,} requests the provider dropped without a byte"
    first, last = seen.later[0], seen.later[-1]
    told = f"{first.resident / 1024**2:.1f} MiB after {first.requests:,} requests, {last.resident / 1024**2:.1f} MiB"
    yield f"memory: {told} after {last.requests:,}; {seen.slope:+.1f} bytes a request"
    tenths = [one.resident / 1024**2 for one in seen.memory[:: max(1, len(seen.memory) // 10)]]
    yield "memory over time, MiB: " + ", ".join(f"{one:.1f}" for one in tenths)
    yield f"held before: {seen.before}"
    yield f"held after:  {seen.after}\n"
    yield from _table(ledger)
    yield from (f"NOT well: {fault}" for fault in faults)
    if not faults:
        yield "well"


def _table(ledger: Ledger) -> Iterator[str]:
    yield "| kind | fault upstream | outcome | requests |"
    yield "|---|---|---|--:|"
    for (kind, fault, outcome), count in sorted((ledger.expected + ledger.unexpected).items()):
        yield f"| {kind} | {fault} | {outcome} | {count:,} |"
    yield ""
