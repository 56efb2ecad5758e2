"""What families of OpenAI's models refuse, told by the model's name.

For requests of other protocols only: one in OpenAI's own words is left to OpenAI's judgement. Names of other servers, and of
models yet to come, match nothing and have nothing dropped.

https://developers.openai.com/api/docs/guides/latest-model
"""

import re
from typing import Literal

import msgspec

from nexus.llm.canonical import Effort


class Family(msgspec.Struct, frozen=True):
    """What a model can be told."""

    efforts: tuple[Effort, ...] = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
    """Weakest first; empty where it does not think."""
    samples: Literal["always", "unthinking", "told", "never"] = "always"
    """Whether temperature, top_p, penalties and logprobs may be set: `unthinking` for a model that thinks only where it is
    told to, `told` for one that does unless it is told not to."""
    stops: bool = True
    most: int | None = None
    """Tokens an answer can have at most; None where that is not known. More are refused."""

    def takes_sampling(self, effort: str | None) -> bool:
        """Tell whether it may be told how to sample where it is told this effort, or none."""
        match self.samples:
            case "always":
                return True
            case "unthinking":
                return effort in (None, "none")
            case "told":
                return effort == "none"
            case "never":
                return False


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
        (r"gpt-(6-astra|6\.1-sol)", Family(("low", "medium", "high", "xhigh", "max"), "never")),
        (r"gpt-(5\.[6-9]|6(\.\d+)?)(-|$)", Family(("none", "low", "medium", "high", "xhigh", "max"), "told")),
        (r"gpt-5\.5(-\d|$)", Family(("none", "low", "medium", "high", "xhigh"), "told")),
        (
            r"gpt-5\.\d+(-mini|-nano)?(-\d|$)",
            Family(("none", "low", "medium", "high", "xhigh"), "unthinking"),
        ),
        (r"gpt-4\.1(-|$)", Family((), most=32768)),
        (r"gpt-4o-2024-05-13|gpt-4-turbo|gpt-3\.5-turbo(-0125|-1106)?$", Family((), most=4096)),
        (r"(gpt-4o(-mini)?|chatgpt-4o-latest)(-\d|$)", Family((), most=16384)),
        (r"(gpt-4|gpt-3\.5|chatgpt-)", Family(())),
    )
)
_ANY = Family()


def family_of(model: str) -> Family:
    """Find what a model can be told."""
    return next((family for pattern, family in _FAMILIES if pattern.match(model)), _ANY)
