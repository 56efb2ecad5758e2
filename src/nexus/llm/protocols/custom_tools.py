"""Tools that take free text, for providers whose tools take objects: a function of one string."""

import msgspec

from nexus.llm.canonical import CustomTool, FunctionTool, Json
from nexus.llm.protocols.node import object_of

_FIELD = "input"
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode


def as_function(tool: CustomTool) -> FunctionTool:
    """Tell a custom tool as a function; a grammar becomes part of its description."""
    form = object_of(tool.format) or {}
    grammar = object_of(form.get("grammar")) or form
    about = tool.description
    if definition := grammar.get("definition"):
        about = (
            f"{about}\n\nThe input follows this {grammar.get('syntax') or ''} grammar:\n{definition}".strip()
        )
    schema: Json = {
        "type": "object",
        "properties": {_FIELD: {"type": "string"}},
        "required": [_FIELD],
        "additionalProperties": False,
    }
    return FunctionTool(name=tool.name, description=about, schema=schema, path=tool.path, cache=tool.cache)


def arguments_of(text: str) -> str:
    """Write free text as the arguments of such a function."""
    return _encode({_FIELD: text}).decode()


def text_of(arguments: str) -> str:
    """Read the free text out of the arguments; what is no such object is the text itself."""
    try:
        found = object_of(_decode(arguments))
    except msgspec.DecodeError:
        return arguments
    text = (found or {}).get(_FIELD)
    return text if isinstance(text, str) else arguments
