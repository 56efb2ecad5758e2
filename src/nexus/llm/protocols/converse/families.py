"""What the families of models behind Bedrock can be told. All questions but the first are about a base model.

Bedrock refuses what a model does not know with a 400, so what is not known to work is not sent.
https://docs.aws.amazon.com/bedrock/latest/userguide/conversation-inference-supported-models-features.html
"""

import re
from typing import Literal

from nexus.llm.canonical import Effort

_AREAS = frozenset(("apac", "us-gov", "global"))
"""Of inference profiles; all others, such as `eu` and `jp`, have two letters, which no vendor has."""
_CLAUDE = re.compile(r"anthropic\.claude-(?:[a-z]+-)*v?(\d)(?:[-.](\d{1,2})(?!\d))?")
_NEWEST = (99, 0)
_TOOL = ("anthropic.", "amazon.nova", "cohere.", "meta.", "deepseek.", "ai21.jamba")
"""Families that can be made to call one tool; the same but Cohere can be made to call any."""
_SCHEMAS = (
    "deepseek.v3",
    "google.gemma-3-12b",
    "google.gemma-3-27b",
    "minimax.",
    "mistral.magistral-small",
    "mistral.ministral-3",
    "mistral.mistral-large-3",
    "mistral.voxtral",
    "moonshot",
    "nvidia.nemotron-nano",
    "openai.gpt-oss",
    "qwen.qwen3",
    "zai.",
)
"""https://docs.aws.amazon.com/bedrock/latest/userguide/structured-output.html"""


def base_model(model: str) -> str:
    """Give the vendor's model that an id, an inference profile or an ARN stands for, as far as the name tells."""
    name = model.rpartition("/")[2] if model.startswith("arn:") else model
    area, dot, rest = name.partition(".")
    return rest if dot and (len(area) == 2 or area in _AREAS) else name


def is_claude(base: str) -> bool:
    """Tell the models of Anthropic."""
    return base.startswith("anthropic.")


def is_nova(base: str) -> bool:
    """Tell the Nova models of Amazon."""
    return base.startswith("amazon.nova")


def generation(base: str) -> tuple[int, int]:
    """Read the version of a Claude model; one whose name has none counts as one of the newest."""
    found = _CLAUDE.match(base)
    return (int(found[1]), int(found[2] or 0)) if found else _NEWEST


def forces_one(base: str) -> bool:
    """Tell whether the model can be made to call a certain tool; the newest Claude models but Haiku refuse to be.

    https://platform.claude.com/docs/en/models/opus-5-5/whats-new-opus-5-5#forced-tool-use-is-not-supported
    """
    if is_claude(base) and "haiku" not in base:
        return generation(base) < ((5, 1) if "fable" in base or "mythos" in base else (5, 5))
    return base.startswith(_TOOL)


def forces_any(base: str) -> bool:
    """Tell whether the model can be made to call some tool."""
    return forces_one(base) and not base.startswith("cohere.")


def caches(base: str) -> bool:
    """Tell whether prompts can be marked for caching.

    https://docs.aws.amazon.com/bedrock/latest/userguide/prompt-caching.html
    """
    return is_nova(base) or (is_claude(base) and generation(base) >= (3, 5))


def caches_an_hour(base: str) -> bool:
    """Tell whether a cache can last longer than five minutes."""
    return is_claude(base) and generation(base) >= (4, 5)


def marks_errors(base: str) -> bool:
    """Tell whether the result of a tool can be marked as an error."""
    return is_nova(base) or is_claude(base)


def writes_schemas(base: str) -> bool:
    """Tell whether the answer, and calls, can be bound to a schema."""
    return base.startswith(_SCHEMAS) or (is_claude(base) and (4, 5) <= generation(base) < (4, 7))


def goes_on(base: str) -> bool:
    """Tell whether it goes on with an answer that was begun for it, as far as it is known; the newer Claude models refuse.

    https://platform.claude.com/docs/en/about-claude/models/migration-guide
    """
    return not is_claude(base) or generation(base) < (4, 6)


def most(base: str) -> int | None:
    """Give the tokens an answer can have at most, more of which are refused; None where that is not known.

    https://docs.aws.amazon.com/nova/latest/userguide/what-is-nova.html
    """
    if base.startswith(("amazon.nova-micro", "amazon.nova-lite", "amazon.nova-pro")):
        return 10000
    if base.startswith("amazon.nova-premier"):
        return 32000
    if not is_claude(base) or generation(base) >= (4, 6):
        return 128000 if is_claude(base) else None
    if generation(base) < (3, 7):
        return 4096 if generation(base) < (3, 5) else 8192
    return 32000 if "opus" in base and generation(base) < (4, 5) else 64000


def takes_sampling(base: str) -> bool:
    """Tell whether temperature and its like may be set; newer Claude models refuse them."""
    return not is_claude(base) or generation(base) < (4, 7)


def thinks_by_budget(base: str) -> bool:
    """Tell the Claude models that are told how many tokens to think with."""
    return is_claude(base) and (3, 7) <= generation(base) < (4, 7)


def thinks_by_effort(base: str) -> bool:
    """Tell the Claude models that decide themselves how much to think, guided by an effort."""
    return is_claude(base) and generation(base) >= (4, 6)


def rests_by(base: str) -> Literal["silence", "disabled", "between_tools"] | None:
    """Tell how a Claude model is told not to think: those from Claude 5 on do so by themselves. None for what thinks always.

    https://platform.claude.com/docs/en/build-with-claude/thinking#configuring-thinking
    """
    version = generation(base)
    if version < (5, 0):
        return "silence"
    if "haiku" in base or (version < (5, 5) and "fable" not in base and "mythos" not in base):
        return "disabled"
    return "between_tools" if "sonnet" in base else None


def efforts(base: str) -> tuple[Effort, ...]:
    """List the efforts a model knows, weakest first; none for models that cannot be told."""
    if is_claude(base):
        return (
            ("low", "medium", "high", "xhigh", "max")
            if generation(base) >= (4, 7)
            else ("low", "medium", "high", "max")
        )
    if base.startswith(("amazon.nova-2", "openai.gpt-oss")):
        return ("low", "medium", "high")
    return ("low", "high") if base.startswith("qwen.qwen3") else ()
