"""Everything about a request that is no content and no tool, with what each family of models takes.

https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_InferenceConfiguration.html
"""

import msgspec

from nexus.llm.canonical import Effort, Json, Reasoning
from nexus.llm.protocols.converse import answer_tool, families
from nexus.llm.protocols.converse.draft import Draft
from nexus.llm.protocols.node import object_of
from nexus.llm.protocols.reasoning import budget_of, effort_of, nearest

_MIN_BUDGET = 1024
_LACKING = {
    "frequency_penalty": "frequency_penalty",
    "presence_penalty": "presence_penalty",
    "seed": "seed",
    "top_logprobs": "top_logprobs",
    "verbosity": "verbosity",
    "cache_key": "prompt_cache_key",
    "user": "user",
}
_TIERS = {"default": "default", "flex": "flex", "priority": "priority", "reserved": "reserved"}
_encode = msgspec.json.Encoder().encode


def write_settings(draft: Draft) -> None:
    """Write all settings; the messages are written already."""
    request = draft.request
    _write_reasoning(draft)
    _write_inference(draft)
    _write_format(draft)
    if request.service_tier in _TIERS:
        draft.body["serviceTier"] = {"type": _TIERS[request.service_tier]}
    elif request.service_tier not in (None, "auto"):
        draft.lose("service_tier", f"Bedrock has no tier {request.service_tier}")
    for name, path in _LACKING.items():
        if getattr(request, name) is not None:
            draft.lose(path, "the Converse API has no such setting")
    if request.logprobs:
        draft.lose("logprobs", "the Converse API gives no probabilities")
    if request.parallel_tools is False:
        draft.lose("parallel_tool_calls", "the Converse API cannot forbid parallel calls")


def _write_inference(draft: Draft) -> None:
    request, written = draft.request, dict[str, Json]()
    given: dict[str, Json] = {
        "max_tokens": _most(draft),
        "temperature": request.temperature,
        "top_p": request.top_p,
        "top_k": request.top_k,
    }
    given = {name: value for name, value in given.items() if value is not None}
    _fit(given, draft)
    for name, word in (("max_tokens", "maxTokens"), ("temperature", "temperature"), ("top_p", "topP")):
        if name in given:
            written[word] = given[name]
    if stop := _stops(draft):
        written["stopSequences"] = stop
        if families.is_claude(draft.base):  # which of them it was is told on request only
            draft.body["additionalModelResponseFieldPaths"] = ["/stop_sequence"]
    if written:
        draft.body["inferenceConfig"] = written
    if "top_k" not in given:
        return
    if families.is_claude(draft.base):
        draft.fields["top_k"] = given["top_k"]
    elif families.is_nova(draft.base):
        draft.fields["inferenceConfig"] = {"topK": given["top_k"]}
    else:
        draft.lose("top_k", f"{draft.base} does not take it")


def _most(draft: Draft) -> int | None:
    """Give the tokens the answer may have, which are no more than the model gives."""
    asked, most = draft.request.max_tokens, families.most(draft.base)
    return asked if asked is None or most is None else min(asked, most)


def _stops(draft: Draft) -> list[str]:
    """Choose the sequences to stop at: none are empty, and Claude's are not of spaces only."""
    given, blank = draft.request.stop, families.is_claude(draft.base)
    stop = [one for one in given if (one.strip() if blank else one)]
    if len(stop) < len(given):
        draft.lose("stop", f"{draft.base} does not stop at nothing{' but spaces' if blank else ''}")
    return stop


def _fit(given: dict[str, Json], draft: Draft) -> None:
    """Take away what the model would refuse."""
    temperature = given.get("temperature")
    if isinstance(temperature, int | float) and temperature > 1:
        given["temperature"] = 1.0
        draft.lose("temperature", "the highest is 1")
    refused: tuple[str, ...] = ()
    why = f"{draft.base} does not take it"
    if not families.takes_sampling(draft.base):
        refused = ("temperature", "top_p", "top_k")
    elif draft.is_to_think:
        refused, why = ("temperature", "top_p", "top_k"), "it cannot be set while thinking"
    elif (
        families.is_claude(draft.base)
        and families.generation(draft.base) >= (4, 5)
        and "temperature" in given
    ):
        refused, why = ("top_p",), "newer models take only one of temperature and top_p"
    elif draft.fields.get("reasoningConfig") == _nova_effort("high"):
        # https://docs.aws.amazon.com/nova/latest/nova2-userguide/extended-thinking.html
        refused, why = (
            ("max_tokens", "temperature", "top_p", "top_k"),
            "it cannot be set for the highest effort",
        )
    for name in refused:
        if given.pop(name, None) is not None:
            draft.lose(name, why)


