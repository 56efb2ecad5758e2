"""Token counts of the Anthropic protocol. `input_tokens` leaves out what came from a cache or went into one.

https://platform.claude.com/docs/en/build-with-claude/prompt-caching
"""

from collections.abc import Mapping

from nexus.llm.canonical import Json, Usage
from nexus.llm.protocols.node import object_of

_KNOWN = frozenset(
    (
        "input_tokens",
        "output_tokens",
        "cache_read_input_tokens",
        "cache_creation_input_tokens",
        "cache_creation",
    )
)


def read_usage(raw: Mapping[str, Json], before: Usage | None = None) -> Usage:
    """Read counts; those that are absent are as they were `before`, since later ones replace earlier ones."""
    old = before or Usage()
    written = raw.get("cache_creation_input_tokens")
    creation = object_of(raw.get("cache_creation"))
    hour = old.cache_write_1h if creation is None else _number(creation.get("ephemeral_1h_input_tokens"), 0)
    total = _number(written, old.cache_write + old.cache_write_1h)
    details = object_of(raw.get("output_tokens_details")) or {}
    return Usage(
        input=_number(raw.get("input_tokens"), old.input),
        output=_number(raw.get("output_tokens"), old.output),
        cache_read=_number(raw.get("cache_read_input_tokens"), old.cache_read),
        cache_write=max(0, total - hour),
        cache_write_1h=hour,
        reasoning=_number(details.get("thinking_tokens"), old.reasoning),
        extras={**old.extras, **{name: raw[name] for name in raw if name not in _KNOWN}},
    )


def write_usage(usage: Usage | None, *, own: bool) -> dict[str, Json]:
    """Write counts, with what only this protocol knows if they came from it."""
    usage = usage or Usage()
    written: dict[str, Json] = {
        "input_tokens": usage.input,
        "cache_creation_input_tokens": usage.cache_write + usage.cache_write_1h,
        "cache_read_input_tokens": usage.cache_read,
        "output_tokens": usage.output,
    }
    if own or usage.cache_write or usage.cache_write_1h:
        written["cache_creation"] = {
            "ephemeral_5m_input_tokens": usage.cache_write,
            "ephemeral_1h_input_tokens": usage.cache_write_1h,
        }
    if usage.reasoning:
        written["output_tokens_details"] = {"thinking_tokens": usage.reasoning}
    return {**written, **usage.extras} if own else written


def _number(value: Json, default: int) -> int:
    return value if isinstance(value, int) else default
