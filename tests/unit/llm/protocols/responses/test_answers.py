"""Whole answers: read from a provider, written for a client."""

import msgspec
import openai.types.responses as official
import pytest

from nexus.errors import UpstreamFailed, UpstreamGarbage
from nexus.llm.canonical import (
    AnyPart,
    ChatRequest,
    ChatResponse,
    Citation,
    Inline,
    Json,
    Link,
    Media,
    Opaque,
    Refusal,
    Stop,
    StopReason,
    Text,
    Thinking,
    ToolCall,
    Usage,
)
from nexus.llm.protocols.node import array_of, object_of
from nexus.llm.protocols.responses.inbound import Responses
from nexus.llm.protocols.responses.wire import ResponsesWire

Fields = dict[str, Json]
TOOLS: list[Fields] = [
    {"type": "function", "name": "get_weather", "parameters": {"type": "object"}},
    {"type": "custom", "name": "apply_patch"},
    {
        "type": "namespace",
        "name": "mcp__ev",
        "description": "d",
        "tools": [{"type": "function", "name": "echo"}],
    },
    {"type": "web_search"},
]


def asked(**fields: Json) -> ChatRequest:
    body: Fields = {"model": "m", "input": "hello", "tools": TOOLS, **fields}
    return Responses().read_request(msgspec.json.encode(body))


def answer(
    *parts: AnyPart, stop: StopReason = "end", protocol: str = "anthropic", id: str = "msg_01"
) -> ChatResponse:
    return ChatResponse(
        protocol=protocol,
        id=id,
        model="m",
        parts=parts,
        stop=Stop(stop),
        usage=Usage(10, 5, 3, 2, 1, 4),
        created=7,
        service_tier="standard",
    )


def write(response: ChatResponse, request: ChatRequest | None = None) -> Fields:
    return write_with_losses(response, request)[0]


def write_with_losses(response: ChatResponse, request: ChatRequest | None = None) -> tuple[Fields, list[str]]:
    body, losses = Responses().write_response(response, request or asked())
    official.Response.model_validate_json(body, strict=True)
    return msgspec.json.decode(body), [loss.path for loss in losses]


def output(*parts: AnyPart, stop: StopReason = "end") -> list[Fields]:
    found = write(answer(*parts, stop=stop))["output"]
    return [object_of(item) or {} for item in array_of(found)]


def read(body: Fields) -> ChatResponse:
    return ResponsesWire().read_response(msgspec.json.encode(body), asked())


def test_an_answer_repeats_what_was_asked() -> None:
    settings: Fields = {
        "instructions": "Be brief.",
        "max_output_tokens": 99,
        "temperature": 0.5,
        "top_p": 0.9,
        "parallel_tool_calls": False,
        "tool_choice": {"type": "function", "name": "echo", "namespace": "mcp__ev"},
        "reasoning": {"effort": "low", "summary": "auto"},
        "metadata": {"a": "b"},
        "prompt_cache_key": "k",
        "safety_identifier": "u",
    }
    body = write(answer(Text("hi")), asked(**settings, text={"verbosity": "low"}))
    assert {name: body[name] for name in settings} == settings
    assert body["text"] == {"format": {"type": "text"}, "verbosity": "low"}
    assert body["tools"] == [
        TOOLS[0],
        TOOLS[1],
        {**TOOLS[2], "tools": [{"type": "function", "name": "echo", "parameters": None}]},
        TOOLS[3],
    ]
    assert (body["id"], body["object"], body["created_at"], body["model"]) == (
        "resp_msg_01",
        "response",
        7,
        "m",
    )
    assert (body["status"], body["error"], body["incomplete_details"], body["store"]) == (
        "completed",
        None,
        None,
        False,
    )


def test_counts_include_what_was_cached() -> None:
    assert write(answer(Text("hi")))["usage"] == {
        "input_tokens": 16,
        "input_tokens_details": {"cached_tokens": 3, "cache_write_tokens": 3},
        "output_tokens": 5,
        "output_tokens_details": {"reasoning_tokens": 4},
        "total_tokens": 21,
    }


