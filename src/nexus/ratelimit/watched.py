"""Limits counted in Redis, looked at: how long a decision took, what it was, how busy the connections are."""

from collections.abc import Sequence
from hashlib import md5
from typing import Protocol, runtime_checkable
from urllib.parse import unquote

from nexus.ratelimit import Charge, Decision, Store, StoreFailed
from nexus.telemetry import observation
from nexus.telemetry.instruments import Gauge
from nexus.telemetry.metrics import Metrics
from nexus.telemetry.observation import clock
from nexus.telemetry.trace import Attribute

_REQUESTS, _TOKENS = "check_and_consume", "check_and_consume_tokens"


@runtime_checkable
class Pooled(Store, Protocol):
    """A store behind a pool of connections."""

    @property
    def size(self) -> int:
        """How many connections there may be."""
        ...

    @property
    def in_use(self) -> int:
        """How many of them are working."""
        ...


class Watched:
    """A store somebody looks at."""

    def __init__(self, store: Pooled, metrics: Metrics) -> None:
        self._store = store
        self._durations = metrics.store
        for name, what, read in (
            ("in_use", "that are working", lambda: store.in_use),
            ("available", "that are free", lambda: store.size - store.in_use),
        ):
            metrics.show(
                Gauge(
                    f"redis.pool.connections.{name}",
                    "{connection}",
                    f"Connections to Redis {what}.",
                    read=lambda read=read: [((), read())],
                    kind="sum",
                )
            )

    async def start(self) -> None:
        """Connect."""
        await self._store.start()

    async def charge(self, charges: Sequence[Charge]) -> Decision:
        """Book all charges, or none of them."""
        began = clock()
        try:
            decision = await self._store.charge(charges)
        except StoreFailed:
            self._tell(charges, began, None)
            raise
        self._tell(charges, began, decision)
        return decision

    async def check(self) -> None:
        """Make sure that it could be asked."""
        await self._store.check()

    async def close(self) -> None:
        """Close all connections."""
        await self._store.close()

    def _tell(self, charges: Sequence[Charge], began: float, decision: Decision | None) -> None:
        ended = clock()
        tokens = [charge.amount for charge in charges if charge.key.startswith("{token:")]
        status, error = ("success", None) if decision is not None else ("error", "script_execution")
        operation = _TOKENS if tokens else _REQUESTS
        amount = _rounded(sum(tokens)) if tokens else None
        self._durations.record(ended - began, (operation, status, error, amount))
        seen = observation.current()
        if seen is None or not seen.sampled:
            return
        for number, charge in enumerate(charges):
            name, about = _described(charge)
            about |= {
                "redis.pool.size": self._store.size,
                "redis.pool.in_use": self._store.in_use,
                "redis.pool.available": self._store.size - self._store.in_use,
                **_outcome(charge, number, decision),
            }
            seen.add(name, began, ended, about)


def _outcome(charge: Charge, number: int, decision: Decision | None) -> dict[str, Attribute]:
    if decision is None:
        return {"error": "true", "error.type": "connection_error"}
    if decision.refused != number:
        return {"rate_limit.allowed": "true"}
    return {"rate_limit.allowed": "false", "rate_limit.retry_after_ms": charge.window.slot}


def _described(charge: Charge) -> tuple[str, dict[str, Attribute]]:
    """Name the span of a charge, and say what is counted."""
    scope, more = _scope(charge)
    operation = _TOKENS if scope == "token" else _REQUESTS
    name = f"redis:{operation}" if scope == "token" else f"redis:{operation}:{scope}"
    return name, {
        "redis.operation": operation,
        "rate_limit.scope": scope,
        "rate_limit.limit": charge.limit,
        "rate_limit.interval_ms": charge.window.slot * charge.window.span,
        **more,
    }


def _scope(charge: Charge) -> tuple[str, dict[str, Attribute]]:
    head, _, rest = charge.key.partition("}:")
    kind, _, who = head[1:].partition(":")
    parts = rest.split(":")
    if kind == "token":
        _, provider, model = (unquote(part) for part in parts[:3])
        about: dict[str, Attribute] = {"rate_limit.tokens": charge.amount}
        return "token", {**about, "llm.provider": provider, "llm.model": model}
    if kind == "server" and parts[0] == "tool":
        return "tool", {"mcp.server": unquote(who), "mcp.tool": unquote(parts[1])}
    if kind == "server":
        return "server", {"mcp.server": unquote(who)}
    if kind == "requests" and parts[0] != "global":
        # of what has only so many values no hash is a secret; it groups, and keeps addresses out of plain sight
        hashed = md5(":".join(parts[2:]).encode(), usedforsecurity=False).hexdigest()
        return "ip", {"client.address_hash": hashed}
    return "global", {}


def _rounded(tokens: int) -> int:
    """Round up to a power of two: an attribute is not to have a value of its own for each request."""
    return 0 if tokens <= 0 else 1 << (tokens - 1).bit_length()
