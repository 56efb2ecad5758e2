"""Streams of servers, in all the ways they differ."""

from typing import Any

import msgspec
import pytest

from nexus.errors import NexusError, UpstreamFailed, UpstreamGarbage
from nexus.llm.canonical import (
    ChatRequest,
    ChatResponse,
    Event,
    Media,
    Opaque,
    PartClosed,
    PartDelta,
    PartOpened,
    Refusal,
    Started,
    Stop,
    Stopped,
    Text,
    Thinking,
    ToolCall,
    Turn,
    Usage,
)
from nexus.llm.protocols.folding import fold
from nexus.llm.protocols.openai.wire import ChatWire

REQUEST = ChatRequest(protocol="anthropic", model="m", turns=[])
HEAD: dict[str, Any] = {
    "id": "chatcmpl-1",
    "object": "chat.completion.chunk",
    "created": 7,
    "model": "gpt",
    "system_fingerprint": "fp",
}


def chunk(delta: dict[str, Any] | None = None, **more: Any) -> bytes:
    choice = {
        "index": 0,
        "delta": delta or {},
        **{name: more.pop(name) for name in ("finish_reason", "logprobs") if name in more},
    }
    return msgspec.json.encode({**HEAD, "choices": [choice], **more})


def calls(*pieces: dict[str, Any], **more: Any) -> bytes:
    return chunk({"tool_calls": list(pieces)}, **more)


def piece(
    name: str | None = None, arguments: Any = None, *, index: int | None = None, id: str | None = None
) -> dict[str, Any]:
    function = {key: value for key, value in (("name", name), ("arguments", arguments)) if value is not None}
    outer = {key: value for key, value in (("index", index), ("id", id)) if value is not None}
    return {**outer, "function": function}


STOP = chunk(finish_reason="stop")
TOOLS = chunk(finish_reason="tool_calls")
DONE = b"[DONE]"


def read(*payloads: bytes, request: ChatRequest = REQUEST) -> list[Event]:
    reader = ChatWire().read_stream(request)
    events = [event for payload in payloads for event in reader.read(payload)]
    events += reader.end()
    well_formed(events)
    return events


def well_formed(events: list[Event]) -> None:
    """Prove the grammar: started, parts numbered from 0 and closed once, stopped; arguments that are JSON."""
    assert isinstance(events[0], Started)
    assert isinstance(events[-1], Stopped)
    opened: dict[int, PartOpened] = {}
    closed: set[int] = set()
    for event in events[1:-1]:
        if isinstance(event, PartOpened):
            assert event.index == len(opened)
            opened[event.index] = event
        else:
            assert isinstance(event, PartDelta | PartClosed)
            assert event.index in opened
            assert event.index not in closed
            if isinstance(event, PartClosed):
                closed.add(event.index)
    assert closed == opened.keys()


def whole(*payloads: bytes, request: ChatRequest = REQUEST) -> ChatResponse:
    return fold(read(*payloads, request=request))


def made(*payloads: bytes) -> list[tuple[str, str]]:
    """Give name and arguments of all calls, whose ids have to differ."""
    found = [part for part in whole(*payloads).parts if isinstance(part, ToolCall)]
    assert len({call.id for call in found}) == len(found)
    assert all(call.id for call in found)
    return [(call.name, call.arguments) for call in found]


def test_a_text_is_opened_grown_and_closed() -> None:
    events = read(
        chunk({"role": "assistant", "content": ""}),
        chunk({"content": "a"}),
        chunk({"content": "b"}),
        STOP,
        DONE,
    )
    assert events == [
        Started("openai", "chatcmpl-1", "gpt", 7, extras={"system_fingerprint": "fp"}),
        PartOpened(0, Text(text="")),
        PartDelta(0, "a"),
        PartDelta(0, "b"),
        PartClosed(0),
        Stopped(Stop("end")),
    ]


@pytest.mark.parametrize("field", ["reasoning_content", "reasoning"])
def test_thoughts_come_before_the_text_as_a_part_of_their_own(field: str) -> None:
    parts = whole(
        chunk({field: "h"}), chunk({field: "m", "content": None}), chunk({"content": "a"}), STOP
    ).parts
    assert parts == [Thinking(text="hm", origin="openai"), Text(text="a")]


