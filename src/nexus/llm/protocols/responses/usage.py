"""Token counts of the Responses protocol. `input_tokens` includes what came from a cache or went into one.

https://platform.openai.com/docs/api-reference/responses/object#responses/object-usage
"""

import msgspec

from nexus.llm.canonical import Json, Usage


class _Input(msgspec.Struct):
    cached_tokens: int | None = None
    cache_write_tokens: int | None = None


class _Output(msgspec.Struct):
    reasoning_tokens: int | None = None


class Tokens(msgspec.Struct):
    """What a provider counts."""

    input_tokens: int = 0
    output_tokens: int = 0
    input_tokens_details: _Input | None = None
    output_tokens_details: _Output | None = None


def read_usage(tokens: Tokens | None) -> Usage | None:
    """Read counts."""
    if tokens is None:
        return None
    details = tokens.input_tokens_details or _Input()
    read, written = details.cached_tokens or 0, details.cache_write_tokens or 0
    thought = tokens.output_tokens_details or _Output()
    return Usage(
        input=max(0, tokens.input_tokens - read - written),
        output=tokens.output_tokens,
        cache_read=read,
        cache_write=written,
        reasoning=thought.reasoning_tokens or 0,
    )


def write_usage(usage: Usage | None) -> Json:
    """Write counts; null where none are known."""
    if usage is None:
        return None
    return {
        "input_tokens": usage.prompt,
        "input_tokens_details": {
            "cached_tokens": usage.cache_read,
            "cache_write_tokens": usage.cache_write + usage.cache_write_1h,
        },
        "output_tokens": usage.output,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning},
        "total_tokens": usage.prompt + usage.output,
    }
