"""Conversations that Anthropic keeps for its clients, and nobody else does."""

import msgspec
import pytest

from nexus.llm.canonical import Reasoning
from nexus.llm.protocols.anthropic.errors import NotThreaded, write_error
from nexus.llm.protocols.anthropic.inbound import Messages
from nexus.llm.protocols.anthropic.wire import MessagesWire
from nexus.llm.providers.base import Call
from nexus.llm.providers.bedrock_invoke import adapt

ASKED: dict[str, object] = {"model": "anthropic.claude-sonnet-4-5", "max_tokens": 9, "messages": []}
THREADS = [{"type": "create"}, {"type": "continue", "previous_message_id": "msg_1"}]


@pytest.mark.parametrize("thread", THREADS)
def test_a_conversation_is_not_lost_where_nobody_keeps_it(thread: dict[str, str]) -> None:
    body = msgspec.json.encode({**ASKED, "thread": thread})
    with pytest.raises(NotThreaded, match="thread: "):
        Messages().read_request(body)
    with pytest.raises(NotThreaded):
        adapt(Call("anthropic", b"POST", "/messages", body), str, None)


def test_no_thread_is_none() -> None:
    body = msgspec.json.encode({**ASKED, "thread": None})
    assert Messages().read_request(body).extras == {}
    adapted, dropped = adapt(Call("anthropic", b"POST", "/messages", body), str, None)
    assert (b"thread" in adapted.body, dropped) == (False, [])


def test_the_refusal_has_the_code_that_makes_libraries_send_everything() -> None:
    status, _, body = write_error(NotThreaded())
    error = msgspec.json.decode(body)["error"]
    assert (status, error["type"]) == (400, "invalid_request_error")
    assert error["details"] == {"error_code": "thread_unsupported_request", "unsupported": ["thread"]}


def test_what_only_this_protocol_says_of_thinking_is_kept() -> None:
    body = msgspec.json.encode(
        {
            "model": "m",
            "max_tokens": 9,
            "messages": [{"role": "user", "content": "Hi"}],
            "thinking": {"type": "adaptive", "display": "updates", "block_binding": {"a": 1}},
        }
    )
    request = Messages().read_request(body)
    assert request.extras == {"thinking": {"block_binding": {"a": 1}}}
    assert (
        msgspec.json.decode(MessagesWire().write_request(request)[0])["thinking"]
        == msgspec.json.decode(body)["thinking"]
    )
    between = body.replace(
        b'{"type":"adaptive","display":"updates","block_binding":{"a":1}}', b'{"type":"between_tools"}'
    )
    request = Messages().read_request(between)
    assert request.reasoning == Reasoning("off", path="thinking")
    assert msgspec.json.decode(MessagesWire().write_request(request)[0])["thinking"] == {
        "type": "between_tools"
    }
