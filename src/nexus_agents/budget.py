"""What a run may spend: tokens, dollars and calls, held before a call and settled after it."""

import asyncio
from dataclasses import dataclass

from nexus_agents.adapters.base import Message, Usage
from nexus_agents.errors import BudgetExceeded

LEAST_OUTPUT = 64
"""A call that could not even answer this many tokens is not made."""


def count(text: str) -> int:
    """Estimate tokens, rather too high: three bytes are one. English has four, code and Chinese about three.

    Providers say what was really used; a vocabulary would take a second to load for what only reserves room.
    """
    return -(-len(text.encode()) // 3)


def size(messages: tuple[Message, ...]) -> int:
    """Estimate a prompt, rather too high: a few tokens frame each message."""
    words = sum(
        count(message.text) + sum(count(call.arguments) + 8 for call in message.tool_calls)
        for message in messages
    )
    return words + 6 * len(messages) + 8


@dataclass(frozen=True, slots=True)
class Price:
    """US dollars for a million tokens."""

    input: float
    output: float

    def of(self, usage: Usage) -> float:
        return (usage.input_tokens * self.input + usage.output_tokens * self.output) / 1_000_000


@dataclass(slots=True)
class Hold:
    """Room taken for one call."""

    tokens: int
    cost: float
    output: int
    """The most tokens the call may answer."""


class Budget:
    """The room a run has. Calls in flight hold theirs, so that parallel steps cannot overdraw together."""

    def __init__(self, tokens: int, cost_usd: float, calls: int) -> None:
        self.tokens = tokens
        self.cost_usd = cost_usd
        self.calls = calls
        self.spent = Usage()
        self.spent_usd = 0.0
        self.unpriced = 0
        """Calls whose price nobody knows: dollars cannot be kept for them, tokens are."""
        self.made = 0
        self._held_tokens = 0
        self._held_usd = 0.0
        self._in_flight = 0
        self._settled = asyncio.Condition()

    async def hold(self, prompt: int, wanted: int, price: Price | None) -> Hold:
        """Take room for a call of `prompt` tokens that may answer `wanted`; waits for calls in flight when they hold it.

        Raises:
            BudgetExceeded: there is not enough room left, whatever the calls in flight give back.
        """
        async with self._settled:
            while True:
                self._check_calls()
                output = min(wanted, self._room(prompt, price))
                if output >= min(LEAST_OUTPUT, wanted):
                    break
                if not self._in_flight:
                    raise self._exceeded(prompt)
                await self._settled.wait()
            cost = price.of(Usage(input_tokens=prompt, output_tokens=output)) if price else 0.0
            self._held_tokens += prompt + output
            self._held_usd += cost
            self._in_flight += 1
            self.made += 1
            return Hold(prompt + output, cost, output)

    async def settle(self, hold: Hold, usage: Usage, cost: float | None, *, answered: bool) -> None:
        """Give back the room and write down what was really used."""
        self._held_tokens -= hold.tokens
        self._held_usd -= hold.cost
        self._in_flight -= 1
        self.spent += usage
        self.spent_usd += cost or 0.0
        self.unpriced += answered and cost is None
        async with self._settled:
            self._settled.notify_all()

    def resume(self, usage: Usage, cost: float, calls: int) -> None:
        """Count what an earlier process spent on the same run."""
        self.spent += usage
        self.spent_usd += cost
        self.made += calls

    def _check_calls(self) -> None:
        if self.made >= self.calls:
            raise BudgetExceeded(f"The budget of {self.calls} calls is used up.", "Raise --max-calls.")

    def _room(self, prompt: int, price: Price | None) -> int:
        """Tell how many tokens an answer may have."""
        room = self.tokens - self.spent.total - self._held_tokens - prompt
        if price is None:
            return room
        dollars = self.cost_usd - self.spent_usd - self._held_usd - prompt * price.input / 1_000_000
        if dollars < 0:
            return -1
        return min(room, int(dollars * 1_000_000 / price.output)) if price.output else room

    def _exceeded(self, prompt: int) -> BudgetExceeded:
        if self.tokens - self.spent.total - prompt < LEAST_OUTPUT:
            return BudgetExceeded(
                f"The budget of {self.tokens} tokens does not allow the next call: {self.spent.total} are spent,"
                f" its prompt needs {prompt}.",
                "Raise --max-tokens.",
            )
        return BudgetExceeded(
            f"The budget of ${self.cost_usd:g} does not allow the next call: ${self.spent_usd:.4f} are spent.",
            "Raise --max-cost-usd or choose a cheaper model.",
        )
