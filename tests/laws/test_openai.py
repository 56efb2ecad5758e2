"""The laws of the OpenAI chat protocol, over recorded traffic and made-up.

What counts as the same meaning, and why two bodies may differ in it:

- a string and one text part, an empty string and no content, null and an absent key;
- fields that say what holds without them (`n: 1`, an empty description), and `any` for `required`;
- `stream_options`, which is between a client and the gateway, and written anew for a server;
- of an answer: choice fields and details of counts only some server has, and `stop` where a tool is called.
"""

from collections.abc import Sequence
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

import recorded
from nexus.errors import UpstreamFailed, UpstreamGarbage
from nexus.http.frames import Cutter, payload
from nexus.http.frames import events as split
from nexus.llm.canonical import (
    AnyPart,
    ChatRequest,
    ChatResponse,
    Event,
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
    Usage,
)
from nexus.llm.protocols.folding import fold, unfold
from nexus.llm.protocols.openai.chat import Chat
from nexus.llm.protocols.openai.wire import ChatWire, Options

RECORDED = recorded.exchanges("openai-chat", "openai-compatible")
STREAMED = [one for one in RECORDED if one.streamed]
WHOLE = [one for one in RECORDED if one.is_json]
NOT_ANSWERS = ("invalid-response", "errors-raised", "o1-mini")
PLAIN = ChatRequest(protocol="openai", model="m", turns=[])

Object = dict[str, Any]


def without(fields: Object, *names: str) -> Object:
    return {name: value for name, value in fields.items() if name not in names and value is not None}


def in_parts(content: object) -> object:
    if isinstance(content, str):
        return [{"type": "text", "text": content}] if content else []
    return content or []


def same_message(message: Object) -> Object:
    given: list[Object] = message.get("tool_calls") or []
    calls = [{"type": "function", **without(one, "index")} for one in given]
    return {
        **without(message, "content", "tool_calls"),
        "content": in_parts(message.get("content")),
        "calls": calls,
    }


def same_tool(tool: Object) -> Object:
    if "function" not in tool:
        return tool
    function = without(tool["function"])
    return {
        "type": "function",
        **tool,
        "function": {name: function[name] for name in function if function[name] != ""},
    }


def same_request(body: Object) -> Object:
    same = without(body, "stream_options", "messages", "tools")
    for name, value in {"n": 1, "store": False, "stream": False}.items():
        if same.get(name) == value:
            del same[name]
    if same.get("tool_choice") == "any":
        same["tool_choice"] = "required"
    same["messages"] = [same_message(one) for one in body["messages"]]
    tools: list[Object] = body.get("tools") or []
    same["tools"] = [same_tool(one) for one in tools]
    return same


def same_answer(body: Object) -> Object:
    """Keep what an answer says: of the choice its message and reason, of the counts those everyone has."""
    choice = body["choices"][0]
    message = same_message(choice["message"])
    message["thought"] = message.pop("reasoning", None) or message.pop("reasoning_content", None)
    reason = choice["finish_reason"]
    usage = body.get("usage")
    return {
        **without(body, "choices", "usage"),
        "message": without(message, "reasoning_content", "reasoning_details", "annotations", "refusal"),
        "refusal": message.get("refusal"),
        "annotations": message.get("annotations") or [],
        "logprobs": choice.get("logprobs"),
        "reason": "tool_calls" if message["calls"] and reason == "stop" else reason,
        "usage": usage and [usage[name] for name in ("prompt_tokens", "completion_tokens", "total_tokens")],
    }


def options_for(body: Object) -> Options:
    """Speak as the server the recorded request was for."""
    return Options(
        max_tokens="max_tokens" if "max_tokens" in body else "max_completion_tokens",
        reasoning_field="reasoning",
        cache_control=True,
        top_k=True,
    )


def read_all(payloads: Sequence[bytes], request: ChatRequest = PLAIN) -> list[Event]:
    reader = ChatWire().read_stream(request)
    events = [event for one in payloads for event in reader.read(one)]
    return [*events, *reader.end()]


