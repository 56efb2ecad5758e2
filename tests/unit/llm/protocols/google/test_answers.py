"""Answers of Gemini, whole and streamed."""

from typing import Any, ClassVar, cast

import msgspec
import pytest

from nexus.errors import NexusError, UpstreamFailed, UpstreamGarbage
from nexus.llm.canonical import (
    ChatRequest,
    ChatResponse,
    CustomTool,
    Event,
    FunctionTool,
    Inline,
    Media,
    Opaque,
    PartClosed,
    PartDelta,
    PartOpened,
    Started,
    Stop,
    Stopped,
    Text,
    Thinking,
    ToolCall,
    Usage,
)
from nexus.llm.protocols.folding import fold
from nexus.llm.protocols.google.wire import GoogleCounter, GoogleWire

WIRE = GoogleWire(new_id=lambda: "made")
ASKED = ChatRequest(
    protocol="openai",
    model="gemini-2.5-flash",
    turns=[],
    tools=[CustomTool(name="sh"), FunctionTool(name="look")],
)


def body(*parts: object, finish: str | None = "STOP", **more: Any) -> bytes:
    """Write an answer; fields of the candidate are given as `candidate`."""
    candidate = {"content": {"parts": parts, "role": "model"}, **more.pop("candidate", {})}
    if finish is not None:
        candidate["finishReason"] = finish
    return msgspec.json.encode({"candidates": [candidate], **more})


def call(name: str = "look", **more: Any) -> dict[str, Any]:
    return {"functionCall": {"name": name, **more}}


def whole(answer: bytes) -> ChatResponse:
    return WIRE.read_response(answer, ASKED)


def stream(*payloads: bytes) -> list[Event]:
    reader = WIRE.read_stream(ASKED)
    return [*(event for payload in payloads for event in reader.read(payload)), *reader.end()]


def failure(*payloads: bytes) -> NexusError:
    with pytest.raises(NexusError) as caught:
        stream(*payloads)
    return caught.value


def calls(response: ChatResponse) -> list[ToolCall]:
    return [part for part in response.parts if isinstance(part, ToolCall)]


def test_a_text_is_read() -> None:
    response = whole(body({"text": "hi"}, responseId="r1", modelVersion="gemini-2.5-flash-002"))
    assert (response.id, response.model, response.created) == ("r1", "gemini-2.5-flash-002", 0)
    assert response.parts == [Text("hi")]
    assert response.stop == Stop("end")


def test_what_is_missing_is_left_open() -> None:
    response = whole(body({"text": "hi"}))
    assert (response.id, response.model, response.usage) == ("", "gemini-2.5-flash", None)


def test_the_time_is_read_where_it_is_told() -> None:
    assert whole(body({"text": "hi"}, createTime="2026-02-17T11:12:40.135001Z")).created == 1771326760


def test_a_stream_is_opened_grown_and_closed() -> None:
    first = body({"text": "Hel"}, finish=None, responseId="r1", modelVersion="m")
    last = body({"text": "lo"}, responseId="r1", usageMetadata={"promptTokenCount": 3})
    assert stream(first, last) == [
        Started("google", "r1", "m"),
        PartOpened(0, Text("")),
        PartDelta(0, "Hel"),
        PartDelta(0, "lo"),
        PartClosed(0),
        Stopped(Stop("end"), Usage(input=3)),
    ]


def test_every_event_carries_one_id() -> None:
    started = [
        event
        for event in stream(body({"text": "a"}, finish=None), body({"text": "b"}))
        if isinstance(event, Started)
    ]
    assert len(started) == 1


def test_parallel_calls_of_one_name_keep_their_order_and_get_ids() -> None:
    several = body(call(args={"x": 1}), call(args={"x": 2}), call(), responseId="r1")
    for response in (whole(several), fold(stream(several))):
        assert calls(response) == [
            ToolCall("call_r1_0", "look", '{"x":1}'),
            ToolCall("call_r1_1", "look", '{"x":2}'),
            ToolCall("call_r1_2", "look", "{}"),
        ]
        assert response.stop == Stop("tool")


def test_calls_in_several_chunks_stay_several() -> None:
    events = stream(
        body(call(args={"x": 1}), finish=None),
        body(call(args={"x": 1}), finish=None),
        body({"text": ""}),
    )
    assert [one.id for one in calls(fold(events))] == ["call_made_0", "call_made_1"]
    assert fold(events).stop == Stop("tool")


def test_calls_keep_the_ids_they_have() -> None:
    assert calls(whole(body(call(id="x9"), call(id=None))))[0].id == "x9"


