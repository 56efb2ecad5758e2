"""What the generations of Claude can be told. One without a number counts as new, a model of another name as an old one.

https://platform.claude.com/docs/en/about-claude/models/overview
"""

import re
from typing import Literal

_NAME = re.compile(r"claude-(?:(?:opus|sonnet|haiku|[a-z]+)-)?(\d)(?:[-.](\d{1,2})(?!\d))?")
_NEWEST = (99, 0)
_OTHER = (4, 0)
"""Servers that only speak the protocol know what it has had for long."""


def generation(model: str) -> tuple[int, int]:
    """Read the version out of a name such as `claude-opus-4-6` or `claude-3-5-sonnet-20241022`."""
    found = _NAME.search(model)
    if found is not None:
        return int(found[1]), int(found[2] or 0)
    return _NEWEST if "claude" in model else _OTHER


def longest(model: str) -> int:
    """Give the tokens an answer of an agent that sets no limit may have."""
    if "claude" not in model or generation(model) < (3, 5):
        return 4096
    return 8192 if generation(model) < (3, 7) else 32000


def thinks(model: str) -> bool:
    """Tell whether it can be asked to think at all."""
    return generation(model) >= (3, 7)


def adapts(model: str) -> bool:
    """Tell whether it decides itself how much to think, by an effort instead of a budget."""
    return generation(model) >= (4, 6)


def rests_by(model: str) -> Literal["silence", "disabled", "between_tools"] | None:
    """Tell how it is told not to think: those from Claude 5 on do so by themselves. None for what thinks always.

    https://platform.claude.com/docs/en/build-with-claude/thinking#configuring-thinking
    """
    version = generation(model)
    if (4, 6) <= version < (5, 0):
        return "silence"
    if version < (5, 0) or (version < (5, 5) and not _is_mythical(model)) or "haiku" in model:
        return "disabled"
    return "between_tools" if "sonnet" in model else None


def thinks_unasked(model: str) -> bool:
    """Tell whether it thinks where nothing is said of it; its thoughts take from the tokens of the answer.

    https://platform.claude.com/docs/en/models/sonnet-5-5/migration-guide#thinking-runs-by-default
    """
    return "claude" in model and generation(model) >= (5, 0)


def hides_thoughts(model: str) -> bool:
    """Tell whether its thoughts come without their text unless they are asked for.

    https://platform.claude.com/docs/en/build-with-claude/thinking#controlling-thinking-display
    """
    return "claude" in model and generation(model) >= (4, 7)


def takes_sampling(model: str) -> bool:
    """Tell whether temperature, top_p and top_k may be set; newer ones refuse them."""
    return generation(model) < (4, 7)


def writes_schemas(model: str) -> bool:
    """Tell whether the answer can be bound to a schema.

    https://platform.claude.com/docs/en/build-with-claude/structured-outputs
    """
    return generation(model) >= (4, 5)


def forces_calls(model: str) -> bool:
    """Tell whether it can be made to call a tool; the newest of all families but Haiku refuse to be.

    https://platform.claude.com/docs/en/models/opus-5-5/whats-new-opus-5-5#forced-tool-use-is-not-supported
    """
    if "haiku" in model:
        return True
    return generation(model) < ((5, 1) if _is_mythical(model) else (5, 5))


def heeds_late_instructions(model: str) -> bool:
    """Tell whether it takes instructions within a conversation.

    https://platform.claude.com/docs/en/build-with-claude/mid-conversation-system-messages
    """
    return generation(model) >= ((5, 0) if _is_mythical(model) else (4, 8)) and (
        "opus" in model or _is_mythical(model)
    )


def goes_on(model: str) -> bool:
    """Tell whether it goes on with an answer that was begun for it."""
    return generation(model) < (4, 6)


def most(model: str) -> int | None:
    """Give the tokens an answer can have at most; None where that is not known.

    https://platform.claude.com/docs/en/about-claude/models/overview
    """
    version = generation(model)
    if "claude" not in model:
        return None
    if version < (3, 7):
        return 4096 if version < (3, 5) else 8192
    if version >= (4, 6):
        return 128000
    return 32000 if "opus" in model and version < (4, 5) else 64000


def _is_mythical(model: str) -> bool:
    return "fable" in model or "mythos" in model
