"""The arguments of a call, for protocols that hold them as an object and not as text."""

import msgspec

from nexus.llm.canonical import Json, ToolCall
from nexus.llm.protocols import custom_tools

_decode = msgspec.json.Decoder().decode


def as_object(call: ToolCall) -> Json:
    """Give the arguments as an object, its bytes kept.

    A model may have broken off in them, or a client may have made up others: the conversation goes on all the same.
    """
    if call.custom:
        return msgspec.Raw(custom_tools.arguments_of(call.arguments).encode())
    text = call.arguments.strip()
    try:
        value = _decode(text) if text else None
    except (msgspec.MsgspecError, RecursionError):
        return {"invalid_json": call.arguments}
    if isinstance(value, dict):
        return msgspec.Raw(text.encode())
    return {} if value is None else {"value": value}