def test_thoughts_told_twice_are_read_once_and_keep_their_proof() -> None:
    def detail(**fields: Any) -> dict[str, Any]:
        return {"type": "reasoning.text", "format": "anthropic-claude-v1", "index": 0, **fields}

    parts = whole(
        chunk({"content": "", "reasoning": "h", "reasoning_details": [detail(text="h")]}),
        chunk({"content": "", "reasoning": "m", "reasoning_details": [detail(text="m")]}),
        chunk({"content": "", "reasoning": None, "reasoning_details": [detail(signature="sig")]}),
        chunk({"content": "a"}),
        chunk({"reasoning_details": [detail(signature="too late")]}),
        STOP,
    ).parts
    extras = {"format": "anthropic-claude-v1"}
    assert parts == [Thinking(text="hm", signature="sig", origin="openai", extras=extras), Text(text="a")]


def test_numbered_and_encrypted_details_are_parts_of_their_own() -> None:
    parts = whole(
        chunk({"reasoning_details": [{"type": "reasoning.summary", "summary": "one", "index": 0}]}),
        chunk({"reasoning_details": [{"type": "reasoning.summary", "summary": "two", "index": 1}]}),
        chunk({"reasoning_details": [{"type": "reasoning.encrypted", "data": "d", "id": "rs", "index": 2}]}),
        STOP,
    ).parts
    summary = {"type": "reasoning.summary"}
    assert parts == [
        Thinking(text="one", origin="openai", extras=summary),
        Thinking(text="two", origin="openai", extras=summary),
        Thinking(text="", redacted="d", origin="openai", id="rs"),
    ]


def test_a_proof_without_any_thought_is_kept() -> None:
    detail = {"type": "reasoning.text", "signature": "sig", "index": 0}
    parts = whole(chunk({"reasoning_details": [detail]}), chunk({"content": "a"}), STOP).parts
    assert parts[0] == Thinking(text="", signature="sig", origin="openai")


def test_content_in_pieces_is_read_as_mistral_sends_it() -> None:
    thinking = {"type": "thinking", "thinking": [{"type": "text", "text": "h"}]}
    reference = {"type": "reference", "reference_ids": [1]}
    parts = whole(
        chunk({"content": [thinking]}),
        chunk({"content": [thinking, {"type": "text", "text": "a"}]}),
        chunk({"content": "b"}),
        chunk({"content": [reference]}),
        STOP,
    ).parts
    assert parts == [
        Thinking(text="hh", origin="openai"),
        Text(text="ab"),
        Opaque(protocol="openai", kind="reference", raw=reference),
    ]


def test_a_refusal_is_told_apart() -> None:
    answer = whole(chunk({"refusal": "I "}), chunk({"refusal": "won't"}), STOP, DONE)
    assert answer.parts == [Refusal(text="I won't")]
    assert answer.stop == Stop("refusal")


A, B = '{"a":1}', '{"b":[2]}'


@pytest.mark.parametrize(
    "chunks",
    [
        pytest.param(
            [
                calls(piece("f", "", index=0, id="x")),
                calls(piece(None, '{"a"', index=0)),
                calls(piece(None, ":1}", index=0)),
                calls(piece("g", "", index=1, id="y")),
                calls(piece(None, B, index=1)),
            ],
            id="as OpenAI",
        ),
        pytest.param(
            [calls(piece("f", A, index=0, id="x"), piece("g", B, index=1, id="y"))], id="whole in one chunk"
        ),
        pytest.param([calls(piece("f", A)), calls(piece("g", B))], id="neither index nor id"),
        pytest.param(
            [calls(piece("f", A, index=0)), calls(piece("g", B, index=0))], id="all numbered 0, no ids"
        ),
        pytest.param(
            [calls(piece("f", A, index=0, id="x")), calls(piece("g", B, index=0, id="y"))],
            id="all numbered 0",
        ),
        pytest.param(
            [
                calls(piece("f", '{"a"', index=0, id="x")),
                calls(piece("f", ":1}", index=0, id="x")),
                calls(piece("g", B, index=1, id="y")),
                calls(piece("g", "", index=1, id="y")),
            ],
            id="id and name repeated",
        ),
        pytest.param(
            [
                calls(piece("f", '{"a"', index=0, id="x")),
                calls(piece(None, ":1}", index=0, id="other")),
                calls(piece("g", '{"b"', index=1, id="y")),
                calls(piece("g", ":[2]}", index=1, id="another")),
            ],
            id="another id with every piece",
        ),
        pytest.param(
            [calls(piece("f", '{"a"', id="x")), calls(piece(None, ":1}")), calls(piece("g", B, id="y"))],
            id="no index",
        ),
        pytest.param(
            [
                calls(piece("f", "", index=0, id="x"), piece("g", "", index=1, id="y")),
                calls(piece(None, '{"a"', index=0)),
                calls(piece(None, '{"b"', index=1)),
                calls(piece(None, ":1}", index=0)),
                calls(piece(None, ":[2]}", index=1)),
            ],
            id="interleaved",
        ),
        pytest.param(
            [
                calls(piece("f", '{"a"', id="x"), piece("g", '{"b"', id="y")),
                calls(piece(None, ":1}", id="x")),
                calls(piece(None, ":[2]}", id="y")),
            ],
            id="interleaved by id",
        ),
        pytest.param(
            [
                calls(piece(None, '{"a"', index=0, id="x")),
                calls(piece("f", ":1}", index=0)),
                calls(piece("g", B, index=1)),
            ],
            id="name later",
        ),
        pytest.param(
            [calls(piece("f", {"a": 1}, index=0, id="x")), calls(piece("g", {"b": [2]}, index=1, id="y"))],
            id="objects",
        ),
    ],
)
def test_two_calls_are_told_apart_however_they_are_numbered_and_named(chunks: list[bytes]) -> None:
    assert made(*chunks, TOOLS, DONE) == [("f", A), ("g", B)]