def write_all(events: Sequence[Event], request: ChatRequest = PLAIN) -> list[bytes]:
    writer = Chat().write_stream(request)
    return [payload(one) for one in split(b"".join(writer.write(event) for event in events))]


def accumulated(payloads: Sequence[bytes]) -> Object:
    """Put a stream together as a whole answer, the way the vendor's clients do: strings grow, lists go by index."""
    body: Object = {}
    for one in payloads:
        if one in (b"", b"[DONE]"):
            continue
        chunk = msgspec.json.decode(one)
        choices = chunk.pop("choices")
        body.update((name, value) for name, value in chunk.items() if value is not None)
        for choice in choices:
            kept = body.setdefault("choices", [{"index": 0, "message": {}}])[0]
            grow(kept["message"], choice.pop("delta"))
            kept.update((name, value) for name, value in choice.items() if value is not None)
    body.setdefault("choices", [])
    return body


def grow(whole: Object, delta: Object) -> None:
    for name, value in delta.items():
        old = whole.get(name)
        if value is None:
            continue
        if isinstance(value, list):
            items: list[Object] = whole.setdefault(name, [])
            for item in value:  # pyright: ignore[reportUnknownVariableType]
                while len(items) <= item["index"]:
                    items.append({})
                grow(items[item["index"]], item)  # pyright: ignore[reportUnknownArgumentType]
        elif isinstance(value, dict):
            grow(whole.setdefault(name, {}), value)  # pyright: ignore[reportUnknownArgumentType]
        elif isinstance(old, str) and isinstance(value, str) and name not in ("id", "type", "name", "role"):
            whole[name] = old + value
        else:
            whole[name] = value


# what is recorded


@recorded.needed
@pytest.mark.parametrize("exchange", RECORDED, ids=str)
def test_recorded_requests_mean_the_same_when_written_again(exchange: recorded.Exchange) -> None:
    body = msgspec.json.decode(exchange.request)
    written, losses = ChatWire(options_for(body)).write_request(Chat().read_request(exchange.request))
    assert losses == []
    assert same_request(msgspec.json.decode(written)) == same_request(body)


@recorded.needed
@pytest.mark.parametrize("exchange", WHOLE, ids=str)
def test_recorded_answers_mean_the_same_when_written_again(exchange: recorded.Exchange) -> None:
    request = Chat().read_request(exchange.request)
    if any(name in str(exchange) for name in NOT_ANSWERS):
        with pytest.raises((UpstreamFailed, UpstreamGarbage)):
            ChatWire().read_response(exchange.answer, request)
        return
    response = ChatWire().read_response(exchange.answer, request)
    written, losses = Chat().write_response(response, request)
    assert losses == []
    assert same_answer(msgspec.json.decode(written)) == same_answer(msgspec.json.decode(exchange.answer))


@recorded.needed
@pytest.mark.parametrize("exchange", STREAMED, ids=str)
def test_recorded_streams_fold_to_their_whole_answer(exchange: recorded.Exchange) -> None:
    payloads = [payload(one) for one in split(exchange.answer)]
    body = accumulated(payloads)
    first = msgspec.json.decode(next(one for one in payloads if one))
    whole = ChatWire().read_response(msgspec.json.encode(body), PLAIN)
    whole = msgspec.structs.replace(
        whole, service_tier=first.get("service_tier")
    )  # one is told at the start, or never
    assert fold(read_all(payloads)) == whole


@recorded.needed
@pytest.mark.parametrize("exchange", STREAMED, ids=str)
def test_recorded_streams_fold_to_the_same_at_every_split(exchange: recorded.Exchange) -> None:
    stream = exchange.answer
    expected = fold(read_all([payload(one) for one in split(stream)]))
    for cut in range(len(stream) + 1):
        cutter = Cutter()
        ready = [cutter.feed(piece) for piece in (stream[:cut], stream[cut:]) if piece]
        payloads = [payload(one) for some in (*ready, cutter.rest()) for one in split(some)]
        assert fold(read_all(payloads)) == expected


