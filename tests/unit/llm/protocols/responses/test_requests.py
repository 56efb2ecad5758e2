"""What clients send, read and written again."""

import re
from collections.abc import Mapping

import msgspec
import pytest

from nexus.errors import InvalidRequest
from nexus.llm.canonical import (
    ChatRequest,
    Format,
    Inline,
    Json,
    Link,
    Media,
    Opaque,
    Reasoning,
    Refusal,
    Stored,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
)
from nexus.llm.protocols.losses import foreign_fields
from nexus.llm.protocols.node import array_of, object_of
from nexus.llm.protocols.responses.inbound import Responses
from nexus.llm.protocols.responses.wire import ResponsesWire
from nexus.llm.protocols.signature import seal

Fields = dict[str, Json]

WEATHER: Fields = {"type": "function", "name": "get_weather", "parameters": {"type": "object"}}
PATCH: Fields = {
    "type": "custom",
    "name": "apply_patch",
    "format": {"type": "grammar", "syntax": "lark", "definition": "start: /.+/"},
}
SERVER: Fields = {
    "type": "namespace",
    "name": "mcp__ev",
    "description": "Everything.",
    "tools": [{"type": "function", "name": "echo"}, {"type": "custom", "name": "raw"}],
}


def body(fields: Mapping[str, Json]) -> bytes:
    return msgspec.json.encode({"model": "m", "input": "hello", **fields})


def read(**fields: Json) -> ChatRequest:
    return Responses().read_request(body(fields))


def again(**fields: Json) -> dict[str, Json]:
    """Read for a provider of the same protocol and write."""
    written, losses = ResponsesWire().write_request(Responses(stateful=True).read_request(body(fields)))
    assert not losses
    return msgspec.json.decode(written)


def test_a_string_is_what_the_user_says() -> None:
    (turn,) = read(input="hello").turns
    assert turn.role == "user"
    assert turn.parts == [Text("hello", path="input")]


def test_instructions_stand_before_everything() -> None:
    first, second = read(instructions="Be brief.").turns
    assert (first.role, first.path) == ("system", "instructions")
    assert first.parts == [Text("Be brief.", path="instructions")]
    assert second.role == "user"
    assert again(instructions="Be brief.")["instructions"] == "Be brief."


def test_what_the_assistant_does_is_one_turn_in_its_order() -> None:
    items: list[Fields] = [
        {"role": "user", "content": "weather?"},
        {
            "type": "reasoning",
            "id": "rs_1",
            "summary": [{"type": "summary_text", "text": "hm"}],
            "encrypted_content": "e",
        },
        {
            "type": "message",
            "role": "assistant",
            "content": [{"type": "output_text", "text": "Let me look."}],
        },
        {"type": "function_call", "call_id": "a", "name": "get_weather", "arguments": "{}"},
        {"type": "function_call", "call_id": "b", "name": "get_weather", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "a", "output": "sun"},
        {"type": "function_call_output", "call_id": "b", "output": [{"type": "input_text", "text": "rain"}]},
        {"role": "user", "content": "and?"},
    ]
    turns = read(input=items).turns
    assert [(turn.role, [type(part) for part in turn.parts]) for turn in turns] == [
        ("user", [Text]),
        ("assistant", [Thinking, Text, ToolCall, ToolCall]),
        ("user", [ToolResult, ToolResult]),
        ("user", [Text]),
    ]
    thought, _, first, second = turns[1].parts
    assert thought == Thinking("hm", "e", origin="responses", id="rs_1", path="input.1")
    assert isinstance(first, ToolCall)
    assert isinstance(second, ToolCall)
    assert (first.id, second.id) == ("a", "b")


def test_two_messages_of_the_assistant_stay_two() -> None:
    items: list[Fields] = [
        {"type": "message", "role": "assistant", "id": "msg_1", "phase": "commentary", "content": "first"},
        {"type": "message", "role": "assistant", "id": "msg_2", "content": "second"},
    ]
    assert len(read(input=items).turns) == 2
    assert again(input=items)["input"] == [
        {"type": "message", "role": "assistant", "content": "first", "id": "msg_1", "phase": "commentary"},
        {"type": "message", "role": "assistant", "content": "second", "id": "msg_2"},
    ]


