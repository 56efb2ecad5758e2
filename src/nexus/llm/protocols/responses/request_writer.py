"""The canonical model into a request to a provider.

https://platform.openai.com/docs/api-reference/responses/create
"""

import hashlib

from nexus.llm.canonical import (
    ChatRequest,
    Effort,
    Extras,
    Json,
    Loss,
    Reasoning,
    Text,
    Thinking,
    ToolCall,
)
from nexus.llm.protocols import losses as loss_lists
from nexus.llm.protocols import strictness
from nexus.llm.protocols.node import array_of, object_of
from nexus.llm.protocols.openai_models import family_of
from nexus.llm.protocols.reasoning import effort_of, nearest
from nexus.llm.protocols.responses import NAME
from nexus.llm.protocols.responses.input_writer import InputWriter
from nexus.llm.protocols.responses.request_reader import ENCRYPTED, LOGPROBS
from nexus.llm.protocols.responses.tools import write_choice, write_tools

_LACKING = ("top_k", "frequency_penalty", "presence_penalty", "seed")
_SUMMARIES = ("auto", "concise", "detailed")
_MIN_TOKENS = 16
_MAX_KEY = 64

Body = dict[str, Json]


def write_request(request: ChatRequest, *, takes_unsigned: bool = False) -> tuple[Body, list[Loss]]:
    """Write a request and tell what could not be; `takes_unsigned` if the provider takes thoughts nobody encrypted.

    Raises:
        Unrepresentable: it has content the protocol has no words for.
    """
    losses: list[Loss] = []
    own = request.protocol == NAME
    body: Body = {"model": request.model}
    writer = InputWriter(request, losses, takes_unsigned=takes_unsigned)
    for turn in request.turns:
        if turn.path == "instructions" and own:
            body["instructions"] = "".join(part.text for part in turn.parts if isinstance(part, Text))
        else:
            writer.write(turn)
    body["input"] = writer.items
    tools = write_tools(request, losses)
    if tools:
        body["tools"] = tools
    if (tools or own) and (choice := write_choice(request)) is not None:
        body["tool_choice"] = choice
    write_settings(request, body, losses)
    if request.stream:
        body["stream"] = True
    if own:
        _place(body, request.extras)
    else:
        _write_foreign(request, body, losses)
    return body, losses


def write_settings(request: ChatRequest, body: Body, losses: list[Loss]) -> None:
    """Write everything about a request that is no content."""
    own = request.protocol == NAME
    if request.max_tokens is not None:
        most = family_of(request.model).most or request.max_tokens
        body["max_output_tokens"] = (
            request.max_tokens if own else max(_MIN_TOKENS, min(request.max_tokens, most))
        )
    reasoning = _write_reasoning(request, losses)
    _write_sampling(request, body, losses, reasoning.get("effort"))
    if request.parallel_tools is not None and (request.tools or own):
        body["parallel_tool_calls"] = request.parallel_tools
    if text := _write_text(request, losses):
        body["text"] = text
    if reasoning:
        body["reasoning"] = reasoning
    if request.service_tier is not None:
        body["service_tier"] = request.service_tier
    if request.user is not None:
        body["safety_identifier"] = request.user if own else _key(request.user)
    if request.cache_key is not None:
        body["prompt_cache_key"] = request.cache_key if own else _key(request.cache_key)


def _write_sampling(request: ChatRequest, body: Body, losses: list[Loss], effort: Json) -> None:
    own = request.protocol == NAME
    family = family_of(request.model)
    thinks = effort not in (None, "none")
    refused = not own and (thinks or not family.takes_sampling("none" if effort == "none" else None))
    settings: dict[str, float | None] = {"temperature": request.temperature, "top_p": request.top_p}
    settings["top_logprobs"] = request.top_logprobs
    for name, value in settings.items():
        if value is None or (value == 1 and name != "top_logprobs" and not own):
            continue  # 1 is what is meant without it, and models that think refuse the field
        if refused:
            losses.append(Loss(name, f"{request.model} does not take it while it thinks"))
        else:
            body[name] = value
    if request.logprobs and not own:
        if refused:
            losses.append(Loss("logprobs", f"{request.model} does not take it while it thinks"))
        else:
            body["include"] = [LOGPROBS]