@pytest.mark.parametrize(
    "pieces",
    [
        [piece("f", A), piece("f", A), piece("f", B)],
        [piece("f", A, index=0), piece("f", A, index=0), piece("f", B, index=0)],
        [piece("f", A, index=0, id="x"), piece("f", A, index=0, id="y"), piece("f", B, index=0, id="z")],
    ],
)
def test_equal_calls_side_by_side_are_not_merged(pieces: list[dict[str, Any]]) -> None:
    assert made(calls(*pieces), TOOLS) == [("f", A), ("f", A), ("f", B)]
    assert made(*(calls(one) for one in pieces), TOOLS) == [("f", A), ("f", A), ("f", B)]


@pytest.mark.parametrize("arguments", [None, "", " ", {}])
def test_a_call_without_arguments_gets_an_empty_object(arguments: object) -> None:
    ((name, text),) = made(calls(piece("f", arguments, index=0, id="x")), TOOLS)
    assert (name, msgspec.json.decode(text)) == ("f", {})


def test_calls_without_arguments_side_by_side_stay_two() -> None:
    assert made(calls(piece("f", "", id="x")), calls(piece("f", "", id="y")), TOOLS) == [
        ("f", "{}"),
        ("f", "{}"),
    ]
    assert made(calls(piece("f", ""), piece("f", "")), TOOLS) == [("f", "{}"), ("f", "{}")]


def test_a_last_piece_that_says_a_whole_call_again_without_arguments_adds_nothing() -> None:
    assert made(calls(piece("f", A)), calls(piece("f", "")), TOOLS) == [("f", A)]
    assert made(calls(piece("f", A, index=0)), calls(piece("f", "", index=0), finish_reason="stop")) == [
        ("f", A)
    ]


def test_a_whole_call_is_closed_as_soon_as_the_next_begins() -> None:
    events = read(calls(piece("f", A, index=0, id="x")), calls(piece("g", "", index=1, id="y")), TOOLS)
    kinds = [(type(event).__name__, getattr(event, "index", None)) for event in events]
    assert kinds.index(("PartClosed", 0)) < kinds.index(("PartOpened", 1))


def test_the_old_form_of_a_call_is_read() -> None:
    events = [
        chunk({"function_call": {"name": "f", "arguments": ""}}),
        chunk({"function_call": {"arguments": A}}),
    ]
    assert made(*events, chunk(finish_reason="function_call")) == [("f", A)]


def test_a_custom_call_keeps_its_text() -> None:
    begin = {"index": 0, "id": "x", "type": "custom", "custom": {"name": "sh", "input": ""}}
    more = {"index": 0, "custom": {"input": "ls"}}
    part = whole(calls(begin), calls(more), TOOLS).parts[0]
    assert part == ToolCall(id="x", name="sh", arguments="ls", custom=True, origin="openai")


def test_a_custom_call_stays_open_though_its_text_looks_whole() -> None:
    begin = {"index": 0, "id": "x", "type": "custom", "custom": {"name": "calc", "input": "1"}}
    other, more = piece("f", A, index=1, id="y"), {"index": 0, "custom": {"input": "+1"}}
    assert made(calls(begin), calls(other), calls(more), TOOLS) == [("calc", "1+1"), ("f", A)]


