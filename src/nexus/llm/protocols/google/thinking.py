"""How much to think, in the words of each generation.

https://ai.google.dev/gemini-api/docs/generate-content/thinking
"""

from nexus.llm.canonical import ChatRequest, Json, Loss, Reasoning
from nexus.llm.protocols.google import generations
from nexus.llm.protocols.reasoning import budget_of, effort_of, nearest

_DYNAMIC = -1


def write_thinking(request: ChatRequest, losses: list[Loss]) -> Json:
    """Write how much to think and whether to show it; None where there is nothing to say."""
    wanted, model = request.reasoning, request.model
    if wanted is None:
        return None
    off = wanted.mode == "off" or wanted.effort == "none"
    match generations.thinks_by(model):
        case None:
            if not off:
                losses.append(Loss(_path(wanted), f"{model} cannot be told how to think"))
            return None
        case "budget":
            written = {"thinkingBudget": _budget(wanted, model, losses, off=off)}
        case "level":
            written = _level(wanted, model, losses, off=off)
    if not off and _shown(wanted):
        written["includeThoughts"] = True
    return written or None


def _budget(wanted: Reasoning, model: str, losses: list[Loss], *, off: bool) -> Json:
    least, most = generations.budgets(model)
    if off:
        if not generations.can_stop_thinking(model):
            losses.append(Loss(_path(wanted), f"{model} always thinks"))
            return least
        return 0
    if wanted.budget is None and wanted.effort is None:
        return _DYNAMIC
    tokens = wanted.budget if wanted.budget is not None else budget_of(wanted.effort or "medium")
    return max(least, min(tokens, most))


def _level(wanted: Reasoning, model: str, losses: list[Loss], *, off: bool) -> dict[str, Json]:
    levels = generations.levels(model)
    if off:
        losses.append(Loss(_path(wanted), f"{model} always thinks"))
        return {"thinkingLevel": levels[0]}
    effort = wanted.effort
    if effort is None and wanted.budget is not None:
        effort = effort_of(wanted.budget)
    return {} if effort is None else {"thinkingLevel": nearest(effort, levels)}


def _shown(wanted: Reasoning) -> bool:
    """Tell whether to show thoughts; who names only an effort did not ask to see them."""
    if wanted.summary is not None:
        return wanted.summary != "omitted"
    return wanted.mode in ("on", "adaptive")


def _path(wanted: Reasoning) -> str:
    return wanted.path or "reasoning"
