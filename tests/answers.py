"""What becomes of every trait of an answer on its way from each provider protocol to each client protocol.

Nothing in it is said by hand. A trait is a mark in the golden answer of a provider; what a client gets of that answer has to
hold it, in the same or in the client's own words, or it has to be listed. Neither would be a loss in silence, and is an error.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from golden import write


@dataclass(frozen=True)
class Trait:
    """Something an answer may have."""

    name: str
    case: str
    """The golden answer that has it."""
    says: str | Mapping[str, str]
    """The mark of it in the provider's answer: the same in all, or in each its own."""
    reads: Mapping[str, tuple[str, object]] | None = None
    """Where a client finds it, and what; where there is no such place for it, the mark itself."""
    clients: tuple[str, ...] = tuple(write.INBOUNDS)
    """Those that can ask for it."""
    lost: str = "^$"
    """What the reason says where it is listed."""


def _ended(chat: str, responses: tuple[str, str], messages: str) -> Mapping[str, tuple[str, object]]:
    return {
        "openai": ("choices.0.finish_reason", chat),
        "responses": responses,
        "anthropic": ("stop_reason", messages),
    }


def _counted(chat: str, responses: str, messages: str, tokens: int) -> Mapping[str, tuple[str, object]]:
    paths = {"openai": chat, "responses": responses, "anthropic": messages}
    return {inbound: (f"usage.{path}", tokens) for inbound, path in paths.items()}


_INCOMPLETE = "incomplete_details.reason"
_CACHED = '"cached_tokens": 100'
TRAITS = (
    Trait("text", "tools", "I will look."),
    Trait("thoughts", "tools", "then the time."),
    Trait(
        "proof of a thought or a call, for its vendor",
        "tools",
        {
            "responses": "ZW5jcnlwdGVk",
            "anthropic": "c2lnbmVk",
            "google": "Zy1zaWc=",
            "converse": "c2lnbmVk",
        },
    ),
    Trait("encrypted thought, for its vendor", "tools", "cmVkYWN0ZWQ="),
    Trait("parallel calls", "tools", "Zürich"),
    Trait("refusal in words", "refusal", "I cannot"),
    Trait("source with an address", "citations", "https://example.com/bern"),
    Trait(
        "source in a document",
        "citations",
        {"responses": "a.pdf", "anthropic": "Notes", "converse": "Notes"},
        lost="a source",
    ),
    Trait(
        "search the vendor ran",
        "citations",
        {"responses": "ws_1", "anthropic": "srvtoolu_1"},
        lost="no (words|place) for",
    ),
    Trait("probabilities", "probabilities", "-2.5", clients=("openai", "responses")),
    Trait(
        "end: calls to answer",
        "tools",
        "weather",
        _ended("tool_calls", ("output.2.type", "function_call"), "tool_use"),
        ("openai", "anthropic"),
    ),
    Trait(
        "end: the limit of tokens",
        "length",
        {
            "openai": '"length"',
            "responses": "max_output_tokens",
            "anthropic": "max_tokens",
            "google": "MAX_TOKENS",
            "converse": "max_tokens",
        },
        _ended("length", (_INCOMPLETE, "max_output_tokens"), "max_tokens"),
    ),
    Trait(
        "end: a filter or a refusal",
        "refusal",
        {"anthropic": '"refusal"', "google": "SAFETY", "converse": "guardrail_intervened"},
        _ended("content_filter", (_INCOMPLETE, "content_filter"), "refusal"),
    ),
    Trait("end: which stop sequence", "sequence", "END", clients=("anthropic",)),
    Trait(
        "tokens from a cache",
        "tools",
        {
            "openai": _CACHED,
            "responses": _CACHED,
            "anthropic": '"cache_read_input_tokens": 100',
            "google": '"cachedContentTokenCount": 100',
            "converse": '"cacheReadInputTokens": 100',
        },
        _counted(
            "prompt_tokens_details.cached_tokens",
            "input_tokens_details.cached_tokens",
            "cache_read_input_tokens",
            100,
        ),
    ),
    Trait(
        "tokens into a cache",
        "tools",
        {"anthropic": '"cache_creation_input_tokens": 12', "converse": '"cacheWriteInputTokens": 12'},
        _counted(
            "prompt_tokens_details.cache_write_tokens",
            "input_tokens_details.cache_write_tokens",
            "cache_creation_input_tokens",
            12,
        ),
    ),
    Trait(
        "tokens of thoughts",
        "tools",
        {
            "openai": '"reasoning_tokens": 20',
            "responses": '"reasoning_tokens": 20',
            "google": '"thoughtsTokenCount": 20',
        },
        _counted(
            "completion_tokens_details.reasoning_tokens",
            "output_tokens_details.reasoning_tokens",
            "output_tokens_details.thinking_tokens",
            20,
        ),
    ),
)


_ABOUT = (
    "## Answers",
    "",
    "What becomes of what a provider says, taken from the answers in tests/golden/answers; whole or as a stream is the same.",
    "",
    "- **listed**: the client's protocol has no place for it; `x-nexus-dropped` names it, unless the answer is a stream,",
    "  whose header is gone by then.",
    "- An empty field: the provider does not say such a thing, or the client cannot ask for it.",
    "",
    "Proofs are what a vendor wants back with the next request. Clients get those of other vendors sealed, and what they give",
    "back goes to the vendor it came from, and to no other.",
)
_WORDS = {"exact": "✓ exact", "translated": "✓", "listed": "listed", "": ""}


class LostInSilence(AssertionError):
    """A trait did not arrive and was not told of."""


def fate(inbound: str, wire: str, trait: Trait) -> str:
    """Tell what becomes of a trait: exact, translated, listed, or nothing where one side has no such thing."""
    source = write.ANSWERS / f"{trait.case}.{wire}.json"
    mark = trait.says if isinstance(trait.says, str) else trait.says.get(wire)
    if mark is None or inbound not in trait.clients or not source.exists() or mark not in source.read_text():
        return ""
    if inbound == wire:
        return "exact"
    told: Any = msgspec.json.decode(write.told_whole(source, inbound))
    if trait.reads is None:
        found = mark in msgspec.json.encode(told["body"]).decode()
    else:
        path, value = trait.reads[inbound]
        found = _at(told["body"], path) == value
    if found:
        return "translated"
    if any(re.search(trait.lost, why) for why in told["lost"].values()):
        return "listed"
    raise LostInSilence(f"{trait.name}: {wire} → {inbound}")


def _at(value: Any, path: str) -> Any:
    for name in path.split("."):
        try:
            value = value[int(name)] if name.isdecimal() else value[name]
        except (KeyError, IndexError, TypeError):
            return None
    return value


def section(names: Mapping[str, str]) -> Iterator[str]:
    """Write the tables, one for the clients of each protocol; `names` are those of the protocols."""
    yield from _ABOUT
    for inbound in write.INBOUNDS:
        yield from ("", f"### To {names[inbound]} clients", "")
        yield f"| | {' | '.join(names[wire] for wire in write.WIRES)} |"
        yield f"|---|{'---|' * len(write.WIRES)}"
        for trait in TRAITS:
            fates = [fate(inbound, wire, trait) for wire in write.WIRES]
            if any(fates):
                yield f"| {trait.name} | {' | '.join(_WORDS[one] for one in fates)} |"
