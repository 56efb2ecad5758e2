"""The conversation of a request to Gemini."""

from collections.abc import Sequence
from typing import Any

import msgspec
import pytest

from nexus.errors import Unrepresentable
from nexus.llm.canonical import (
    AnyPart,
    Cache,
    ChatRequest,
    Citation,
    CustomTool,
    Inline,
    Link,
    Loss,
    Media,
    Opaque,
    Refusal,
    Role,
    Stored,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
    Turn,
    Written,
)
from nexus.llm.protocols.google.wire import GoogleWire

OLD, NEW = "gemini-2.5-flash", "gemini-3-pro-preview"
SKIP = "skip_thought_signature_validator"
PNG = Media(kind="image", source=Inline("image/png", "AAAA"))


def turn(role: Role, *parts: AnyPart, path: str = "messages.0") -> Turn:
    return Turn(role, parts, path)


def write(
    turns: Sequence[Turn], model: str = OLD, protocol: str = "openai"
) -> tuple[dict[str, Any], list[Loss]]:
    request = ChatRequest(protocol=protocol, model=model, turns=turns)
    body, losses = GoogleWire().write_request(request)
    return msgspec.json.decode(body), [*losses]


def contents(*turns: Turn, model: str = OLD) -> list[dict[str, Any]]:
    return write(turns, model)[0]["contents"]


def parts(*turns: Turn, model: str = OLD) -> list[dict[str, Any]]:
    (content,) = contents(*turns, model=model)
    return content["parts"]


def refused(*turns: Turn) -> str:
    with pytest.raises(Unrepresentable) as caught:
        write(turns)
    return str(caught.value)


def call(id: str = "c1", name: str = "look", arguments: str = "{}", **more: Any) -> ToolCall:
    return ToolCall(id, name, arguments, **more)


def result(id: str = "c1", *content: AnyPart, **more: Any) -> ToolResult:
    return ToolResult(id, content, **more)


def test_instructions_at_the_beginning_become_the_system_instruction() -> None:
    body, losses = write(
        [turn("system", Text("a"), Text("b")), turn("developer", Text("c")), turn("user", Text("d"))]
    )
    assert body["systemInstruction"] == {
        "role": "user",
        "parts": [{"text": "a"}, {"text": "b"}, {"text": "c"}],
    }
    assert body["contents"] == [{"role": "user", "parts": [{"text": "d"}]}]
    assert not losses


def test_instructions_in_the_middle_keep_their_place_and_lose_their_role() -> None:
    body, losses = write(
        [
            turn("user", Text("a")),
            turn("assistant", Text("b")),
            turn("system", Text("be brief"), path="messages.2"),
            turn("user", Text("c")),
        ]
    )
    assert "systemInstruction" not in body
    assert body["contents"][2] == {"role": "user", "parts": [{"text": "be brief"}, {"text": "c"}]}
    assert [loss.path for loss in losses] == ["messages.2.role"]


def test_instructions_alone_get_an_empty_content() -> None:
    body, _ = write([turn("system", Text("tell a joke"))])
    assert body["contents"] == [{"role": "user", "parts": [{"text": ""}]}]


def test_an_image_is_no_instruction() -> None:
    assert "holds text only" in refused(
        turn("system", Media(kind="image", source=Link("https://a/b"), path="x"))
    )


def test_turns_of_one_role_become_one_content() -> None:
    assert contents(turn("user", Text("a")), turn("user", Text("b")), turn("assistant", Text("c"))) == [
        {"role": "user", "parts": [{"text": "a"}, {"text": "b"}]},
        {"role": "model", "parts": [{"text": "c"}]},
    ]


def test_a_turn_of_which_nothing_is_left_joins_its_neighbours() -> None:
    foreign = Thinking("hm", "s", origin="anthropic", path="messages.1.content.0")
    body, losses = write([turn("user", Text("a")), turn("assistant", foreign), turn("user", Text("b"))])
    assert body["contents"] == [{"role": "user", "parts": [{"text": "a"}, {"text": "b"}]}]
    assert [loss.path for loss in losses] == ["messages.1.content.0"]


