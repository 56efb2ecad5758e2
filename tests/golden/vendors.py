"""The vendors' own word on requests: the types of their libraries, which know what their APIs take."""

from collections.abc import Iterable, Mapping
from importlib import import_module
from typing import Any, cast

from anthropic.types import message_create_params as messages
from openai.types.chat import completion_create_params as chat
from openai.types.responses import response_create_params as responses
from pydantic import ConfigDict, TypeAdapter, ValidationError

Json = dict[str, Any]
_STRICT = ConfigDict(extra="forbid")


def _adapter(kind: Any) -> TypeAdapter[list[Any]]:
    return TypeAdapter(cast("Any", list)[kind], config=_STRICT)


_ADAPTERS: Mapping[tuple[str, bool], TypeAdapter[list[Any]]] = {
    ("openai", True): _adapter(chat.CompletionCreateParamsStreaming),
    ("openai", False): _adapter(chat.CompletionCreateParamsNonStreaming),
    ("responses", True): _adapter(responses.ResponseCreateParamsStreaming),
    ("responses", False): _adapter(responses.ResponseCreateParamsNonStreaming),
    ("anthropic", True): _adapter(messages.MessageCreateParamsStreaming),
    ("anthropic", False): _adapter(messages.MessageCreateParamsNonStreaming),
}
_BEDROCK: Any = import_module("botocore.session").get_session().get_service_model("bedrock-runtime")
_SAMPLING = ("temperature", "top_p", "top_k")
"""What the newest models refuse and older ones take; Anthropic's library knows only the newest."""


def complaints(wire: str, body: Json) -> list[str]:
    """Tell what the vendor's types find wrong with a request; of Google there is no library here."""
    if wire == "google":
        return []
    if wire == "converse":
        shape = _BEDROCK.operation_model("Converse").input_shape
        report = import_module("botocore.validate").ParamValidator().validate({"modelId": "m", **body}, shape)
        return [report.generate_report()] if report.has_errors() else []
    if wire == "responses":
        body = {**body, "input": [_named(item) for item in body["input"]]}
    if wire == "anthropic":
        body = {field: value for field, value in body.items() if field not in _SAMPLING}
    try:
        _exhaust(_ADAPTERS[wire, bool(body.get("stream"))].validate_python([body]))
    except ValidationError as error:
        return [f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors()]
    return []


def read_converse(body: bytes) -> Json:
    """Read an answer of Bedrock as its library does: fields it does not know are not in it."""
    shape = _BEDROCK.operation_model("Converse").output_shape
    parser: Any = import_module("botocore.parsers").create_parser("rest-json")
    return parser.parse({"status_code": 200, "headers": {}, "body": body}, shape)


def _named(item: Json) -> Json:
    """Add what the types want and the API does not: ids and states of items that no server keeps."""
    if item["type"] == "reasoning":
        return {"id": "rs_1", **item}
    if item.get("role") == "assistant" and isinstance(item["content"], list):
        return {"id": "msg_1", "status": "completed", **item}
    return item


def _exhaust(value: object) -> None:
    """Look into what is validated lazily, when it is read."""
    if isinstance(value, Mapping):
        value = list(cast("Mapping[str, object]", value).values())
    if isinstance(value, Iterable) and not isinstance(value, str | bytes):
        for one in cast("Iterable[object]", value):
            _exhaust(one)
