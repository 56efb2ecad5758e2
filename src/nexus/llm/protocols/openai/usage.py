"""Counts of tokens. OpenAI counts cached tokens among the prompt's, the canonical usage counts each token once."""

from nexus.llm.canonical import Json, Usage
from nexus.llm.protocols.openai import loose

_KNOWN = frozenset(
    (
        "prompt_tokens",
        "completion_tokens",
        "total_tokens",
        "prompt_tokens_details",
        "completion_tokens_details",
        "prompt_cache_hit_tokens",
        "prompt_cache_miss_tokens",
        "cached_tokens",
        "num_cached_tokens",
    )
)


def read_usage(value: Json) -> Usage | None:
    """Read the counts of an answer; None where there are none."""
    raw = loose.fields(value)
    if not raw:
        return None
    details = loose.fields(raw.get("prompt_tokens_details"))
    prompt = loose.count(raw.get("prompt_tokens"))
    # OpenRouter counts tokens of Gemini's cache as read and as written: no token may be counted twice
    read = min(_cached(raw, details), prompt)
    written = min(loose.count(details.get("cache_write_tokens")), prompt - read)
    reasoning = loose.count(loose.fields(raw.get("completion_tokens_details")).get("reasoning_tokens"))
    output = loose.count(raw.get("completion_tokens"))
    if reasoning and loose.count(raw.get("total_tokens")) == prompt + output + reasoning:
        output += reasoning  # xAI counts thoughts beside the completion, not in it
    return Usage(
        input=prompt - read - written,
        output=output,
        cache_read=read,
        cache_write=written,
        reasoning=min(reasoning, output),
        extras={name: value for name, value in raw.items() if name not in _KNOWN and value is not None},
    )


def _cached(raw: dict[str, Json], details: dict[str, Json]) -> int:
    """Find the tokens read from a cache: OpenAI's place, DeepSeek's, Moonshot's, Mistral's."""
    places = (
        details.get("cached_tokens"),
        raw.get("prompt_cache_hit_tokens"),
        raw.get("cached_tokens"),
        raw.get("num_cached_tokens"),
    )
    return next((number for place in places if (number := loose.count(place))), 0)


def write_usage(usage: Usage, *, own: bool) -> dict[str, Json]:
    """Write the counts of an answer; extras only where they are this protocol's `own`."""
    written: dict[str, Json] = {
        "prompt_tokens": usage.prompt,
        "completion_tokens": usage.output,
        "total_tokens": usage.prompt + usage.output,
    }
    details: dict[str, Json] = {}
    if usage.cache_read:
        details["cached_tokens"] = usage.cache_read
    if usage.cache_write or usage.cache_write_1h:
        details["cache_write_tokens"] = usage.cache_write + usage.cache_write_1h
    if details:
        written["prompt_tokens_details"] = details
    if usage.reasoning:
        written["completion_tokens_details"] = {"reasoning_tokens": usage.reasoning}
    return {**usage.extras, **written} if own else written
