"""The arguments of a call, for protocols that hold them as an object and not as text."""

import msgspec

from nexus.llm.canonical import FunctionTool, Json, ToolCall
from nexus.llm.protocols import custom_tools
from nexus.llm.protocols.node import object_of

_decode = msgspec.json.Decoder().decode


def schema_of(tool: FunctionTool) -> Json:
    """Give the schema of the arguments for vendors that want it to say that they are an object."""
    schema = object_of(tool.schema)
    if schema is None:
        return {"type": "object", "properties": {}} if tool.schema is None else tool.schema
    return schema if "type" in schema or "$ref" in schema else {"type": "object", **schema}


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
