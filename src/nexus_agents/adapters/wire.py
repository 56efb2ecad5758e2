"""The shapes an OpenAI-compatible service answers with, read leniently: services add and leave out what they like."""

from collections.abc import Sequence
from typing import Any, cast

import msgspec

from nexus_agents.adapters.base import Completion, Finish, Listed, Message, Prompt, Tool, ToolCall, Usage
from nexus_agents.errors import AdapterError, Kind

MOST_MODELS = 5_000
LONGEST_ID = 256
_FINISH: dict[str | None, Finish] = {
    "stop": "stop",
    "end_turn": "stop",
    "length": "length",
    "max_tokens": "length",
    "tool_calls": "tool_calls",
    "function_call": "tool_calls",
    "content_filter": "filtered",
}
_REASONING_FAMILIES = ("o1", "o3", "o4", "gpt-5")
"""They call the limit `max_completion_tokens` and take no temperature: https://platform.openai.com/docs/guides/reasoning"""


class _Function(msgspec.Struct):
    name: str
    arguments: str | dict[str, Any] | None = None


class _Call(msgspec.Struct):
    function: _Function
    id: str = ""


class _Said(msgspec.Struct):
    content: str | list[dict[str, Any]] | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    refusal: str | None = None
    tool_calls: list[_Call] | None = None


class _Choice(msgspec.Struct):
    message: _Said
    finish_reason: str | None = None


class _Used(msgspec.Struct):
    prompt_tokens: int | None = 0
    completion_tokens: int | None = 0
    cost: float | None = None


class _Answer(msgspec.Struct):
    choices: list[_Choice] | None = None
    model: str | None = None
    usage: _Used | None = None
    error: dict[str, Any] | str | None = None


class _Pricing(msgspec.Struct):
    prompt: str | float | None = None
    completion: str | float | None = None


class _Architecture(msgspec.Struct):
    output_modalities: list[str] | None = None


class _Row(msgspec.Struct):
    id: str
    context_length: int | None = None
    context_window: int | None = None
    max_model_len: int | None = None
    pricing: _Pricing | None = None
    supported_parameters: list[str] | None = None
    architecture: _Architecture | None = None
    created: int | float | None = None


class _Rows(msgspec.Struct):
    data: list[msgspec.Raw]


_answers = msgspec.json.Decoder(_Answer, strict=False)
_rows = msgspec.json.Decoder(_Rows)
_row = msgspec.json.Decoder(_Row, strict=False)


def write(prompt: Prompt, *, schema: bool) -> dict[str, Any]:
    """Write the body of a chat completion."""
    body: dict[str, Any] = {"model": prompt.model, "messages": [_message(one) for one in prompt.messages]}
    reasoning = prompt.model.rpartition("/")[2].startswith(_REASONING_FAMILIES)
    if prompt.max_output_tokens is not None:
        body["max_completion_tokens" if reasoning else "max_tokens"] = prompt.max_output_tokens
    if prompt.temperature is not None and not reasoning:
        body["temperature"] = prompt.temperature
    if prompt.schema is not None and schema:
        form = {"name": "answer", "schema": prompt.schema, "strict": True}
        body["response_format"] = {"type": "json_schema", "json_schema": form}
    if prompt.tools:
        body["tools"] = [_tool(tool) for tool in prompt.tools]
    return body


