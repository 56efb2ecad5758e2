"""The canonical model into a response as the API writes it.

https://platform.openai.com/docs/api-reference/responses/object
"""

import msgspec

from nexus.llm.canonical import (
    ChatRequest,
    ChatResponse,
    Json,
    Loss,
    PartClosed,
    PartOpened,
    Stop,
    Text,
    Usage,
)
from nexus.llm.protocols.node import object_of
from nexus.llm.protocols.responses.output import Output
from nexus.llm.protocols.responses.output_items import Status
from nexus.llm.protocols.responses.request_writer import write_settings
from nexus.llm.protocols.responses.tools import write_choice, write_tools
from nexus.llm.protocols.responses.usage import write_usage

_encode = msgspec.json.Encoder().encode
_REASONS = {"length": "max_output_tokens", "context": "max_output_tokens", "filter": "content_filter"}
_TIERS = {
    "standard": "default",
    **{tier: tier for tier in ("default", "flex", "scale", "priority", "fast", "ultrafast")},
}


class Envelope:
    """Everything about an answer but what it says; most of it repeats the request."""

    def __init__(self, request: ChatRequest, id: str, model: str, created: int, tier: str | None) -> None:
        self.id = id if id.startswith("resp_") else f"resp_{id}"
        self._head: dict[str, Json] = {"id": self.id, "object": "response", "created_at": created}
        self._model = model
        self._echo = _echo(request)
        self._tier = _TIERS.get(tier or "")

    def write(
        self,
        status: str,
        output: list[Json],
        usage: Usage | None = None,
        reason: str | None = None,
        error: Json = None,
    ) -> dict[str, Json]:
        """Write the answer as it is by now."""
        return {
            **self._head,
            "status": status,
            "background": False,
            "error": error,
            "incomplete_details": {"reason": reason} if reason else None,
            "model": self._model,
            "output": output,
            **self._echo,
            "service_tier": self._tier,
            "usage": write_usage(usage),
        }


def _echo(request: ChatRequest) -> dict[str, Json]:
    instructions = [
        part.text
        for turn in request.turns
        if turn.path == "instructions"
        for part in turn.parts
        if isinstance(part, Text)
    ]
    said: dict[str, Json] = {}
    write_settings(request, said, [])
    text, reasoning = object_of(said.get("text")) or {}, object_of(said.get("reasoning")) or {}
    tools = msgspec.Raw(_encode(write_tools(request, [])))  # written once, sent with three events
    return {
        "instructions": instructions[0] if instructions else None,
        "max_output_tokens": said.get("max_output_tokens"),
        "max_tool_calls": request.extras.get("max_tool_calls"),
        "metadata": request.extras.get("metadata") or {},
        "parallel_tool_calls": request.parallel_tools is not False,
        "previous_response_id": None,
        "prompt_cache_key": request.cache_key,
        "reasoning": {"effort": None, "summary": None, **reasoning},
        "safety_identifier": request.user,
        "store": False,
        "temperature": 1.0 if request.temperature is None else request.temperature,
        "text": {"format": {"type": "text"}, **text},
        "tool_choice": write_choice(request) or "auto",
        "tools": tools,
        "top_logprobs": request.top_logprobs or 0,
        "top_p": 1.0 if request.top_p is None else request.top_p,
        "truncation": "disabled",
        "user": None,
    }


def status_of(stop: Stop, *, refused: bool) -> tuple[Status, str | None]:
    """Tell whether an answer is complete, and why not; `refused` if the refusal is told in it."""
    reason = _REASONS.get(stop.reason)
    if stop.reason == "refusal" and not refused:
        reason = "content_filter"
    return ("incomplete", reason) if reason else ("completed", None)


def write_response(response: ChatResponse, request: ChatRequest) -> tuple[bytes, list[Loss]]:
    """Write a whole answer and tell what could not be."""
    envelope = Envelope(request, response.id, response.model, response.created, response.service_tier)
    output = Output(request, envelope.id, response.protocol)
    for index, part in enumerate(response.parts):
        output.open(PartOpened(index, part))
        output.close(PartClosed(index))
    status, reason = status_of(response.stop, refused=output.has_refusal)
    output.end(status)
    return _encode(envelope.write(status, output.items(), response.usage, reason)), output.losses
