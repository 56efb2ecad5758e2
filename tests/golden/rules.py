"""What vendors refuse in a request although its types are right: the rules of their documents, held against what is sent.

https://platform.claude.com/docs/en/agents-and-tools/tool-use/implement-tool-use
https://platform.claude.com/docs/en/build-with-claude/extended-thinking
https://platform.openai.com/docs/guides/function-calling · https://platform.openai.com/docs/guides/structured-outputs
https://ai.google.dev/gemini-api/docs/thought-signatures
https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html
"""

import re
from collections.abc import Callable, Iterator, Mapping
from itertools import groupby, pairwise
from typing import Any

Json = dict[str, Any]
_CLAUDE_ID = re.compile(r"[a-zA-Z0-9_-]+")
_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")


def broken(wire: str, body: Json) -> list[str]:
    """List the rules of a vendor that a request breaks."""
    return list(_RULES[wire](body))


def _pairs(called: list[str], answered: list[str]) -> Iterator[str]:
    if sorted(called) != sorted(answered):
        yield f"calls {called} have results {answered}"


def _chat(body: Json) -> Iterator[str]:
    for tool in body.get("tools", ()):
        function = tool.get("function", {})
        if not _NAME.fullmatch(tool[tool["type"]]["name"]):
            yield "a name of a tool"
        if function.get("strict"):
            yield from _strict(function.get("parameters"))
    form = body.get("response_format", {}).get("json_schema", {})
    if form.get("strict"):
        yield from _strict(form["schema"])
    waiting: list[str] = []
    for message in body["messages"]:
        if message["role"] == "tool":
            if message["tool_call_id"] not in waiting:
                yield "a result without a call"
            else:
                waiting.remove(message["tool_call_id"])
            continue
        yield from ["a call without a result"] * len(waiting)
        waiting = [call["id"] for call in message.get("tool_calls", ())]
        if any(len(id) > 40 for id in waiting):
            yield "a long id"
        if message["role"] == "assistant" and not message.keys() & {"content", "tool_calls", "refusal"}:
            yield "an empty message"


def _responses(body: Json) -> Iterator[str]:
    for tool in body.get("tools", ()):
        if tool.get("strict"):
            yield from _strict(tool["parameters"])
    form = body.get("text", {}).get("format", {})
    if form.get("strict"):
        yield from _strict(form["schema"])
    items = body["input"]
    called = [one["call_id"] for one in items if one["type"] in ("function_call", "custom_tool_call")]
    yield from _pairs(called, [one["call_id"] for one in items if one["type"].endswith("_call_output")])
    if body.get("max_output_tokens", 16) < 16:
        yield "less than 16 tokens"


def _strict(schema: Any) -> Iterator[str]:
    if isinstance(schema, dict) and schema.get("type") == "object":  # pyright: ignore[reportUnknownMemberType]
        node: Json = {**schema}
        if node.get("additionalProperties") is not False:
            yield "a strict object that is open"
        if set(node.get("required", ())) != set(node.get("properties", ())):
            yield "a strict object with an optional property"
        for inner in node.get("properties", {}).values():
            yield from _strict(inner)


def _messages(body: Json) -> Iterator[str]:
    system = body.get("system", "x")
    blocks = [{"type": "text", "text": system}] if isinstance(system, str) else system
    turns: list[tuple[str, list[Json]]] = []
    for role, messages in groupby(body["messages"], lambda message: message["role"]):
        turns.append((role, [block for message in messages for block in _blocks(message)]))
        blocks = [*blocks, *turns[-1][1]]
    if any(block["type"] == "text" and not block["text"].strip() for block in blocks):
        yield "a text of nothing"
    ids = [block["id"] for block in blocks if block["type"] == "tool_use"]
    if len(set(ids)) != len(ids) or not all(map(_CLAUDE_ID.fullmatch, ids)):
        yield "an id of a call"
    yield from _in_turns(turns, "tool_use", "tool_result")
    yield from _thinking(body, turns)


def _blocks(message: Json) -> list[Json]:
    content = message["content"]
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


