"""Retries, fallbacks and what the trace says about them."""

from pathlib import Path
from typing import Any

import pytest

from agents.fakes import FakeAdapter, offer
from nexus_agents import asking
from nexus_agents.adapters.base import Completion, Usage
from nexus_agents.budget import Budget
from nexus_agents.calls import Calls, Cooldowns
from nexus_agents.errors import AdapterError, BudgetExceeded, Kind, Refused
from nexus_agents.outcomes import Outcomes
from nexus_agents.results import Attempt
from nexus_agents.store import connect
from nexus_agents.trace import Runs

PROMPT = asking.prompt("be kind", "hello")


class Bench:
    """The calls of one run, with a clock that only sleeping moves."""

    def __init__(self, home: Path, **budget: Any) -> None:
        database = connect(home)
        self.runs = Runs(database, home)
        self.runs.begin("r", "orchestrate", "task", {})
        self.slept: list[float] = []
        self.now = 0.0
        self.told: list[Attempt] = []
        self.budget = Budget(
            budget.get("tokens", 100_000), budget.get("dollars", 10.0), budget.get("calls", 20)
        )
        self.calls = Calls(
            "r", self.runs, self.budget, Outcomes(database), Cooldowns(lambda: self.now),
            told=self.told.append, sleep=self.sleep, clock=lambda: self.now, jitter=lambda: 0.5,
        )  # fmt: skip

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds

    @property
    def attempts(self) -> list[tuple[str, str, int, str]]:
        return [(one.adapter, one.model, one.attempt, one.status) for one in self.runs.attempts("r")]


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def error(kind: Kind, **more: Any) -> AdapterError:
    return AdapterError(kind, f"it was {kind}", **more)


async def test_an_answer_is_passed_on_and_traced(bench: Bench):
    answer = await bench.calls.complete(
        "s1", "work", PROMPT, [offer(FakeAdapter("a", "good"))], why="the best"
    )
    assert answer.completion.text == "good"
    (attempt,) = bench.runs.attempts("r")
    assert (attempt.step, attempt.kind, attempt.status, attempt.input_tokens) == ("s1", "work", "ok", 10)
    assert (attempt.title, attempt.host, attempt.reason) == ("A", "fake.test", "the best")


@pytest.mark.parametrize("kind", [Kind.SERVER, Kind.CONNECTION, Kind.RATE_LIMITED])
async def test_what_may_pass_is_tried_again_after_growing_waits(bench: Bench, kind: Kind):
    adapter = FakeAdapter("a", error(kind), error(kind), error(kind), "at last")
    answer = await bench.calls.complete("s", "work", PROMPT, [offer(adapter)])
    assert answer.completion.text == "at last"
    assert bench.slept == [1.0, 2.0, 4.0]


async def test_four_attempts_are_enough(bench: Bench):
    adapter = FakeAdapter("a", then=error(Kind.SERVER))
    with pytest.raises(AdapterError):
        await bench.calls.complete("s", "work", PROMPT, [offer(adapter)])
    assert len(adapter.prompts) == 4


@pytest.mark.parametrize("kind", [Kind.AUTHENTICATION, Kind.INVALID, Kind.NOT_FOUND, Kind.PAYMENT])
async def test_what_will_not_pass_is_not_tried_again(bench: Bench, kind: Kind):
    adapter = FakeAdapter("a", then=error(kind))
    with pytest.raises(AdapterError):
        await bench.calls.complete("s", "work", PROMPT, [offer(adapter)])
    assert (len(adapter.prompts), bench.slept) == (1, [])


async def test_a_time_out_is_tried_once_more(bench: Bench):
    adapter = FakeAdapter("a", then=error(Kind.TIMEOUT))
    with pytest.raises(AdapterError):
        await bench.calls.complete("s", "work", PROMPT, [offer(adapter)])
    assert len(adapter.prompts) == 2


async def test_the_provider_says_how_long_to_wait(bench: Bench):
    adapter = FakeAdapter("a", error(Kind.RATE_LIMITED, retry_after=7.5), "good")
    await bench.calls.complete("s", "work", PROMPT, [offer(adapter)])
    assert bench.slept == [7.5]


async def test_a_wait_of_an_hour_is_not_waited(bench: Bench):
    adapter = FakeAdapter("a", then=error(Kind.RATE_LIMITED, retry_after=3600.0))
    with pytest.raises(AdapterError):
        await bench.calls.complete("s", "work", PROMPT, [offer(adapter)])
    assert bench.slept == []


