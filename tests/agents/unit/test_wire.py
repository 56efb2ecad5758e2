"""What is sent to an OpenAI-compatible service, and what is made of its answers."""

import msgspec
import pytest

from agents.fakes import said
from nexus_agents.adapters import wire
from nexus_agents.adapters.base import Message, Prompt, Tool, ToolCall
from nexus_agents.errors import AdapterError, Kind

HELLO = (Message(role="system", text="be kind"), Message(role="user", text="hi"))


def prompt(model: str = "m", **more: object) -> Prompt:
    return msgspec.structs.replace(Prompt(messages=HELLO, model=model), **more)


def test_a_prompt_is_written_with_its_limits():
    body = wire.write(prompt(max_output_tokens=9, temperature=0.5), schema=False)
    assert body == {
        "model": "m",
        "messages": [{"role": "system", "content": "be kind"}, {"role": "user", "content": "hi"}],
        "max_tokens": 9,
        "temperature": 0.5,
    }


@pytest.mark.parametrize("model", ["gpt-5", "openai/gpt-5-mini", "o3", "o1-pro", "o4-mini"])
def test_reasoning_models_get_their_own_limit_and_no_temperature(model: str):
    body = wire.write(prompt(model, max_output_tokens=9, temperature=0.5), schema=False)
    assert body["max_completion_tokens"] == 9
    assert not body.keys() & {"max_tokens", "temperature"}


def test_a_schema_is_sent_only_where_it_is_wanted():
    asked = prompt(schema={"type": "object"})
    assert wire.write(asked, schema=True)["response_format"]["json_schema"]["schema"] == {"type": "object"}
    assert "response_format" not in wire.write(asked, schema=False)


def test_tools_and_their_results_are_written():
    call = ToolCall(id="c1", name="look", arguments='{"a":1}')
    messages = (
        *HELLO,
        Message(role="assistant", tool_calls=(call,)),
        Message(role="tool", text="seen", tool_call_id="c1"),
    )
    tool = Tool(name="look", description="looks", parameters={"type": "object"})
    body = wire.write(prompt(messages=messages, tools=(tool,)), schema=False)
    assert body["tools"][0]["function"]["name"] == "look"
    assert body["messages"][2]["tool_calls"][0]["function"] == {"name": "look", "arguments": '{"a":1}'}
    assert body["messages"][3] == {"role": "tool", "content": "seen", "tool_call_id": "c1"}


def test_an_answer_is_read():
    answer = wire.read(said("hello", model="real", tokens=(7, 3), cost=0.01).body, "asked")
    assert (answer.text, answer.model, answer.usage.total, answer.cost_usd) == ("hello", "real", 10, 0.01)


def test_an_answer_that_was_cut_off_says_so():
    assert wire.read(said("hel", finish="length").body, "m").warnings


def test_content_in_parts_is_joined():
    body = b'{"choices":[{"message":{"content":[{"type":"text","text":"a"},{"type":"text","text":"b"}]}}]}'
    assert wire.read(body, "asked").text == "ab"
    assert wire.read(body, "asked").model == "asked"


def test_calls_without_an_id_or_with_an_object_for_arguments_are_understood():
    body = b'{"choices":[{"message":{"tool_calls":[{"function":{"name":"f","arguments":{"a":1}}},{"function":{"name":"g"}}]}}]}'
    calls = wire.read(body, "m").tool_calls
    assert [(call.name, msgspec.json.decode(call.arguments)) for call in calls] == [
        ("f", {"a": 1}),
        ("g", {}),
    ]
    assert len({call.id for call in calls}) == 2


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"<html>", Kind.GARBAGE),
        (b"[]", Kind.GARBAGE),
        (b'{"choices":[]}', Kind.GARBAGE),
        (b"{}", Kind.GARBAGE),
        (b'{"choices":[{"message":{"content":""}}]}', Kind.GARBAGE),
        (b'{"choices":[{"message":{"content":null},"finish_reason":"content_filter"}]}', Kind.INVALID),
        (b'{"error":{"code":429,"message":"slow down"}}', Kind.RATE_LIMITED),
        (b'{"error":{"code":402,"message":"no credit"}}', Kind.PAYMENT),
        (b'{"error":{"code":"weird","message":"x"}}', Kind.SERVER),
        (b'{"error":"x"}', Kind.SERVER),
        (b"\xff\xfe", Kind.GARBAGE),
        (b'{"error":' + b"[" * 100_000, Kind.GARBAGE),
    ],
)
def test_an_answer_that_is_none_fails_with_its_kind(body: bytes, kind: Kind):
    with pytest.raises(AdapterError) as caught:
        wire.read(body, "m")
    assert caught.value.kind is kind


def test_a_catalogue_is_read_with_prices_for_a_million():
    row = {
        "id": "a/b",
        "context_length": 1000,
        "pricing": {"prompt": "0.000003", "completion": "0.000015"},
        "supported_parameters": ["tools"],
        "created": 17,
    }
    (listed,) = wire.read_models(msgspec.json.encode({"data": [row]}))
    assert (listed.input_per_million, listed.output_per_million, listed.context) == (3.0, 15.0, 1000)
    assert listed.parameters == ("tools",)
    assert not listed.free


@pytest.mark.parametrize(
    ("pricing", "free"),
    [
        ({"prompt": "0", "completion": "0"}, True),
        ({"prompt": 0, "completion": 0}, True),
        ({"prompt": "-1", "completion": "-1"}, False),  # OpenRouter's own router: it depends
        ({"prompt": "x", "completion": "0"}, False),
        (None, False),
    ],
)
def test_only_a_price_of_nothing_is_free(pricing: object, free: bool):
    (listed,) = wire.read_models(msgspec.json.encode({"data": [{"id": "m", "pricing": pricing}]}))
    assert listed.free is free


def test_rows_that_make_no_sense_are_left_out():
    rows = [
        {"id": "good"},
        {"no": "id"},
        7,
        {"id": "x" * 300},
        {"id": "a b"},
        {"id": ""},
        {"id": "good"},
        {"id": "a\nb"},
    ]
    drawing = {"id": "draws", "architecture": {"output_modalities": ["image"]}}
    listed = wire.read_models(msgspec.json.encode({"data": [*rows, drawing]}))
    assert [one.id for one in listed] == ["good"]


@pytest.mark.parametrize("body", [b"no", b"{}", b'{"data":7}', b'{"data":' + b"[" * 100_000])
def test_a_list_that_is_none_fails(body: bytes):
    with pytest.raises(AdapterError):
        wire.read_models(body)
