"""The laws of the Responses protocol for requests and whole answers, over recorded traffic and over invented one."""

from collections.abc import Mapping
from typing import cast

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

import recorded
from nexus.errors import UpstreamGarbage
from nexus.llm.canonical import (
    Json,
)
from nexus.llm.protocols.node import array_of, object_of
from nexus.llm.protocols.responses.inbound import Responses
from nexus.llm.protocols.responses.wire import ResponsesWire

Fields = dict[str, Json]

INBOUND, STATEFUL, WIRE = Responses(), Responses(stateful=True), ResponsesWire()
RECORDED = recorded.exchanges("openai-responses")
WHOLE = [one for one in RECORDED if one.is_json and b'"status": "queued"' not in one.answer]
QUEUED = [one for one in RECORDED if one.is_json and b'"status": "queued"' in one.answer]
ASKED = INBOUND.read_request(b'{"model":"m","input":"hello"}')


def decoded(body: bytes) -> Fields:
    return cast("Fields", msgspec.json.decode(body))


# What a request means: a string is one text, what is null or empty is not there, and the side tells which kind a text is of.


def meaning(body: Fields) -> Fields:
    said = without_nothing(body)
    if said.get("stream") is False:
        del said["stream"]
    given = body["input"]
    items = [{"role": "user", "content": given}] if isinstance(given, str) else array_of(given)
    said["input"] = [item_meaning(without_nothing(object_of(item) or {})) for item in items]
    said["tools"] = [without_nothing(object_of(tool) or {}) for tool in array_of(said.get("tools"))]
    return said


def item_meaning(item: Fields) -> Fields:
    if "role" in item:
        item["type"] = "message"
        item["content"] = content_meaning(item.get("content", ""), item["role"] == "assistant")
    if str(item.get("type")).endswith("call_output"):
        item["output"] = content_meaning(item.get("output", ""), answer=False)
    return item


def content_meaning(content: Json, answer: bool) -> list[Fields]:
    parts = [{"type": "input_text", "text": content}] if isinstance(content, str) else array_of(content)
    found: list[Fields] = []
    for part in parts:
        fields = without_nothing(object_of(part) or {})
        if fields.get("detail") == "auto":
            del fields["detail"]
        if fields["type"] in ("input_text", "output_text"):
            fields |= {"type": "output_text" if answer else "input_text", "text": fields.get("text", "")}
        found.append(fields)
    return found


def without_nothing(fields: Fields) -> Fields:
    return {name: value for name, value in fields.items() if value not in (None, "", [], {})}


@recorded.needed
@pytest.mark.parametrize("exchange", RECORDED, ids=str)
def test_a_recorded_request_means_the_same_when_it_is_written_again(exchange: recorded.Exchange) -> None:
    body, losses = WIRE.write_request(STATEFUL.read_request(exchange.request))
    assert meaning(decoded(body)) == meaning(decoded(exchange.request))
    assert not losses


# Invented requests

texts_in = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
ids = st.sampled_from(["a", "b", "c"])
images: st.SearchStrategy[Fields] = st.sampled_from(
    [
        {"type": "input_image", "image_url": "https://example.com/a.png", "detail": "low"},
        {"type": "input_image", "image_url": "data:image/png;base64,AA=="},
        {"type": "input_image", "file_id": "file-1", "detail": "auto"},
        {"type": "input_file", "filename": "a.pdf", "file_data": "data:application/pdf;base64,AA=="},
        {"type": "input_file", "file_url": "https://example.com/a.pdf"},
        {"type": "input_audio", "input_audio": {"data": "AA==", "format": "wav"}},
        {"type": "input_unheard_of", "a": 1},
    ]
)


def fixed(**fields: Json) -> dict[str, st.SearchStrategy[Json]]:
    return {name: st.just(value) for name, value in fields.items()}


Strategies = Mapping[str, st.SearchStrategy[Json]]


def shaped(needed: Strategies, optional: Strategies) -> st.SearchStrategy[Fields]:
    return st.fixed_dictionaries(needed, optional=optional)


