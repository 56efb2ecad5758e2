"""One request, while it runs: what the rooms it passes find out about it, for whoever looks when it is over.

Where nobody looks there is no observation, and nothing is gathered. It is carried beside the call, in the context of its task,
so that no room has to hand it on.
"""

import time
from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from types import TracebackType
from typing import Any, NamedTuple, Protocol, Self

from nexus.context import Identity
from nexus.telemetry.records import Work
from nexus.telemetry.trace import Attribute, Span, Trace, new_bits

clock = time.perf_counter
"""Seconds, for durations."""
LEFT = 499
"""The status of a request whose client left before there was one, as nginx has it."""


class Operation(Protocol):
    """What a request is about, while it runs: a call of a model, or of a tool."""

    began: float
    span_id: int
    """Set where the request is traced."""

    @property
    def name(self) -> str:
        """Of its span."""
        ...

    @property
    def attributes(self) -> Mapping[str, Attribute]:
        """Of its span; complete when it is finished."""
        ...

    def finish(self, seen: "Observation", /) -> Work:
        """Say what became of it. Called once, a little after `seen.ended`."""
        ...


class Wants(NamedTuple):
    """What the configuration wants beside the usual."""

    content: bool = False
    """What was said, in spans."""
    propagation: bool = False
    """That upstreams are told of the trace."""


class Observation:
    """A request under way. What is found out of it meanwhile is only kept; it is made something of once it is over."""

    # what is not found out stays as it is here: the less is done for each request, the better
    trace: Trace | None = None
    sampled = False
    """Whether it is traced."""
    route: str | None = None
    """The template of its path."""
    status = 0
    complete = False
    """Whether the whole answer has gone."""
    ended = 0.0
    """When it had, or the client; 0 before."""
    identity: Identity | None = None
    """Who asked; found out when it is over."""
    operation: Operation | None = None
    active = 0
    """The span that whatever begins now is part of."""
    spans: Sequence[Span] = ()
    large = False
    """Whether so much is kept for its record that this cannot wait."""

    def __init__(self, scope: dict[str, Any], wants: Wants, trace: Trace | None = None) -> None:
        self.scope = scope
        self.wants = wants
        self.time, self.began = time.time_ns(), clock()
        if trace is not None:
            self.trace, self.sampled, self.active = trace, trace.sampled, trace.span_id

    @property
    def content(self) -> bool:
        """Whether its span is to hold what was said."""
        return self.wants.content

    @property
    def answered(self) -> int:
        """The status of its answer; 499 where the client left before there was one."""
        return self.status or LEFT

    def sent(self, header: bytes) -> bool:
        """Tell whether the client has sent a header."""
        return any(name == header for name, _ in self.scope["headers"])

    def at(self, moment: float) -> int:
        """Give a moment of the clock in nanoseconds since the epoch."""
        return self.time + int((moment - self.began) * 1e9)

    def add(self, name: str, began: float, ended: float, attributes: dict[str, Attribute]) -> None:
        """Add a span of something that is over; only where the request is traced."""
        if self.trace is not None:
            start, end = self.at(began), self.at(ended)
            span = Span(name, self.trace.trace_id, new_bits(64) or 1, self.active, start, end, attributes)
            self.spans = (*self.spans, span)

    def begin(self, operation: Operation) -> None:
        """Say what this request is about."""
        self.operation = operation
        if self.sampled:
            self.active = operation.span_id = new_bits(64) or 1


_current: ContextVar[Observation | None] = ContextVar("nexus.observation", default=None)
current = _current.get
"""Give the observation of the request that is being answered; None where nobody looks."""
enter = _current.set


class _Nothing:
    """A span of a request that is not traced."""

    __slots__ = ()

    def set(self, **attributes: Attribute | None) -> None:
        """Drop them."""

    def fail(self) -> None:
        """Ignore it."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None: ...


class _Begun:
    """A span under way."""

    __slots__ = ("_attributes", "_began", "_failed", "_id", "_kind", "_name", "_outer", "_seen", "_trace")

    def __init__(self, seen: Observation, trace: Trace, name: str, kind: Any) -> None:
        self._seen = seen
        self._trace = trace
        self._name = name
        self._kind = kind
        self._attributes: dict[str, Attribute] = {}
        self._failed = False

    def set(self, **attributes: Attribute | None) -> None:
        """Add attributes; `__` in a name stands for a dot, None is left out."""
        for name, value in attributes.items():
            if value is not None:
                self._attributes[name.replace("__", ".")] = value

    def fail(self) -> None:
        """Say that it failed."""
        self._failed = True
        self._attributes["error"] = "true"

    def __enter__(self) -> Self:
        seen = self._seen
        self._outer, self._id, self._began = seen.active, new_bits(64) or 1, clock()
        seen.active = self._id
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            self.fail()
        seen = self._seen
        seen.active = self._outer
        start, end = seen.at(self._began), seen.at(clock())
        span = Span(
            self._name,
            self._trace.trace_id,
            self._id,
            self._outer,
            start,
            end,
            self._attributes,
            self._kind,
            self._failed,
        )
        seen.spans = (*seen.spans, span)


NOTHING = _Nothing()


def span(name: str, kind: str = "internal") -> _Begun | _Nothing:
    """Begin a span of the current request, to be entered as a context; one that does nothing where it is not traced."""
    seen = _current.get()
    if seen is None or seen.trace is None or not seen.trace.sampled:
        return NOTHING
    return _Begun(seen, seen.trace, name, kind)


def passed_on() -> Sequence[tuple[str, str]]:
    """Give the headers by which an upstream continues the trace; none unless the configuration wants it."""
    seen = _current.get()
    if seen is None or not seen.wants.propagation or seen.trace is None:
        return ()
    parent = ("traceparent", seen.trace.traceparent(seen.active))
    return (parent, ("tracestate", seen.trace.state)) if seen.trace.state else (parent,)