def test_media_are_read_in_all_their_forms() -> None:
    content: Json = [
        {"type": "input_image", "image_url": "https://example.com/a.png", "detail": "high"},
        {"type": "input_image", "image_url": "data:image/png;base64,AA=="},
        {"type": "input_image", "file_id": "file-1"},
        {"type": "input_file", "filename": "a.pdf", "file_data": "data:application/pdf;base64,AA=="},
        {"type": "input_file", "filename": "a.md", "file_data": "AA=="},
        {"type": "input_file", "file_url": "https://example.com/a.pdf"},
        {"type": "input_file", "file_id": "file-2"},
        {"type": "input_audio", "input_audio": {"data": "AA==", "format": "mp3"}},
    ]
    (turn,) = read(input=[{"role": "user", "content": content}]).turns
    media = [part for part in turn.parts if isinstance(part, Media)]
    assert [(part.kind, part.source, part.name) for part in media] == [
        ("image", Link("https://example.com/a.png"), ""),
        ("image", Inline("image/png", "AA=="), ""),
        ("image", Stored("file-1"), ""),
        ("document", Inline("application/pdf", "AA=="), "a.pdf"),
        ("document", Inline("text/markdown", "AA=="), "a.md"),
        ("document", Link("https://example.com/a.pdf"), ""),
        ("document", Stored("file-2"), ""),
        ("audio", Inline("audio/mpeg", "AA=="), ""),
    ]
    assert media[0].extras == {"detail": "high"}


def test_a_tool_may_give_images() -> None:
    output: Json = [
        {"type": "input_text", "text": "see"},
        {"type": "input_image", "image_url": "data:image/png;base64,AA==", "detail": "auto"},
    ]
    items: list[Fields] = [{"type": "function_call_output", "call_id": "a", "output": output}]
    result = read(input=items).turns[0].parts[0]
    assert isinstance(result, ToolResult)
    assert [type(part) for part in result.content] == [Text, Media]
    assert again(input=items)["input"] == items


def test_what_was_said_keeps_sources_and_refusals() -> None:
    source: Json = {
        "type": "url_citation",
        "url": "https://example.com",
        "title": "T",
        "start_index": 0,
        "end_index": 2,
    }
    content: Json = [
        {"type": "output_text", "text": "so", "annotations": [source]},
        {"type": "refusal", "refusal": "no"},
    ]
    items: list[Fields] = [{"type": "message", "role": "assistant", "content": content}]
    text, refusal = read(input=items).turns[0].parts
    assert isinstance(text, Text)
    assert (text.citations[0].url, text.citations[0].title) == ("https://example.com", "T")
    assert isinstance(refusal, Refusal)
    assert again(input=items)["input"] == items


def test_items_only_openai_knows_are_kept_where_they_stand() -> None:
    items: list[Fields] = [
        {"role": "user", "content": "search"},
        {
            "type": "web_search_call",
            "id": "ws_1",
            "status": "completed",
            "action": {"type": "search", "query": "q"},
        },
        {"type": "computer_call_output", "call_id": "c", "output": {"type": "computer_screenshot"}},
        {"type": "compaction", "id": "cmp_1", "encrypted_content": "x"},
    ]
    turns = read(input=items).turns
    assert [turn.role for turn in turns] == ["user", "assistant", "user", "assistant"]
    found = turns[1].parts[0]
    assert isinstance(found, Opaque)
    assert (found.protocol, found.kind, found.path) == ("responses", "web_search_call", "input.1")
    written = again(input=items)["input"]
    assert isinstance(written, list)
    assert written[1:] == items[1:]


