"""The clients: each asks one thing after another, sometimes has it spoiled upstream, and sometimes leaves half-way."""

import asyncio
import random

from benchmarks.soak.client import Connection, Cut, Head
from benchmarks.soak.kinds import KINDS, Broken, Kind, ToolFailed, Wrong
from benchmarks.soak.ledger import Entry, Ledger

CLIENTS = 24
PATIENCE = 20.0
"""Seconds after which a request counts as stuck; no fault holds one up for longer than the gateway waits, four seconds."""
_SPOILED, _LEFT, _LEFT_WAITING = 0.12, 0.12, 0.04
"""Shares of requests: spoiled upstream, left in the middle of the stream, left before there is an answer."""
_WEIGHTS = [kind.share for kind in KINDS]
_REST = 0.05
"""Seconds a client waits after it was refused."""
_MOMENT = 0.3
"""Seconds a client waits before it leaves a request that has no answer yet: it must have arrived by then."""


async def send(ledger: Ledger, port: int, seconds: float, seed: int) -> None:
    """Let all clients ask for so long; returns when the last answer has come."""
    until = asyncio.get_running_loop().time() + seconds
    chance = random.Random(seed)
    async with asyncio.TaskGroup() as clients:
        for _ in range(CLIENTS):
            clients.create_task(_client(ledger, port, until, random.Random(chance.random())))


async def _client(ledger: Ledger, port: int, until: float, chance: random.Random) -> None:
    connection = Connection(port)
    while asyncio.get_running_loop().time() < until:
        [kind] = chance.choices(KINDS, _WEIGHTS)
        entry = ledger.begin(kind, _fault(kind, chance))
        words = chance.choice((1, 8, 40)) if kind.faults else 3
        try:
            async with asyncio.timeout(PATIENCE):
                outcome, detail = await _ask(connection, entry, words)
        except TimeoutError:
            outcome, detail = "stuck", ""
        if outcome not in ("answered", "tool failed") and not outcome.startswith("status"):
            await connection.leave()
        ledger.end(entry, outcome, detail)
        if outcome.startswith("status"):
            await asyncio.sleep(_REST)
    await connection.leave()


def _fault(kind: Kind, chance: random.Random) -> str:
    drawn = chance.random()
    if kind.faults and drawn < _SPOILED:
        return chance.choice(kind.faults)
    if kind.faults and drawn < _SPOILED + (_LEFT if kind.stream else _LEFT_WAITING):
        return "leave"
    return "none"


async def _ask(connection: Connection, entry: Entry, words: int) -> tuple[str, str]:
    """Send one request; gives what became of it, and what is to be told of that."""
    leaves = entry.fault == "leave"
    words = max(words, 8) if leaves or entry.fault in ("cut", "hush") else words
    fault = ("none" if entry.kind.stream else "stall") if leaves else entry.fault
    asked = entry.kind.message(entry.number, fault, words)
    try:
        async with asyncio.timeout(_MOMENT if fault == "stall" and leaves else None):
            head = await connection.ask(asked)
    except TimeoutError:
        return "left", ""
    except (OSError, EOFError) as error:
        return "lost", repr(error)
    try:
        if leaves and head.status == 200:
            await anext(connection.body(head))
            return "left", ""
        body = b"".join([chunk async for chunk in connection.body(head)])
        return _outcome(entry, head, body, words)
    except Cut:
        return "broken" if entry.kind.stream else "cut", ""


def _outcome(entry: Entry, head: Head, body: bytes, words: int) -> tuple[str, str]:
    if head.status != 200:
        if entry.fault == "busy" and head.status == 429 and "retry-after" not in head.headers:
            return "wrong", "429 without Retry-After"
        return f"status {head.status}", body.decode(errors="replace")[:200]
    try:
        entry.kind.check(body, entry.number, words)
    except Wrong as wrong:
        return "wrong", str(wrong)
    except Broken:
        return "broken", ""
    except ToolFailed as failed:
        return "tool failed", str(failed)
    return "answered", ""
