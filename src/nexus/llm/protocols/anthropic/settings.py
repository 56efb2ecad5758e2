"""The settings of a Messages request, with the rules of each generation of models."""

from itertools import groupby

from nexus.llm.canonical import (
    AnyPart,
    ChatRequest,
    Effort,
    Json,
    Loss,
    Reasoning,
    Text,
    Thinking,
    ToolResult,
)
from nexus.llm.protocols import bound_schemas
from nexus.llm.protocols.anthropic import generations
from nexus.llm.protocols.anthropic.block_writer import is_signed
from nexus.llm.protocols.anthropic.tools import is_forced
from nexus.llm.protocols.bound_schemas import Bound
from nexus.llm.protocols.node import object_of
from nexus.llm.protocols.reasoning import budget_of, nearest

_MIN_BUDGET = 1024
DEFAULT_MAX_TOKENS = 4096
_EFFORTS: tuple[Effort, ...] = ("low", "medium", "high", "xhigh", "max")
_LACKING = ("frequency_penalty", "presence_penalty", "seed", "top_logprobs", "verbosity", "cache_key")
_TIERS = {"auto": "auto", "default": "standard_only"}


def write_settings(request: ChatRequest, body: dict[str, Json], losses: list[Loss]) -> None:
    """Write everything about a request that is no content."""
    own = request.protocol == "anthropic"
    thinking = _write_reasoning(request, body, losses)
    if request.max_tokens is not None or not own:
        # agents of the Responses API write whole files and set no limit
        longest = generations.longest(request.model) if request.protocol == "responses" else 0
        asked = request.max_tokens or max(longest, DEFAULT_MAX_TOKENS + thinking)
        body["max_tokens"] = asked if own else min(asked, generations.most(request.model) or asked)
    if own:
        _write_sampling(request, body)
    else:
        _fit_sampling(request, body, losses, thinks=is_to_think(body))
    if stop := [one for one in request.stop if own or one.strip()]:
        body["stop_sequences"] = stop
    if len(stop) < len(request.stop):
        losses.append(Loss("stop", "Claude does not stop at nothing but spaces"))
    if request.stream:
        body["stream"] = True
    if request.user is not None:
        body["metadata"] = {"user_id": request.user}
    if request.service_tier is not None:
        _write_tier(request, body, losses, own=own)
    _write_format(request, body, losses)
    losses += [
        Loss(name, "Claude has no such setting") for name in _LACKING if getattr(request, name) is not None
    ]
    if request.logprobs:
        losses.append(Loss("logprobs", "Claude gives no probabilities"))


def _write_sampling(request: ChatRequest, body: dict[str, Json]) -> None:
    for name in ("temperature", "top_p", "top_k"):
        if (value := getattr(request, name)) is not None:
            body[name] = value


def _fit_sampling(request: ChatRequest, body: dict[str, Json], losses: list[Loss], *, thinks: bool) -> None:
    """Write temperature and its like as far as the model takes them."""
    given = [name for name in ("temperature", "top_p", "top_k") if getattr(request, name) is not None]
    if not generations.takes_sampling(request.model):
        losses += [Loss(name, f"{request.model} does not take it") for name in given]
        return
    if thinks:
        losses += [Loss(name, "it cannot be set while thinking") for name in given]
        return
    _write_sampling(request, body)
    if request.temperature is not None and request.temperature > 1:
        body["temperature"] = 1.0
        losses.append(Loss("temperature", "the highest is 1"))
    if "temperature" in body and "top_p" in body and generations.generation(request.model) >= (4, 1):
        del body["top_p"]
        losses.append(Loss("top_p", "newer models take only one of temperature and top_p"))


def _write_reasoning(request: ChatRequest, body: dict[str, Json], losses: list[Loss]) -> int:
    """Write how much to think, and give the tokens that needs beside the answer."""
    wanted = request.reasoning
    unasked = budget_of("high") if generations.thinks_unasked(request.model) else 0
    if wanted is None:
        return unasked
    if request.protocol == "anthropic":
        return _write_own_reasoning(wanted, body)
    if wanted.mode == "off" or wanted.effort == "none":
        if wanted.mode == "off" and generations.thinks(request.model):
            _write_rest(request, wanted, body, losses)
            return unasked if generations.rests_by(request.model) is None else 0
        return unasked
    if not generations.thinks(request.model):
        losses.append(Loss(wanted.path or "reasoning", f"{request.model} does not think before it answers"))
        return 0
    forced = is_forced(request) and generations.forces_calls(request.model)
    if forced:
        losses.append(Loss(wanted.path or "reasoning", "it cannot think where it has to call a tool"))
    if generations.adapts(request.model):
        if not forced:
            body["thinking"] = _displayed({"type": "adaptive"}, wanted, request.model)
        if wanted.effort is not None:
            body["output_config"] = {"effort": nearest(wanted.effort, _EFFORTS)}
        return unasked if forced else budget_of(wanted.effort or "high")
    return 0 if forced else _write_budget(request, wanted, body, losses)