def test_an_empty_text_stays_only_where_there_is_nothing_else() -> None:
    assert parts(turn("user", Text(""))) == [{"text": ""}]
    assert parts(turn("user", Text(""), Text("a"), Text(""))) == [{"text": "a"}]


def test_a_refusal_is_what_the_model_said() -> None:
    assert parts(turn("assistant", Refusal("no"))) == [{"text": "no"}]


def test_parallel_calls_and_their_results_keep_order_and_names() -> None:
    written = contents(
        turn("assistant", call("a", "look", '{"x": 0.10}'), call("b", "look"), call("c", "hear", "")),
        turn("user", result("a", Text("1"))),
        turn("user", result("b", Text("2"))),
        turn("user", result("c", Text("3"))),
    )
    assert written == [
        {
            "role": "model",
            "parts": [
                {"functionCall": {"id": "a", "name": "look", "args": {"x": 0.1}}},
                {"functionCall": {"id": "b", "name": "look", "args": {}}},
                {"functionCall": {"id": "c", "name": "hear", "args": {}}},
            ],
        },
        {
            "role": "user",
            "parts": [
                {"functionResponse": {"id": "a", "name": "look", "response": {"result": 1}}},
                {"functionResponse": {"id": "b", "name": "look", "response": {"result": 2}}},
                {"functionResponse": {"id": "c", "name": "hear", "response": {"result": 3}}},
            ],
        },
    ]


def test_numbers_in_arguments_and_results_keep_their_text() -> None:
    turns = [turn("assistant", call(arguments='{"x":0.10}')), turn("user", result("c1", Text('{"y":1.50}')))]
    request = ChatRequest(protocol="openai", model=OLD, turns=turns)
    body, _ = GoogleWire().write_request(request)
    assert b'"args":{"x":0.10}' in body
    assert b'"response":{"y":1.50}' in body


def test_a_result_of_an_unknown_call_goes_under_its_id() -> None:
    (written,) = parts(turn("user", result("gone", Text("x"))))
    assert written["functionResponse"] == {"id": "gone", "name": "gone", "response": {"result": "x"}}


@pytest.mark.parametrize(
    ("arguments", "written"),
    [("[]", {"value": []}), ("{", {"invalid_json": "{"}), ('"a"', {"value": "a"}), ("", {}), ("null", {})],
)
def test_arguments_are_always_an_object(arguments: str, written: object) -> None:
    (part,) = parts(turn("assistant", call(arguments=arguments)))
    assert part["functionCall"]["args"] == written


def test_free_text_of_a_custom_tool_becomes_an_object() -> None:
    (written,) = parts(turn("assistant", call(arguments="ls -l", custom=True)))
    assert written["functionCall"]["args"] == {"input": "ls -l"}


@pytest.mark.parametrize(
    ("texts", "response"),
    [
        (['{"a": 1}'], {"a": 1}),
        (["[1, 2]"], {"result": [1, 2]}),
        (["42"], {"result": 42}),
        (["plain"], {"result": "plain"}),
        (["a", '{"b": 1}'], {"result": ["a", '{"b": 1}']}),
        ([], {}),
    ],
)
def test_what_a_tool_gave_becomes_an_object(texts: list[str], response: object) -> None:
    (written,) = parts(turn("user", result("c1", *map(Text, texts))))
    assert written["functionResponse"]["response"] == response


@pytest.mark.parametrize(
    ("texts", "response"),
    [
        (["boom"], {"error": "boom"}),
        (['{"code": 5}'], {"error": {"code": 5}}),
        ([], {"error": ""}),
    ],
)
def test_a_failure_of_a_tool_is_told_as_one(texts: list[str], response: object) -> None:
    (written,) = parts(turn("user", result("c1", *map(Text, texts), is_error=True)))
    assert written["functionResponse"]["response"] == response


