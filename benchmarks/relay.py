"""Compare the relay with nginx as reverse proxy and with LiteLLM, in one interleaved run on this machine.

`make bench`; options: --quick, --only relay|stream|execute, --write (renews the table in docs/performance.md).
"""

import argparse
import platform
import statistics
import sys
import urllib.request
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import contenders
import execute
import fleet
import msgspec
from contenders import Contender

from nexus import __version__

HERE = Path(__file__).parent
PAGE = HERE.parent / "docs" / "performance.md"
BEGIN, END = "<!-- measured -->", "<!-- /measured -->"
MESSAGE = {"role": "user", "content": "x" * 900}


@dataclass(frozen=True)
class Workload:
    """One kind of request."""

    name: str
    body: dict[str, object]
    stream: bool = False
    beside: Sequence[str] = ()
    """Further set-ups of Nexus that are asked as well, and compared with the bare one."""


WORKLOADS = {
    "relay": (
        Workload("1 KB request", {"messages": [MESSAGE], "temperature": 0.7}, beside=contenders.BESIDE),
        Workload("100 KB request", {"messages": [MESSAGE] * 107, "temperature": 0.7}),
    ),
    "stream": (
        Workload("100 events at once", {"messages": [MESSAGE], "stream": True}, stream=True),
        Workload(
            "100 events one by one",
            {"messages": [MESSAGE], "stream": True, "user": "paced"},
            stream=True,
            beside=contenders.TOLD,
        ),
    ),
}


@dataclass(frozen=True)
class Plan:
    """How much to measure."""

    workloads: Sequence[Workload]
    connections: Sequence[int]
    rounds: int
    seconds: int
    patience: int
    """Seconds for LiteLLM, which is asked in every second round only."""
    calls: int
    """How often an MCP tool is called."""


class Seen(msgspec.Struct, frozen=True):
    """What the load generator saw: times in milliseconds, to the last byte of an answer."""

    requests: int
    events: int
    errors: int
    seconds: float
    p50: float
    p99: float


@dataclass(frozen=True)
class Sample:
    """One gateway under one load: requests, or events of streams, per second, and microseconds of its CPU for each."""

    rate: float
    cpu: float
    p50: float
    p99: float


@dataclass(frozen=True)
class Cell:
    """One workload over so many connections."""

    workload: Workload
    connections: int
    seconds: int

    def measure(self, ships: fleet.Fleet, one: Contender) -> Sample | None:
        """Put the load on one contender; nothing when most of its time went into requests it did not finish."""
        target = one.events if self.workload.stream else one.whole
        body = ships.folder / "body.json"
        body.write_bytes(msgspec.json.encode(target.body(self.workload.body)))
        fleet.calm(one.pid)
        before = fleet.cpu(one.pid)
        seen = self._load(ships, target.url, body, target.token)
        used = fleet.cpu(one.pid) - before
        count = seen.events if self.workload.stream else seen.requests
        if seen.requests == 0 or (count == seen.requests and count < 4 * self.connections):
            return None
        if seen.errors:
            raise SystemExit(f"{one.name}: {seen.errors} errors at {self.workload.name}")
        return Sample(count / seen.seconds, used / count, seen.p50, seen.p99)

    def _load(self, ships: fleet.Fleet, url: str, body: Path, token: str) -> Seen:
        wrk = fleet.find_program("wrk")
        if wrk is None or self.workload.stream:  # wrk does not count events
            command = [
                sys.executable,
                str(HERE / "load.py"),
                url,
                str(self.connections),
                str(self.seconds),
                str(body),
            ]
        else:
            command = [
                wrk,
                "-t1",
                f"-c{self.connections}",
                f"-d{self.seconds}s",
                "-s",
                str(HERE / "wrk.lua"),
                url,
            ]
        environ = {"BENCH_BODY": str(body), "BENCH_TOKEN": token}
        printed = ships.output(command, fleet.OTHER_CORE, self.seconds + 60, environ)
        return msgspec.json.decode(printed.splitlines()[-1], type=Seen)


def median(samples: Sequence[Sample]) -> Sample:
    """Take the median of each figure."""
    columns = [[getattr(sample, name) for sample in samples] for name in ("rate", "cpu", "p50", "p99")]
    return Sample(*map(statistics.median, columns))


def rows(ships: fleet.Fleet, plan: Plan, direct: Contender, gateways: Sequence[Contender]) -> Iterator[str]:
    """Measure cell after cell; give the lines of the table, and what is to be told of it."""
    yield "| workload | connections | | per second | CPU µs each | ratio to nginx | p50 added ms | p99 added ms |"
    yield "|---|--:|---|--:|--:|--:|--:|--:|"
    ratios: dict[str, list[str]] = defaultdict(list)
    for workload in plan.workloads:
        left_out = {*contenders.BESIDE} - {*workload.beside}
        asked = [one for one in gateways if one.name not in left_out]
        for connections in plan.connections:
            cell = Cell(workload, connections, plan.seconds)
            seen = measured(ships, plan, cell, [direct, *asked] if connections == 1 else asked)
            yield from (row(cell, one.name, seen) for one in asked if one.name in seen)
            for name in workload.beside if "nexus" in seen else ():
                ratio = seen[name].cpu / seen["nexus"].cpu
                ratios[f"{name}, {workload.name}"].append(f"{ratio:.2f} ({connections})")
    if ratios:
        yield "\nCPU to that of the bare Nexus, by connections:\n"
        yield from (f"- {what}: {', '.join(found)}" for what, found in ratios.items())


