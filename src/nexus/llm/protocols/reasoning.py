"""Efforts and budgets of thought, each told in terms of the other."""

from nexus.llm.canonical import Effort

_BUDGETS: tuple[tuple[Effort, int], ...] = (
    ("minimal", 1024),
    ("low", 2048),
    ("medium", 8192),
    ("high", 16384),
    ("xhigh", 32768),
    ("max", 65536),
)


def budget_of(effort: Effort) -> int:
    """Tell the tokens an effort stands for; 0 for none."""
    return dict(_BUDGETS).get(effort, 0)


def effort_of(budget: int) -> Effort:
    """Tell the smallest effort whose tokens cover a budget."""
    if budget <= 0:
        return "none"
    for effort, tokens in _BUDGETS:
        if budget <= tokens:
            return effort
    return "max"


def nearest(effort: Effort, known: tuple[Effort, ...]) -> Effort:
    """Choose, of the efforts a target knows (weakest first), the one that comes closest, more rather than less."""
    order: tuple[Effort, ...] = ("none", *(one for one, _ in _BUDGETS))
    wanted = order.index(effort)
    return min(known, key=lambda one: (order.index(one) < wanted, abs(order.index(one) - wanted)))
