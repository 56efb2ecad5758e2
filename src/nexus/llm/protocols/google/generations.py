"""What the generations of Gemini can be told. A Gemini of unknown version counts as one of the newest.

https://ai.google.dev/gemini-api/docs/generate-content/thinking · https://ai.google.dev/gemini-api/docs/generate-content/gemini-3
"""

import re
from typing import Literal

from nexus.llm.canonical import Effort

_VERSION = re.compile(r"gemini-(\d+)(?:\.(\d+))?")
_NEWEST = (99, 0)
_OLDEST = (0, 0)
_LAST_MINIMAL_FLASH = (3, 6)


def generation(model: str) -> tuple[int, int]:
    """Read the version out of a name such as `gemini-2.5-flash`; models of other families have the lowest."""
    if found := _VERSION.search(model):
        return int(found[1]), int(found[2] or 0)
    return _NEWEST if "gemini" in model else _OLDEST


def thinks_by(model: str) -> Literal["level", "budget"] | None:
    """Tell in what it is said how much to think; None for models that refuse to be told."""
    version = generation(model)
    if version < (2, 5) or "-image" in model or "-tts" in model:
        return None
    return "level" if version >= (3, 0) else "budget"


def levels(model: str) -> tuple[Effort, ...]:
    """List the levels of thought a model knows, weakest first."""
    version = generation(model)
    if "flash" in model and ("lite" in model or version <= _LAST_MINIMAL_FLASH):
        return "minimal", "low", "medium", "high"
    return ("low", "high") if version == (3, 0) else ("low", "medium", "high")


def budgets(model: str) -> tuple[int, int]:
    """Give the least and the most tokens a model takes as its budget of thought; a least of 0 can be turned off."""
    if "pro" in model:
        return 128, 32768
    return (512 if "lite" in model else 0), 24576


def can_stop_thinking(model: str) -> bool:
    """Tell whether a model with a budget of thought can go without."""
    return "pro" not in model


def checks_signatures(model: str) -> bool:
    """Tell whether it refuses calls that came back without the signature it had put on them.

    https://ai.google.dev/gemini-api/docs/thought-signatures
    """
    return generation(model) >= (3, 0)


def nests_media(model: str) -> bool:
    """Tell whether the result of a function can hold media.

    https://ai.google.dev/gemini-api/docs/function-calling#multimodal
    """
    return generation(model) >= (3, 0)


def forms_beside_tools(model: str) -> bool:
    """Tell whether the form of an answer can be set where there are tools.

    https://ai.google.dev/gemini-api/docs/structured-output
    """
    return generation(model) >= (3, 0)