def test_numbers_in_arguments_keep_their_text() -> None:
    pretty = (
        b'{"candidates":[{"content":{"parts":[{"functionCall":{"name":"look","args":{\n "a" : 0.10\n}}}]}}]}'
    )
    assert calls(whole(pretty))[0].arguments == '{"a":0.10}'


@pytest.mark.parametrize("args", [{}, {"args": None}, {"args": {}}])
def test_a_call_without_arguments_has_an_empty_object(args: dict[str, Any]) -> None:
    assert calls(whole(body(call(**args))))[0].arguments == "{}"


def test_a_call_of_a_custom_tool_gives_its_free_text() -> None:
    (found,) = calls(whole(body(call("sh", args={"input": "ls"}))))
    assert (found.arguments, found.custom) == ("ls", True)


def test_a_call_named_once_more_at_the_end_is_no_second_call() -> None:
    named = body(call(args={"x": 1}), finish=None)
    assert len(calls(fold(stream(named, body(call(args={})))))) == 1
    assert len(calls(fold(stream(named, body(call(args={}, id="b")))))) == 2
    assert len(calls(fold(stream(named, body(call("hear", args={})))))) == 2
    assert len(calls(fold(stream(body(call(args={}), finish=None), body(call(args={})))))) == 2
    assert len(calls(whole(body(call(args={"x": 1}), call(args={}))))) == 2


def test_the_signature_of_a_call_is_kept() -> None:
    (first, second) = calls(whole(body({**call(), "thoughtSignature": "sig"}, call())))
    assert (first.signature, first.origin) == ("sig", "google")
    assert (second.signature, second.origin) == ("", "")


def test_thoughts_are_not_text() -> None:
    parts = [{"text": "hm", "thought": True}, {"text": "so"}, {"text": "!", "thoughtSignature": "sig"}]
    expected = [Thinking("hm", origin="google"), Text("so!"), Thinking("", "sig", origin="google")]
    assert whole(body(*parts)).parts == expected
    streamed = stream(*(body(part, finish=None) for part in parts), body({}))
    assert fold(streamed).parts == expected


def test_a_signed_thought_keeps_its_signature() -> None:
    parts = [{"text": "hm", "thought": True, "thoughtSignature": "s"}, {"text": "a"}]
    assert whole(body(*parts)).parts == [Thinking("hm", "s", origin="google"), Text("a")]


def test_a_signature_of_its_own_comes_after_the_text_and_is_complete_when_it_opens() -> None:
    events = stream(body({"text": "a"}, finish=None), body({"text": "", "thoughtSignature": "sig"}))
    assert events[1:-1] == [
        PartOpened(0, Text("")),
        PartDelta(0, "a"),
        PartClosed(0),
        PartOpened(1, Thinking("", "sig", origin="google")),
        PartClosed(1),
    ]


def test_a_text_after_a_signature_is_a_new_one() -> None:
    response = whole(body({"text": "a", "thoughtSignature": "s"}, {"text": "b"}))
    assert response.parts == [Text("a"), Thinking("", "s", origin="google"), Text("b")]


def test_an_image_is_media_and_one_of_a_thought_is_not() -> None:
    blob = {"inlineData": {"mimeType": "image/png", "data": "QQ=="}}
    parts = whole(body({**blob, "thought": True}, {**blob, "thoughtSignature": "s"})).parts
    assert parts == [
        Opaque(protocol="google", kind="inlineData", raw={**blob, "thought": True}),
        Media(kind="image", source=Inline("image/png", "QQ==")),
        Thinking("", "s", origin="google"),
    ]


def test_what_gemini_ran_itself_is_kept_as_it_came() -> None:
    run = {"executableCode": {"language": "PYTHON", "code": "1"}, "thoughtSignature": "s"}
    parts = whole(body(run, {"text": "1"})).parts
    assert parts == [Opaque(protocol="google", kind="executableCode", raw=run), Text("1")]


def test_a_part_of_a_kind_yet_unknown_is_kept() -> None:
    assert whole(body({"dream": {"a": 0.5}})).parts == [
        Opaque(protocol="google", kind="dream", raw={"dream": {"a": 0.5}})
    ]


@pytest.mark.parametrize("nothing", [{}, {"text": ""}, {"thought": True}])
def test_a_part_that_says_nothing_is_none(nothing: object) -> None:
    assert whole(body(nothing)).parts == []


@pytest.mark.parametrize(
    ("finish", "reason"),
    [
        ("STOP", "end"),
        ("MAX_TOKENS", "length"),
        ("SAFETY", "filter"),
        ("RECITATION", "filter"),
        ("BLOCKLIST", "filter"),
        ("PROHIBITED_CONTENT", "filter"),
        ("SPII", "filter"),
        ("IMAGE_SAFETY", "filter"),
        ("CONTINUATION", "pause"),
        ("OTHER", "end"),
        ("LANGUAGE", "end"),
        ("SOMETHING_NEW", "end"),
    ],
)
def test_why_it_ended_is_read(finish: str, reason: str) -> None:
    assert whole(body({"text": "a"}, finish=finish)).stop.reason == reason


