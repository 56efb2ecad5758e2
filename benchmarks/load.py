"""The load generator of the benchmark: keep-alive connections that ask again as soon as they are answered.

A program: `load.py URL CONNECTIONS SECONDS BODYFILE [MAX]` prints a JSON object: what was answered, and how long
answers took. BENCH_TOKEN is the token it shows, if any.
"""

import asyncio
import os
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit

import msgspec
import uvloop


class Client(asyncio.Protocol):
    """One connection: sends a request, waits for its whole answer, sends the next."""

    def __init__(self, run: "Run") -> None:
        self._run = run
        self._transport: asyncio.Transport | None = None
        self._sent = 0.0
        self._missing = -1
        self._tail = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]  # uvloop's are not subclasses
        self._ask()

    def connection_lost(self, exc: Exception | None) -> None:
        self._run.closed += 1

    def data_received(self, data: bytes) -> None:
        self._run.events += data.count(b"data: {")
        if self._missing == -1:  # the head, never split on loopback
            if not data.startswith(b"HTTP/1.1 200"):
                self._run.errors += 1
            end = data.index(b"\r\n\r\n") + 4
            at = data.lower().find(b"content-length:", 0, end)
            if at >= 0:
                self._missing = int(data[at + 15 : data.index(b"\r", at)]) - (len(data) - end)
            else:
                self._missing = -2
        elif self._missing > 0:
            self._missing -= len(data)
        if self._missing == -2:
            self._tail = (self._tail + data)[-7:]
            if not self._tail.endswith(b"\r\n0\r\n\r\n"):
                return
        elif self._missing != 0:
            return
        self._run.took.append(time.perf_counter() - self._sent)
        self._ask()

    def _ask(self) -> None:
        if self._run.over:
            return
        assert self._transport is not None
        self._missing, self._tail = -1, b""
        self._sent = time.perf_counter()
        self._transport.write(self._run.message)


class Run:
    """What all connections share."""

    def __init__(self, message: bytes, most: int) -> None:
        self.message = message
        self.most = most
        self.until = float("inf")
        self.took: list[float] = []
        self.events = 0
        self.errors = 0
        self.closed = 0

    @property
    def over(self) -> bool:
        """Whether enough was asked."""
        return time.perf_counter() >= self.until or len(self.took) >= self.most


def percentile(sorted_times: list[float], share: float) -> float:
    """Give the time, in milliseconds, below which a share of all lies."""
    return (
        1000 * sorted_times[min(len(sorted_times) - 1, int(share * len(sorted_times)))]
        if sorted_times
        else 0.0
    )


async def load(url: str, connections: int, seconds: float, body: bytes, most: int) -> dict[str, float]:
    """Ask for so many seconds, at most so often."""
    parts = urlsplit(url)
    assert parts.hostname is not None
    assert parts.port is not None
    host, port = parts.hostname, parts.port
    head = f"POST {parts.path} HTTP/1.1\r\nhost: {parts.netloc}\r\ncontent-type: application/json\r\n"
    if token := os.environ.get("BENCH_TOKEN"):
        head += f"authorization: Bearer {token}\r\n"
    run = Run(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body, most)
    loop = asyncio.get_running_loop()
    began = time.perf_counter()
    run.until = began + seconds
    made = await asyncio.gather(
        *(loop.create_connection(lambda: Client(run), host, port) for _ in range(connections))
    )
    while not run.over and run.closed < connections:
        await asyncio.sleep(0.01)
    ended = time.perf_counter() - began
    for transport, _ in made:
        transport.abort()
    times = sorted(run.took)
    return {
        "requests": len(times),
        "events": run.events,
        "errors": run.errors,
        "seconds": ended,
        "p50": percentile(times, 0.5),
        "p99": percentile(times, 0.99),
    }


if __name__ == "__main__":
    target, count, duration, file, *rest = sys.argv[1:]
    most = int(rest[0]) if rest else 10**9
    result = uvloop.run(load(target, int(count), float(duration), Path(file).read_bytes(), most))
    sys.stdout.buffer.write(msgspec.json.encode(result))
