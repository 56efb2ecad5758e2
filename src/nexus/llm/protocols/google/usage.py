"""Token counts.

https://ai.google.dev/api/generate-content#UsageMetadata
"""

import msgspec

from nexus.llm.canonical import Usage
from nexus.llm.protocols.node import object_of

_decode = msgspec.json.Decoder().decode
_COUNTS = (
    "promptTokenCount",
    "cachedContentTokenCount",
    "toolUsePromptTokenCount",
    "candidatesTokenCount",
    "thoughtsTokenCount",
)
_TAKEN = frozenset((*_COUNTS, "totalTokenCount", "serviceTier"))
_TIERS = {"standard": "default"}


def read_usage(raw: msgspec.Raw) -> tuple[Usage | None, str | None]:
    """Read the counts, and the tier they were served on.

    What tools of Google's own fetched was read by the model, and thoughts were written by it.
    """
    found = object_of(_decode(raw)) if raw else None
    if found is None:
        return None, None
    numbers = [value if type(value := found.get(name)) is int else 0 for name in _COUNTS]
    prompt, cached, fetched, written, thoughts = numbers
    usage = Usage(
        input=max(0, prompt + fetched - cached),
        output=written + thoughts,
        cache_read=cached,
        reasoning=thoughts,
        extras={name: value for name, value in found.items() if name not in _TAKEN},
    )
    tier = found.get("serviceTier")
    return usage, _TIERS.get(tier, tier) if isinstance(tier, str) else None