def test_what_a_filter_says_is_kept() -> None:
    ratings = [{"category": "HARM_CATEGORY_HARASSMENT", "probability": "HIGH"}]
    stop = whole(body(finish="SAFETY", candidate={"safetyRatings": ratings, "finishMessage": "no"})).stop
    assert stop == Stop(
        "filter", detail={"finishReason": "SAFETY", "finishMessage": "no", "safetyRatings": ratings}
    )


@pytest.mark.parametrize(
    "content", [{}, {"content": {}}, {"content": {"role": "model"}}, {"content": {"parts": []}}]
)
def test_an_answer_used_up_by_thoughts_is_empty_and_too_long(content: dict[str, Any]) -> None:
    answer = msgspec.json.encode({"candidates": [{**content, "finishReason": "MAX_TOKENS"}]})
    for response in (whole(answer), fold(stream(answer))):
        assert (response.parts, response.stop.reason) == ([], "length")


def test_a_blocked_prompt_is_filtered() -> None:
    blocked = (
        b'{"promptFeedback":{"blockReason":"PROHIBITED_CONTENT"},"usageMetadata":{"promptTokenCount":5}}'
    )
    for response in (whole(blocked), fold(stream(blocked))):
        assert response.parts == []
        assert response.stop == Stop("filter", detail={"blockReason": "PROHIBITED_CONTENT"})
        assert response.usage == Usage(input=5)


def test_a_prompt_without_any_answer_is_filtered() -> None:
    assert whole(b'{"usageMetadata":{"promptTokenCount":5}}').stop == Stop("filter")


@pytest.mark.parametrize(
    "finish", ["MALFORMED_FUNCTION_CALL", "UNEXPECTED_TOOL_CALL", "MISSING_THOUGHT_SIGNATURE"]
)
def test_a_call_gone_wrong_is_a_failure_and_tells_nothing_of_the_call(finish: str) -> None:
    answer = body(finish=finish, candidate={"finishMessage": "Malformed function call: print(secret)"})
    with pytest.raises(UpstreamFailed, match=finish) as caught:
        whole(answer)
    assert "secret" not in str(caught.value)
    assert isinstance(failure(answer), UpstreamFailed)


def test_no_token_is_counted_twice() -> None:
    usage = {
        "promptTokenCount": 100,
        "cachedContentTokenCount": 60,
        "toolUsePromptTokenCount": 30,
        "candidatesTokenCount": 20,
        "thoughtsTokenCount": 5,
        "totalTokenCount": 155,
        "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 100}],
        "serviceTier": "standard",
    }
    response = whole(body({"text": "a"}, usageMetadata=usage))
    assert response.usage == Usage(
        input=70,
        output=25,
        cache_read=60,
        reasoning=5,
        extras={"promptTokensDetails": [{"modality": "TEXT", "tokenCount": 100}]},
    )
    assert response.usage is not None
    assert response.usage.prompt + response.usage.output == 155
    assert response.service_tier == "default"


def test_the_last_count_of_a_stream_is_the_one() -> None:
    events = stream(
        body({"text": "a"}, finish=None, usageMetadata={"promptTokenCount": 169}),
        body({"text": "b"}, usageMetadata={"promptTokenCount": 79, "candidatesTokenCount": 12}),
    )
    assert cast("Started", events[0]).usage == Usage(input=169)
    assert cast("Stopped", events[-1]).usage == Usage(input=79, output=12)


def test_probabilities_take_the_form_of_openais() -> None:
    result = {
        "chosenCandidates": [{"token": "Hé", "tokenId": 1, "logProbability": -0.5}, {"token": "!"}],
        "topCandidates": [{"candidates": [{"token": "Ho", "logProbability": -2.5}]}],
    }
    (text,) = whole(body({"text": "Hé!"}, candidate={"logprobsResult": result})).parts
    assert text == Text(
        "Hé!",
        logprobs=(
            {
                "token": "Hé",
                "logprob": -0.5,
                "bytes": [72, 195, 169],
                "top_logprobs": [{"token": "Ho", "logprob": -2.5, "bytes": [72, 111]}],
            },
            {"token": "!", "logprob": 0.0, "bytes": [33], "top_logprobs": []},
        ),
    )