def _write_text(request: ChatRequest, losses: list[Loss]) -> Body:
    text: Body = {}
    form = request.format
    if form is not None and request.protocol != NAME:
        form = strictness.loosened_form(form, losses)
    match form.kind if form else None:
        case "text":
            text["format"] = {"type": "text"}
        case "json":
            text["format"] = {"type": "json_object"}
        case "schema" if form:
            written: Body = {"type": "json_schema", "name": form.name or "answer", "schema": form.schema}
            if form.description:
                written["description"] = form.description
            if form.strict is not None:
                written["strict"] = form.strict
            text["format"] = written
        case _:
            pass
    if request.verbosity is not None:
        text["verbosity"] = request.verbosity
    return text


def _write_reasoning(request: ChatRequest, losses: list[Loss]) -> Body:
    wanted = request.reasoning
    if wanted is None:
        return {}
    effort, summary = _effort(wanted), wanted.summary
    if request.protocol != NAME:
        known = family_of(request.model).efforts
        if not known:
            if effort != "none":
                losses.append(Loss(wanted.path or "reasoning", f"{request.model} does not think"))
            return {}
        effort = effort and nearest(effort, known)
        summary = _summary(wanted, effort)
    said: dict[str, Json] = {"effort": effort, "summary": summary}
    return {name: value for name, value in said.items() if value is not None}


def _effort(wanted: Reasoning) -> Effort | None:
    if wanted.mode == "off":
        return "none"
    if wanted.effort is None and wanted.budget is not None:
        return effort_of(wanted.budget)
    return wanted.effort


def _summary(wanted: Reasoning, effort: Effort | None) -> str | None:
    """Give how thoughts are to be shown; clients of other protocols see them unless they said otherwise."""
    if effort == "none" or wanted.summary == "omitted":
        return None
    return wanted.summary if wanted.summary in _SUMMARIES else "auto"


def _key(text: str) -> str:
    """Fit what tells users or prompts apart into the length that is allowed."""
    return text if len(text) <= _MAX_KEY else hashlib.sha256(text.encode()).hexdigest()


def _place(body: Body, extras: Extras) -> None:
    """Put fields back where they were: by name, or by path within another field."""
    for path, value in extras.items():
        *within, name = path.split(".") if path.startswith(("text.", "reasoning.")) else (path,)
        target = body
        for field in within:
            inner = object_of(target.get(field))
            if inner is None:
                inner = target[field] = {}
            target = inner
        target[name] = value


def _write_foreign(request: ChatRequest, body: Body, losses: list[Loss]) -> None:
    """Write what clients of this protocol say themselves, and tell what others have and it has not."""
    body["store"] = False
    if _thinks(request):
        body["include"] = [*array_of(body.get("include")), ENCRYPTED]
    losses += [
        Loss(name, "the Responses protocol has no such setting")
        for name in _LACKING
        if getattr(request, name) is not None
    ]
    if request.stop:
        losses.append(Loss("stop", "the Responses protocol has no such setting"))
    if request.max_tokens is not None and request.max_tokens < _MIN_TOKENS:
        losses.append(Loss("max_tokens", f"the Responses protocol takes {_MIN_TOKENS} at least"))
    losses += loss_lists.cache_marks(request, "OpenAI caches prompts by itself")
    losses += loss_lists.foreign_fields(request)


def _thinks(request: ChatRequest) -> bool:
    """Tell whether there are thoughts to come, or some that came; models without them refuse to encrypt any."""
    if not family_of(request.model).efforts:
        return False
    if request.reasoning is not None and request.reasoning.mode != "off":
        return True
    return any(
        isinstance(part, Thinking | ToolCall) and part.origin == NAME
        for turn in request.turns
        for part in turn.parts
    )
