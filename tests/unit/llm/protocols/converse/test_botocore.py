"""What we write and read, against botocore's own model of the API. It refuses names and types it does not know."""

import base64
import importlib
import importlib.util
from typing import Any

import msgspec
import pytest

from nexus.http.eventstream import Decoder
from nexus.llm.canonical import (
    Cache,
    ChatRequest,
    CustomTool,
    Format,
    FunctionTool,
    Inline,
    Link,
    Media,
    Reasoning,
    Text,
    Thinking,
    ToolCall,
    ToolChoice,
    ToolResult,
    Turn,
    Written,
)
from nexus.llm.protocols.converse.wire import ConverseCounter, ConverseWire
from recorded import Exchange, exchanges, needed
from wires import converse
from wires.eventstream import event, exception

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("botocore") is None,
    reason="botocore is not installed (nexus-ai-gateway[bedrock])",
)
WIRE = ConverseWire()
CLAUDE = "us.anthropic.claude-sonnet-4-5-20250929-v1:0"
MODELS = (
    CLAUDE,
    "anthropic.claude-3-haiku-20240307-v1:0",
    "global.anthropic.claude-opus-4-7",
    "us.amazon.nova-2-lite-v1:0",
    "cohere.command-r-plus-v1:0",
    "mistral.mistral-large-2407-v1:0",
    "openai.gpt-oss-120b-1:0",
    "qwen.qwen3-32b-v1:0",
    "arn:aws:bedrock:us-east-1:123456789012:inference-profile/eu.meta.llama3-2-3b-instruct-v1:0",
)


def operation(name: str) -> Any:
    session = importlib.import_module("botocore.session").Session()
    return session.get_service_model("bedrock-runtime").operation_model(name)


def with_bytes(shape: Any, value: Any) -> Any:
    """Give JSON as botocore wants it: what are bytes there is base64 in ours."""
    if shape.type_name == "blob":
        return base64.b64decode(value)
    if shape.type_name == "structure" and not getattr(shape, "is_document_type", False):
        return {name: with_bytes(shape.members[name], item) for name, item in value.items()}
    if shape.type_name == "list":
        return [with_bytes(shape.member, item) for item in value]
    return value


def check(name: str, path: str, body: bytes, model: str) -> None:
    """Hand a body to botocore, which has to take it and write the same."""
    model_of_operation = operation(name)
    parameters = with_bytes(model_of_operation.input_shape, msgspec.json.decode(body)) | {"modelId": model}
    report = (
        importlib.import_module("botocore.validate")
        .ParamValidator()
        .validate(parameters, model_of_operation.input_shape)
    )
    assert not report.has_errors(), report.generate_report()
    serialize = importlib.import_module("botocore.serialize").create_serializer("rest-json")
    written = serialize.serialize_to_request(parameters, model_of_operation)
    assert (written["method"], written["url_path"]) == ("POST", path)
    assert msgspec.json.decode(written["body"]) == msgspec.json.decode(body)


def rich(model: str) -> ChatRequest:
    """A request with something of everything that has a word in the Converse API."""
    picture = Media("image", Inline("image/png", "aGk="), path="p")
    paper = Media("document", Written("# hi", "text/markdown"), "a/b.md", path="d")
    result = [Text("sunny"), picture, paper]
    return ChatRequest(
        protocol="openai",
        model=model,
        max_tokens=4000,
        temperature=0.3,
        top_p=0.9,
        top_k=40,
        stop=["END"],
        service_tier="flex",
        reasoning=Reasoning("on", "low"),
        tool_choice=ToolChoice("required"),
        format=Format("schema", {"type": "object", "additionalProperties": False}, "form", "of an answer"),
        tools=[
            FunctionTool(
                name="weather", description="tells", schema={"type": "object"}, strict=True, cache=Cache()
            ),
            CustomTool(name="patch"),
        ],
        turns=[
            Turn("system", [Text("be brief", cache=Cache("1h"))], "messages.0"),
            Turn("user", [Text("what is this"), picture, paper, Media("video", Link("s3://films/a.mp4"))]),
            Turn(
                "assistant",
                [
                    Thinking("hm", "c2ln", origin="anthropic"),
                    Text("let me see"),
                    ToolCall("call|1", "weather", '{"city":"Paris"}'),
                    ToolCall("call_2", "patch", "diff", custom=True),
                ],
            ),
            Turn("user", [ToolResult("call|1", result), ToolResult("call_2", [Text("no")], is_error=True)]),
            Turn("developer", [Text("be briefer")], "messages.4"),
        ],
    )


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("model", MODELS)
def test_botocore_would_send_the_same(model: str, stream: bool) -> None:
    body, _ = WIRE.write_request(rich(model))
    path, _ = WIRE.target(model, stream=stream)
    check("ConverseStream" if stream else "Converse", path, body, model)


@pytest.mark.parametrize("model", [model for model in MODELS if "claude" in model])
def test_botocore_would_count_the_same(model: str) -> None:
    base = model.partition(".")[2] if model[:3] != "ant" else model
    counter = ConverseCounter(base)
    check("CountTokens", counter.target(model), counter.write_request(rich(model)), base)


@needed
@pytest.mark.parametrize("exchange", exchanges("bedrock-converse"), ids=str)
def test_botocore_would_send_every_recorded_request_as_we_do(exchange: Exchange) -> None:
    path: str = msgspec.json.decode(exchange.meta)["url_path"]
    model = converse.model_of(path)
    body, _ = WIRE.write_request(converse.read_request(exchange.request, model))
    check("ConverseStream" if path.endswith("stream") else "Converse", path, body, model)


def test_botocore_reads_the_streams_of_our_tests_as_we_do() -> None:
    data = (
        event("messageStart", {"role": "assistant"})
        + event("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": "Hé"}})
        + event("messageStop", {"stopReason": "end_turn"})
        + exception("throttlingException", "slow down")
    )
    buffer = importlib.import_module("botocore.eventstream").EventStreamBuffer()
    buffer.add_data(data)
    theirs = [(one.headers, one.payload) for one in buffer]
    assert [(one.headers, one.payload) for one in Decoder().feed(data)] == theirs


@needed
def test_botocore_reads_the_recorded_streams_as_we_do() -> None:
    streams = [one for one in exchanges("bedrock-converse") if (one.folder / "response.eventstream").exists()]
    assert streams
    for one in streams:
        buffer = importlib.import_module("botocore.eventstream").EventStreamBuffer()
        buffer.add_data(one.answer)
        theirs = [(message.headers, message.payload) for message in buffer]
        assert [(message.headers, message.payload) for message in Decoder().feed(one.answer)] == theirs