def test_texts_in_a_row_are_one_message() -> None:
    assert output(Text("a"), Text("b"), ToolCall("c", "get_weather", "{}"), Text("d")) == [
        message("msg_msg_01_0", text("a"), text("b")),
        call("fc_msg_01_1", "c", "get_weather"),
        message("msg_msg_01_2", text("d")),
    ]


def text(said: str, *annotations: Json) -> Fields:
    return {"type": "output_text", "annotations": list(annotations), "logprobs": [], "text": said}


def message(id: str, *content: Json, status: str = "completed") -> Fields:
    return {"id": id, "type": "message", "status": status, "content": list(content), "role": "assistant"}


def call(id: str, call_id: str, name: str, **more: Json) -> Fields:
    known: Fields = {
        "id": id,
        "type": "function_call",
        "status": "completed",
        "call_id": call_id,
        "name": name,
    }
    return {**known, "arguments": "{}", **more}


def test_calls_go_back_to_the_namespace_their_tool_came_from() -> None:
    assert output(ToolCall("a", "mcp__ev__echo", '{"x":1}')) == [
        call("fc_msg_01_0", "a", "echo", namespace="mcp__ev", arguments='{"x":1}')
    ]


@pytest.mark.parametrize(
    "part",
    [
        ToolCall("a", "apply_patch", '{"input":"*** Begin\\n\\"x\\""}'),
        ToolCall("a", "apply_patch", '*** Begin\n"x"'),
        ToolCall("a", "apply_patch", '*** Begin\n"x"', custom=True),
    ],
)
def test_calls_of_a_custom_tool_are_free_text_again(part: ToolCall) -> None:
    (found,) = output(part)
    assert found["type"] == "custom_tool_call"
    assert (found["name"], found["call_id"], found["input"]) == ("apply_patch", "a", '*** Begin\n"x"')


def test_a_call_without_arguments_has_an_empty_object() -> None:
    assert output(ToolCall("a", "get_weather", "")) == [call("fc_msg_01_0", "a", "get_weather")]


def test_thoughts_of_other_vendors_carry_their_signatures_sealed() -> None:
    assert output(
        Thinking("hm", "s1", origin="anthropic"),
        Thinking("", redacted="d", origin="anthropic"),
        Thinking("", "s2", origin="anthropic"),
        Thinking("plain"),
    ) == [
        thought("rs_msg_01_0", "hm", "nexus~anthropic~s1"),
        thought("rs_msg_01_1", "", "nexus~anthropic~redacted~d"),
        thought("rs_msg_01_2", "", "nexus~anthropic~s2"),
        thought("rs_msg_01_3", "plain"),
    ]


def thought(id: str, said: str, proof: str = "") -> Fields:
    summary: Json = [{"type": "summary_text", "text": said}] if said else []
    known: Fields = {"id": id, "type": "reasoning", "summary": summary}
    return {**known, "encrypted_content": proof} if proof else known


def test_signatures_of_calls_travel_in_thoughts_at_the_end() -> None:
    assert output(
        ToolCall("a", "get_weather", "{}", signature="s", origin="google"), ToolCall("b", "get_weather", "{}")
    ) == [
        call("fc_msg_01_0", "a", "get_weather"),
        call("fc_msg_01_1", "b", "get_weather"),
        thought("rs_msg_01_2", "", "nexus~google~call~a~s"),
    ]


PARTS: list[AnyPart] = [
    Thinking("hm", "s1", origin="anthropic"),
    Thinking("", redacted="d", origin="anthropic"),
    Text("Let me look."),
    ToolCall("a", "mcp__ev__echo", '{"x":1}', signature="s2", origin="google"),
    ToolCall("b", "apply_patch", "*** Begin", custom=True),
    Media("image", Inline("image/webp", "AA==")),
]


def test_what_a_client_gives_back_is_what_the_model_gave() -> None:
    request = asked(input=output(*PARTS))
    (turn,) = request.turns

    def bare(part: AnyPart) -> AnyPart:
        part = msgspec.structs.replace(part, path="")
        return msgspec.structs.replace(part, id="") if isinstance(part, Thinking) else part

    assert msgspec.json.encode([bare(part) for part in turn.parts]) == msgspec.json.encode(PARTS)


