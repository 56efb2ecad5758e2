"""Prompts that get marks for a vendor's cache."""

from collections.abc import Sequence

import msgspec
import pytest

from nexus.llm import caching
from nexus.llm.canonical import Cache, ChatRequest, Json
from nexus.llm.protocols.anthropic.wire import MessagesWire
from nexus.llm.protocols.base import Wire
from nexus.llm.protocols.converse.wire import ConverseWire
from nexus.llm.protocols.google.wire import GoogleWire
from nexus.llm.protocols.openai.chat import Chat
from nexus.llm.protocols.openai.wire import ChatWire, Options
from nexus.llm.protocols.responses.inbound import Responses

_TOOLS: Sequence[Json] = (
    {"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}},
)


def _call(id: str) -> dict[str, Json]:
    return {"id": id, "type": "function", "function": {"name": "look", "arguments": "{}"}}


CONVERSATION: Sequence[dict[str, Json]] = (
    {"role": "system", "content": "Rules"},
    {"role": "user", "content": "First"},
    {"role": "assistant", "content": "One"},
    {"role": "user", "content": "Second"},
    {"role": "assistant", "tool_calls": [_call("a"), _call("b")]},
    {"role": "tool", "tool_call_id": "a", "content": "A"},
    {"role": "tool", "tool_call_id": "b", "content": "B"},
)


def read(messages: Sequence[dict[str, Json]] = CONVERSATION, **more: Json) -> ChatRequest:
    body = {"model": "m", "messages": messages, "tools": _TOOLS, **more}
    return Chat().read_request(msgspec.json.encode(body))


def marks(request: ChatRequest) -> list[str]:
    return [part.path for turn in request.turns for part in turn.parts if part.cache is not None]


def test_instructions_and_the_ends_of_the_last_two_messages_of_the_user_are_marked() -> None:
    request = read()
    caching.mark(request)
    assert [path.split(".")[1] for path in marks(request)] == ["0", "3", "6"]


def test_a_first_question_is_marked_once_without_instructions() -> None:
    request = read([{"role": "user", "content": "Only"}])
    caching.mark(request)
    assert len(marks(request)) == 1


def test_an_empty_text_carries_no_mark() -> None:
    parts: Json = [{"type": "text", "text": "Look"}, {"type": "text", "text": ""}]
    request = read([{"role": "user", "content": parts}])
    caching.mark(request)
    assert request.turns[0].parts[0].cache == Cache()
    assert len(marks(request)) == 1


def test_what_the_client_marked_is_left_as_it_is() -> None:
    marked: Json = [{"type": "text", "text": "Long", "cache_control": {"type": "ephemeral", "ttl": "1h"}}]
    request = read([{"role": "user", "content": marked}, *CONVERSATION[2:]])
    caching.mark(request)
    assert len(marks(request)) == 1


def test_a_conversation_that_goes_on_finds_what_was_written_before() -> None:
    """The end of each request is marked in the next one too, so the vendor looks up the very prefix it kept."""
    first, second = read(CONVERSATION[:4]), read()
    caching.mark(first)
    caching.mark(second)
    assert marks(first)[-1] in marks(second)


@pytest.mark.parametrize(
    ("wire", "model", "expected"),
    [
        (MessagesWire(), "claude-sonnet-4-5", 3),
        (ConverseWire(), "anthropic.claude-sonnet-4-5-20250929-v1:0", 3),
        (ConverseWire(), "amazon.nova-pro-v1:0", 3),
        (ConverseWire(), "meta.llama3-70b-instruct-v1:0", 0),
        (ChatWire(Options(cache_control=True)), "anthropic/claude-sonnet-4-5", 3),
        (ChatWire(), "gpt-4o", 0),
        (GoogleWire(), "gemini-2.5-pro", 0),
    ],
)
def test_only_models_that_take_marks_get_them_and_nothing_is_lost(
    wire: Wire, model: str, expected: int
) -> None:
    request = read()
    request.model = model
    if wire.caches(model):
        caching.mark(request)
    body, losses = wire.write_request(request)
    assert body.count(b'"cache_control"') + body.count(b'"cachePoint"') == expected
    assert not [loss for loss in losses if "cache_control" in loss.path]


def test_a_client_of_the_responses_api_gets_them_too() -> None:
    asked = {"model": "m", "instructions": "Rules", "input": "Hello"}
    request = Responses().read_request(msgspec.json.encode(asked))
    caching.mark(request)
    body, _ = MessagesWire().write_request(request)
    assert body.count(b'"cache_control"') == 2
