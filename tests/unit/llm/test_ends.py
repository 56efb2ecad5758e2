"""The ends of an answer say the same as the readers of its protocol, which read all of it."""

import msgspec
import pytest

from nexus.http import frames
from nexus.llm import ends
from nexus.llm.canonical import Usage
from nexus.llm.protocols.anthropic.usage import read_usage as read_anthropic
from nexus.llm.protocols.openai.usage import read_usage as read_openai
from nexus.telemetry.records import Tokens
from recorded import Exchange, exchanges, needed

SPOKEN = {
    "openai-chat": "openai",
    "openai-compatible": "openai",
    "openai-responses": "responses",
    "anthropic": "anthropic",
    "google": "google",
}
RECORDED = [(spoken, one) for wire, spoken in SPOKEN.items() for one in exchanges(wire) if one.streamed]


def tokens(usage: Usage | None) -> Tokens | None:
    if usage is None:
        return None
    written = usage.cache_write + usage.cache_write_1h
    return Tokens(usage.prompt, usage.output, usage.cache_read, written, usage.reasoning)


@pytest.mark.parametrize(
    "usage",
    [
        {"prompt_tokens": 10, "completion_tokens": 2, "total_tokens": 12},
        {"prompt_tokens": 10, "completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": 4}},
        {"prompt_tokens": 10, "completion_tokens": 2, "prompt_cache_hit_tokens": 3},
        {"prompt_tokens": 10, "completion_tokens": 2, "cached_tokens": 5},
        {"prompt_tokens": 10, "completion_tokens": 2, "num_cached_tokens": 50},
        {
            "prompt_tokens": 10,
            "completion_tokens": 2,
            "total_tokens": 19,
            "completion_tokens_details": {"reasoning_tokens": 7},
        },
        {"prompt_tokens": 9, "prompt_tokens_details": {"cached_tokens": 6, "cache_write_tokens": 6}},
        {"prompt_tokens": 10, "total_tokens": 10},
    ],
)
def test_counts_of_openai_are_those_of_its_reader(usage: dict[str, object]) -> None:
    body = msgspec.json.encode({"usage": usage})
    found = ends.of_whole("openai", body)
    assert found.tokens == tokens(read_openai(msgspec.to_builtins(usage)))
    assert found == ends.read("openai", [body])


def test_counts_of_anthropic_replace_earlier_ones() -> None:
    start = {
        "input_tokens": 10,
        "cache_read_input_tokens": 5,
        "cache_creation_input_tokens": 2,
        "output_tokens": 1,
    }
    later = {"output_tokens": 40, "output_tokens_details": {"thinking_tokens": 30}}
    events = [
        {"type": "message_start", "message": {"model": "m", "usage": start}},
        {"type": "message_delta", "usage": later},
    ]
    found = ends.read("anthropic", [msgspec.json.encode(one) for one in events])
    assert found.tokens == tokens(
        read_anthropic(msgspec.to_builtins(later), read_anthropic(msgspec.to_builtins(start)))
    )
    assert (found.model, found.tokens) == ("m", Tokens(17, 40, 5, 2, 30))


@pytest.mark.parametrize(
    ("protocol", "event", "word"),
    [
        ("openai", {"choices": [{"finish_reason": None}, {"finish_reason": "length"}]}, "length"),
        ("anthropic", {"stop_reason": "tool_use"}, "tool_calls"),
        ("anthropic", {"delta": {"stop_reason": "max_tokens"}}, "length"),
        ("anthropic", {"delta": {"stop_reason": "end_turn"}}, "stop"),
        ("responses", {"response": {"status": "completed"}}, "stop"),
        (
            "responses",
            {"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}},
            "length",
        ),
        (
            "responses",
            {"status": "incomplete", "incomplete_details": {"reason": "content_filter"}},
            "content_filter",
        ),
        ("responses", {"status": "in_progress"}, None),
    ],
)
def test_why_it_ended_is_told_in_one_language(
    protocol: str, event: dict[str, object], word: str | None
) -> None:
    assert ends.read(protocol, [msgspec.json.encode(event)]).finish == word


@pytest.mark.parametrize(
    "payload", [b"", b"[DONE]", b"{", b'{"usage": [1]}', b'{"model": 1}', b"\xff", b"[" * 5000]
)
def test_what_cannot_be_read_is_passed_over(payload: bytes) -> None:
    good = b'{"model":"m","usage":{"prompt_tokens":1,"completion_tokens":2}}'
    assert ends.read("openai", [payload, good]) == ends.Ends("m", Tokens(1, 2))
    assert ends.of_whole("openai", payload) == ends.Ends()
    assert ends.of_whole("openai", good) == ends.Ends("m", Tokens(1, 2))


@needed
@pytest.mark.parametrize(("protocol", "one"), RECORDED, ids=lambda one: str(one))
def test_the_ends_of_a_recorded_stream_say_what_all_of_it_says(protocol: str, one: Exchange) -> None:
    pieces = [event + b"\n\n" for event in one.answer.split(b"\n\n") if event.strip()]
    everything = ends.read(protocol, list(frames.payloads(one.answer)))
    tail = pieces[-6:]
    assert ends.read(protocol, ends.of_stream(protocol, pieces[0], tail)) == everything