def test_the_signature_of_a_call_is_read_whenever_it_comes() -> None:
    extra = {"extra_content": {"google": {"thought_signature": "s"}}}
    early = whole(calls({**piece("f", A, index=0, id="x"), **extra}), TOOLS).parts[0]
    late = whole(calls(piece("f", A, index=0, id="x")), calls({**piece(index=0), **extra}), TOOLS).parts[0]
    assert early == late == ToolCall(id="x", name="f", arguments=A, signature="s", origin="openai")


def test_ids_are_made_alike_for_the_same_stream_and_otherwise_for_the_next_step() -> None:
    def id_of(request: ChatRequest, **head: str) -> str:
        part = whole(calls(piece("f", A), **head), TOOLS, request=request).parts[0]
        assert isinstance(part, ToolCall)
        return part.id

    later = msgspec.structs.replace(REQUEST, turns=[Turn("user", [])])
    assert id_of(REQUEST) == id_of(REQUEST) != id_of(later)
    assert id_of(REQUEST) != id_of(REQUEST, id="chatcmpl-2")


COUNTS = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
USAGE = Usage(input=10, output=5)


@pytest.mark.parametrize(
    "payloads",
    [
        [chunk(finish_reason="stop", usage=COUNTS), DONE],
        [STOP, msgspec.json.encode({**HEAD, "choices": [], "usage": COUNTS}), DONE],
        [STOP, msgspec.json.encode({**HEAD, "choices": [], "usage": COUNTS})],
        [STOP, chunk({"content": ""}, finish_reason="stop", usage=COUNTS), DONE],
        [
            chunk({"content": "b"}, usage={**COUNTS, "completion_tokens": 1}),
            chunk(finish_reason="stop", usage=COUNTS),
        ],
        [chunk(finish_reason="stop", x_groq={"usage": COUNTS}), DONE],
    ],
)
def test_the_last_usage_counts_wherever_it_stands(payloads: list[bytes]) -> None:
    answer = whole(chunk({"content": "a"}), *payloads)
    assert answer.usage == USAGE
    assert answer.stop == Stop("end")


def test_usage_that_never_came_is_none() -> None:
    assert whole(chunk({"content": "a"}, usage=None), STOP, DONE).usage is None


@pytest.mark.parametrize(
    ("reason", "meant"),
    [
        ("stop", "end"),
        ("length", "length"),
        ("content_filter", "filter"),
        ("tool_calls", "tool"),
        ("model_length", "length"),
        ("eos", "end"),
    ],
)
def test_reasons_are_read(reason: str, meant: str) -> None:
    assert whole(chunk({"content": "a"}, finish_reason=reason)).stop.reason == meant


def test_a_call_that_ends_with_stop_wants_its_tool() -> None:
    assert whole(calls(piece("f", A, index=0, id="x")), STOP).stop == Stop("tool")


def test_no_reason_at_done_is_an_end_and_an_empty_one_is_none() -> None:
    assert whole(chunk({"content": "a"}, finish_reason=""), DONE).stop == Stop("end")
    assert whole(calls(piece("f", A, index=0, id="x")), DONE).stop == Stop("tool")


def test_the_sequence_an_answer_stopped_at_is_told() -> None:
    choice: dict[str, Any] = {"index": 0, "delta": {}, "finish_reason": "stop", "stop_reason": "END"}
    stop = msgspec.json.encode({**HEAD, "choices": [choice]})
    assert whole(chunk({"content": "a"}), stop).stop == Stop("sequence", "END")


def failing(*payloads: bytes) -> NexusError:
    with pytest.raises(NexusError) as caught:
        read(*payloads)
    return caught.value


@pytest.mark.parametrize(
    "payloads", [[], [chunk({"content": "a"})], [calls(piece("f", '{"a', index=0, id="x"))]]
)
def test_a_stream_cut_short_is_a_failure(payloads: list[bytes]) -> None:
    assert isinstance(failing(*payloads), UpstreamFailed)


