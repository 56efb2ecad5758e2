"""Tokens: the contract's own examples, what costs besides, and what answers say in every protocol."""

import asyncio
from collections.abc import AsyncGenerator, Sequence

import msgspec
import pytest

from nexus.config.llm import ProviderConfig
from nexus.config.ratelimit import RateLimits
from nexus.context import Identity
from nexus.llm.prompt import ROLES
from nexus.llm.tokens import DEFAULT_OUTPUT, LIMITED, Counter, Meter, Metering
from nexus.ratelimit import Charge, RateLimited, Window
from nexus.ratelimit.hold import FREE, Hold
from nexus.ratelimit.limiter import Limiter
from nexus.ratelimit.memory import MemoryStore

COUNTER = Counter()


async def estimated(request: object) -> int:
    return (await COUNTER.estimate(msgspec.json.encode(request))).input


def user(content: object) -> dict[str, object]:
    return {"role": "user", "content": content}


@pytest.mark.parametrize(
    ("request_", "tokens"),
    [
        ({"messages": [user("Hello")]}, 8),
        ({"messages": [user("")]}, 7),
        ({"messages": []}, 3),
        ({"messages": [user([{"type": "text", "text": "Hello"}])]}, 8),
        ({"messages": [user("Hello"), {"role": "assistant", "content": "Hello"}, user("Hello")]}, 18),
        ({"messages": [{"role": "system", "content": "Hello"}, user("Hello")]}, 13),
        ({"messages": [{"role": "developer", "content": "Hello"}, user("Hello")]}, 13),
        ({"system": "Hello", "messages": [user("Hello")]}, 13),
        ({"system": [{"type": "text", "text": "Hello"}], "messages": [user("Hello")]}, 13),
        ({"instructions": "Hello", "input": [user("Hello")]}, 13),
        ({"messages": [user("<|endoftext|>")]}, 14),
        ({"prompt": "Hello"}, 4),
        ({"prompt": ["Hello", "Hello"]}, 5),
        ({"input": "Hello"}, 4),
        ({"input": ["Hello", [1, 2, 3]]}, 7),
        ({"input": [1, 2, 3]}, 6),
    ],
)
async def test_a_request_is_counted_as_the_contract_counts(request_: object, tokens: int) -> None:
    assert await estimated(request_) == tokens


PLAIN = {"messages": [user("Hello")]}


@pytest.mark.parametrize(
    "more",
    [
        {"tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]},
        {"tools": [{"name": "f", "input_schema": {"type": "object"}}]},
        {"messages": [user("Hello"), {"role": "tool", "tool_call_id": "1", "content": "Hello"}]},
        {
            "messages": [
                user([{"type": "text", "text": "Hello"}, {"type": "tool_result", "content": "Hello"}])
            ]
        },
        {
            "messages": [
                user([{"type": "text", "text": "Hello"}, {"type": "image_url", "image_url": {"url": "x"}}])
            ]
        },
        {
            "messages": [
                user([{"type": "text", "text": "Hello"}, {"type": "image", "source": {"data": "AAAA"}}])
            ]
        },
        {
            "messages": [
                user("Hello"),
                {"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": '{"a": 1}'}}]},
            ]
        },
        {
            "messages": [
                user("Hello"),
                {"role": "assistant", "content": [{"type": "tool_use", "name": "f", "input": {"a": 1}}]},
            ]
        },
        {
            "messages": [],
            "input": [user("Hello"), {"type": "function_call", "name": "f", "arguments": "{}"}],
        },
    ],
)
async def test_tools_their_calls_and_results_and_images_cost(more: dict[str, object]) -> None:
    plain = {key: value for key, value in more.items() if key != "input"}
    if "input" in more:
        assert await estimated({"input": more["input"]}) > await estimated({"input": [user("Hello")]})
    else:
        assert await estimated({**PLAIN, **plain}) > 8


async def test_bytes_of_an_image_are_no_text() -> None:
    small, large = ({"type": "image", "source": {"data": "QUJD" * size}} for size in (1, 100_000))
    assert await estimated({"messages": [user([small])]}) == await estimated({"messages": [user([large])]})


@pytest.mark.parametrize(
    "message", [[], {}, 1, {"role": []}, {"role": {}, "content": 1}, {"content": [1, [2]]}]
)
async def test_a_message_that_is_none_is_estimated_all_the_same(message: object) -> None:
    assert await estimated({"messages": [message]}) <= 7