def test_an_unknown_part_stays_within_its_message() -> None:
    items: list[Fields] = [
        {"type": "message", "role": "user", "content": [{"type": "input_smell", "smell": "rose"}]}
    ]
    assert again(input=items)["input"] == items


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"previous_response_id": "resp_1"}, "previous_response_id"),
        ({"conversation": "conv_1"}, "conversation"),
        ({"conversation": {"id": "conv_1"}}, "conversation"),
        ({"prompt": {"id": "pmpt_1"}}, "prompt"),
        ({"background": True}, "background"),
        ({"input": [{"type": "item_reference", "id": "msg_1"}]}, "input.0"),
        ({"input": [{"id": "msg_1"}]}, "input.0"),
        ({"input": []}, "input"),
    ],
)
def test_what_needs_state_is_refused_with_a_cure(fields: dict[str, Json], path: str) -> None:
    with pytest.raises(InvalidRequest, match=f"^{re.escape(path)}: ") as refused:
        read(**fields)
    assert "provider that speaks the Responses API" in str(refused.value) or path == "input"


def test_what_needs_state_goes_on_to_a_provider_that_keeps_it() -> None:
    fields: dict[str, Json] = {
        "previous_response_id": "resp_1",
        "background": True,
        "store": True,
        "input": [{"type": "item_reference", "id": "msg_1"}],
        "reasoning": {"effort": "low", "context": "all_turns"},
        "text": {
            "verbosity": "low",
            "format": {"type": "json_schema", "name": "n", "schema": {}, "odd": 1},
            "even": 2,
        },
        "tool_choice": {"type": "mcp", "server_label": "s", "name": "n"},
        "tools": [{"type": "mcp", "server_label": "s", "server_url": "https://example.com"}],
        "include": ["web_search_call.results", "message.output_text.logprobs"],
        "user": "u",
        "safety_identifier": "s",
    }
    assert again(**fields) == {"model": "m", **fields}


def test_settings_that_ask_for_nothing_are_no_loss() -> None:
    request = read(
        store=False,
        background=False,
        truncation="disabled",
        client_metadata={"session": "s"},
        stream_options={"include_obfuscation": False},
        include=["reasoning.encrypted_content"],
        previous_response_id=None,
    )
    assert not list(foreign_fields(request))


def test_settings_nobody_else_has_are_told() -> None:
    request = read(
        store=True, truncation="auto", metadata={"a": "b"}, max_tool_calls=3, reasoning={"mode": "pro"}
    )
    assert {loss.path for loss in foreign_fields(request)} == {
        "store",
        "truncation",
        "metadata",
        "max_tool_calls",
        "reasoning.mode",
    }


def test_settings_are_read() -> None:
    request = read(
        max_output_tokens=99,
        temperature=0.5,
        top_p=0.9,
        top_logprobs=3,
        include=["message.output_text.logprobs"],
        parallel_tool_calls=False,
        service_tier="flex",
        user="u",
        prompt_cache_key="k",
        stream=True,
        text={
            "verbosity": "low",
            "format": {"type": "json_schema", "name": "n", "schema": {"a": 1}, "strict": True},
        },
        reasoning={"effort": "xhigh", "summary": "auto"},
    )
    assert (request.max_tokens, request.temperature, request.top_p) == (99, 0.5, 0.9)
    assert (request.logprobs, request.top_logprobs) == (True, 3)
    assert (request.parallel_tools, request.service_tier, request.stream) == (False, "flex", True)
    assert (request.user, request.cache_key, request.verbosity) == ("u", "k", "low")
    assert request.format == Format("schema", {"a": 1}, "n", "", True, "text.format")
    assert request.reasoning == Reasoning("on", "xhigh", summary="auto", path="reasoning")
    assert not request.extras


@pytest.mark.parametrize(
    ("given", "mode"),
    [({"effort": "none"}, "off"), ({"effort": "low"}, "on"), ({"summary": "auto"}, "adaptive"), ({}, None)],
)
def test_effort_tells_whether_to_think(given: Json, mode: str | None) -> None:
    reasoning = read(reasoning=given).reasoning
    assert (reasoning.mode if reasoning else None) == mode


