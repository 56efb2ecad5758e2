"""The settings of a request: `generationConfig`, and the tier it is served on.

https://ai.google.dev/api/generate-content#generationconfig
"""

from nexus.llm.canonical import ChatRequest, Format, HostedTool, Json, Loss
from nexus.llm.protocols.google import generations, schemas
from nexus.llm.protocols.google.thinking import write_thinking

_SAME = (
    ("temperature", "temperature"),
    ("top_p", "topP"),
    ("top_k", "topK"),
    ("max_tokens", "maxOutputTokens"),
    ("presence_penalty", "presencePenalty"),
    ("frequency_penalty", "frequencyPenalty"),
)
_LACKING = ("verbosity", "user", "cache_key")
_TIERS = {"default": "standard", "standard": "standard", "flex": "flex", "priority": "priority"}
_MAX_SEED = 2**31
_MAX_STOPS = 5


def write_settings(request: ChatRequest, losses: list[Loss]) -> dict[str, Json]:
    """Write how to generate."""
    config: dict[str, Json] = {}
    for name, theirs in _SAME:
        if (value := getattr(request, name)) is not None:
            config[theirs] = value
    if request.stop:
        config["stopSequences"] = list(request.stop[:_MAX_STOPS])
    if len(request.stop) > _MAX_STOPS:
        losses.append(Loss("stop", f"Gemini takes {_MAX_STOPS} sequences at most"))
    _write_seed(request, config, losses)
    if request.logprobs:
        config["responseLogprobs"] = True
        if request.top_logprobs is not None:
            config["logprobs"] = request.top_logprobs
    if request.format is not None:
        _write_format(request, request.format, config, losses)
    if (thinking := write_thinking(request, losses)) is not None:
        config["thinkingConfig"] = thinking
    losses += [
        Loss(name, "Gemini has no such setting") for name in _LACKING if getattr(request, name) is not None
    ]
    if request.parallel_tools is False:
        losses.append(Loss("parallel_tool_calls", "Gemini decides itself how many tools to call at once"))
    return config


def write_tier(request: ChatRequest, losses: list[Loss]) -> str | None:
    """Write the tier; None for Google's choice.

    https://ai.google.dev/gemini-api/docs/flex-inference
    """
    tier = request.service_tier
    if tier is None or tier == "auto":
        return None
    if tier not in _TIERS:
        losses.append(Loss("service_tier", f"Gemini has no tier {tier}"))
    return _TIERS.get(tier)


def _write_seed(request: ChatRequest, config: dict[str, Json], losses: list[Loss]) -> None:
    seed = request.seed
    if seed is None:
        return
    if -_MAX_SEED <= seed < _MAX_SEED:
        config["seed"] = seed
    else:
        losses.append(Loss("seed", "Gemini takes 32 bits"))


def _write_format(request: ChatRequest, form: Format, config: dict[str, Json], losses: list[Loss]) -> None:
    own = request.protocol == "google"
    if form.kind == "text":
        return
    calls = any(not isinstance(tool, HostedTool) for tool in request.tools)
    if not own and calls and not generations.forms_beside_tools(request.model):
        losses.append(
            Loss(form.path or "response_format", f"{request.model} takes tools or a form, not both")
        )
        return
    config["responseMimeType"] = "application/json"
    if form.kind == "schema":
        config["responseJsonSchema"] = form.schema if own else schemas.of_answer(form.schema)
    if form.description:
        losses.append(Loss(f"{form.path or 'response_format'}.description", "Gemini takes the schema only"))
