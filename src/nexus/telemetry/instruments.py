"""Counters, histograms and gauges, as cheap as they can be: a dictionary of points each, read by whoever exports them.

Attributes are named once, when an instrument is made; a value is recorded with their values only, None for one that is
absent. Recording belongs to the loop. Reading may happen in another thread, and may then miss the record under way.
"""

import time
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Literal

Value = str | int | bool | None
Key = tuple[Value, ...]
Number = int | float
Attributes = dict[str, str | int | bool]

MAX_POINTS = 2000
"""Distinct attribute sets of one instrument; clients choose names of models and tools, and memory is not theirs to fill."""
OVERFLOW: Attributes = {"otel.metric.overflow": True}
"""The point of everything beyond. https://opentelemetry.io/docs/specs/otel/metrics/sdk/#overflow-attribute"""


class Instrument:
    """What every instrument has."""

    def __init__(self, name: str, unit: str, description: str, *attributes: str) -> None:
        self.name = name
        self.unit = unit
        self.description = description
        self.attributes = attributes
        self.began = time.time_ns()

    def named(self, key: Key | None) -> Attributes:
        """Give a point's attributes by name; the overflow's for `None`."""
        if key is None:
            return OVERFLOW
        return {name: value for name, value in zip(self.attributes, key, strict=True) if value is not None}


class Total:
    """One point of a counter."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value: Number = 0


class Counter(Instrument):
    """A sum that only grows."""

    def __init__(self, name: str, unit: str, description: str, *attributes: str) -> None:
        super().__init__(name, unit, description, *attributes)
        self._points: dict[Key | None, Total] = {}

    def point(self, key: Key = ()) -> Total:
        """Give the point to add to; who adds often keeps it."""
        return self._points.get(key) or self._points.setdefault(_room(self._points, key), Total())

    def add(self, amount: Number, key: Key = ()) -> None:
        """Add to one point."""
        self.point(key).value += amount

    def points(self) -> list[tuple[Key | None, Number]]:
        """Give what was added, by point."""
        return [(key, point.value) for key, point in list(self._points.items())]


class Spread:
    """One point of a histogram."""

    __slots__ = ("bounds", "counts", "sum")

    def __init__(self, bounds: Sequence[Number]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.sum: Number = 0

    def record(self, value: Number) -> None:
        """Record one value; a bound belongs to the bucket below it."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.sum += value

    def merge(self, counts: Sequence[int], total: Number) -> None:
        """Record values that were sorted into these buckets elsewhere."""
        self.counts[:] = map(int.__add__, self.counts, counts)
        self.sum += total


class Histogram(Instrument):
    """How values spread over buckets."""

    def __init__(
        self, name: str, unit: str, description: str, bounds: Sequence[Number], *attributes: str
    ) -> None:
        super().__init__(name, unit, description, *attributes)
        self.bounds = tuple(bounds)
        self._points: dict[Key | None, Spread] = {}

    def point(self, key: Key = ()) -> Spread:
        """Give the point to record at; who records often keeps it."""
        return self._points.get(key) or self._points.setdefault(_room(self._points, key), Spread(self.bounds))

    def record(self, value: Number, key: Key = ()) -> None:
        """Record one value."""
        self.point(key).record(value)

    def points(self) -> list[tuple[Key | None, Spread]]:
        """Give what was recorded, by point."""
        return list(self._points.items())


def _room(points: Mapping[Key | None, object], key: Key) -> Key | None:
    """Give the place of a new point: the overflow's where there is no room for more."""
    return key if len(points) < MAX_POINTS else None


Kind = Literal["value", "sum", "counter"]
"""A value of its own, one that adds up over processes, or one that besides only grows."""
Reading = Callable[[], Iterable[tuple[Key, Number]]]


class Gauge(Instrument):
    """A value that is kept elsewhere and read when somebody exports."""

    def __init__(
        self, name: str, unit: str, description: str, *attributes: str, read: Reading, kind: Kind = "value"
    ) -> None:
        super().__init__(name, unit, description, *attributes)
        self._read = read
        self.kind = kind

    def points(self) -> Iterator[tuple[Key | None, Number]]:
        """Read it now."""
        yield from self._read()


AnyInstrument = Counter | Histogram | Gauge