def _in_turns(turns: list[tuple[str, list[Json]]], call: str, result: str) -> Iterator[str]:
    """Hold calls against the results at the head of the turn after them."""
    for number, (role, blocks) in enumerate(turns):
        called = [block["id"] for block in blocks if block["type"] == call]
        if role == "assistant" and number + 1 < len(turns):
            after = turns[number + 1][1]
            yield from _pairs(called, [block["tool_use_id"] for block in after if block["type"] == result])
        if role == "assistant" and number + 1 == len(turns) and called:
            yield "a call without a result"
        kinds = [block["type"] == result for block in blocks]
        if role == "user" and sorted(kinds, reverse=True) != kinds:
            yield "a result after something else"


def _thinking(body: Json, turns: list[tuple[str, list[Json]]]) -> Iterator[str]:
    thinking = body.get("thinking", {"type": "disabled"})
    if thinking["type"] == "disabled":
        if "temperature" in body and "top_p" in body:
            yield "temperature and top_p"
        return
    if body.get("tool_choice", {}).get("type") in ("any", "tool"):
        yield "thoughts before a call that is forced"
    if body.keys() & {"temperature", "top_k"}:
        yield "temperature while thinking"
    if thinking["type"] == "enabled" and not 1024 <= thinking["budget_tokens"] < body["max_tokens"]:
        yield "a budget out of bounds"
    goes_on = len(turns) > 1 and turns[-1][1][0]["type"] == "tool_result" and thinking["type"] == "enabled"
    if goes_on and turns[-2][1][0]["type"] not in ("thinking", "redacted_thinking"):
        yield "an answer to go on from that has no thought"


def _google(body: Json) -> Iterator[str]:
    contents = body["contents"]
    roles = [content["role"] for content in contents]
    if any(before == after for before, after in pairwise(roles)):
        yield "two turns of one role"
    called: list[str] = []
    for content in contents:
        parts = content["parts"]
        if not parts:
            yield "a turn without parts"
        if any(len(part.keys() - {"thought", "thoughtSignature"}) != 1 for part in parts):
            yield "a part that is not one thing"
        answered = [part["functionResponse"]["name"] for part in parts if "functionResponse" in part]
        if content["role"] == "user":
            yield from _pairs(called, answered)
        calls = [part for part in parts if "functionCall" in part]
        called = [part["functionCall"]["name"] for part in calls]
    asked = max((at for at, content in enumerate(contents) if _speaks(content)), default=-1)
    for content in contents[asked + 1 :]:
        calls = [part for part in content["parts"] if "functionCall" in part]
        if calls and "thoughtSignature" not in calls[0]:
            yield "a call without its signature"


def _speaks(content: Json) -> bool:
    return content["role"] == "user" and not any("functionResponse" in part for part in content["parts"])


def _converse(body: Json) -> Iterator[str]:
    messages = body["messages"]
    roles = [message["role"] for message in messages]
    if any(before == after for before, after in pairwise(roles)):
        yield "two turns of one role"
    turns = [
        (message["role"], [_converse_block(block) for block in message["content"]]) for message in messages
    ]
    blocks = [block for _, turn in turns for block in turn]
    if any(block["type"] == "text" and not block["text"].strip() for block in blocks):
        yield "a text of nothing"
    if not all(turn for _, turn in turns):
        yield "a turn without content"
    yield from _in_turns(turns, "toolUse", "toolResult")
    uses_tools = any(block["type"] in ("toolUse", "toolResult") for block in blocks)
    if uses_tools and not body.get("toolConfig", {}).get("tools"):
        yield "calls and no tools"
    documents = [block["name"] for block in blocks if block["type"] == "document"]
    if len(set(documents)) != len(documents):
        yield "two documents of one name"
    fields = body.get("additionalModelRequestFields", {})
    shape: Json = {
        "messages": [],
        "max_tokens": body.get("inferenceConfig", {}).get("maxTokens", 99999),
        **fields,
    }
    yield from _thinking(shape, [])


def _converse_block(block: Json) -> Json:
    kind, content = next(iter(block.items()))
    if kind == "text":
        return {"type": "text", "text": content}
    ids = {"id": content.get("toolUseId"), "tool_use_id": content.get("toolUseId")}
    return {**ids, "type": kind, "name": content.get("name")}


_RULES: Mapping[str, Callable[[Json], Iterator[str]]] = {
    "openai": _chat,
    "responses": _responses,
    "anthropic": _messages,
    "google": _google,
    "converse": _converse,
}