@pytest.mark.parametrize("body", [b"", b"[]", b'"text"', b'{"messages": 1, "input": 2, "tools": "x"}'])
async def test_what_is_no_chat_is_estimated_all_the_same(body: bytes) -> None:
    assert (await COUNTER.estimate(body)).input == 3


NESTED = b'{"content":[' * 490 + b'{"text":"many"}' + b"]}" * 490


@pytest.mark.parametrize(
    "body",
    [
        b'{"messages":[{"role":"user","content":"%s \xff"}]}',  # some providers do not mind
        b'{"messages":[{"role":"user","content":"%s"',
        b'{"messages":[{"role":"user","content":["%s",' + NESTED + b"]}]}",
        b'{"messages":' + b"[" * 10_000 + b"%s",
    ],
)
async def test_what_cannot_be_read_costs_what_its_text_does(body: bytes) -> None:
    assert (await COUNTER.estimate(body.replace(b"%s", b"many words " * 100))).input > 200


@pytest.mark.parametrize(
    ("request_", "output"),
    [
        ({}, DEFAULT_OUTPUT),
        ({"max_tokens": 10}, 10),
        ({"max_completion_tokens": 20, "max_tokens": 10}, 20),
        ({"max_output_tokens": 30}, 30),
        ({"max_tokens": 10, "n": 3}, 30),
        ({"n": 2}, 2 * DEFAULT_OUTPUT),
        ({"max_tokens": None}, DEFAULT_OUTPUT),
        ({"max_tokens": "many"}, DEFAULT_OUTPUT),
        ({"max_tokens": -5}, DEFAULT_OUTPUT),
        ({"max_tokens": True}, DEFAULT_OUTPUT),
    ],
)
async def test_the_longest_answer_is_what_the_client_allows(request_: object, output: int) -> None:
    assert (await COUNTER.estimate(msgspec.json.encode(request_))).output == output


@pytest.mark.parametrize("name", ["user", "assistant", "system", "tool", "function", "model"])
async def test_the_name_of_a_role_is_one_token(name: str) -> None:
    assert name in ROLES
    assert await COUNTER.count(name) == 1


@pytest.mark.parametrize("text", ["The quick brown fox. ", "a", " ", "你", "\n", "é"])
async def test_a_long_text_is_counted_in_time_and_to_the_unit(text: str) -> None:
    whole = text * 300_000
    async with asyncio.timeout(5):
        assert await COUNTER.count(whole) == COUNTER._count(whole)  # pyright: ignore[reportPrivateUsage]  # what it is


@pytest.mark.parametrize(
    "part",
    [
        {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "%"}},
        {"type": "document", "source": {"type": "content", "content": [{"type": "text", "text": "%"}]}},
        {"type": "search_result", "source": "x", "title": "y", "content": [{"type": "text", "text": "%"}]},
        {"type": "tool_result", "content": [{"type": "text", "text": "%"}]},
    ],
)
async def test_a_text_costs_wherever_it_is_put(part: dict[str, object]) -> None:
    written = msgspec.json.encode({"messages": [user([part])]}).replace(b"%", b"many words " * 100)
    assert (await COUNTER.estimate(written)).input > 200


async def test_other_work_goes_on_while_a_long_text_is_counted() -> None:
    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    task = asyncio.create_task(other())
    await asyncio.sleep(0)
    await COUNTER.estimate(
        msgspec.json.encode({"messages": [user(f"{word} " * 200_000) for word in ("one", "two", "three")]})
    )
    task.cancel()
    assert turns > 5  # and not 1: how many there are is for the machine to say


async def test_a_text_that_comes_again_is_not_counted_again(monkeypatch: pytest.MonkeyPatch) -> None:
    counter = Counter()
    text = "as it was said before " * 10
    tokens = await counter.count(text)
    monkeypatch.setattr(counter, "_count", lambda _: 0)  # pyright: ignore[reportUnknownLambdaType, reportUnknownArgumentType]
    assert (await counter.count(text), await counter.count(text + ".")) == (tokens, 0)