MISTAKES: list[tuple[Fields, str]] = [
    ({"model": None}, "model: is missing"),
    ({"input": 7}, "input: must be an array"),
    ({"input": [7]}, "input.0: must be an object"),
    ({"input": [{"type": 7}]}, "input.0.type: must be a string"),
    ({"input": [{"role": "critic", "content": "x"}]}, "input.0.role: must be one of user, assistant"),
    ({"input": [{"role": "user"}]}, "input.0.content: is missing"),
    ({"input": [{"role": "user", "content": [{"text": "x"}]}]}, "input.0.content.0.type: is missing"),
    (
        {"input": [{"role": "user", "content": [{"type": "input_text"}]}]},
        "input.0.content.0.text: is missing",
    ),
    (
        {"input": [{"role": "user", "content": [{"type": "input_image"}]}]},
        "input.0.content.0.image_url: is missing",
    ),
    (
        {"input": [{"role": "user", "content": [{"type": "input_file"}]}]},
        "input.0.content.0.file_data: is missing",
    ),
    (
        {"input": [{"role": "user", "content": [{"type": "input_audio"}]}]},
        "input.0.content.0.input_audio: is missing",
    ),
    (
        {"input": [{"type": "function_call", "name": "n", "arguments": "{}"}]},
        "input.0.call_id: is missing",
    ),
    ({"input": [{"type": "function_call_output", "call_id": "a"}]}, "input.0.output: is missing"),
    ({"input": [{"type": "reasoning", "summary": [{}]}]}, "input.0.summary.0.text: must be a string"),
    ({"tools": [{"name": "x"}]}, "tools.0.type: is missing"),
    ({"tools": [{"type": "function"}]}, "tools.0.name: is missing"),
    (
        {"tools": [{"type": "namespace", "name": "n", "tools": [{"type": "web_search"}]}]},
        "tools.0.tools.0.type: a namespace holds",
    ),
    ({"tool_choice": "maybe"}, "tool_choice: must be auto, none, required"),
    ({"tool_choice": {"type": "function", "name": "nope"}}, "tool_choice.name: there is no tool 'nope'"),
    ({"tool_choice": {"type": "function"}}, "tool_choice.name: must be a string"),
    ({"reasoning": {"effort": "much"}}, "reasoning.effort: must be one of none, minimal"),
    ({"text": {"format": {"type": "xml"}}}, "text.format.type: must be text, json_object or json_schema"),
    ({"max_output_tokens": "many"}, "max_output_tokens: must be a whole number"),
]


@pytest.mark.parametrize(("fields", "complaint"), MISTAKES)
def test_mistakes_are_told_by_their_path(fields: dict[str, Json], complaint: str) -> None:
    with pytest.raises(InvalidRequest) as mistake:
        read(**fields)
    assert str(mistake.value).startswith(complaint)


def test_signatures_of_other_vendors_come_back_to_their_parts() -> None:
    items: list[Fields] = [
        {"role": "user", "content": "x"},
        {
            "type": "reasoning",
            "id": "rs_1",
            "summary": [{"type": "summary_text", "text": "hm"}],
            "encrypted_content": seal("s1", "anthropic", "responses"),
        },
        {
            "type": "reasoning",
            "summary": [],
            "encrypted_content": seal("redacted~d", "anthropic", "responses"),
        },
        {"type": "reasoning", "summary": [], "encrypted_content": seal("s2", "anthropic", "responses")},
        {"type": "function_call", "call_id": "a~1", "name": "n", "arguments": "{}"},
        {"type": "function_call", "call_id": "b", "name": "n", "arguments": "{}"},
        {"type": "reasoning", "summary": [], "encrypted_content": seal("call~a~1~s3", "google", "responses")},
    ]
    thought, redacted, empty, signed, unsigned = read(input=items).turns[1].parts
    assert isinstance(thought, Thinking)
    assert (thought.text, thought.signature, thought.origin) == ("hm", "s1", "anthropic")
    assert isinstance(redacted, Thinking)
    assert (redacted.text, redacted.signature, redacted.redacted) == ("", "", "d")
    assert isinstance(empty, Thinking)
    assert (empty.text, empty.signature) == ("", "s2")
    assert isinstance(signed, ToolCall)
    assert (signed.signature, signed.origin) == ("s3", "google")
    assert isinstance(unsigned, ToolCall)
    assert (unsigned.signature, unsigned.origin) == ("", "")