def test_sources_are_told_by_their_address() -> None:
    cited = Text(
        "so", [Citation("anthropic", {}, "https://example.com", "T"), Citation("anthropic", {}, title="doc")]
    )
    body, losses = write_with_losses(answer(cited))
    source: Fields = {
        "type": "url_citation",
        "start_index": 0,
        "end_index": 2,
        "title": "T",
        "url": "https://example.com",
    }
    assert body["output"] == [message("msg_msg_01_0", text("so", source))]
    assert losses == ["response.0"]


def test_images_are_generated_images_and_what_has_no_form_is_told() -> None:
    body, losses = write_with_losses(
        answer(
            Media("image", Inline("image/png", "AA==")),
            Media("image", Link("https://example.com/a.png")),
            Opaque("anthropic", "server_tool_use", {}),
        )
    )
    assert body["output"] == [
        {
            "id": "ig_msg_01_0",
            "type": "image_generation_call",
            "status": "completed",
            "output_format": "png",
            "result": "AA==",
        }
    ]
    assert losses == ["response.1", "response.2"]


@pytest.mark.parametrize(
    ("reason", "status", "details"),
    [
        ("end", "completed", None),
        ("tool", "completed", None),
        ("sequence", "completed", None),
        ("refusal", "incomplete", {"reason": "content_filter"}),
        ("pause", "completed", None),
        ("length", "incomplete", {"reason": "max_output_tokens"}),
        ("context", "incomplete", {"reason": "max_output_tokens"}),
        ("filter", "incomplete", {"reason": "content_filter"}),
    ],
)
def test_the_reason_tells_whether_an_answer_is_complete(
    reason: StopReason, status: str, details: Json
) -> None:
    parts = (ToolCall("a", "get_weather", "{}"), Text("x"))
    body = write(answer(*parts, stop=reason))
    assert (body["status"], body["incomplete_details"]) == (status, details)
    assert [item["status"] for item in output(*parts, stop=reason)] == ["completed", status]
    assert write(answer(Text("x"), id="resp_1"))["id"] == "resp_1"


def test_a_refusal_told_in_words_is_complete() -> None:
    body = write(answer(Refusal("No."), stop="refusal"))
    assert (body["status"], body["incomplete_details"]) == ("completed", None)


def test_an_answer_is_read() -> None:
    body: Fields = {
        "id": "resp_1",
        "model": "gpt",
        "created_at": 7.0,
        "status": "completed",
        "service_tier": "default",
        "output": [
            {
                "id": "rs_1",
                "type": "reasoning",
                "summary": [{"type": "summary_text", "text": "a"}, {"type": "summary_text", "text": "b"}],
                "encrypted_content": "e",
            },
            {"id": "ws_1", "type": "web_search_call", "status": "completed", "action": {"type": "search"}},
            {
                "id": "msg_1",
                "type": "message",
                "phase": "commentary",
                "content": [
                    {"type": "output_text", "text": "hi", "annotations": []},
                    {"type": "refusal", "refusal": "no"},
                ],
            },
            {
                "id": "fc_1",
                "type": "function_call",
                "call_id": "a",
                "name": "echo",
                "namespace": "mcp__ev",
                "arguments": "",
            },
            {"id": "ctc_1", "type": "custom_tool_call", "call_id": "b", "name": "apply_patch", "input": "x"},
        ],
        "usage": {
            "input_tokens": 10,
            "input_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 1},
            "output_tokens": 3,
            "output_tokens_details": {"reasoning_tokens": 2},
        },
    }
    found = read(body)
    more: Fields = {"message": {"id": "msg_1", "phase": "commentary"}}
    assert found.parts == [
        Thinking("a\n\nb", "e", origin="responses", id="rs_1"),
        Opaque("responses", "web_search_call", array_of(body["output"])[1]),
        Text("hi", [], extras=more),
        Refusal("no", extras=more),
        ToolCall("a", "mcp__ev__echo", "{}", extras={"id": "fc_1"}),
        ToolCall("b", "apply_patch", "x", custom=True, extras={"id": "ctc_1"}),
    ]
    assert (found.id, found.model, found.created, found.service_tier) == ("resp_1", "gpt", 7, "default")
    assert found.stop == Stop("tool")
    assert found.usage == Usage(5, 3, 4, 1, reasoning=2)


