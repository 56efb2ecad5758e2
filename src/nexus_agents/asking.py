"""Asks a model for an object of a given shape, and once more with what was wrong when it gives none."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import msgspec

from nexus_agents import answers
from nexus_agents.adapters.base import Message, Prompt
from nexus_agents.calls import Answer, Calls
from nexus_agents.errors import AdapterError, Kind
from nexus_agents.offers import Offer

T = TypeVar("T")
_QUOTED = 4_000
"""Characters of a wrong answer that are shown back to the model."""


def prompt(
    system: str,
    text: str,
    *,
    schema: dict[str, Any] | None = None,
    output: int | None = None,
    temperature: float | None = None,
    timeout: float = 300.0,
) -> Prompt:
    """Make a prompt of one system text and one question."""
    messages = (Message(role="system", text=system), Message(role="user", text=text))
    return Prompt(
        messages=messages, schema=schema, max_output_tokens=output, temperature=temperature, timeout=timeout
    )


async def ask(
    calls: Calls,
    step: str,
    kind: str,
    asked: Prompt,
    offers: Sequence[Offer],
    type_: type[T],
    what: str,
    *,
    check: Callable[[T], T] = lambda found: found,
    why: str = "",
    category: str = "general",
) -> tuple[T, Answer]:
    """Ask for an answer of the type that passes `check`, which raises ValueError with what is wrong.

    Raises:
        AdapterError: of kind GARBAGE when both answers were wrong; or what the calls raise.
    """
    answer = await calls.complete(step, kind, asked, offers, why=why, category=category)
    try:
        return _checked(answer, type_, what, check), answer
    except AdapterError as error:
        asked = _corrected(asked, answer.completion.text, error.message, what)
    answer = await calls.complete(step, kind, asked, offers, why=why, category=category)
    return _checked(answer, type_, what, check), answer


def _checked(answer: Answer, type_: type[T], what: str, check: Callable[[T], T]) -> T:
    found = answers.read(answer.completion.text, type_, what)
    try:
        return check(found)
    except ValueError as error:
        raise AdapterError(Kind.GARBAGE, f"The model did not answer with {what}: {error}.") from error


def _corrected(asked: Prompt, said: str, wrong: str, what: str) -> Prompt:
    request = f"{wrong} Answer again with {what} as one JSON object and nothing else."
    answer = Message(role="assistant", text=said[:_QUOTED] or "(nothing)")
    messages = (*asked.messages, answer, Message(role="user", text=request))
    return msgspec.structs.replace(asked, messages=messages)
