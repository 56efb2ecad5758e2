"""A run never spends more than it may, however its calls overlap."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nexus_agents.adapters.base import Message, Usage
from nexus_agents.budget import Budget, Price, count, size
from nexus_agents.errors import BudgetExceeded


@given(
    st.integers(100, 5_000),
    st.lists(
        st.tuples(st.integers(1, 800), st.integers(64, 2_000), st.floats(0, 1)), min_size=1, max_size=12
    ),
)
def test_calls_at_once_never_overdraw_the_tokens(tokens: int, calls: list[tuple[int, int, float]]):
    budget = Budget(tokens, 1e9, 100)

    async def call(prompt: int, wanted: int, share: float) -> None:
        try:
            hold = await budget.hold(prompt, wanted, None)
        except BudgetExceeded:
            return
        assert hold.output <= wanted
        await asyncio.sleep(0)
        used = Usage(input_tokens=prompt, output_tokens=int(hold.output * share))
        await budget.settle(hold, used, None, answered=True)

    async def all_at_once() -> None:
        async with asyncio.timeout(5):
            await asyncio.gather(*(call(*one) for one in calls))

    asyncio.run(all_at_once())
    assert budget.spent.total <= tokens


@given(
    st.floats(0.001, 1),
    st.lists(st.tuples(st.integers(1, 5_000), st.integers(64, 5_000)), min_size=1, max_size=8),
)
def test_calls_one_after_the_other_never_overdraw_the_dollars(dollars: float, calls: list[tuple[int, int]]):
    budget, price = Budget(10**9, dollars, 100), Price(3.0, 15.0)

    async def spend() -> None:
        for prompt, wanted in calls:
            try:
                hold = await budget.hold(prompt, wanted, price)
            except BudgetExceeded:
                continue
            used = Usage(input_tokens=prompt, output_tokens=hold.output)
            await budget.settle(hold, used, price.of(used), answered=True)

    asyncio.run(spend())
    assert budget.spent_usd <= dollars + 1e-9


async def test_a_call_waits_for_the_room_another_gives_back():
    budget = Budget(1_000, 1.0, 10)
    first = await budget.hold(100, 900, None)
    second = asyncio.create_task(budget.hold(100, 500, None))
    await asyncio.sleep(0)
    assert not second.done()
    await budget.settle(first, Usage(input_tokens=100, output_tokens=10), 0.0, answered=True)
    assert (await second).output == 500


async def test_the_answer_is_cut_to_the_room_left():
    budget = Budget(1_000, 1.0, 10)
    assert (await budget.hold(700, 4_000, None)).output == 300


async def test_what_can_never_fit_is_refused_at_once():
    with pytest.raises(BudgetExceeded, match="tokens"):
        await Budget(100, 1.0, 10).hold(90, 500, None)
    with pytest.raises(BudgetExceeded, match=r"\$"):
        await Budget(10**6, 0.0001, 10).hold(10_000, 500, Price(3.0, 15.0))


async def test_calls_are_counted():
    budget = Budget(10_000, 1.0, 1)
    hold = await budget.hold(10, 100, None)
    await budget.settle(hold, Usage(), 0.0, answered=True)
    with pytest.raises(BudgetExceeded, match="1 calls"):
        await budget.hold(10, 100, None)


async def test_a_free_model_needs_no_dollars():
    assert (await Budget(10_000, 0.0, 1).hold(10, 100, Price(0.0, 0.0))).output == 100


@given(st.text(max_size=200), st.text(max_size=200))
def test_longer_texts_count_for_more(one: str, other: str):
    assert count(one) <= count(one + other) <= count(one) + count(other)
    assert size((Message(role="user", text=one),)) > count(one)
