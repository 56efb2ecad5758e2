"""JSON schemas as Gemini takes them: as they are, but for two forms it refuses, which have another of the same meaning.

https://ai.google.dev/gemini-api/docs/structured-output#json-schema-support
"""

import msgspec

from nexus.llm.canonical import Json
from nexus.llm.protocols.node import array_of, object_of

_encode = msgspec.json.Encoder().encode
_ONE = (
    "items", "additionalProperties", "not", "if", "then", "else", "contains", "propertyNames",
    "unevaluatedItems", "unevaluatedProperties",
)  # fmt: skip
_LISTS = ("anyOf", "oneOf", "allOf", "prefixItems", "items")
_MAPS = ("properties", "patternProperties", "$defs", "definitions", "dependentSchemas")
_BESIDE_REFERENCE = frozenset(("title", "description", "default"))
_TYPES: dict[type, str] = {str: "string", bool: "boolean", int: "integer", float: "number"}


def of_arguments(schema: Json) -> Json:
    """Fit the schema of a function's arguments."""
    return _fit(schema, constants=False) if b'"$ref"' in _encode(schema) else schema


def of_answer(schema: Json) -> Json:
    """Fit the schema of an answer; it may not say `const`."""
    written = _encode(schema)
    return _fit(schema, constants=True) if b'"$ref"' in written or b'"const"' in written else schema


def _fit(schema: Json, *, constants: bool) -> Json:
    node = object_of(schema)
    if node is None:
        return schema
    fitted = dict(node)
    for name in _ONE:
        if type(node.get(name)) is dict:
            fitted[name] = _fit(node[name], constants=constants)
    for name in _LISTS:
        if type(node.get(name)) is list:
            fitted[name] = [_fit(one, constants=constants) for one in array_of(node[name])]
    for name in _MAPS:
        if (inner := object_of(node.get(name))) is not None:
            fitted[name] = {key: _fit(one, constants=constants) for key, one in inner.items()}
    if constants and "const" in fitted:
        fitted = _without_const(fitted)
    return _alone(fitted) if "$ref" in fitted else fitted


def _without_const(node: dict[str, Json]) -> dict[str, Json]:
    """Say `const` as an `enum` of one, which counts only beside a `type`."""
    value = node["const"]
    rest = {name: one for name, one in node.items() if name != "const"}
    if value is None:
        return {"type": "null", **rest}
    kind = _TYPES.get(type(value))
    return {"type": kind, **rest, "enum": [value]} if kind else node


def _alone(node: dict[str, Json]) -> dict[str, Json]:
    """Move a reference out of the company of keywords that may not stand beside it."""
    if "anyOf" in node or all(name in _BESIDE_REFERENCE or name.startswith("$") for name in node):
        return node
    rest = {name: value for name, value in node.items() if name != "$ref"}
    return {**rest, "anyOf": [{"$ref": node["$ref"]}]}
