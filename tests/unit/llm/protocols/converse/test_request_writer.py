from collections.abc import Sequence
from typing import Any

import msgspec
import pytest

from nexus.errors import Unrepresentable
from nexus.llm.canonical import (
    AnyPart,
    Cache,
    ChatRequest,
    FunctionTool,
    HostedTool,
    Inline,
    Link,
    Media,
    MediaKind,
    Opaque,
    Refusal,
    Stored,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
    Turn,
    Written,
)
from nexus.llm.protocols.converse.wire import ConverseWire
from wires.converse import CLAUDE, CLAUDE_37, DEEPSEEK, GPT, HAIKU_3, MISTRAL, NOVA, turn, user, write

TOOL = FunctionTool(name="f", schema={"type": "object"}, path="tools.0")
OTHER = FunctionTool(name="g", path="tools.1")
CALL = ToolCall("t1", "f", "{}")


def content(*parts: AnyPart | str, model: str = CLAUDE) -> list[Any]:
    body, losses = write(model, user(*parts))
    assert losses == []
    return body["messages"][0]["content"]


def test_a_plain_request_holds_its_messages_and_nothing_else() -> None:
    assert write() == ({"messages": [{"role": "user", "content": [{"text": "hi"}]}]}, [])


def test_the_same_request_gives_the_same_bytes() -> None:
    request = ChatRequest(
        protocol="openai", model=CLAUDE, turns=[user("hi")], tools=[TOOL, OTHER], stop=["a", "b"]
    )
    assert ConverseWire().write_request(request) == ConverseWire().write_request(request)


def test_turns_of_one_role_become_one_message_and_empty_ones_none() -> None:
    body, _ = write(
        CLAUDE, user("a"), user("", " \n"), user("b"), turn("assistant", ""), turn("assistant", "c")
    )
    assert body["messages"] == [
        {"role": "user", "content": [{"text": "a"}, {"text": "b"}]},
        {"role": "assistant", "content": [{"text": "c"}]},
    ]


def test_leading_instructions_are_the_system_prompt_and_later_ones_stay_in_place() -> None:
    body, losses = write(
        CLAUDE,
        turn("system", "one"),
        turn("developer", "two", ""),
        user("a"),
        turn("assistant", "b"),
        turn("system", "three", path="messages.4"),
    )
    assert body["system"] == [{"text": "one"}, {"text": "two"}]
    assert body["messages"][-1] == {"role": "user", "content": [{"text": "three"}]}
    assert losses == ["messages.4.role"]


def test_a_picture_in_the_system_prompt_is_refused() -> None:
    with pytest.raises(Unrepresentable, match="p: a system prompt"):
        write(CLAUDE, turn("system", Media("image", Inline("image/png", "aGk="), path="p")))