async def test_the_next_model_stands_in_and_the_trace_says_why(bench: Bench):
    one, two = FakeAdapter("one", then=error(Kind.NOT_FOUND)), FakeAdapter("two", "good")
    answer = await bench.calls.complete("s", "work", PROMPT, [offer(one), offer(two)])
    assert answer.offer.adapter is two
    assert bench.attempts == [("one", "fake-model", 1, "not_found"), ("two", "fake-model", 1, "ok")]
    assert bench.runs.attempts("r")[1].reason == "after one/fake-model failed"


async def test_a_free_model_that_is_busy_gives_way_at_once_and_rests(bench: Bench):
    one, two = FakeAdapter("one", error(Kind.RATE_LIMITED)), FakeAdapter("two")
    offers = [offer(one, input_per_million=0.0, output_per_million=0.0), offer(two)]
    await bench.calls.complete("s1", "work", PROMPT, offers)
    await bench.calls.complete("s2", "work", PROMPT, offers)
    assert (len(one.prompts), len(two.prompts), bench.slept) == (1, 2, [])
    bench.now += 61
    await bench.calls.complete("s3", "work", PROMPT, offers)
    assert len(one.prompts) == 2


async def test_nonsense_is_asked_for_once_more(bench: Bench):
    adapter = FakeAdapter("a", error(Kind.GARBAGE), "good")
    await bench.calls.complete("s", "work", PROMPT, [offer(adapter)])
    assert len(adapter.prompts) == 2


async def test_a_refusal_of_the_guard_ends_everything(bench: Bench):
    one, two = FakeAdapter("one", then=Refused("no", reason="loopback", host="h")), FakeAdapter("two")
    with pytest.raises(Refused):
        await bench.calls.complete("s", "work", PROMPT, [offer(one), offer(two)])
    assert two.prompts == []


async def test_the_budget_stops_before_the_call(tmp_path: Path):
    bench, adapter = Bench(tmp_path, calls=1), FakeAdapter("a")
    await bench.calls.complete("s", "work", PROMPT, [offer(adapter)])
    with pytest.raises(BudgetExceeded):
        await bench.calls.complete("s", "work", PROMPT, [offer(adapter)])
    assert len(adapter.prompts) == 1


async def test_the_answer_may_only_be_as_long_as_the_budget_allows(tmp_path: Path):
    bench, adapter = Bench(tmp_path, tokens=300), FakeAdapter("a")
    await bench.calls.complete("s", "work", PROMPT, [offer(adapter)])
    limit = adapter.prompts[0].max_output_tokens
    assert limit is not None
    assert limit < 300


@pytest.mark.parametrize(
    ("said", "prices", "cost", "basis"),
    [
        (0.02, (1.0, 1.0), 0.02, "provider"),
        (None, (1.0, 2.0), 0.0002, "price list"),
        (0.0, (1.0, 2.0), 0.0002, "price list"),
        (None, (0.0, 0.0), 0.0, "free"),
        (None, (None, None), None, "unknown"),
    ],
)
async def test_a_cost_says_what_it_rests_on(
    bench: Bench,
    said: float | None,
    prices: tuple[float | None, float | None],
    cost: float | None,
    basis: str,
):
    told = Completion(text="x", model="m", usage=Usage(input_tokens=100, output_tokens=50), cost_usd=said)
    priced = offer(FakeAdapter("a", told), input_per_million=prices[0], output_per_million=prices[1])
    await bench.calls.complete("s", "work", PROMPT, [priced])
    (attempt,) = bench.runs.attempts("r")
    assert (attempt.cost_usd, attempt.basis) == (cost, basis)
    summary = bench.runs.stored("r")[2]
    assert summary.cost_usd == cost


async def test_a_provider_that_counts_nothing_is_counted(bench: Bench):
    told = Completion(text="four words of answer", model="m")
    await bench.calls.complete("s", "work", PROMPT, [offer(FakeAdapter("a", told))])
    (attempt,) = bench.runs.attempts("r")
    assert attempt.input_tokens > 0
    assert attempt.output_tokens > 0
    assert bench.budget.spent.total == attempt.input_tokens + attempt.output_tokens


async def test_failures_are_told_while_they_happen(bench: Bench):
    await bench.calls.complete("s", "work", PROMPT, [offer(FakeAdapter("a", error(Kind.SERVER)))])
    assert [one.status for one in bench.told] == ["server", "ok"]
