"""Schemas that OpenAI binds a model to. Other vendors bind theirs to more, and say so with the same word.

https://platform.openai.com/docs/guides/structured-outputs#supported-schemas
"""

from msgspec import structs

from nexus.llm.canonical import Format, FunctionTool, Json, Loss
from nexus.llm.protocols.node import array_of, object_of

_MAPS = ("properties", "$defs", "definitions")
_WHY = "OpenAI binds a model only to schemas whose objects require all they have and take nothing else"


def is_bindable(schema: Json) -> bool:
    """Tell whether every object in a schema names all its properties and requires them."""
    node = object_of(schema)
    if node is None:
        return True
    properties = object_of(node.get("properties"))
    if properties is not None or node.get("type") == "object":
        required = {name for name in array_of(node.get("required")) if isinstance(name, str)}
        if node.get("additionalProperties") is not False or required != (properties or {}).keys():
            return False
    within = [one for name in _MAPS for one in (object_of(node.get(name)) or {}).values()]
    return all(map(is_bindable, (*within, *array_of(node.get("anyOf")), node.get("items"))))


def loosened(tool: FunctionTool, losses: list[Loss]) -> FunctionTool:
    """Give a tool without the wish to be strict where OpenAI would refuse it for that."""
    if not tool.strict or (tool.schema is not None and is_bindable(tool.schema)):
        return tool
    losses.append(Loss(f"{tool.path}.strict", _WHY))
    return structs.replace(tool, strict=False)


def loosened_form(form: Format, losses: list[Loss]) -> Format:
    """Give the form of an answer without the wish to be strict where OpenAI would refuse it for that."""
    if not form.strict or is_bindable(form.schema):
        return form
    losses.append(Loss(form.path or "response_format", f"{_WHY}; it is told and not enforced"))
    return structs.replace(form, strict=False)