@recorded.needed
@pytest.mark.parametrize("exchange", STREAMED, ids=str)
def test_recorded_streams_are_read_again_as_they_were_written(exchange: recorded.Exchange) -> None:
    request = Chat().read_request(exchange.request)
    events = read_all([payload(one) for one in split(exchange.answer)])
    assert read_all(write_all(events, request)) == events


# what is made up

TEXT = st.text(st.characters(codec="utf-8"), min_size=1, max_size=12)
NAME = st.from_regex(r"[a-z_]{1,6}", fullmatch=True)
URL = st.sampled_from(
    ["https://example.com/a.png", "data:image/png;base64,AA==", "data:image/webp;base64,AAAA"]
)
SCALARS = st.none() | st.booleans() | st.integers(-9, 9) | TEXT
SCHEMA = st.dictionaries(NAME, SCALARS | st.lists(SCALARS, max_size=2), max_size=3)
ARGUMENTS = SCHEMA.map(lambda value: msgspec.json.encode(value).decode())


def some(
    required: dict[str, st.SearchStrategy[Any]], **optional: st.SearchStrategy[Any]
) -> st.SearchStrategy[Object]:
    return st.fixed_dictionaries(required, optional=optional)


def kind(name: str) -> st.SearchStrategy[str]:
    return st.just(name)


CACHE = some({"type": kind("ephemeral")}, ttl=st.sampled_from(["5m", "1h"]))
TEXT_PART = some({"type": kind("text"), "text": TEXT}, cache_control=CACHE, prompt_cache_breakpoint=SCHEMA)
PART = st.one_of(
    TEXT_PART,
    some(
        {"type": kind("image_url"), "image_url": some({"url": URL}, detail=st.sampled_from(["low", "high"]))},
        cache_control=CACHE,
    ),
    some(
        {
            "type": kind("input_audio"),
            "input_audio": some({"data": kind("AA=="), "format": st.sampled_from(["wav", "mp3", "flac"])}),
        }
    ),
    some({"type": kind("file"), "file": some({"file_id": NAME}, filename=NAME)}),
    some(
        {
            "type": kind("file"),
            "file": some({"file_data": kind("data:application/pdf;base64,AA==")}, filename=NAME),
        }
    ),
    some({"type": kind("video_url"), "video_url": some({"url": kind("https://example.com/a.mp4")})}),
    some({"type": kind("hologram")}, depth=st.integers()),
)
CALL = st.one_of(
    some(
        {"id": NAME, "type": kind("function"), "function": some({"name": NAME, "arguments": ARGUMENTS})},
        extra_content=st.just({"google": {"thought_signature": "sig"}}),
    ),
    some({"id": NAME, "type": kind("custom"), "custom": some({"name": NAME, "input": TEXT})}),
)
MESSAGE = st.one_of(
    some(
        {
            "role": st.sampled_from(["system", "developer"]),
            "content": TEXT | st.lists(TEXT_PART, min_size=1, max_size=3),
        },
        name=NAME,
    ),
    some({"role": kind("user"), "content": TEXT | st.lists(PART, min_size=1, max_size=3)}, name=NAME),
    some(
        {
            "role": kind("assistant"),
            "content": TEXT | st.none() | st.lists(TEXT_PART, min_size=1, max_size=2),
        },
        tool_calls=st.lists(CALL, min_size=1, max_size=3),
        refusal=TEXT,
        reasoning=TEXT,
        name=NAME,
        audio=st.just({"id": "audio_1"}),
    ),
    some(
        {
            "role": kind("tool"),
            "tool_call_id": NAME,
            "content": TEXT | st.lists(TEXT_PART, min_size=1, max_size=2),
        },
        name=NAME,
    ),
)
TOOL = st.one_of(
    some(
        {
            "type": kind("function"),
            "function": some(
                {"name": NAME}, description=TEXT, parameters=SCHEMA, strict=st.booleans(), x=TEXT
            ),
        },
        cache_control=CACHE,
        eager=st.booleans(),
    ),
    some(
        {
            "type": kind("custom"),
            "custom": some(
                {"name": NAME},
                description=TEXT,
                format=st.sampled_from(
                    [
                        {"type": "text"},
                        {"type": "grammar", "grammar": {"syntax": "lark", "definition": "start: A"}},
                    ]
                ),
            ),
        }
    ),
    some({"type": kind("openrouter:web_search")}, parameters=SCHEMA),
)
FORMAT = st.one_of(
    st.just({"type": "text"}),
    st.just({"type": "json_object"}),
    some(
        {
            "type": kind("json_schema"),
            "json_schema": some({"name": NAME}, description=TEXT, schema=SCHEMA, strict=st.booleans()),
        }
    ),
    st.just({"type": "grammar", "value": "x"}),
)
REQUEST = some(
    {"model": NAME, "messages": st.lists(MESSAGE, max_size=4)},
    tools=st.lists(TOOL, min_size=1, max_size=3),
    max_completion_tokens=st.integers(0, 99),
    temperature=st.floats(0, 2),
    top_p=st.integers(0, 1),
    top_k=st.integers(1, 9),
    frequency_penalty=st.floats(-2, 2),
    presence_penalty=st.floats(-2, 2),
    stop=st.lists(TEXT, min_size=1, max_size=2),
    seed=st.integers(-9, 9),
    logprobs=st.just(True),
    top_logprobs=st.integers(0, 5),
    response_format=FORMAT,
    reasoning_effort=st.sampled_from(["none", "minimal", "max", "default"]),
    verbosity=TEXT,
    service_tier=TEXT,
    user=TEXT,
    prompt_cache_key=TEXT,
    stream=st.just(True),
    metadata=st.dictionaries(NAME, TEXT, min_size=1, max_size=2),
    logit_bias=st.just({"1": -100}),
    min_p=st.floats(0, 1),
)


