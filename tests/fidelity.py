"""Write docs/fidelity.md: what becomes of every feature on its way from each client protocol to each provider protocol.

Nothing in it is said by hand. A small request without the feature and the same with it are translated; what differs tells
whether the feature arrived. A feature that changes nothing and is not listed would be lost in silence, and is an error.
"""

import sys
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, cast

import msgspec

import answers
import recorded
from nexus.errors import NexusError, Unrepresentable
from nexus.llm.protocols.anthropic.inbound import Messages
from nexus.llm.protocols.anthropic.wire import MessagesWire
from nexus.llm.protocols.base import Inbound, Wire
from nexus.llm.protocols.converse.wire import ConverseWire
from nexus.llm.protocols.google.wire import GoogleWire
from nexus.llm.protocols.openai.chat import Chat
from nexus.llm.protocols.openai.wire import ChatWire
from nexus.llm.protocols.responses.inbound import Responses
from nexus.llm.protocols.responses.wire import ResponsesWire

Json = dict[str, Any]
PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg=="
PDF = "JVBERi0xLjAKJSVFT0Y="
SCHEMA: Json = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}
NAMES = {
    "openai": "OpenAI chat",
    "responses": "OpenAI Responses",
    "anthropic": "Anthropic Messages",
    "google": "Google Gemini",
    "converse": "Bedrock Converse",
}
INBOUNDS: Mapping[str, Inbound] = {"openai": Chat(), "responses": Responses(), "anthropic": Messages()}
WIRES: Mapping[str, tuple[Wire, str]] = {
    "openai": (ChatWire(), "gpt-5.2"),
    "responses": (ResponsesWire(), "gpt-5.2"),
    "anthropic": (MessagesWire(), "claude-sonnet-4-5"),
    "google": (GoogleWire(), "gemini-2.5-pro"),
    "converse": (ConverseWire(), "us.anthropic.claude-sonnet-4-5-20250929-v1:0"),
}


@dataclass(frozen=True)
class Feature:
    """Something a request may have, in the words of each client protocol that has words for it."""

    name: str
    openai: Json | None = None
    responses: Json | None = None
    anthropic: Json | None = None
    without: str = ""
    """The feature that a request has to have first."""


def _user(*content: Json) -> Json:
    return {"messages": [{"role": "user", "content": list(content)}]}


def _input(*content: Json) -> Json:
    return {"input": [{"role": "user", "content": list(content)}]}


