"""Conversations as agents have them, told in the words of each client protocol."""

from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

Json = dict[str, Any]
_PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg=="
_CLOSED: Json = {
    "type": "object",
    "properties": {"a": {"type": "string"}},
    "required": ["a"],
    "additionalProperties": False,
}
_OPTIONAL: Json = {"type": "object", "properties": {"a": {"type": "string"}}, "additionalProperties": False}
_OPEN: Json = {"type": "object", "properties": {"a": {"type": "string"}}}


@dataclass(frozen=True)
class Step:
    """What a model did before it was somebody else's turn."""

    asked: str
    """What the user said before; empty where results were what it went on from."""
    thought: str
    """The vendor that signed its thought; empty where it had none."""
    said: str
    calls: int
    answer: str
    """What the tools gave: `text`, `nothing`, `image`."""


@dataclass(frozen=True)
class Conversation:
    """All that a client sends."""

    steps: tuple[Step, ...]
    asked: str
    """What the user says last; empty where the model goes on from results."""
    id: str
    """How ids of calls are formed."""
    schema: Json
    strict: bool
    choice: str
    thinks: bool
    sampled: bool
    form: Json | None
    limit: int | None


words = st.sampled_from(("Hi", "Go on.", "Ünï 🚪"))
steps = st.builds(
    Step,
    asked=words | st.just(""),
    thought=st.sampled_from(("", "openai", "responses", "anthropic", "google", "converse")),
    said=st.sampled_from(("", " ", "I look.")),
    calls=st.integers(0, 2),
    answer=st.sampled_from(("text", "nothing", "image")),
)
conversations = st.builds(
    Conversation,
    steps=st.lists(steps, max_size=3).map(tuple),
    asked=words,
    id=st.sampled_from(("call_{}", "functions.look:{}", "call_" + "x" * 60 + "{}")),
    schema=st.sampled_from((_CLOSED, _OPTIONAL, _OPEN)),
    strict=st.booleans(),
    choice=st.sampled_from(("", "auto", "none", "required", "one")),
    thinks=st.booleans(),
    sampled=st.booleans(),
    form=st.none() | st.sampled_from((_CLOSED, _OPTIONAL)),
    limit=st.none() | st.sampled_from((8, 2000, 20000)),
)


def tell(inbound: str, conversation: Conversation) -> Json:
    """Write a conversation as a client of a protocol sends it."""
    return {"openai": _chat, "responses": _responses, "anthropic": _messages}[inbound](conversation)


def _ids(conversation: Conversation, number: int) -> list[str]:
    return [conversation.id.format(f"{number}{call}") for call in range(conversation.steps[number].calls)]


def _asks(conversation: Conversation, number: int) -> str:
    """Give what the user says before a step: always something, where no results say it."""
    steps = conversation.steps
    asked = steps[number].asked if number < len(steps) else conversation.asked
    goes_on = number > 0 and steps[number - 1].calls > 0
    return asked if goes_on else asked or "Hi"


def _sealed(origin: str, inbound: str) -> str:
    return "c2ln" if origin == inbound else f"nexus~{origin}~c2ln"


def _chat(conversation: Conversation) -> Json:
    messages: list[Json] = [{"role": "system", "content": "Be brief."}]
    for number, step in enumerate(conversation.steps):
        if asked := _asks(conversation, number):
            messages.append({"role": "user", "content": asked})
        answer: Json = {"role": "assistant", "content": step.said}
        if step.thought:
            detail = {"type": "reasoning.text", "text": "Hm", "signature": _sealed(step.thought, "openai")}
            answer["reasoning_details"] = [{**detail, "index": 0}]
        ids = _ids(conversation, number)
        function = {"name": "look", "arguments": '{"a":"b"}'}
        if ids:
            answer["tool_calls"] = [{"id": id, "type": "function", "function": function} for id in ids]
        messages.append(answer)
        text = "" if step.answer == "nothing" else "Here"
        messages += [{"role": "tool", "tool_call_id": id, "content": text} for id in ids]
    if asked := _asks(conversation, len(conversation.steps)):
        messages.append({"role": "user", "content": asked})
    function = {"name": "look", "parameters": conversation.schema, "strict": conversation.strict}
    body: Json = {"model": "m", "messages": messages, "tools": [{"type": "function", "function": function}]}
    one = {"type": "function", "function": {"name": "look"}}
    _set(body, "tool_choice", one if conversation.choice == "one" else conversation.choice)
    _set(body, "reasoning_effort", "high" if conversation.thinks else "")
    _set(body, "max_completion_tokens", conversation.limit)
    if conversation.sampled:
        body |= {"temperature": 0.5, "top_p": 0.5}
    if conversation.form is not None:
        form = {"name": "f", "schema": conversation.form, "strict": True}
        body["response_format"] = {"type": "json_schema", "json_schema": form}
    return body