def whole(**fields: Json) -> Fields:
    return {"id": "resp_1", "model": "m", "output": [], "status": "completed", **fields}


def said(*content: Fields) -> list[Fields]:
    return [{"id": "msg_1", "type": "message", "content": list(content)}]


STOPS: list[tuple[Fields, Stop]] = [
    (whole(), Stop("end")),
    (whole(status=None), Stop("end")),
    (whole(output=said({"type": "refusal", "refusal": "no"})), Stop("refusal")),
    (
        whole(status="incomplete", incomplete_details={"reason": "max_output_tokens"}),
        Stop("length", detail="max_output_tokens"),
    ),
    (
        whole(status="incomplete", incomplete_details={"reason": "content_filter"}),
        Stop("filter", detail="content_filter"),
    ),
    (whole(status="incomplete"), Stop("length")),
]


@pytest.mark.parametrize(("body", "stop"), STOPS)
def test_the_reason_of_the_end_is_read(body: Fields, stop: Stop) -> None:
    assert read(body).stop == stop


def test_an_answer_that_failed_is_a_failure() -> None:
    with pytest.raises(UpstreamFailed, match="too many") as failure:
        read(whole(status="failed", error={"code": "rate_limit_exceeded", "message": "too many"}))
    assert failure.value.kind == "rate_limit_exceeded"
    with pytest.raises(UpstreamFailed, match="did not say why"):
        read(whole(status="cancelled"))
    with pytest.raises(UpstreamFailed, match="odd"):
        read({"error": {"message": "odd"}})


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"[]",
        b'{"output":7}',
        b'{"output":[7]}',
        b'{"output":[{"type":"message","content":"x"}]}',
        b'{"output":[{"type":"function_call","arguments":{}}]}',
        b'{"status":"queued","output":[]}',
        b'"\xff"',
        b"[" * 100_000,
    ],
)
def test_nonsense_is_garbage(body: bytes) -> None:
    with pytest.raises(UpstreamGarbage):
        ResponsesWire().read_response(body, asked())


def test_items_of_unknown_shape_are_kept_as_they_are() -> None:
    item: Fields = {"type": "tool_search_call", "arguments": {"q": 1}, "content": 7, "summary": "x"}
    assert read(whole(output=[item])).parts == [Opaque("responses", "tool_search_call", item)]


def test_items_of_openai_are_given_as_they_are() -> None:
    action: Fields = {"type": "search", "query": "q"}
    item: Fields = {"type": "web_search_call", "id": "w", "status": "completed", "action": action}
    assert output(Opaque("responses", "web_search_call", item)) == [item]


@pytest.mark.parametrize(
    ("tier", "written"),
    [("standard", "default"), ("priority", "priority"), ("batch", None), (None, None)],
)
def test_tiers_are_told_by_the_names_they_have_here(tier: str | None, written: str | None) -> None:
    response = msgspec.structs.replace(answer(Text("x")), service_tier=tier)
    assert write(response)["service_tier"] == written


def test_a_part_of_unknown_kind_is_kept_and_not_told_as_an_item() -> None:
    body = whole(output=said({"type": "output_smell", "smell": "rose"}))
    response = read(body)
    (found,) = response.parts
    assert isinstance(found, Opaque)
    assert found.raw == {"type": "output_smell", "smell": "rose"}
    written, losses = write_with_losses(response)
    assert written["output"] == []
    assert losses == ["response.0"]


def test_a_call_of_an_unknown_namespace_has_the_name_it_would_have() -> None:
    item: Fields = {
        "type": "function_call",
        "call_id": "a",
        "name": "g",
        "namespace": "away",
        "arguments": "{}",
    }
    (found,) = read(whole(output=[item])).parts
    assert isinstance(found, ToolCall)
    assert found.name == "away__g"