def _write_format(draft: Draft) -> None:
    form = draft.request.format
    if form is None or form.kind == "text":
        return
    bound = answer_tool.bound_form(form, draft.base)
    if bound is None:
        if not answer_tool.is_needed(draft.request, draft.base):
            draft.lose(form.path or "response_format", f"{draft.base} cannot be bound to a form")
        return
    if bound.tells:
        draft.lose(form.path or "response_format", "the limits of its values are told and not enforced")
    schema: dict[str, Json] = {"schema": _encode(bound.schema).decode()}
    if form.name:
        schema["name"] = form.name
    if form.description:
        schema["description"] = form.description
    config: dict[str, Json] = {
        "textFormat": {"type": "json_schema", "structure": {"jsonSchema": schema}},
    }
    # to Claude both are one object: what is said here must not be said beside it again
    draft.body["outputConfig"] = {**config, **(object_of(draft.fields.pop("output_config", None)) or {})}


def _write_reasoning(draft: Draft) -> None:
    wanted = draft.request.reasoning
    if wanted is None:
        return
    path = wanted.path or "reasoning"
    if wanted.mode == "off" or wanted.effort == "none":
        if families.is_claude(draft.base):
            _write_rest(path, draft)
        return  # what else thinks always cannot be told not to
    if families.is_claude(draft.base):
        _write_claude(wanted, path, draft)
        return
    known = families.efforts(draft.base)
    if not known:
        draft.lose(path, f"{draft.base} cannot be told how much to think")
        return
    effort = nearest(_effort(wanted), known)
    if families.is_nova(draft.base):
        draft.fields["reasoningConfig"] = _nova_effort(effort)
    elif draft.base.startswith("qwen."):
        draft.fields["reasoning_config"] = effort
    else:
        draft.fields["reasoning_effort"] = effort


def _effort(wanted: Reasoning) -> Effort:
    if wanted.effort is not None:
        return wanted.effort
    return effort_of(wanted.budget) if wanted.budget is not None else "medium"


def _nova_effort(effort: Effort) -> Json:
    return {"type": "enabled", "maxReasoningEffort": effort}


def _write_claude(wanted: Reasoning, path: str, draft: Draft) -> None:
    by_budget, by_effort = families.thinks_by_budget(draft.base), families.thinks_by_effort(draft.base)
    forced = _has_to_call(draft) and wanted.mode != "unset" and (by_budget or by_effort)
    if forced:
        draft.lose(path, "it cannot think where it has to call a tool")
    if by_effort and (wanted.budget is None or not by_budget):
        if wanted.mode != "unset" and not forced:
            draft.fields["thinking"] = _adaptive(wanted, draft)
        if wanted.effort is not None or wanted.budget is not None:
            effort = nearest(_effort(wanted), families.efforts(draft.base))
            draft.fields["output_config"] = {"effort": effort}
    elif not by_budget:
        draft.lose(path, f"{draft.base} does not think before it answers")
    elif wanted.mode == "unset":
        draft.lose(path, f"{draft.base} knows no efforts")
    elif not forced:
        _write_budget(wanted, path, draft)


def _write_rest(path: str, draft: Draft) -> None:
    """Tell a Claude model not to think, in the words of its generation; or as little as can be."""
    match families.rests_by(draft.base):
        case "silence":
            pass
        case None:
            draft.lose(path, f"{draft.base} always thinks")
            draft.fields["output_config"] = {"effort": families.efforts(draft.base)[0]}
        case word:
            draft.fields["thinking"] = {"type": word}


def _has_to_call(draft: Draft) -> bool:
    choice = draft.request.tool_choice
    return choice is not None and choice.mode in ("required", "one") and families.forces_one(draft.base)


def _adaptive(wanted: Reasoning, draft: Draft) -> Json:
    if wanted.summary is None or families.generation(draft.base) < (4, 7):
        return {"type": "adaptive"}
    return {"type": "adaptive", "display": "omitted" if wanted.summary == "omitted" else "summarized"}


def _write_budget(wanted: Reasoning, path: str, draft: Draft) -> None:
    budget = wanted.budget if wanted.budget is not None else budget_of(_effort(wanted))
    room = _most(draft)
    if room is not None and room <= _MIN_BUDGET:
        draft.lose(path, f"{room} tokens leave no room to think")
    elif _lacks_thoughts(draft):
        draft.lose(path, "the thoughts before the last call are gone, without which it cannot think on")
    else:
        # what the client allows is for thoughts and answer together, as it is here
        budget = budget if room is None or budget < room else room * 4 // 5
        draft.fields["thinking"] = {"type": "enabled", "budget_tokens": max(_MIN_BUDGET, budget)}


def _lacks_thoughts(draft: Draft) -> bool:
    """Tell whether the model is to go on from calls that it made without a signed thought, which it would refuse."""
    if len(draft.messages) < 2 or "toolResult" not in draft.messages[-1].content[0]:
        return False
    blocks = draft.messages[-2].content
    return any("toolUse" in block for block in blocks) and "reasoningContent" not in blocks[0]