@given(REQUEST)
def test_a_request_means_the_same_when_written_again(body: Object) -> None:
    made = Chat().read_request(msgspec.json.encode(body))
    written, losses = ChatWire(options_for(body)).write_request(made)
    assert losses == []
    again = msgspec.json.decode(written)
    assert same_request(again) == same_request(body)
    assert ChatWire(options_for(body)).write_request(Chat().read_request(written))[0] == written


@given(REQUEST.filter(lambda body: "tools" in body), st.data())
def test_a_choice_of_tools_means_the_same_when_written_again(body: Object, data: st.DataObject) -> None:
    kinds = [(tool["type"], tool[tool["type"]]["name"]) for tool in body["tools"] if tool["type"] in tool]
    named = [{"type": kind, kind: {"name": name}} for kind, name in kinds]
    choices: list[object] = ["auto", "none", "required", *named]
    if named:
        choices.append({"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": named}})
    body = {
        **body,
        "tool_choice": data.draw(st.sampled_from(choices)),
        "parallel_tool_calls": data.draw(st.booleans()),
    }
    written, _ = ChatWire(options_for(body)).write_request(Chat().read_request(msgspec.json.encode(body)))
    again = msgspec.json.decode(written)
    assert again["parallel_tool_calls"] == body["parallel_tool_calls"]
    if len({name for _, name in kinds}) == len(kinds):
        assert again["tool_choice"] == body["tool_choice"]


SIGNED = st.builds(Thinking, text=TEXT, signature=TEXT, origin=st.just("openai"), id=st.just("") | NAME)
THOUGHT = SIGNED | st.builds(Thinking, text=st.just(""), redacted=TEXT, origin=st.just("openai"))
CALLS = st.lists(
    st.builds(
        ToolCall,
        id=NAME,
        name=NAME,
        arguments=ARGUMENTS,
        origin=st.just("openai"),
        signature=st.just("") | TEXT,
    )
    | st.builds(ToolCall, id=NAME, name=NAME, arguments=TEXT, custom=st.just(True), origin=st.just("openai")),
    max_size=3,
    unique_by=lambda call: call.id,
)
USAGE = st.builds(
    Usage,
    input=st.integers(1, 99),
    output=st.integers(5, 99),
    cache_read=st.integers(0, 9),
    cache_write=st.integers(0, 9),
    reasoning=st.integers(0, 5),
)