@pytest.mark.parametrize(
    ("error", "message", "kind"),
    [
        ({"message": "busy", "type": "server_error"}, "busy", "server_error"),
        ({"message": "slow down", "code": 429}, "slow down", "rate_limit_error"),
        ({"message": "gone", "code": "x"}, "gone", "api_error"),
        ("plain", "plain", "api_error"),
        ({"odd": 1}, "The upstream failed", "api_error"),
    ],
)
def test_a_failure_told_in_the_stream_is_raised(error: object, message: str, kind: str) -> None:
    failed = failing(chunk({"content": "a"}), msgspec.json.encode({"error": error}))
    assert isinstance(failed, UpstreamFailed)
    assert (str(failed), failed.kind) == (message, kind)


def test_a_failure_in_vllms_form_is_raised() -> None:
    failed = failing(chunk({"content": "a"}), b'{"object":"error","message":"no","code":400}')
    assert isinstance(failed, UpstreamFailed)
    assert (str(failed), failed.kind) == ("no", "invalid_request_error")


def test_a_whole_message_in_place_of_a_delta_is_read() -> None:
    choice = {"index": 0, "message": {"role": "assistant", "content": "a"}, "finish_reason": "stop"}
    assert whole(msgspec.json.encode({**HEAD, "choices": [choice]})).parts == [Text(text="a")]


def test_a_choice_that_failed_is_raised() -> None:
    assert isinstance(failing(chunk({"content": "a"}), chunk(finish_reason="error")), UpstreamFailed)
    choice = {"index": 0, "error": {"message": "no"}, "finish_reason": "error"}
    assert str(failing(msgspec.json.encode({**HEAD, "choices": [choice]}))) == "no"


@pytest.mark.parametrize("payload", [b"{", b"[]", b"\xff", b'{"choices":[3]}', DONE, b"[" * 100_000])
def test_what_is_no_chunk_is_garbage(payload: bytes) -> None:
    assert isinstance(failing(payload), UpstreamGarbage)


def test_a_call_that_is_never_named_is_garbage() -> None:
    assert isinstance(failing(calls(piece(None, A, index=0, id="x")), TOOLS), UpstreamGarbage)


def test_comments_other_choices_and_what_follows_the_end_are_skipped() -> None:
    other = msgspec.json.encode({**HEAD, "choices": [{"index": 1, "delta": {"content": "other"}}]})
    assert whole(b"", chunk({"content": "a"}), other, STOP, DONE, chunk({"content": "b"})).parts == [
        Text(text="a")
    ]


def test_the_answer_starts_with_the_first_chunk_that_has_a_choice() -> None:
    azure = msgspec.json.encode({"id": "", "model": "", "choices": [], "prompt_filter_results": [{"x": 1}]})
    answer = whole(azure, chunk({"content": "a"}), STOP, DONE)
    assert (answer.id, answer.model, answer.created) == ("chatcmpl-1", "gpt", 7)
    assert answer.extras == {"system_fingerprint": "fp", "prompt_filter_results": [{"x": 1}]}


def test_sources_and_probabilities_belong_to_the_text() -> None:
    annotation = {"type": "url_citation", "url_citation": {"url": "https://x", "title": "X"}}
    token: dict[str, Any] = {"token": "a", "logprob": -0.1, "bytes": None, "top_logprobs": []}
    part = whole(
        chunk({"content": "a"}, logprobs={"content": [token]}), chunk({"annotations": [annotation]}), STOP
    ).parts[0]
    assert isinstance(part, Text)
    assert (part.text, list(part.logprobs)) == ("a", [token])
    assert [(one.url, one.title, one.raw) for one in part.citations] == [("https://x", "X", annotation)]


def test_the_probability_of_a_token_without_text_is_kept() -> None:
    token: dict[str, Any] = {"token": "", "logprob": -0.1, "bytes": [226], "top_logprobs": []}
    part = whole(chunk({"content": ""}, logprobs={"content": [token]}), chunk({"content": "a"}), STOP).parts[
        0
    ]
    assert isinstance(part, Text)
    assert (part.text, list(part.logprobs)) == ("a", [token])


def test_pictures_and_sound_a_model_made_are_parts() -> None:
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}
    events = read(
        chunk({"content": "see"}),
        chunk({"images": [picture, {"odd": 1}]}),
        chunk({"audio": {"id": "au", "data": "AA"}}),
        chunk({"audio": {"data": "BB"}}),
        STOP,
    )
    parts = fold(events).parts
    assert isinstance(parts[1], Media)
    assert [part.kind for part in parts if isinstance(part, Opaque)] == ["image", "audio"]
    assert PartDelta(3, raw={"data": "BB"}) in events