def read(body: bytes, asked: str) -> Completion:
    """Read an answer.

    Raises:
        AdapterError: it makes no sense (GARBAGE), or tells an error inside a 200.
    """
    try:
        answer = _answers.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise AdapterError(
            Kind.GARBAGE, "The service answered with something that is no chat completion."
        ) from error
    if answer.error is not None:
        raise told(answer.error)
    if not answer.choices:
        raise AdapterError(Kind.GARBAGE, "The service answered without any choice.")
    choice = answer.choices[0]
    said, used = choice.message, answer.usage or _Used()
    calls = tuple(_call(call, at) for at, call in enumerate(said.tool_calls or ()))
    finish = "tool_calls" if calls else _FINISH.get(choice.finish_reason, "other")
    text = _text(said.content)
    if not text and not calls:
        if finish == "filtered" or said.refusal:
            raise AdapterError(Kind.INVALID, "The model refused to answer.")
        raise AdapterError(Kind.GARBAGE, "The model answered with nothing.")
    return Completion(
        text=text,
        model=answer.model or asked,
        finish=finish,
        usage=Usage(input_tokens=used.prompt_tokens or 0, output_tokens=used.completion_tokens or 0),
        cost_usd=used.cost,
        thinking=said.reasoning_content or said.reasoning or "",
        tool_calls=calls,
        warnings=("The answer was cut off at the limit of output tokens.",) if finish == "length" else (),
    )


def told(error: dict[str, Any] | str) -> AdapterError:
    """Read an error told inside an answer: `{"code": 429, "message": "..."}`."""
    if isinstance(error, str):
        return AdapterError(Kind.SERVER, error[:300])
    code = error.get("code")
    status = code if isinstance(code, int) else 500
    return AdapterError(
        Kind.of(status), str(error.get("message") or "The service told an error.")[:300], status=status
    )


def read_models(body: bytes) -> tuple[Listed, ...]:
    """Read a model list; rows that make no sense are left out.

    Raises:
        AdapterError: it is no list.
    """
    try:
        rows = _rows.decode(body).data
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise AdapterError(Kind.GARBAGE, "The service's model list makes no sense.") from error
    found = dict[str, Listed]()
    for raw in rows[:MOST_MODELS]:
        try:
            row = _row.decode(raw)
        except (msgspec.DecodeError, RecursionError):
            continue
        if 0 < len(row.id) <= LONGEST_ID and row.id.isprintable() and " " not in row.id and _writes_text(row):
            found.setdefault(row.id, _listed(row))
    return tuple(found.values())


def _listed(row: _Row) -> Listed:
    pricing = row.pricing or _Pricing()
    return Listed(
        id=row.id,
        context=row.context_length or row.context_window or row.max_model_len,
        input_per_million=_per_million(pricing.prompt),
        output_per_million=_per_million(pricing.completion),
        parameters=None if row.supported_parameters is None else tuple(row.supported_parameters),
        created=int(row.created or 0),
    )


def _per_million(price: str | float | None) -> float | None:
    """Read dollars for one token; OpenRouter says -1 for its own router, whose price depends."""
    try:
        number = float(price) if price is not None else -1.0
    except ValueError:
        return None
    return round(number * 1_000_000, 6) if 0 <= number < 1 else None


def _writes_text(row: _Row) -> bool:
    modalities = row.architecture.output_modalities if row.architecture else None
    return modalities is None or "text" in modalities


def _message(message: Message) -> dict[str, Any]:
    written: dict[str, Any] = {"role": message.role, "content": message.text}
    if message.tool_calls:
        written["tool_calls"] = [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
            for call in message.tool_calls
        ]
    if message.tool_call_id is not None:
        written["tool_call_id"] = message.tool_call_id
    return written


def _tool(tool: Tool) -> dict[str, Any]:
    function = {"name": tool.name, "description": tool.description, "parameters": tool.parameters}
    return {"type": "function", "function": function}


def _call(call: _Call, at: int) -> ToolCall:
    arguments = call.function.arguments
    text = arguments if isinstance(arguments, str) else msgspec.json.encode(arguments or {}).decode()
    return ToolCall(id=call.id or f"call_{at}", name=call.function.name, arguments=text or "{}")


def _text(content: str | Sequence[dict[str, Any]] | None) -> str:
    if content is None or isinstance(content, str):
        return content or ""
    return "".join(cast(str, part["text"]) for part in content if isinstance(part.get("text"), str))
