"""Calls models on behalf of one run: retries, falls back, keeps the budget and writes every attempt into the trace.

It is the only place that retries: adapters call once, and nothing above calls again because a call failed.
"""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import msgspec

from nexus_agents.adapters.base import Completion, Prompt, Usage
from nexus_agents.budget import Budget, Hold, count, size
from nexus_agents.errors import AdapterError, AgentsError, Kind
from nexus_agents.offers import Offer
from nexus_agents.outcomes import Outcomes
from nexus_agents.results import Attempt
from nexus_agents.trace import Runs

ATTEMPTS = 4
FIRST_DELAY = 1.0
LONGEST_DELAY = 30.0
LONGEST_WAIT = 60.0
"""A provider that wants a longer wait than this is left alone."""
COOLDOWN = 60.0
"""Seconds a rate-limited model is left alone when there are others."""
DEFAULT_OUTPUT = 4_096

Sleep = Callable[[float], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Answer:
    """A completion with who gave it."""

    completion: Completion
    offer: Offer
    attempt: Attempt


class Cooldowns:
    """Models that said they are asked too often; shared by the runs of a process."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._until = dict[tuple[str, str], float]()
        self._clock = clock

    def rest(self, offer: Offer, seconds: float) -> None:
        self._until[offer.adapter.name, offer.model] = self._clock() + seconds

    def resting(self, offer: Offer) -> bool:
        return self._until.get((offer.adapter.name, offer.model), 0.0) > self._clock()


class Calls:
    """The calls of one run."""

    def __init__(
        self,
        run_id: str,
        runs: Runs,
        budget: Budget,
        outcomes: Outcomes,
        cooldowns: Cooldowns,
        *,
        told: Callable[[Attempt], None] = lambda _: None,
        sleep: Sleep = asyncio.sleep,
        clock: Callable[[], float] = time.monotonic,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self.run_id = run_id
        self.runs = runs
        self.budget = budget
        self._outcomes = outcomes
        self._cooldowns = cooldowns
        self._told = told
        self._sleep = sleep
        self._clock = clock
        self._jitter = jitter

    async def complete(
        self,
        step: str,
        kind: str,
        prompt: Prompt,
        offers: Sequence[Offer],
        *,
        why: str = "",
        category: str = "general",
    ) -> Answer:
        """Call the first offer; when it fails for good, the next.

        Raises:
            AdapterError, Refused: what the last one said.
            BudgetExceeded: before a call that does not fit.
        """
        # stable: the rested first, otherwise as they came
        ordered = sorted(offers, key=self._cooldowns.resting)
        failure: AgentsError | None = None
        for at, offer in enumerate(ordered):
            call = _Call(
                step, kind, prompt, offer, category, why if at == 0 else f"after {ordered[at - 1].id} failed"
            )
            try:
                return await self._insist(call, others=at + 1 < len(ordered))
            except AdapterError as error:
                failure = error
        if failure is None:
            raise ValueError("nothing was offered")
        raise failure

    async def _insist(self, call: "_Call", *, others: bool) -> Answer:
        """Call one offer until it answers or another attempt makes no sense."""
        attempt = 0
        while True:
            attempt += 1
            try:
                return await self._attempt(call, attempt)
            except AdapterError as error:
                delay = self._delay(error, attempt, call.offer, others=others)
                if delay is None:
                    raise
                await self._sleep(delay)

    def _delay(self, error: AdapterError, attempt: int, offer: Offer, *, others: bool) -> float | None:
        """Tell how long to wait before the same model is asked again; None for never."""
        if error.kind is Kind.RATE_LIMITED:
            self._cooldowns.rest(offer, error.retry_after or COOLDOWN)
            if others and (offer.free or (error.retry_after or 0) > 5):
                return None
        if error.kind is Kind.GARBAGE:
            return 0.0 if attempt == 1 else None
        if not error.retried or attempt >= ATTEMPTS or (error.kind is Kind.TIMEOUT and attempt >= 2):
            return None
        if error.retry_after is not None:
            return error.retry_after if error.retry_after <= LONGEST_WAIT else None
        delay = min(LONGEST_DELAY, FIRST_DELAY * 2 ** (attempt - 1))
        return delay * (0.9 + 0.2 * self._jitter())

    async def _attempt(self, call: "_Call", number: int) -> Answer:
        offer, prompt = call.offer, call.prompt
        wanted = min(prompt.max_output_tokens or DEFAULT_OUTPUT, offer.profile.output)
        tokens = size(prompt.messages)
        wanted = max(64, min(wanted, offer.profile.context - tokens))
        hold = await self.budget.hold(tokens, wanted, offer.profile.price)
        asked = msgspec.structs.replace(prompt, model=offer.model, max_output_tokens=hold.output)
        begun = self._clock()
        try:
            completion = await offer.adapter.complete(asked)
        except AgentsError as error:
            await self._failed(call, number, hold, begun, error)
            raise
        except BaseException:
            # cancelled: what the provider used is unknown, so the prompt is counted
            await self.budget.settle(hold, Usage(input_tokens=tokens), None, answered=False)
            raise
        return await self._succeeded(call, number, hold, begun, completion)

    async def _failed(self, call: "_Call", number: int, hold: Hold, begun: float, error: AgentsError) -> None:
        await self.budget.settle(hold, Usage(), 0.0, answered=False)
        kind = error.kind if isinstance(error, AdapterError) else Kind.INVALID
        attempt = self._told_of(call, number, begun, status=kind.value, reason=error.message)
        self.runs.attempt(self.run_id, attempt)
        if kind is not Kind.RATE_LIMITED:
            self._outcomes.record(
                call.offer.adapter.name, call.offer.model, call.category, False, attempt.duration_ms
            )
        self._told(attempt)

    async def _succeeded(
        self, call: "_Call", number: int, hold: Hold, begun: float, completion: Completion
    ) -> Answer:
        offer = call.offer
        usage = completion.usage
        if not usage.total:
            usage = Usage(input_tokens=hold.tokens - hold.output, output_tokens=count(completion.text))
        cost, basis = _cost(completion, usage, offer)
        await self.budget.settle(hold, usage, cost, answered=True)
        attempt = self._told_of(
            call,
            number,
            begun,
            status="ok",
            reason=". ".join(
                part.rstrip(".") for part in (call.why, offer.warning, *completion.warnings) if part
            ),
            model=completion.model,
            usage=usage,
            cost=cost,
            basis=basis,
        )
        self.runs.attempt(self.run_id, attempt)
        self._outcomes.record(offer.adapter.name, offer.model, call.category, True, attempt.duration_ms)
        self._told(attempt)
        return Answer(completion, offer, attempt)

    def _told_of(
        self,
        call: "_Call",
        number: int,
        begun: float,
        *,
        status: str,
        reason: str,
        model: str | None = None,
        usage: Usage | None = None,
        cost: float | None = None,
        basis: str = "",
    ) -> Attempt:
        used = usage or Usage()
        return Attempt(
            step=call.step,
            kind=call.kind,
            adapter=call.offer.adapter.name,
            title=call.offer.adapter.title,
            model=model or call.offer.model,
            host=call.offer.adapter.host,
            attempt=number,
            status=status,
            duration_ms=round((self._clock() - begun) * 1000),
            input_tokens=used.input_tokens,
            output_tokens=used.output_tokens,
            cost_usd=cost,
            basis=basis,
            reason=reason,
        )


@dataclass(frozen=True, slots=True)
class _Call:
    """What is asked of whom and why."""

    step: str
    kind: str
    prompt: Prompt
    offer: Offer
    category: str
    why: str


def _cost(completion: Completion, usage: Usage, offer: Offer) -> tuple[float | None, str]:
    """Tell what a call cost and what that rests on; a program that knows no price says that it cost nothing."""
    price = offer.profile.price
    if completion.cost_usd or (completion.cost_usd is not None and price is None):
        return completion.cost_usd, "provider"
    return (None if price is None else price.of(usage)), offer.basis