EXTRAS: list[Object] = [{}, {"system_fingerprint": "fp"}]


@st.composite
def answers(draw: st.DrawFn) -> ChatResponse:
    """Make an answer in the order the protocol has: thoughts, a text, a refusal, calls."""
    calls = draw(CALLS)
    refusal = draw(st.none() | TEXT)
    text = draw(st.none() | TEXT)
    parts: list[AnyPart] = list(draw(st.lists(THOUGHT, max_size=3)))
    parts += [Text(text=text)] if text else []
    parts += [Refusal(text=refusal)] if refusal else []
    parts += calls
    if calls:
        stop = Stop("tool")
    else:
        stop = (
            Stop("refusal")
            if refusal
            else draw(st.sampled_from([Stop("end"), Stop("length"), Stop("filter")]))
        )
    return ChatResponse(
        protocol="openai",
        id=draw(NAME),
        model=draw(NAME),
        created=draw(st.integers(0, 9)),
        parts=parts,
        stop=stop,
        usage=draw(st.none() | USAGE),
        service_tier=draw(st.none() | NAME),
        extras=draw(st.sampled_from(EXTRAS)),
    )


@given(answers())
def test_an_answer_is_read_again_as_it_was_written(response: ChatResponse) -> None:
    body, losses = Chat().write_response(response, PLAIN)
    assert losses == []
    assert ChatWire().read_response(body, PLAIN) == response


@given(answers(), st.booleans())
def test_an_answer_told_as_a_stream_folds_to_itself(response: ChatResponse, counted: bool) -> None:
    request = msgspec.structs.replace(PLAIN, stream_usage=counted)
    told = fold(read_all(write_all(list(unfold(response)), request)))
    assert told == response


@st.composite
def streams(draw: st.DrawFn) -> tuple[ChatResponse, list[bytes]]:
    """Make an answer and one of the many ways in which servers stream it."""
    response = draw(answers())
    body = msgspec.json.decode(Chat().write_response(response, PLAIN)[0])
    choice, usage = body["choices"].pop(), body.pop("usage", None)
    head = {**body, "object": "chat.completion.chunk"}
    deltas: list[Object] = [{"role": "assistant", "content": draw(st.sampled_from(["", None]))}]
    message = choice["message"]
    for detail in message.get("reasoning_details", []):
        deltas += [
            {"reasoning": one.get("text"), "reasoning_details": [one]} for one in cut_detail(draw, detail)
        ]
    for name in ("content", "refusal"):
        deltas += [{name: piece} for piece in cut(draw, message.get(name, ""))]
    deltas += cut_calls(draw, message.get("tool_calls", []))
    chunks: list[Object] = [{**head, "choices": [{"index": 0, "delta": delta}]} for delta in deltas]
    last: Object = {**head, "choices": [{"index": 0, "delta": {}, "finish_reason": choice["finish_reason"]}]}
    if draw(st.booleans()):
        chunks += [{**last, "usage": usage}]
    else:
        chunks += [last, {**head, "choices": [], "usage": usage}]
    done = [b"[DONE]"] if draw(st.booleans()) else []
    return response, [*map(msgspec.json.encode, chunks), *done]


def cut(draw: st.DrawFn, text: str) -> list[str]:
    at = draw(st.integers(0, len(text)))
    return [piece for piece in (text[:at], text[at:]) if piece]