_CHAT_TOOL = {
    "type": "function",
    "function": {"name": "weather", "description": "Tell it", "parameters": SCHEMA},
}
_TOOL = {"name": "weather", "description": "Tell it", "input_schema": SCHEMA}
_FLAT_TOOL = {"type": "function", "name": "weather", "description": "Tell it", "parameters": SCHEMA}
_CHAT_CALL = {
    "id": "call_1",
    "type": "function",
    "function": {"name": "weather", "arguments": '{"city":"Bern"}'},
}
_CALL = {"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {"city": "Bern"}}
_FLAT_CALL = {"type": "function_call", "call_id": "call_1", "name": "weather", "arguments": '{"city":"Bern"}'}
_ASKED = {"role": "user", "content": "Hi"}


def _result(content: Any, **more: Any) -> Json:
    block = {"type": "tool_result", "tool_use_id": "toolu_1", "content": content, **more}
    answered = {"role": "assistant", "content": [_CALL]}
    return {"tools": [_TOOL], "messages": [_ASKED, answered, {"role": "user", "content": [block]}]}


def _chat_result(content: Any) -> Json:
    called = {"role": "assistant", "content": None, "tool_calls": [_CHAT_CALL]}
    result = {"role": "tool", "tool_call_id": "call_1", "content": content}
    return {"tools": [_CHAT_TOOL], "messages": [_ASKED, called, result]}


def _flat_result(output: Any) -> Json:
    result = {"type": "function_call_output", "call_id": "call_1", "output": output}
    return {"tools": [_FLAT_TOOL], "input": [_ASKED, _FLAT_CALL, result]}


FEATURES = (
    Feature(
        "system prompt",
        {"messages": [{"role": "system", "content": "Be brief"}, _ASKED]},
        {"instructions": "Be brief"},
        {"system": "Be brief"},
    ),
    Feature(
        "instructions within a conversation",
        {"messages": [_ASKED, {"role": "system", "content": "Be brief"}]},
        {"input": [_ASKED, {"role": "developer", "content": "Be brief"}]},
        {"messages": [_ASKED, {"role": "system", "content": "Be brief"}]},
    ),
    Feature(
        "content of several parts",
        _user({"type": "text", "text": "Hi"}, {"type": "text", "text": "there"}),
        _input({"type": "input_text", "text": "Hi"}, {"type": "input_text", "text": "there"}),
        _user({"type": "text", "text": "Hi"}, {"type": "text", "text": "there"}),
    ),
    Feature(
        "image, inline",
        _user({"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}}),
        _input({"type": "input_image", "image_url": f"data:image/png;base64,{PNG}"}),
        _user({"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}}),
    ),
    Feature(
        "image, by address",
        _user({"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}),
        _input({"type": "input_image", "image_url": "https://example.com/a.png"}),
        _user({"type": "image", "source": {"type": "url", "url": "https://example.com/a.png"}}),
    ),
    Feature(
        "PDF, inline",
        _user(
            {
                "type": "file",
                "file": {"filename": "a.pdf", "file_data": f"data:application/pdf;base64,{PDF}"},
            }
        ),
        _input(
            {"type": "input_file", "filename": "a.pdf", "file_data": f"data:application/pdf;base64,{PDF}"}
        ),
        _user(
            {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": PDF}}
        ),
    ),
    Feature(
        "PDF, by address",
        None,
        _input({"type": "input_file", "file_url": "https://example.com/a.pdf"}),
        _user({"type": "document", "source": {"type": "url", "url": "https://example.com/a.pdf"}}),
    ),
    Feature(
        "file kept by a vendor",
        _user({"type": "file", "file": {"file_id": "file-1"}}),
        _input({"type": "input_file", "file_id": "file-1"}),
        _user({"type": "document", "source": {"type": "file", "file_id": "file_1"}}),
    ),
    Feature("audio", _user({"type": "input_audio", "input_audio": {"data": "UklGRg==", "format": "wav"}})),
    Feature("tool", {"tools": [_CHAT_TOOL]}, {"tools": [_FLAT_TOOL]}, {"tools": [_TOOL]}),
    Feature(
        "tool without arguments",
        {"tools": [{"type": "function", "function": {"name": "now"}}]},
        {"tools": [{"type": "function", "name": "now", "parameters": None}]},
        {"tools": [{"name": "now", "input_schema": {"type": "object"}}]},
    ),
    Feature(
        "strict tool",
        {"tools": [{"type": "function", "function": {**_CHAT_TOOL["function"], "strict": True}}]},  # pyright: ignore[reportGeneralTypeIssues]
        {"tools": [{**_FLAT_TOOL, "strict": True}]},
        {"tools": [{**_TOOL, "strict": True}]},
        without="tool",
    ),
    Feature(
        "tool of free text",
        {"tools": [{"type": "custom", "custom": {"name": "patch", "description": "Edit"}}]},
        {"tools": [{"type": "custom", "name": "patch", "description": "Edit"}]},
    ),
    Feature(
        "group of tools",
        None,
        {"tools": [{"type": "namespace", "name": "files", "tools": [_FLAT_TOOL]}]},
    ),
    Feature(
        "tool the vendor runs",
        None,
        {"tools": [{"type": "web_search"}]},
        {"tools": [{"type": "web_search_20250305", "name": "web_search"}]},
    ),
    *(
        Feature(
            f"tool choice: {name}",
            {"tools": [_CHAT_TOOL], "tool_choice": chat},
            {"tools": [_FLAT_TOOL], "tool_choice": flat},
            {"tools": [_TOOL], "tool_choice": own},
            without="tool",
        )
        for name, chat, flat, own in (
            ("none", "none", "none", {"type": "none"}),
            ("any", "required", "required", {"type": "any"}),
            (
                "one",
                {"type": "function", "function": {"name": "weather"}},
                {"type": "function", "name": "weather"},
                {"type": "tool", "name": "weather"},
            ),
        )
    ),
    Feature(
        "one call at a time",
        {"tools": [_CHAT_TOOL], "parallel_tool_calls": False},
        {"tools": [_FLAT_TOOL], "parallel_tool_calls": False},
        {"tools": [_TOOL], "tool_choice": {"type": "auto", "disable_parallel_tool_use": True}},
        without="tool",
    ),
    Feature("result of a call", _chat_result("21"), _flat_result("21"), _result("21"), without="tool"),
    Feature("result that failed", None, None, _result("no", is_error=True), without="result of a call"),
    Feature(
        "image in a result",
        None,
        _flat_result([{"type": "input_image", "image_url": f"data:image/png;base64,{PNG}"}]),
        _result([{"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}}]),
        without="result of a call",
    ),
    Feature(
        "answer by a schema",
        {
            "response_format": {
                "type": "json_schema",
                "json_schema": {"name": "city", "schema": SCHEMA, "strict": True},
            }
        },
        {"text": {"format": {"type": "json_schema", "name": "city", "schema": SCHEMA, "strict": True}}},
        {"output_config": {"format": {"type": "json_schema", "schema": SCHEMA}}},
    ),
    Feature(
        "answer in JSON",
        {"response_format": {"type": "json_object"}},
        {"text": {"format": {"type": "json_object"}}},
    ),
    Feature(
        "effort of thinking",
        {"reasoning_effort": "high"},
        {"reasoning": {"effort": "high"}},
        {"thinking": {"type": "adaptive"}, "output_config": {"effort": "high"}},
    ),
    Feature(
        "budget of thinking",
        anthropic={"max_tokens": 9000, "thinking": {"type": "enabled", "budget_tokens": 4000}},
    ),
    Feature("limit of tokens", {"max_tokens": 77}, {"max_output_tokens": 77}, {"max_tokens": 77}),
    Feature("temperature", {"temperature": 0.5}, {"temperature": 0.5}, {"temperature": 0.5}),
    Feature("top_p", {"top_p": 0.5}, {"top_p": 0.5}, {"top_p": 0.5}),
    Feature("top_k", anthropic={"top_k": 5}),
    Feature("stop sequences", {"stop": ["END"]}, None, {"stop_sequences": ["END"]}),
    Feature("seed", {"seed": 7}),
    Feature("penalties", {"frequency_penalty": 0.5, "presence_penalty": 0.5}),
    Feature(
        "probabilities",
        {"logprobs": True, "top_logprobs": 2},
        {"top_logprobs": 2, "include": ["message.output_text.logprobs"]},
    ),
    Feature("logit_bias", {"logit_bias": {"42": 1}}),
    Feature("verbosity", {"verbosity": "low"}, {"text": {"verbosity": "low"}}),
    Feature("user", {"user": "u-1"}, {"user": "u-1"}, {"metadata": {"user_id": "u-1"}}),
    Feature("metadata", {"metadata": {"a": "b"}}, {"metadata": {"a": "b"}}),
    Feature(
        "service tier", {"service_tier": "flex"}, {"service_tier": "flex"}, {"service_tier": "standard_only"}
    ),
    Feature("cache key", {"prompt_cache_key": "k"}, {"prompt_cache_key": "k"}),
    Feature(
        "cache marks",
        anthropic=_user({"type": "text", "text": "Hi", "cache_control": {"type": "ephemeral"}}),
    ),
    Feature("beta: context management", anthropic={"context_management": {"edits": []}}),
)

_BASES: Mapping[str, Json] = {
    "openai": {"model": "m", "messages": [_ASKED]},
    "responses": {"model": "m", "input": [_ASKED]},
    "anthropic": {"model": "m", "max_tokens": 5000, "messages": [_ASKED]},
}
_WORDS = {"exact": "✓ exact", "translated": "✓", "listed": "listed", "refused": "refused", "": ""}


class LostInSilence(AssertionError):
    """A feature had no effect and was not told of."""


def fate(inbound: str, wire: str, feature: Feature) -> str:
    """Tell what becomes of a feature: exact, translated, listed, refused, or nothing where the client has no words for it."""
    words: Json | None = getattr(feature, inbound)
    if words is None:
        return ""
    if inbound == wire:
        return "exact"
    try:
        body, lost = _write(inbound, wire, {**_BASES[inbound], **words})
    except Unrepresentable:
        return "refused"
    before, listed = _write(inbound, wire, _without(inbound, feature))
    if lost - listed:
        return "listed"
    if body == before:
        raise LostInSilence(f"{feature.name}: {inbound} → {wire}")
    return "translated"


def _without(inbound: str, feature: Feature) -> Json:
    other = next((one for one in FEATURES if one.name == feature.without), None)
    words: Json | None = getattr(other, inbound) if other is not None else None
    return {**_BASES[inbound], **(words or {})}


def _write(inbound: str, wire: str, body: Json) -> tuple[bytes, Counter[str]]:
    request = INBOUNDS[inbound].read_request(msgspec.json.encode(body))
    writer, request.model = WIRES[wire]
    written, losses = writer.write_request(request)
    return written, Counter(loss.path for loss in losses)


def table(inbound: str) -> Iterable[str]:
    """Write the table of one client protocol."""
    yield f"| | {' | '.join(NAMES[wire] for wire in WIRES)} |"
    yield f"|---|{'---|' * len(WIRES)}"
    for feature in FEATURES:
        fates = [fate(inbound, wire, feature) for wire in WIRES]
        if any(fates):
            yield f"| {feature.name} | {' | '.join(_WORDS[one] for one in fates)} |"


def counts() -> Iterable[str]:
    """Count what becomes of all recorded requests of the protocols that clients speak."""
    yield f"| recorded requests | | {' | '.join(NAMES[wire] for wire in WIRES)} |"
    yield f"|---|--:|{'---|' * len(WIRES)}"
    folders = {
        "openai": ("openai-chat", "openai-compatible"),
        "responses": ("openai-responses",),
        "anthropic": ("anthropic",),
    }
    for inbound, names in folders.items():
        bodies = [one.request for one in recorded.exchanges(*names) if _is_chat(inbound, one.request)]
        cells = [_count(inbound, wire, bodies) for wire in WIRES]
        yield f"| {NAMES[inbound]} | {len(bodies)} | {' | '.join(cells)} |"


def _is_chat(inbound: str, body: bytes) -> bool:
    fields = cast("Json", msgspec.json.decode(body))
    return ("input" in fields) if inbound == "responses" else "messages" in fields


def _count(inbound: str, wire: str, bodies: Iterable[bytes]) -> str:
    if inbound == wire:
        return "all exact"
    found: Counter[str] = Counter()
    for body in bodies:
        try:
            _, lost = _write(inbound, wire, cast("Json", msgspec.json.decode(body)))
            found["listed" if lost else "✓"] += 1
        except NexusError:
            found["refused"] += 1
    return ", ".join(f"{found[name]} {name}" for name in ("✓", "listed", "refused") if found[name])


def page() -> str:
    """Write the page."""
    lines = [
        "# Fidelity",
        "",
        "<!-- written by tests/fidelity.py (`make docs`); not by hand -->",
        "",
        "What becomes of every feature of a request, by the protocol a client speaks (a table each) and that of the provider.",
        "",
        "- **✓ exact**: the same protocol on both sides. The bytes are relayed, and only the name of the model changes.",
        "- **✓**: said in the words of the provider's protocol.",
        "- **listed**: the provider has no words for it, or not all of them. The rest is sent, and what was left out is named",
        '  in the response header `x-nexus-dropped`. With `llm.loss = "strict"` it is refused instead.',
        "- **refused**: it is content, and leaving it out would change the question: status 400, naming the JSON path.",
        "- An empty field: the client's protocol has no such thing.",
        "",
        "A limit on tokens above the most a model gives is lowered to that, without a word: more could not have come.",
        "",
        "What a model takes is decided by its name; another generation may take more or less. The models behind the columns:",
        ", ".join(model for _, model in WIRES.values()) + ".",
    ]
    for inbound in INBOUNDS:
        lines += ["", f"## {NAMES[inbound]} clients", "", *table(inbound)]
    lines += ["", *answers.section(NAMES)]
    lines += ["", "## Recorded traffic", "", *counts()]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.stdout.write(page())
