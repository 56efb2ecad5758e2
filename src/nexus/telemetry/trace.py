"""The place of a request in a trace: continued from its caller, sampled or not, and told to upstreams where that is wanted.

https://www.w3.org/TR/trace-context/, https://docs.aws.amazon.com/xray/latest/devguide/xray-concepts.html#xray-concepts-tracingheader
"""

import random
import re
from collections.abc import Iterable, Mapping
from typing import Literal

import msgspec

from nexus.config.telemetry import TracingConfig

_TRACEPARENT = re.compile(
    rb"00-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})|"
    rb"(?!ff|00)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(?:-.*)?"
)
_ROOT = re.compile(rb"(?:^|;)\s*Root=1-([0-9a-f]{8})-([0-9a-f]{24})\s*(?:;|$)", re.IGNORECASE)
_PARENT = re.compile(rb"(?:^|;)\s*Parent=([0-9a-f]{16})\s*(?:;|$)", re.IGNORECASE)
_SAMPLED = re.compile(rb"(?:^|;)\s*Sampled=([^;\s]*)", re.IGNORECASE)
_MAX_STATE = 512
_STATE = re.compile(rb"[\x20-\x7e]*")

Kind = Literal["internal", "server", "client"]
Attribute = str | int | float
new_bits = random.getrandbits
"""Ids have to differ, not to be secret: each process has begun somewhere else."""


class Parent(msgspec.Struct, frozen=True, gc=False):
    """Where the caller is in its trace."""

    trace_id: int
    span_id: int
    sampled: bool | None = None
    """What it has decided; None where it does not say."""
    state: str = ""
    """Its `tracestate`, as it came."""


class Span(msgspec.Struct, gc=False):
    """One stretch of work that has ended. Times in nanoseconds since the epoch."""

    name: str
    trace_id: int
    span_id: int
    parent_id: int
    start: int
    end: int
    attributes: Mapping[str, Attribute]
    kind: Kind = "internal"
    failed: bool = False
    """Whether its status is `error`; unset otherwise."""
    remote: bool = False
    """Whether its parent is the caller's."""
    state: str = ""


class Trace(msgspec.Struct, gc=False):
    """The place of one request."""

    trace_id: int
    span_id: int
    """Of the request itself, where it is sampled; else of the caller."""
    parent_id: int
    sampled: bool
    state: str = ""

    def traceparent(self, span_id: int) -> str:
        """Write what an upstream is to continue from."""
        return f"00-{self.trace_id:032x}-{span_id:016x}-{'01' if self.sampled else '00'}"


class Sampler:
    """Decides for each request whether it is traced."""

    def __init__(self, config: TracingConfig) -> None:
        self._share = config.sampling
        self._follows = config.parent_based_sampler
        self._w3c = config.propagation.trace_context is not False
        self._xray = config.propagation.aws_xray is not False

    def begin(self, headers: Iterable[tuple[bytes, bytes]]) -> Trace | None:
        """Find the place of a request; None for one that is not traced and continues nothing."""
        parent = self.parent(headers)
        known = parent.sampled if parent is not None and self._follows else None
        sampled = random.random() < self._share if known is None else known
        if parent is None:
            return Trace(new_bits(128) or 1, new_bits(64) or 1, 0, True) if sampled else None
        span_id = (new_bits(64) or 1) if sampled else parent.span_id
        return Trace(parent.trace_id, span_id, parent.span_id, sampled, parent.state)

    def parent(self, headers: Iterable[tuple[bytes, bytes]]) -> Parent | None:
        """Read where the caller is."""
        w3c = xray = None
        states: list[bytes] = []
        for name, value in headers:
            if name == b"traceparent":
                w3c = value
            elif name == b"tracestate":
                states.append(value)
            elif name == b"x-amzn-trace-id":
                xray = value
        found = read_traceparent(w3c, b",".join(states)) if w3c is not None and self._w3c else None
        return found or (read_xray(xray) if xray is not None and self._xray else None)


def read_traceparent(value: bytes, state: bytes = b"") -> Parent | None:
    """Read W3C headers; None where they break the rules."""
    match = _TRACEPARENT.fullmatch(value.strip())
    if match is None:
        return None
    trace, span, flags = match.groups()[:3] if match[1] else match.groups()[3:]
    kept = state.decode("ascii") if len(state) <= _MAX_STATE and _STATE.fullmatch(state) else ""
    return Parent(int(trace, 16), int(span, 16), bool(int(flags, 16) & 1), kept)


def read_xray(value: bytes) -> Parent | None:
    """Read the header of AWS X-Ray; None where it names no trace, or nobody in it."""
    root, parent, sampled = _ROOT.search(value), _PARENT.search(value), _SAMPLED.search(value)
    if root is None or parent is None:
        return None
    decided = None if sampled is None or sampled[1] == b"?" else sampled[1] == b"1"
    return Parent(int(root[1] + root[2], 16), int(parent[1], 16), decided)