def test_an_image_a_tool_gave_is_part_of_the_result_where_that_can_hold_it() -> None:
    (written,) = parts(turn("user", result("c1", Text("see"), PNG)), model=NEW)
    assert written["functionResponse"] == {
        "id": "c1",
        "name": "c1",
        "response": {"result": "see"},
        "parts": [{"inlineData": {"mimeType": "image/png", "data": "AAAA"}}],
    }


def test_an_image_a_tool_gave_follows_all_results_in_older_models() -> None:
    written = parts(
        turn("user", result("a", Text("1"), PNG)),
        turn("user", result("b", Text("2"))),
        turn("user", Text("so?")),
    )
    assert [next(iter(part)) for part in written] == [
        "functionResponse",
        "functionResponse",
        "inlineData",
        "text",
    ]


def test_a_link_a_tool_gave_follows_the_result() -> None:
    link = Media(kind="image", source=Link("https://a/b.png"))
    written = parts(turn("user", result("c1", link)), model=NEW)
    assert [next(iter(part)) for part in written] == ["functionResponse", "fileData"]


def test_a_search_result_of_another_vendor_has_no_form_here() -> None:
    opaque = Opaque(protocol="anthropic", kind="search_result", raw={}, path="messages.3.content.0.content.1")
    assert "messages.3.content.0.content.1" in refused(turn("user", result("c1", opaque)))
    assert "messages.0.content.0" in refused(
        turn("user", msgspec.structs.replace(opaque, path="messages.0.content.0"))
    )


def test_what_gemini_ran_itself_goes_back_as_it_came() -> None:
    raw = {"executableCode": {"language": "PYTHON", "code": "1"}, "thoughtSignature": "s"}
    assert parts(turn("assistant", Opaque(protocol="google", kind="executableCode", raw=raw))) == [raw]


@pytest.mark.parametrize(
    ("source", "written"),
    [
        (Inline("image/png", "QQ=="), {"inlineData": {"mimeType": "image/png", "data": "QQ=="}}),
        (
            Link("https://youtu.be/x", "video/mp4"),
            {"fileData": {"fileUri": "https://youtu.be/x", "mimeType": "video/mp4"}},
        ),
        (
            Link("https://a/b.PDF?c=d"),
            {"fileData": {"fileUri": "https://a/b.PDF?c=d", "mimeType": "application/pdf"}},
        ),
        (Link("https://a/b"), {"fileData": {"fileUri": "https://a/b"}}),
        (Written("hé"), {"inlineData": {"mimeType": "text/plain", "data": "aMOp"}}),
    ],
)
def test_media_are_sent_or_fetched(source: Any, written: object) -> None:
    assert parts(turn("user", Media(kind="document", source=source))) == [written]


def test_a_file_of_another_vendor_is_refused_and_googles_own_is_not() -> None:
    media = Media(kind="document", source=Stored("file-1"), path="messages.0.content.1")
    assert "messages.0.content.1" in refused(turn("user", media))
    body, _ = write([turn("user", media)], protocol="google")
    assert body["contents"][0]["parts"] == [{"fileData": {"fileUri": "file-1"}}]


def test_names_of_files_sources_and_cache_marks_are_declared() -> None:
    named = Media(kind="document", source=Inline("application/pdf", ""), name="a.pdf", path="p.0")
    quoting = Text("q", citations=[Citation("anthropic", {})], cache=Cache(), path="p.1")
    _, losses = write([turn("user", named, quoting)])
    assert [loss.path for loss in losses] == ["p.0.name", "p.1.citations", "p.1.cache_control"]


def test_fields_of_another_protocol_are_declared_and_not_sent() -> None:
    body, losses = write([turn("user", Text("a", path="p", extras={"odd": 1}))])
    assert body["contents"][0]["parts"] == [{"text": "a"}]
    assert [loss.path for loss in losses] == ["p.odd"]