async def test_what_was_counted_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nexus.llm.tokens._MAX_KNOWN", 5)
    counter = Counter()
    for number in range(100):
        await counter.count(f"{number} " * 64)
    assert len(counter._known) <= 5  # pyright: ignore[reportPrivateUsage]  # what must not grow is inside


async def test_half_a_character_is_counted() -> None:
    assert await COUNTER.count("a\ud800b") > 0


WHOLE = [
    (b'{"choices":[{"message":{"content":"x"}}],"usage":{"prompt_tokens":5,"completion_tokens":7}}', 7),
    (b'{"type":"message","content":[],"usage":{"input_tokens":5,"output_tokens":7}}', 7),
    (b'{"object":"response","output":[],"usage":{"input_tokens":5,"output_tokens":7}}', 7),
    (b'{"object":"list","data":[],"usage":{"prompt_tokens":5,"total_tokens":5}}', 0),
    (b'{"usage":null}', None),
    (b"{}", None),
    (b"no json", None),
]


@pytest.mark.parametrize(("body", "told"), WHOLE)
def test_a_whole_answer_tells_what_was_written(body: bytes, told: int | None) -> None:
    meter = Meter(COUNTER)
    meter.read(body)
    assert meter.told == told


CHAT = (
    b'data: {"choices":[{"delta":{"role":"assistant","content":""}}]}\n\n'
    b'data: {"choices":[{"delta":{"content":"Hello"}}],"usage":null}\n\n'
    b'data: {"choices":[{"delta":{"content":" world"}}]}\n\n'
)
MESSAGES = (
    b'event: message_start\ndata: {"type":"message_start","message":{"usage":{"input_tokens":9,"output_tokens":1}}}\n\n'
    b'event: content_block_delta\ndata: {"type":"content_block_delta","delta":{"type":"text_delta","text":"Hello"}}\n\n'
    b'event: content_block_delta\ndata: {"delta":{"type":"thinking_delta","thinking":" world"}}\n\n'
)
RESPONSES = (
    b'data: {"type":"response.created","response":{"usage":null}}\n\n'
    b'data: {"type":"response.output_text.delta","delta":"Hello"}\n\n'
    b'data: {"type":"response.function_call_arguments.delta","delta":" world"}\n\n'
    b'data: {"type":"response.output_text.done","text":"Hello"}\n\n'
)
COMPLETIONS = b'data: {"choices":[{"text":"Hello"}]}\n\ndata: {"choices":[{"text":" world"}]}\n\n'
ENDS = {
    CHAT: b'data: {"choices":[],"usage":{"completion_tokens":42}}\n\ndata: [DONE]\n\n',
    MESSAGES: b'data: {"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":42}}\n\n',
    RESPONSES: b'data: {"type":"response.completed","response":{"usage":{"output_tokens":42}}}\n\n',
    COMPLETIONS: b'data: {"choices":[],"usage":{"completion_tokens":42}}\n\ndata: [DONE]\n\n',
}


@pytest.mark.parametrize(("begin", "end"), ENDS.items())
def test_a_stream_tells_at_its_end(begin: bytes, end: bytes) -> None:
    meter = Meter(COUNTER)
    meter.watch(begin)
    meter.watch(b": keep-alive\n\n")
    meter.watch(end)
    assert meter.output() == 42


@pytest.mark.parametrize("begin", ENDS)
def test_a_stream_that_breaks_off_is_counted(begin: bytes) -> None:
    meter = Meter(COUNTER)
    meter.watch(begin)
    assert meter.output() == 2


def test_calls_of_tools_are_counted() -> None:
    meter = Meter(COUNTER)
    meter.watch(b'data: {"choices":[{"delta":{"tool_calls":[{"function":{"arguments":"Hello"}}]}}]}\n\n')
    meter.watch(b'data: {"delta":{"type":"input_json_delta","partial_json":" world"}}\n\n')
    assert meter.output() == 2


def test_usage_told_again_and_again_is_not_added_up() -> None:
    meter = Meter(COUNTER)
    for tokens in (1, 2, 3):
        meter.read(b'{"usage":{"completion_tokens":%d}}' % tokens)
    assert meter.output() == 3


@pytest.mark.parametrize(
    "payload", [b"{", b"[]", b'{"choices":1}', b'{"delta":7}', b'{"usage":"x"}', b"\xff"]
)
def test_what_cannot_be_read_passes(payload: bytes) -> None:
    meter = Meter(COUNTER)
    meter.read(payload)
    assert meter.output() == 0


