"""Token counts of Bedrock. `inputTokens` leaves out what came from a cache or went into one.

https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_TokenUsage.html
"""

import msgspec

from nexus.llm.canonical import Usage


class CacheDetail(msgspec.Struct, rename="camel"):
    ttl: str = ""
    input_tokens: int = 0


class Tokens(msgspec.Struct, rename="camel"):
    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_input_tokens: int | None = None
    cache_write_input_tokens: int | None = None
    cache_details: list[CacheDetail] | None = None


def read_usage(tokens: Tokens) -> Usage:
    """Read counts."""
    written = tokens.cache_write_input_tokens or 0
    hour = sum(one.input_tokens for one in tokens.cache_details or () if one.ttl == "1h")
    return Usage(
        input=tokens.input_tokens,
        output=tokens.output_tokens,
        cache_read=tokens.cache_read_input_tokens or 0,
        cache_write=max(0, written - hour),
        cache_write_1h=hour,
    )