class TestThoughts:
    """Thoughts and signatures, there and back."""

    def test_go_back_with_their_signature(self) -> None:
        assert parts(turn("assistant", Thinking("hm", "sig", origin="google"))) == [
            {"text": "hm", "thought": True, "thoughtSignature": "sig"}
        ]

    def test_go_back_unsigned_where_nobody_knows_who_signed_them(self) -> None:
        assert parts(turn("assistant", Thinking("hm", "whose"))) == [{"text": "hm", "thought": True}]

    def test_go_back_unsigned_where_nobody_signed_them(self) -> None:
        assert parts(turn("assistant", Thinking("hm"))) == [{"text": "hm", "thought": True}]

    @pytest.mark.parametrize(
        "thought",
        [
            Thinking("hm", "s", origin="anthropic", path="p"),
            Thinking("", redacted="x", origin="anthropic", path="p"),
            Thinking("", redacted="x", origin="google", path="p"),
        ],
    )
    def test_of_another_vendor_are_left_out_and_declared(self, thought: Thinking) -> None:
        body, losses = write([turn("assistant", thought, Text("a"))])
        assert body["contents"][0]["parts"] == [{"text": "a"}]
        assert [loss.path for loss in losses] == ["p"]

    def test_the_signature_of_an_answer_stays_on_its_text(self) -> None:
        signature = Thinking("", "sig", origin="google")
        assert parts(turn("assistant", Text("a"), signature)) == [{"text": "a", "thoughtSignature": "sig"}]
        assert parts(turn("assistant", PNG, signature))[0]["thoughtSignature"] == "sig"

    def test_a_signature_without_a_text_before_it_has_an_empty_one(self) -> None:
        signature = Thinking("", "sig", origin="google")
        assert parts(turn("assistant", signature, Text("a"))) == [
            {"text": "", "thoughtSignature": "sig"},
            {"text": "a"},
        ]
        assert parts(turn("assistant", Thinking("hm"), signature))[1] == {
            "text": "",
            "thoughtSignature": "sig",
        }

    def test_nothing_thought_is_nothing_sent(self) -> None:
        assert parts(turn("assistant", Thinking(""), Text("a"))) == [{"text": "a"}]


class TestSignaturesOfCalls:
    """https://ai.google.dev/gemini-api/docs/thought-signatures."""

    def signatures(self, *turns: Turn, model: str = NEW) -> list[str | None]:
        return [
            part.get("thoughtSignature")
            for content in contents(*turns, model=model)
            for part in content["parts"]
            if "functionCall" in part
        ]

    def test_googles_own_go_back_and_others_do_not(self) -> None:
        own = turn(
            "assistant",
            call("a", signature="sig", origin="google"),
            call("b", signature="no", origin="anthropic"),
        )
        assert self.signatures(turn("user", Text("x")), own, turn("user", result("a"), result("b"))) == [
            "sig",
            None,
        ]

    def test_the_first_call_of_each_step_of_this_turn_gets_the_one_that_skips_the_check(self) -> None:
        assert self.signatures(
            turn("user", Text("before")),
            turn("assistant", call("a")),
            turn("user", result("a")),
            turn("assistant", Text("done")),
            turn("user", Text("now")),
            turn("assistant", call("b"), call("c")),
            turn("user", result("b"), result("c")),
            turn("assistant", call("d")),
            turn("user", result("d"), Text("a reminder")),
        ) == [None, SKIP, None, SKIP]

    def test_older_models_need_none(self) -> None:
        assert self.signatures(
            turn("user", Text("x")), turn("assistant", call()), turn("user", result()), model=OLD
        ) == [None]


def test_a_custom_tool_is_offered_as_a_function_of_one_text() -> None:
    request = ChatRequest(
        protocol="responses", model=OLD, turns=[turn("user", Text("x"))], tools=[CustomTool(name="sh")]
    )
    body = msgspec.json.decode(GoogleWire().write_request(request)[0])
    (declared,) = body["tools"][0]["functionDeclarations"]
    assert declared["parametersJsonSchema"]["properties"] == {"input": {"type": "string"}}