class TestSources:
    """What an answer rests on."""

    WEB: ClassVar = {"web": {"uri": "https://a", "title": "A"}}

    def citations(self, **candidate: object) -> list[tuple[str, str, str]]:
        events = stream(body({"text": "It is so."}, finish=None), body({"text": ""}, candidate=candidate))
        (part,) = fold(events).parts
        assert isinstance(part, Text)
        return [(one.url, one.title, one.quote) for one in part.citations]

    def test_are_named_for_what_they_support(self) -> None:
        grounding = {
            "groundingChunks": [self.WEB, {"web": {"title": "no address"}}, {"maps": {"uri": "https://m"}}],
            "groundingSupports": [
                {"segment": {"text": "It"}, "groundingChunkIndices": [0, 1, 9]},
                {"segment": {"text": "so"}, "groundingChunkIndices": [2]},
            ],
        }
        assert self.citations(groundingMetadata=grounding) == [
            ("https://a", "A", "It"),
            ("https://m", "", "so"),
        ]

    def test_are_named_all_where_nobody_says_what_they_support(self) -> None:
        assert self.citations(groundingMetadata={"groundingChunks": [self.WEB]}) == [("https://a", "A", "")]

    def test_stay_known_when_a_later_chunk_says_nothing_of_them(self) -> None:
        grounding = {"groundingChunks": [self.WEB]}
        first = body({"text": "a"}, finish=None, candidate={"groundingMetadata": grounding})
        (part,) = fold(stream(first, body({"text": "b"}))).parts
        assert isinstance(part, Text)
        assert [one.url for one in part.citations] == ["https://a"]

    def test_of_long_quotes_are_named(self) -> None:
        quoted = {"citationSources": [{"uri": "https://q", "startIndex": 1}, {"license": "MIT"}]}
        assert self.citations(citationMetadata=quoted) == [("https://q", "", "")]

    def test_are_kept_as_they_came_too(self) -> None:
        grounding = {"webSearchQueries": ["q"]}
        assert whole(body({"text": "a"}, candidate={"groundingMetadata": grounding})).extras == {
            "groundingMetadata": grounding
        }


class TestBrokenStreams:
    """What goes wrong on the way."""

    def test_the_end_marker_of_another_protocol_is_no_event(self) -> None:
        assert WIRE.read_stream(ASKED).read(b"[DONE]") == ()
        assert WIRE.read_stream(ASKED).read(b"") == ()

    @pytest.mark.parametrize("wrap", [b"%s", b"[%s]"])
    def test_a_failure_in_the_middle_is_told(self, wrap: bytes) -> None:
        said = b'{"error":{"code":503,"message":"The model is overloaded.","status":"UNAVAILABLE"}}'
        error = failure(body({"text": "a"}, finish=None), wrap % said)
        assert isinstance(error, UpstreamFailed)
        assert (str(error), error.kind) == ("The model is overloaded.", "overloaded_error")

    def test_an_unknown_failure_is_the_providers(self) -> None:
        error = failure(b'{"error":{"code":500,"details":[]}}')
        assert isinstance(error, UpstreamFailed)
        assert error.kind == "api_error"

    @pytest.mark.parametrize(
        "payloads", [(), (body({"text": "a"}, finish=None),), (body(call(), finish=None),)]
    )
    def test_a_stream_that_says_not_why_it_ended_was_cut(self, payloads: tuple[bytes, ...]) -> None:
        assert "before the answer was complete" in str(failure(*payloads))

    @pytest.mark.parametrize(
        "garbage", [b"hello", b'{"candidates":5}', b"\xff", b'{"candidates":[{"content":{"parts":[7]}}]}']
    )
    def test_garbage_is_named(self, garbage: bytes) -> None:
        assert isinstance(failure(garbage), UpstreamGarbage)
        with pytest.raises(UpstreamGarbage):
            whole(garbage)

    @pytest.mark.parametrize("nothing", [b"{}", b"[]", b""])
    def test_an_answer_of_nothing_is_garbage(self, nothing: bytes) -> None:
        with pytest.raises(UpstreamGarbage):
            whole(nothing)

    def test_a_failure_told_as_a_success_is_a_failure(self) -> None:
        with pytest.raises(UpstreamFailed, match="quota"):
            whole(b'{"error":{"code":429,"message":"quota","status":"RESOURCE_EXHAUSTED"}}')

    def test_other_candidates_are_nobodys(self) -> None:
        two = b'{"candidates":[{"index":1,"content":{"parts":[{"text":"b"}]}},{"content":{"parts":[{"text":"a"}]}}]}'
        assert whole(two).parts == [Text("a")]


def test_a_count_that_is_none_is_garbage() -> None:
    with pytest.raises(UpstreamGarbage):
        GoogleCounter().read_response(b'{"tokens": 3}')
