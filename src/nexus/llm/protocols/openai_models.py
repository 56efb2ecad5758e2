"""What families of OpenAI's models refuse, told by the model's name.

For requests of other protocols only: one in OpenAI's own words is left to OpenAI's judgement. Names of other servers, and of
models yet to come, match nothing and have nothing dropped.

https://platform.openai.com/docs/guides/latest-model
"""

import re
from typing import Literal

import msgspec

from nexus.llm.canonical import Effort


class Family(msgspec.Struct, frozen=True):
    """What a model can be told."""

    efforts: tuple[Effort, ...] = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
    """Weakest first; empty where it does not think."""
    samples: Literal["always", "unthinking", "never"] = "always"
    """Whether temperature, top_p, penalties and logprobs may be set."""
    stops: bool = True


_DATE = r"(-\d{4}-\d\d-\d\d)?$"
_FAMILIES: tuple[tuple[re.Pattern[str], Family], ...] = tuple(
    (re.compile(pattern), family)
    for pattern, family in (
        (r"(o3|o4-mini)" + _DATE, Family(("low", "medium", "high"), "never", stops=False)),
        (r"o[134](-|$)", Family(("low", "medium", "high"), "never")),
        (r"gpt-5(\.\d+)?-(chat|search)", Family(())),
        (r"gpt-5(-mini|-nano)?" + _DATE, Family(("minimal", "low", "medium", "high"), "never")),
        (r"gpt-5-pro", Family(("high",), "never")),
        (r"gpt-5\.1(-\d|$)", Family(("none", "low", "medium", "high"), "unthinking")),
        (r"gpt-5\.\d+(-\d|$)", Family(("none", "low", "medium", "high", "xhigh"), "unthinking")),
        (r"(gpt-4|gpt-3\.5|chatgpt-)", Family(())),
    )
)
_ANY = Family()


def family_of(model: str) -> Family:
    """Find what a model can be told."""
    return next((family for pattern, family in _FAMILIES if pattern.match(model)), _ANY)