class Booked:
    """A hold of 100 tokens, and what it was settled to."""

    def __init__(self) -> None:
        self.output: int | None = None
        charge = Charge("k", Window.of(1), 1000, 100)
        self.hold = Hold((charge, charge), 1, self._book)

    def _book(self, charges: Sequence[Charge]) -> None:
        assert self.output is None, "settled twice"
        (charge,) = charges
        self.output = 100 + charge.amount


class Limited:
    """A limiter that limits tokens, as far as `Metering` asks."""

    limits_tokens = True


METERING = Metering(Limited())  # type: ignore[arg-type]  # nothing else is asked of it
asyncio.run(METERING.start())


async def stream(*pieces: bytes, error: BaseException | None = None) -> AsyncGenerator[bytes]:
    for piece in pieces:
        yield piece
    if error is not None:
        raise error


def test_a_whole_answer_settles() -> None:
    booked = Booked()
    assert METERING.settle(booked.hold, WHOLE[0][0]) == WHOLE[0][0]
    assert booked.output == 7


def test_an_answer_that_does_not_tell_leaves_what_was_held() -> None:
    booked = Booked()
    METERING.settle(booked.hold, b"{}")
    assert booked.output is None


def test_what_is_not_measured_goes_by_untouched() -> None:
    events = stream()
    assert METERING.settle(FREE, events) is events
    assert METERING.settle(FREE, b"{}") == b"{}"


def test_a_stream_without_end_is_counted_without_being_kept() -> None:
    meter = Meter(COUNTER)
    piece = b'{"choices":[{"delta":{"content":" word"}}]}'
    for _ in range(30_000):
        meter.read(piece)
    assert len(meter._texts) <= 10_000  # pyright: ignore[reportPrivateUsage]  # what it keeps
    assert meter.output() == 30_000


async def test_a_stream_settles_when_it_ends_and_loses_nothing() -> None:
    booked = Booked()
    pieces = [piece async for piece in METERING.settle(booked.hold, stream(CHAT, ENDS[CHAT]))]  # type: ignore[union-attr]  # a stream stays one
    assert (pieces, booked.output) == ([CHAT, ENDS[CHAT]], 42)


@pytest.mark.parametrize("error", [RuntimeError(), asyncio.CancelledError()])
async def test_a_stream_that_fails_settles_what_was_written(error: BaseException) -> None:
    booked = Booked()
    with pytest.raises(type(error)):
        async for _ in METERING.settle(booked.hold, stream(CHAT, error=error)):  # type: ignore[union-attr]  # as above
            pass
    assert booked.output == 2


async def test_a_client_that_hangs_up_pays_for_what_was_written() -> None:
    booked, closed = Booked(), False

    async def upstream() -> AsyncGenerator[bytes]:
        nonlocal closed
        try:
            while True:
                yield CHAT
        finally:
            closed = True

    events = METERING.settle(booked.hold, upstream())
    assert not isinstance(events, bytes)
    await anext(events)
    await events.aclose()
    assert (booked.output, closed) == (2, True)


def limiter(limit: int) -> Limiter:
    table = {"per_user": {"input_token_limit": limit, "interval": "60s"}}
    up = ProviderConfig.model_validate({"type": "openai", "rate_limits": table})
    return Limiter(MemoryStore(), RateLimits(enabled=False), {"up": up}, {})


HELLO = msgspec.json.encode(PLAIN)
ALICE = Identity("alice")


@pytest.mark.parametrize("path", sorted(LIMITED))
async def test_what_uses_tokens_is_limited(path: str) -> None:
    with pytest.raises(RateLimited):
        await Metering(limiter(7)).reserve(ALICE, "up", "m", path, HELLO)


@pytest.mark.parametrize("path", ["/messages/count_tokens", "/files", "/moderations", "/audio/speech"])
async def test_only_what_uses_tokens_is_limited(path: str) -> None:
    assert await Metering(limiter(7)).reserve(ALICE, "up", "m", path, HELLO) is FREE


async def test_without_an_identity_nothing_is_limited() -> None:
    assert await Metering(limiter(7)).reserve(None, "up", "m", "/chat/completions", HELLO) is FREE