def measured(ships: fleet.Fleet, plan: Plan, cell: Cell, asked: Sequence[Contender]) -> dict[str, Sample]:
    """Measure contender after contender and round after round; give the medians."""
    slow = Cell(cell.workload, cell.connections, plan.patience)
    taken: dict[str, list[Sample]] = defaultdict(list)
    for number in range(plan.rounds):
        for one in asked:
            if one.name == "litellm" and number % 2:
                continue
            if (sample := (slow if one.name == "litellm" else cell).measure(ships, one)) is not None:
                taken[one.name].append(sample)
    return {name: median(samples) for name, samples in taken.items()}


def row(cell: Cell, name: str, seen: dict[str, Sample]) -> str:
    """Write one line of the table."""
    one, limit, base = seen[name], seen.get("nginx"), seen.get("direct")
    ratio = f"{one.cpu / limit.cpu:,.1f}" if limit else ""
    added = f"{one.p50 - base.p50:.2f} | {one.p99 - base.p99:.2f}" if base else " | "
    unit = " events" if cell.workload.stream else ""
    start = f"| {cell.workload.name} | {cell.connections} | {name} |"
    return f"{start} {one.rate:,.0f}{unit} | {one.cpu:,.1f} | {ratio} | {added} |"


def warm(one: Contender, workloads: Sequence[Workload]) -> None:
    """Let a gateway load what it loads with its first requests."""
    for workload in workloads:
        target = one.events if workload.stream else one.whole
        body = msgspec.json.encode(target.body(workload.body))
        headers = {"content-type": "application/json"}
        if target.token:
            headers["authorization"] = f"Bearer {target.token}"
        request = urllib.request.Request(target.url, body, headers)
        for _ in range(3):
            with urllib.request.urlopen(request, timeout=60) as answer:
                answer.read()


def report(plan: Plan) -> Iterator[str]:
    """Run the benchmark and give its lines as they come."""
    with fleet.Fleet() as ships:
        to = contenders.mocks(ships)
        nexus = contenders.nexus(ships, to)
        started = [contenders.nginx(ships, to), nexus, contenders.litellm(ships, to)]
        processes = [one for one in started if one]
        beside = {name for workload in plan.workloads for name in workload.beside}
        if contenders.GUARDED in beside:
            processes.append(contenders.guarded(ships, to))
        if beside & {*contenders.TOLD}:
            processes += contenders.telling(ships, to)
        gateways = [*processes, contenders.translating(nexus)]
        for one in gateways:
            warm(one, plan.workloads)
        yield f"Nexus {__version__}, Python {platform.python_version()}; {plan.rounds} rounds of {plan.seconds} s.\n"
        yield from rows(ships, plan, contenders.direct(to), gateways)
        yield "\n| | start to ready, s | idle, MiB | after the run, MiB |\n|---|--:|--:|--:|"
        for one in processes:
            yield f"| {one.name} | {one.start:.2f} | {one.idle:.0f} | {fleet.rss(one.pid):.0f} |"
        missing = sorted({"nginx", "litellm"} - {one.name for one in gateways})
        if missing:
            yield f"\nNot installed, so not measured: {', '.join(missing)}."
        if plan.calls:
            yield f"\nA call of an MCP tool, {plan.calls} one after another: {execute.measure(ships, plan.calls)}."
        if fleet.find_program("wrk") is None:
            yield "\nwrk is not installed; the Python load generator took its place and takes more of its core."


def main() -> None:
    """Measure, print, and write the page where asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one round, fewer connections")
    parser.add_argument("--only", choices=(*WORKLOADS, "execute"))
    parser.add_argument("--write", action="store_true", help=f"renew the table in {PAGE.name}")
    arguments = parser.parse_args()
    kinds = [arguments.only] if arguments.only else [*WORKLOADS, "execute"]
    chosen = [workload for kind in kinds for workload in WORKLOADS.get(kind, ())]
    calls = 400 if "execute" in kinds else 0
    plan = (
        Plan(chosen, (1, 16), 1, 1, 1, calls)
        if arguments.quick
        else Plan(chosen, (1, 16, 64), 3, 1, 3, calls)
    )
    lines: list[str] = []
    for line in report(plan):
        print(line, flush=True)
        lines.append(line)
    if arguments.write:
        text = PAGE.read_text()
        before, after = text.partition(BEGIN)[0], text.partition(END)[2]
        PAGE.write_text(f"{before}{BEGIN}\n" + "\n".join(lines) + f"\n{END}{after}")


if __name__ == "__main__":
    main()