def test_signatures_of_other_vendors_are_not_sent_to_openai() -> None:
    items: list[Fields] = [
        {"type": "reasoning", "summary": [], "encrypted_content": seal("s", "anthropic", "responses")},
        {"type": "function_call", "call_id": "a", "name": "n", "arguments": "{}"},
        {"type": "reasoning", "summary": [], "encrypted_content": seal("call~a~s", "google", "responses")},
    ]
    request = Responses(stateful=True).read_request(body({"input": items}))
    written, losses = ResponsesWire().write_request(request)
    assert b"nexus~" not in written
    assert b"reasoning" not in written
    assert [loss.path for loss in losses] == ["input.0"]


def test_a_thought_in_several_parts_keeps_them_for_its_own_vendor() -> None:
    summary: Json = [{"type": "summary_text", "text": one} for one in ("a", "b")]
    items: list[Fields] = [
        {
            "type": "reasoning",
            "id": "rs_1",
            "summary": summary,
            "encrypted_content": "e",
            "status": "completed",
        }
    ]
    (thought,) = read(input=items).turns[0].parts
    assert isinstance(thought, Thinking)
    assert thought.text == "a\n\nb"
    assert not thought.extras
    assert again(input=items)["input"] == items


def test_a_thought_that_says_and_proves_nothing_is_none() -> None:
    items: list[Fields] = [
        {"type": "reasoning", "id": "rs_1", "summary": []},
        {"role": "user", "content": "x"},
    ]
    assert [turn.role for turn in read(input=items).turns] == ["user"]
    assert again(input=items)["input"] == [items[0], {"type": "message", "role": "user", "content": "x"}]


def test_an_empty_text_of_the_assistant_says_nothing() -> None:
    items: list[Fields] = [
        {"role": "assistant", "content": ""},
        {"type": "function_call", "call_id": "a", "name": "n", "arguments": "{}"},
    ]
    (turn,) = read(input=items).turns
    assert [type(part) for part in turn.parts] == [ToolCall]


def test_a_signature_belongs_to_the_last_call_of_its_id() -> None:
    call: Fields = {"type": "function_call", "call_id": "a", "name": "n", "arguments": "{}"}
    result: Fields = {"type": "function_call_output", "call_id": "a", "output": "x"}

    def proof(signature: str) -> Fields:
        return {"type": "reasoning", "encrypted_content": seal(f"call~a~{signature}", "google", "responses")}

    for items in ([call, proof("1"), result, call, proof("2")], [proof("1"), call, result, call, proof("2")]):
        found = [
            part for turn in read(input=items).turns for part in turn.parts if isinstance(part, ToolCall)
        ]
        assert [part.signature for part in found] == ["1", "2"]


def test_an_image_the_model_made_is_an_image() -> None:
    item: Fields = {"type": "image_generation_call", "id": "ig_1", "status": "completed", "result": "AA=="}
    (turn,) = read(input=[item]).turns
    assert turn.role == "assistant"
    assert turn.parts == [Media("image", Inline("image/png", "AA=="), path="input.0")]
    assert again(input=[item])["input"] == [item]


def test_a_result_stands_right_after_its_call_for_those_who_want_it_there() -> None:
    call = {"type": "function_call", "name": "f", "arguments": "{}"}
    output = {"type": "function_call_output", "output": "ok"}
    items: list[Json] = [
        {**call, "call_id": "a"},
        {**call, "call_id": "b"},
        {"role": "developer", "content": "Be quick"},
        {**output, "call_id": "a"},
        {"role": "user", "content": "Go on"},
        {**output, "call_id": "b"},
    ]
    turns = read(input=items).turns
    assert [turn.role for turn in turns] == ["assistant", "user", "developer", "user"]
    assert [part.call_id for part in turns[1].parts if isinstance(part, ToolResult)] == ["a", "b"]
    kept = [object_of(item) or {} for item in array_of(again(input=items)["input"])]
    assert [item.get("call_id") for item in kept] == ["a", "b", None, "a", None, "b"]