known = {"id": ids, "status": st.sampled_from(["completed", "incomplete"])}
spoken = shaped(
    {**fixed(type="input_text"), "text": texts_in}, fixed(prompt_cache_breakpoint={"mode": "explicit"})
)
content = st.one_of(texts_in, st.lists(st.one_of(spoken, images), min_size=1, max_size=3))
source: Fields = {
    "type": "url_citation",
    "url": "https://example.com",
    "title": "T",
    "start_index": 0,
    "end_index": 1,
}
answered = st.lists(
    st.one_of(
        shaped(
            {**fixed(type="output_text"), "text": texts_in},
            {
                "annotations": st.lists(st.just(source), max_size=2),
                "logprobs": st.just([{"token": "x", "logprob": -1}]),
            },
        ),
        shaped({**fixed(type="refusal"), "refusal": texts_in}, {}),
    ),
    min_size=1,
    max_size=3,
)
items = st.one_of(
    shaped(
        {"role": st.sampled_from(["user", "system", "developer"]), "content": content}, fixed(type="message")
    ),
    shaped(
        {**fixed(role="assistant"), "content": st.one_of(texts_in, answered)},
        {**known, **fixed(type="message"), "phase": st.sampled_from(["commentary", "final_answer"])},
    ),
    shaped(
        {**fixed(type="function_call", arguments="{}"), "call_id": ids, "name": ids},
        {**known, "namespace": st.sampled_from(["mcp", "gone"])},
    ),
    shaped({**fixed(type="custom_tool_call"), "call_id": ids, "name": ids, "input": texts_in}, known),
    shaped({**fixed(type="function_call_output"), "call_id": ids, "output": content}, known),
    shaped({**fixed(type="custom_tool_call_output"), "call_id": ids, "output": content}, known),
    shaped(
        {
            **fixed(type="reasoning"),
            "summary": st.lists(shaped({**fixed(type="summary_text"), "text": texts_in}, {}), max_size=2),
            "encrypted_content": st.sampled_from(["gAAAA", "gBBBB"]),
        },
        {
            **known,
            "content": st.lists(shaped({**fixed(type="reasoning_text"), "text": texts_in}, {}), max_size=2),
        },
    ),
    st.sampled_from(
        [
            {"type": "web_search_call", "id": "ws_1", "status": "completed", "action": {"type": "search"}},
            {"type": "item_reference", "id": "x"},
            {"type": "computer_call_output", "call_id": "c", "output": {"type": "computer_screenshot"}},
        ]
    ),
)
tools: st.SearchStrategy[Json] = st.sampled_from(
    [
        {
            "type": "function",
            "name": "a",
            "description": "d",
            "parameters": {"b": 0.10},
            "strict": False,
            "new": 1,
        },
        {"type": "custom", "name": "b", "format": {"type": "text"}, "defer_loading": True},
        {"type": "namespace", "name": "mcp", "description": "d", "tools": [{"type": "custom", "name": "a"}]},
        {"type": "web_search", "search_context_size": "low"},
    ]
)
settings_of_requests: dict[str, st.SearchStrategy[Json]] = {
    "instructions": texts_in,
    "max_output_tokens": st.integers(0, 9),
    "temperature": st.floats(0, 2),
    "top_p": st.floats(0, 1),
    "top_logprobs": st.integers(0, 3),
    "tools": st.lists(tools, max_size=4, unique_by=str),
    "tool_choice": st.sampled_from(
        ["auto", {"type": "function", "name": "a"}, {"type": "mcp", "server_label": "s"}]
    ),
    "parallel_tool_calls": st.booleans(),
    "reasoning": st.sampled_from(
        [
            {},
            {"effort": "none"},
            {"effort": "xhigh", "summary": "auto"},
            {"summary": "concise", "mode": "pro"},
        ]
    ),
    "text": st.sampled_from(
        [
            {"verbosity": "low"},
            {"format": {"type": "text"}},
            {"format": {"type": "json_object"}},
            {
                "format": {
                    "type": "json_schema",
                    "name": "n",
                    "schema": {"a": 0.10},
                    "strict": True,
                    "description": "d",
                }
            },
        ]
    ),
    "include": st.lists(
        st.sampled_from(["message.output_text.logprobs", "web_search_call.results"]), unique=True
    ),
    "service_tier": st.sampled_from(["auto", "flex"]),
    "user": texts_in,
    "safety_identifier": texts_in,
    "prompt_cache_key": texts_in,
    "store": st.booleans(),
    "background": st.booleans(),
    "previous_response_id": texts_in,
    "metadata": st.just({"a": "b"}),
    "truncation": st.sampled_from(["auto", "disabled"]),
    "stream": st.booleans(),
    "something_new": st.just({"a": [1, None]}),
}
requests = shaped(
    {**fixed(model="m"), "input": st.one_of(texts_in, st.lists(items, max_size=6))}, settings_of_requests
)


@given(requests)
def test_a_request_means_the_same_when_it_is_written_again(request: Fields) -> None:
    body, losses = WIRE.write_request(STATEFUL.read_request(msgspec.json.encode(request)))
    assert meaning(decoded(body)) == meaning(decoded(msgspec.json.encode(request)))
    assert not losses


# What an answer means: of a thought the words, not their parts, since canonical thoughts are one text.


def answer_meaning(body: Fields) -> Fields:
    kept = ("id", "model", "status", "usage", "created_at", "incomplete_details")
    said = {name: body.get(name) for name in kept}
    usage = object_of(said["usage"]) or {}
    details = object_of(usage.get("input_tokens_details"))
    if details is not None:
        details.pop("cache_write_tokens", None)
    said["output"] = [answer_item_meaning(object_of(item) or {}) for item in array_of(body["output"])]
    return said


def answer_item_meaning(item: Fields) -> Fields:
    item = without_nothing(item)
    if item["type"] == "reasoning":
        texts = [*array_of(item.pop("content", [])), *array_of(item.pop("summary", []))]
        item["text"] = "\n\n".join(str((object_of(one) or {})["text"]) for one in texts)
        item.pop("status", None)
    if item["type"] == "message":
        item["content"] = [without_nothing(object_of(one) or {}) for one in array_of(item["content"])]
    return item


@recorded.needed
@pytest.mark.parametrize("exchange", WHOLE, ids=str)
def test_a_recorded_answer_means_the_same_when_it_is_written_again(exchange: recorded.Exchange) -> None:
    request = STATEFUL.read_request(exchange.request)
    body, losses = INBOUND.write_response(WIRE.read_response(exchange.answer, request), request)
    assert answer_meaning(decoded(body)) | {"id": ""} == answer_meaning(decoded(exchange.answer)) | {"id": ""}
    assert not losses


@recorded.needed
@pytest.mark.parametrize("exchange", QUEUED, ids=str)
def test_an_answer_that_is_only_promised_is_none(exchange: recorded.Exchange) -> None:
    with pytest.raises(UpstreamGarbage, match="queued"):
        WIRE.read_response(exchange.answer, ASKED)