def _responses(conversation: Conversation) -> Json:
    items: list[Json] = []
    for number, step in enumerate(conversation.steps):
        if asked := _asks(conversation, number):
            items.append({"role": "user", "content": asked})
        if step.thought:
            proof = _sealed(step.thought, "responses")
            summary = [{"type": "summary_text", "text": "Hm"}]
            items.append({"type": "reasoning", "id": "rs_1", "summary": summary, "encrypted_content": proof})
        if step.said:
            items.append({"role": "assistant", "content": [{"type": "output_text", "text": step.said}]})
        ids = _ids(conversation, number)
        called = {"type": "function_call", "name": "look", "arguments": '{"a":"b"}'}
        items += [{**called, "call_id": id} for id in ids]
        output: Any = {"text": "Here", "nothing": "", "image": [_image()]}[step.answer]
        items += [{"type": "function_call_output", "call_id": id, "output": output} for id in ids]
    if asked := _asks(conversation, len(conversation.steps)):
        items.append({"role": "user", "content": asked})
    tool = {
        "type": "function",
        "name": "look",
        "parameters": conversation.schema,
        "strict": conversation.strict,
    }
    body: Json = {"model": "m", "store": False, "instructions": "Be brief.", "input": items, "tools": [tool]}
    one = {"type": "function", "name": "look"}
    _set(body, "tool_choice", one if conversation.choice == "one" else conversation.choice)
    _set(body, "reasoning", {"effort": "high"} if conversation.thinks else "")
    _set(body, "max_output_tokens", conversation.limit)
    if conversation.sampled:
        body |= {"temperature": 0.5, "top_p": 0.5}
    if conversation.form is not None:
        form = {"type": "json_schema", "name": "f", "schema": conversation.form, "strict": True}
        body["text"] = {"format": form}
    return body


def _image() -> Json:
    return {"type": "input_image", "image_url": f"data:image/png;base64,{_PNG}"}


def _messages(conversation: Conversation) -> Json:
    messages: list[Json] = []
    results: list[Json] = []
    for number, step in enumerate(conversation.steps):
        messages.append({"role": "user", "content": [*results, *_texts(_asks(conversation, number))]})
        thought = {"type": "thinking", "thinking": "Hm", "signature": _sealed(step.thought, "anthropic")}
        calls = [
            {"type": "tool_use", "id": id, "name": "look", "input": {"a": "b"}}
            for id in _ids(conversation, number)
        ]
        said = [*([thought] if step.thought else []), *_texts(step.said.strip()), *calls]
        messages.append({"role": "assistant", "content": said or _texts("Nothing.")})
        content: Any = {"text": "Here", "nothing": "", "image": [_picture()]}[step.answer]
        results = [{"type": "tool_result", "tool_use_id": call["id"], "content": content} for call in calls]
    last = _texts(_asks(conversation, len(conversation.steps)))
    messages.append({"role": "user", "content": [*results, *last]})
    tool = {"name": "look", "input_schema": conversation.schema, "strict": conversation.strict}
    body: Json = {"model": "m", "system": "Be brief.", "messages": messages, "tools": [tool]}
    body["max_tokens"] = conversation.limit or 4000
    kind = {"required": "any", "one": "tool"}.get(conversation.choice, conversation.choice)
    if kind:
        body["tool_choice"] = {"type": kind, **({"name": "look"} if kind == "tool" else {})}
    if conversation.thinks and body["max_tokens"] > 1024:
        body["thinking"] = {"type": "enabled", "budget_tokens": 1024}
    _set(body, "temperature", 0.5 if conversation.sampled else None)
    if conversation.form is not None:
        body["output_config"] = {"format": {"type": "json_schema", "schema": conversation.form}}
    return body


def _texts(text: str) -> list[Json]:
    return [{"type": "text", "text": text}] if text else []


def _picture() -> Json:
    return {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": _PNG}}


def _set(body: Json, name: str, value: Any) -> None:
    if value not in ("", None):
        body[name] = value