def _write_budget(request: ChatRequest, wanted: Reasoning, body: dict[str, Json], losses: list[Loss]) -> int:
    budget = wanted.budget or budget_of(wanted.effort or "medium")
    room = request.max_tokens
    if room is not None and room <= _MIN_BUDGET:
        losses.append(Loss(wanted.path or "reasoning", f"{room} tokens leave no room to think"))
        return 0
    if _lacks_thoughts(request):
        why = "the thoughts before the last call are gone, without which it cannot think on"
        losses.append(Loss(wanted.path or "reasoning", why))
        return 0
    # what a client of another protocol allows is for thoughts and answer together, as it is here
    most = generations.most(request.model)
    if most is not None:
        room = min(room, most) if room is not None else room
        budget = min(budget, most - DEFAULT_MAX_TOKENS)
    budget = max(_MIN_BUDGET, budget if room is None else min(budget, room * 4 // 5))
    body["thinking"] = _displayed({"type": "enabled", "budget_tokens": budget}, wanted, request.model)
    return budget


def _write_rest(request: ChatRequest, wanted: Reasoning, body: dict[str, Json], losses: list[Loss]) -> None:
    """Tell the model not to think, in the words of its generation; or as little as can be."""
    match generations.rests_by(request.model):
        case "silence":
            pass
        case None:
            losses.append(Loss(wanted.path or "reasoning", f"{request.model} always thinks"))
            body["output_config"] = {"effort": _EFFORTS[0]}
        case word:
            body["thinking"] = {"type": word}


def _lacks_thoughts(request: ChatRequest) -> bool:
    """Tell whether the model is to go on from calls it made without a signed thought, which it would refuse.

    https://platform.claude.com/docs/en/build-with-claude/extended-thinking
    """
    said = [
        (turn.role, part)
        for turn in request.turns
        if turn.role in ("user", "assistant")
        for part in turn.parts
        if not _is_left_out(part)
    ]
    sides = [[part for _, part in side] for _, side in groupby(said, lambda one: one[0])]
    if len(sides) < 2 or not any(isinstance(part, ToolResult) for part in sides[-1]):
        return False
    return not isinstance(sides[-2][0], Thinking)


def _is_left_out(part: AnyPart) -> bool:
    return (isinstance(part, Thinking) and not is_signed(part)) or (
        isinstance(part, Text) and not part.text.strip()
    )


def _write_own_reasoning(wanted: Reasoning, body: dict[str, Json]) -> int:
    display = {} if wanted.summary is None else {"display": wanted.summary}
    match wanted.mode:
        case "on":
            body["thinking"] = {"type": "enabled", "budget_tokens": wanted.budget, **display}
        case "adaptive":
            body["thinking"] = {"type": "adaptive", **display}
        case "off":
            body["thinking"] = {"type": "disabled", **display}
        case "unset":
            pass
    if wanted.effort is not None:
        body["output_config"] = {"effort": wanted.effort}
    return 0


def _displayed(thinking: dict[str, Json], wanted: Reasoning, model: str) -> dict[str, Json]:
    """Say how thoughts are shown; clients of other protocols see them unless they said otherwise."""
    if generations.hides_thoughts(model) and wanted.summary != "omitted":
        thinking["display"] = "summarized"
    return thinking


def _write_tier(request: ChatRequest, body: dict[str, Json], losses: list[Loss], *, own: bool) -> None:
    tier = request.service_tier
    assert tier is not None
    if tier in _TIERS or own:
        body["service_tier"] = _TIERS.get(tier, tier)
    else:
        losses.append(Loss("service_tier", f"Anthropic has no tier {tier}"))


def is_to_think(body: dict[str, Json]) -> bool:
    """Tell whether a written request asks for thoughts."""
    return (object_of(body.get("thinking")) or {}).get("type") in ("enabled", "adaptive")


def _write_format(request: ChatRequest, body: dict[str, Json], losses: list[Loss]) -> None:
    form = request.format
    if form is None or form.kind != "schema":
        return
    schema = form.schema
    if request.protocol != "anthropic":
        bound = bound_form(request)
        if bound is None:
            return
        schema = bound.schema
        if bound.tells:
            losses.append(
                Loss(form.path or "response_format", "the limits of its values are told and not enforced")
            )
    config = object_of(body.get("output_config")) or {}
    body["output_config"] = {**config, "format": {"type": "json_schema", "schema": schema}}


def bound_form(request: ChatRequest) -> Bound | None:
    """Give the schema of the answer as the model can be bound to it; None where it cannot."""
    form = request.format
    if form is None or form.kind != "schema" or not generations.writes_schemas(request.model):
        return None
    bound = bound_schemas.bind(form.schema)
    return bound if bound is not None and bound.fits else None
