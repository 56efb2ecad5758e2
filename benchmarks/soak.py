"""Send many requests through Nexus, a third of them streams left half-way, and see that nothing grows and nothing stays.

`soak.py [--requests 50000]`; ends with status 1 when memory grows by more than 20 bytes a request, when a request fails,
or when sockets or streams are left over.
"""

import argparse
import asyncio
import contextlib
import random
import sys
import time
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import contenders
import fleet
import uvloop

CLIENTS = 32
WARM = 20_000
"""Requests before memory is looked at: by then pools, caches and the allocator have been at their fullest, and stay so."""
EVERY = 1_000
MAX_SLOPE = 20.0
MAX_SECONDS = 180
BODY = b'{"model":"events/gpt-4o","messages":[{"role":"user","content":"hello"}]%s}'
WHOLE, BURST, PACED = b"", b',"stream":true', b',"stream":true,"user":"paced"'
KINDS = ((WHOLE, True), (BURST, True), (PACED, True), (BURST, False), (PACED, False))
"""What to ask for, and whether to stay to the end."""
SHARES = (35, 25, 10, 10, 20)


@dataclass
class Soak:
    """What all clients share."""

    url: str
    pid: int
    left: int
    whole: int = 0
    abandoned: int = 0
    failed: int = 0
    memory: list[tuple[int, float]] = field(default_factory=list[tuple[int, float]])
    """Requests done, and bytes resident then."""

    @property
    def done(self) -> int:
        """How many requests are over."""
        return self.whole + self.abandoned + self.failed

    async def client(self, chance: random.Random) -> None:
        """Ask until enough was asked; with a stream that is left, leave its connection too."""
        parts = urlsplit(self.url)
        while self.left > 0:
            reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
            staying = True
            while staying and self.left > 0:
                self.left -= 1
                [(more, staying)] = chance.choices(KINDS, SHARES)
                body = BODY % more
                head = f"POST {parts.path} HTTP/1.1\r\nhost: soak\r\ncontent-type: application/json\r\n"
                writer.write(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body)
                try:
                    staying = await self._answer(reader, staying)
                except (OSError, EOFError):
                    self.failed += 1
                    staying = False
                if self.done % EVERY == 0:
                    self.memory.append((self.done, fleet.rss(self.pid) * 1024**2))
            writer.transport.abort()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

    async def _answer(self, reader: asyncio.StreamReader, staying: bool) -> bool:
        """Read an answer, or half of one; tells whether the connection can be used again."""
        answer = await reader.readuntil(b"\r\n\r\n")
        if not answer.startswith(b"HTTP/1.1 200"):
            self.failed += 1
            return False
        if not staying:
            await reader.readuntil(b"\n\n")
            self.abandoned += 1
            return False
        if b"chunked" in answer:
            await reader.readuntil(b"\r\n0\r\n\r\n")
        else:
            at = answer.index(b"content-length: ") + 16
            await reader.readexactly(int(answer[at : answer.index(b"\r", at)]))
        self.whole += 1
        return True


@dataclass(frozen=True)
class Holding:
    """What a gateway holds open."""

    sockets: int
    from_clients: int
    to_upstream: int
    threads: int

    @staticmethod
    def of(pid: int, own_port: int, upstream_port: int) -> "Holding":
        """Look at a process."""
        sockets: set[str] = set()
        for entry in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(OSError):
                name = entry.readlink().name
                if name.startswith("socket:"):
                    sockets.add(name[8:-1])
        ends = [line.split() for line in Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:]]
        ours = [
            (end[1][-4:], end[2][-4:]) for end in ends if end[9] in sockets and end[3] != "0A"
        ]  # 0A listens
        clients = sum(local == f"{own_port:04X}" for local, _ in ours)
        upstream = sum(remote == f"{upstream_port:04X}" for _, remote in ours)
        return Holding(len(sockets), clients, upstream, len(list(Path(f"/proc/{pid}/task").iterdir())))

    def __str__(self) -> str:
        return (
            f"{self.sockets} sockets, {self.from_clients} from clients, {self.to_upstream} to the provider;"
            f" {self.threads} threads"
        )


def slope(memory: list[tuple[int, float]]) -> float:
    """Fit a line by least squares: bytes of memory for each request."""
    mean_x = sum(x for x, _ in memory) / len(memory)
    mean_y = sum(y for _, y in memory) / len(memory)
    spread = sum((x - mean_x) ** 2 for x, _ in memory)
    return sum((x - mean_x) * (y - mean_y) for x, y in memory) / spread if spread else 0.0


async def send(run: Soak) -> None:
    """Let all clients ask, for a bounded time."""
    chance = random.Random(7)
    async with asyncio.timeout(MAX_SECONDS):
        await asyncio.gather(*(run.client(random.Random(chance.random())) for _ in range(CLIENTS)))


def streaming(upstream: str) -> int:
    """Ask the mock how many streams nobody has ended."""
    with urllib.request.urlopen(f"{upstream}/streaming", timeout=5) as answer:
        return int(answer.read())


def soak(nexus: contenders.Contender, upstream: str, requests: int) -> bool:
    """Run it, say what was seen, and tell whether all is well."""
    ports = urlsplit(nexus.events.url).port or 0, urlsplit(upstream).port or 0
    run = Soak(nexus.events.url, nexus.pid, requests)
    before = Holding.of(nexus.pid, *ports)
    began = time.perf_counter()
    uvloop.run(send(run))
    seconds = time.perf_counter() - began
    until = time.perf_counter() + 5
    while (after := Holding.of(nexus.pid, *ports)).from_clients and time.perf_counter() < until:
        fleet.pause(0.1)
    left = streaming(upstream)
    warm = [one for one in run.memory if one[0] >= min(WARM, requests * 2 // 5)]
    growth = slope(warm)
    print(
        f"{run.done:,} requests in {seconds:.0f} s: {run.whole:,} whole, {run.abandoned:,} left, {run.failed} failed"
    )
    first, last = warm[0][1] / 1024**2, warm[-1][1] / 1024**2
    print(f"memory: {first:.1f} MiB warm, {last:.1f} MiB at the end, {growth:+.1f} bytes a request")
    print(f"before: {before}\nafter:  {after}\nstreams left at the provider: {left}")
    stayed = after.from_clients or left or after.to_upstream > CLIENTS or after.threads > before.threads + 1
    return growth <= MAX_SLOPE and not run.failed and not stayed


def main() -> None:
    """Run the soak against a fresh Nexus and a fresh mock."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=50_000)
    arguments = parser.parse_args()
    with fleet.Fleet() as ships:
        to = contenders.mocks(ships)
        well = soak(contenders.nexus(ships, to), to.events, arguments.requests)
    print("well" if well else "NOT well")
    sys.exit(0 if well else 1)


if __name__ == "__main__":
    main()