def cut_detail(draw: st.DrawFn, detail: Object) -> list[Object]:
    """Give a thought in pieces, its signature last, as OpenRouter does."""
    if detail["type"] != "reasoning.text":
        return [detail]
    rest = without(detail, "text", "signature")
    return [
        *({**rest, "text": piece} for piece in cut(draw, detail["text"])),
        {**rest, "signature": detail["signature"]},
    ]


def cut_calls(draw: st.DrawFn, calls: list[Object]) -> list[Object]:
    """Give calls in one of the dialects there are: whole or in pieces, one by one or interleaved, named once or always."""
    whole, repeated, numbered, interleaved = (draw(st.booleans()) for _ in range(4))
    rows: list[list[Object]] = []
    for index, call in enumerate(calls):
        kind, field = ("custom", "input") if call["type"] == "custom" else ("function", "arguments")
        text = call[kind][field]
        number: Object = {"index": index} if numbered or kind == "custom" else {}
        first, *more = [text] if whole else ["", *cut(draw, text)]
        inner: Object = {"name": call[kind]["name"]}
        again: Object = {"id": call["id"]} if repeated or not number else {}
        row: list[Object] = [{**number, **call, kind: {**inner, field: first}}]
        row += [{**number, **again, kind: {**(inner if again else {}), field: piece}} for piece in more]
        rows.append(row)
    if interleaved:
        rounds = max((len(row) for row in rows), default=0)
        rows = [[row[number] for row in rows if number < len(row)] for number in range(rounds)]
    return [{"tool_calls": [piece]} for row in rows for piece in row]


@given(streams())
def test_a_stream_of_any_dialect_folds_to_the_whole_answer(made: tuple[ChatResponse, list[bytes]]) -> None:
    response, payloads = made
    assert fold(read_all(payloads)) == response


@st.composite
def event_streams(draw: st.DrawFn) -> list[Event]:
    """Make a well-formed sequence of events: any parts in any order, opened empty or full, several open at once."""
    part = st.one_of(
        st.builds(Text, text=st.just("") | TEXT),
        st.builds(Refusal, text=st.just("") | TEXT),
        st.builds(Thinking, text=TEXT, origin=st.just("anthropic")),
        st.builds(ToolCall, id=NAME, name=NAME, arguments=st.just("")),
    )
    parts = draw(
        st.lists(part, max_size=5, unique_by=lambda one: one.id if isinstance(one, ToolCall) else id(one))
    )
    parts = [
        msgspec.structs.replace(one, id=f"{one.id}{at}") if isinstance(one, ToolCall) else one
        for at, one in enumerate(parts)
    ]
    events: list[Event] = [Started("anthropic", "i", "m", 7)]
    open_: list[int] = []
    for index, opened in enumerate(parts):
        if open_ and draw(st.booleans()):
            events.append(PartClosed(open_.pop()))
        events.append(PartOpened(index, opened))
        open_.append(index)
        text = draw(ARGUMENTS) if isinstance(opened, ToolCall) else draw(TEXT)
        events += [PartDelta(index, piece) for piece in cut(draw, text)]
    events += [PartClosed(index) for index in open_]
    stop = Stop("tool") if any(isinstance(one, ToolCall) for one in parts) else Stop("end")
    return [*events, Stopped(stop, draw(st.none() | USAGE))]


@given(event_streams())
def test_writing_and_reading_events_twice_is_the_same_as_once(events: list[Event]) -> None:
    once = read_all(write_all(events))
    assert read_all(write_all(once)) == once


@given(event_streams())
def test_no_word_of_the_events_is_lost_on_the_way(events: list[Event]) -> None:
    before, after = fold(events), fold(read_all(write_all(events)))
    for one in (Text, Refusal, Thinking):
        assert "".join(p.text for p in before.parts if isinstance(p, one)) == "".join(
            p.text for p in after.parts if isinstance(p, one)
        )
    calls = [
        [(part.id, part.name, part.arguments) for part in parts if isinstance(part, ToolCall)]
        for parts in (before.parts, after.parts)
    ]
    assert calls[0] == calls[1]
    assert before.usage == after.usage