@pytest.mark.parametrize(
    ("kind", "media_type", "form"),
    [
        ("image", "image/jpeg", "jpeg"),
        ("image", "image/jpg", "jpeg"),
        ("image", "IMAGE/PNG; charset=x", "png"),
        ("document", "application/pdf", "pdf"),
        ("document", "text/x-python", "txt"),
        ("document", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", "xlsx"),
        ("video", "video/3gpp", "three_gp"),
        ("audio", "audio/mpeg", "mp3"),
    ],
)
def test_media_are_told_by_format_and_bytes(kind: MediaKind, media_type: str, form: str) -> None:
    block, *_ = content(Media(kind, Inline(media_type, "aGk=")))
    assert block[kind]["format"] == form
    assert block[kind]["source"] == {"bytes": "aGk="}


@pytest.mark.parametrize(
    ("part", "why"),
    [
        (
            Media("image", Inline("image/tiff", "aGk="), path="p"),
            "p: Bedrock takes no image of type image/tiff",
        ),
        (Media("document", Inline("application/zip", "aGk="), path="p"), "p: Bedrock takes no document"),
        (Media("image", Link("https://x/a.png"), path="p"), "p: Bedrock fetches nothing but s3://"),
        (Media("image", Link("https://x/a", "image/png"), path="p"), "p: Bedrock fetches nothing but s3://"),
        (
            Media("document", Stored("file_1"), path="p"),
            "p: Bedrock takes no document|kept by another vendor",
        ),
        (Opaque("anthropic", "web_search_tool_result", {}, path="p"), "p: the Converse API has no words"),
    ],
)
def test_content_without_words_is_refused_with_its_path(part: AnyPart, why: str) -> None:
    with pytest.raises(Unrepresentable, match=why):
        content(part)


@pytest.mark.parametrize(("url", "form"), [("s3://b/a.jpg", "jpeg"), ("s3://b/a.webp", "webp")])
def test_media_in_s3_are_told_by_their_address(url: str, form: str) -> None:
    assert content(Media("image", Link(url))) == [
        {"image": {"format": form, "source": {"s3Location": {"uri": url}}}}
    ]


def test_documents_have_names_bedrock_allows_and_no_two_the_same() -> None:
    blocks = content(
        *(Media("document", Written("hi"), name) for name in ("a_b/ü.pdf", "a_b/ü.pdf", "", " ", "x" * 300))
    )
    names = [block["document"]["name"] for block in blocks if "document" in block]
    assert names == ["a-b-pdf", "a-b-pdf 2", "Document", "Document 2", "x" * 200]
    assert blocks[0]["document"] == {"format": "txt", "name": "a-b-pdf", "source": {"bytes": "aGk="}}


def test_results_keep_pictures_and_errors() -> None:
    result = ToolResult("t1", [Text("x"), Media("image", Inline("image/png", "aGk="))], is_error=True)
    body, losses = write(CLAUDE, turn("assistant", CALL), user(result), tools=[TOOL])
    assert body["messages"][1]["content"] == [
        {
            "toolResult": {
                "toolUseId": "t1",
                "content": [{"text": "x"}, {"image": {"format": "png", "source": {"bytes": "aGk="}}}],
                "status": "error",
            }
        }
    ]
    assert losses == []


def test_an_error_is_declared_lost_where_it_cannot_be_told() -> None:
    result = ToolResult("t1", [Text("x")], is_error=True, path="r")
    body, losses = write(MISTRAL, turn("assistant", CALL), user(result), tools=[TOOL])
    assert "status" not in body["messages"][1]["content"][0]["toolResult"]
    assert losses == ["r.is_error"]


def test_a_result_without_content_is_an_empty_text() -> None:
    body, _ = write(CLAUDE, turn("assistant", CALL), user(ToolResult("t1", [Text("")])), tools=[TOOL])
    assert body["messages"][1]["content"][0]["toolResult"]["content"] == [{"text": ""}]


def test_a_sound_in_a_result_is_refused() -> None:
    sound = Media("audio", Inline("audio/mpeg", "aGk="), path="s")
    with pytest.raises(Unrepresentable, match="s: a tool's result holds no audio"):
        write(CLAUDE, user(ToolResult("t1", [sound])))


@pytest.mark.parametrize(
    ("arguments", "given"),
    [
        ('{"b": 1.50, "a": []}', '{"b": 1.50, "a": []}'),
        ("", "{}"),
        ("null", "{}"),
        ("[1]", '{"value":[1]}'),
        ('{"a": ', '{"invalid_json":"{\\"a\\": "}'),
    ],
)
def test_arguments_are_an_object_and_keep_their_text(arguments: str, given: str) -> None:
    turns = [turn("assistant", ToolCall("t1", "f", arguments))]
    request = ChatRequest(protocol="openai", model=CLAUDE, turns=turns, tools=[TOOL])
    body, _ = ConverseWire().write_request(request)
    assert b'"input":' + given.encode() + b"}" in body


def test_ids_bedrock_does_not_allow_are_changed_in_calls_and_results_alike() -> None:
    long = "call_1|" + "x" * 80
    turns = [turn("assistant", ToolCall(long, "f", "{}")), user(ToolResult(long, [Text("ok")]))]
    body, _ = write(CLAUDE, *turns, tools=[TOOL])
    call, result = (message["content"][0] for message in body["messages"])
    assert call["toolUse"]["toolUseId"] == result["toolResult"]["toolUseId"]
    assert len(call["toolUse"]["toolUseId"]) <= 64
    assert call["toolUse"]["toolUseId"].replace("_", "").isalnum()


@pytest.mark.parametrize("origin", ["converse", "anthropic"])
def test_claude_gets_back_what_it_signed_by_either_api(origin: str) -> None:
    thought, hidden = Thinking("", "c2ln", origin=origin), Thinking("", redacted="cmVk", origin=origin)
    body, losses = write(CLAUDE, user("a"), turn("assistant", thought, hidden, "b"))
    assert body["messages"][1]["content"] == [
        {"reasoningContent": {"reasoningText": {"text": "", "signature": "c2ln"}}},
        {"reasoningContent": {"redactedContent": "cmVk"}},
        {"text": "b"},
    ]
    assert losses == []


@pytest.mark.parametrize(
    ("model", "thought"),
    [
        (CLAUDE, Thinking("hm", path="th")),
        (CLAUDE, Thinking("hm", "c2ln", origin="google", path="th")),
        (NOVA, Thinking("hm", "c2ln", origin="anthropic", path="th")),
        (GPT, Thinking("hm", path="th")),
    ],
)
def test_thoughts_of_others_are_left_out_and_declared(model: str, thought: Thinking) -> None:
    body, losses = write(model, user("a"), turn("assistant", thought, "b"))
    assert body["messages"][1]["content"] == [{"text": "b"}]
    assert losses == ["th"]


def test_deepseek_gets_back_unsigned_thoughts() -> None:
    body, losses = write(DEEPSEEK, user("a"), turn("assistant", Thinking("hm"), "b"))
    assert body["messages"][1]["content"][0] == {"reasoningContent": {"reasoningText": {"text": "hm"}}}
    assert losses == []


def test_refusals_are_texts() -> None:
    assert content(Refusal("no")) == [{"text": "no"}]


def test_marks_become_cache_points_after_what_they_mark() -> None:
    five, hour = Cache("5m"), Cache("1h")
    result = ToolResult("t1", [Text("x", cache=five), Text("y")])
    body, losses = write(
        CLAUDE,
        turn("system", Text("s", cache=hour)),
        turn("assistant", CALL),
        user(result, Text("z", cache=Cache())),
        tools=[FunctionTool(name="f", cache=five), OTHER],
    )
    point = {"cachePoint": {"type": "default"}}
    assert body["system"] == [{"text": "s"}, {"cachePoint": {"type": "default", "ttl": "1h"}}]
    assert [next(iter(block)) for block in body["messages"][1]["content"]] == [
        "toolResult",
        "cachePoint",
        "text",
        "cachePoint",
    ]
    assert body["messages"][1]["content"][1] == point
    assert body["toolConfig"]["tools"][1] == point
    assert losses == []


@pytest.mark.parametrize(
    ("model", "cache", "lost"),
    [
        (MISTRAL, Cache(), ["t.cache_control", "tools.0.cache_control"]),
        (HAIKU_3, Cache(), ["t.cache_control", "tools.0.cache_control"]),
        (NOVA, Cache(), ["tools.0.cache_control"]),
        (CLAUDE_37, Cache("1h"), ["t.cache_control.ttl", "tools.0.cache_control.ttl"]),
        (NOVA, Cache("1h"), ["t.cache_control.ttl", "tools.0.cache_control"]),
    ],
)
def test_marks_are_declared_lost_where_nothing_is_cached(model: str, cache: Cache, lost: list[str]) -> None:
    tool = FunctionTool(name="f", cache=cache, path="tools.0")
    assert write(model, user(Text("a", cache=cache, path="t")), tools=[tool])[1] == lost


def test_what_only_this_protocol_knows_is_written_back() -> None:
    guard = {"guardContent": {"text": {"text": "x", "qualifiers": ["query"]}}}
    turns: Sequence[Turn] = [
        Turn("system", [Opaque("converse", "guardContent", guard)]),
        Turn("user", [Text("a"), Opaque("converse", "guardContent", guard)]),
    ]
    request = ChatRequest(
        protocol="converse",
        model=NOVA,
        turns=turns,
        top_k=3,
        tools=[
            HostedTool(protocol="converse", kind="systemTool", raw={"systemTool": {"name": "nova_grounding"}})
        ],
        extras={
            "guardrailConfig": {"guardrailIdentifier": "g"},
            "performanceConfig": {"latency": "optimized"},
            "requestMetadata": {"team": "a"},
            "additionalModelRequestFields": {"own": 1},
        },
    )
    body, losses = ConverseWire().write_request(request)
    decoded = msgspec.json.decode(body)
    assert decoded["system"] == [guard]
    assert decoded["messages"][0]["content"][1] == guard
    assert decoded["toolConfig"]["tools"] == [{"systemTool": {"name": "nova_grounding"}}]
    assert decoded["guardrailConfig"] == {"guardrailIdentifier": "g"}
    assert decoded["performanceConfig"] == {"latency": "optimized"}
    assert decoded["requestMetadata"] == {"team": "a"}
    assert decoded["additionalModelRequestFields"] == {"inferenceConfig": {"topK": 3}, "own": 1}
    assert losses == []


def test_the_model_behind_an_opaque_profile_decides_what_is_told() -> None:
    profile = "arn:aws:bedrock:us-east-1:1:application-inference-profile/abc"
    request = ChatRequest(protocol="openai", model=profile, turns=[user("a")], top_k=3)
    assert b"top_k" not in ConverseWire().write_request(request)[0]
    wire = ConverseWire("anthropic.claude-3-haiku-20240307-v1:0")
    assert msgspec.json.decode(wire.write_request(request)[0])["additionalModelRequestFields"] == {"top_k": 3}
    assert wire.target(profile, stream=True)[0].startswith(
        "/model/arn%3Aaws%3Abedrock%3Aus-east-1%3A1%3Aapplication"
    )


def test_instructions_alone_are_what_the_user_says() -> None:
    body, losses = write(NOVA, Turn("system", [Text("Be brief")], "messages.0"))
    assert "system" not in body
    assert (body["messages"], losses) == (
        [{"role": "user", "content": [{"text": "Be brief"}]}],
        ["messages.0.role"],
    )


def test_a_greeting_is_preceded_by_a_user_who_says_nothing() -> None:
    body, losses = write(NOVA, turn("assistant", Text("Hello!")), user(Text("Hi")))
    assert [message["role"] for message in body["messages"]] == ["user", "assistant", "user"]
    assert len(losses) == 1


def test_claude_is_asked_to_continue_what_it_would_not_go_on_with() -> None:
    said = [user(Text("Hi")), turn("assistant", Text("Hello "))]
    body, losses = write("anthropic.claude-opus-4-8", *said)
    assert body["messages"][2:] == [{"role": "user", "content": [{"text": "Continue."}]}]
    assert len(losses) == 1
    body, losses = write(CLAUDE, *said)
    assert (body["messages"][1]["content"], losses) == ([{"text": "Hello"}], [])
    assert write(NOVA, *said)[0]["messages"][1]["content"] == [{"text": "Hello "}]


def test_a_document_alone_comes_with_its_name() -> None:
    document = Media("document", Inline("application/pdf", "QQ=="), "report.pdf")
    (message,) = write(NOVA, user(document))[0]["messages"]
    assert message["content"][1] == {"text": "report-pdf"}
    (message,) = write(NOVA, user(document, Text("Sum it up")))[0]["messages"]
    assert len(message["content"]) == 2
