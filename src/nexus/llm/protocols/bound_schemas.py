"""Schemas that Claude, and what else runs on Bedrock, can be bound to: fewer than OpenAI binds its models to.

What only limits a value is put into the description of the value, as Anthropic's own libraries do it; what else is not known
there cannot be bound to.

https://platform.claude.com/docs/en/build-with-claude/structured-outputs#json-schema-limitations
https://docs.aws.amazon.com/bedrock/latest/userguide/structured-output.html
"""

from collections.abc import Iterator, Mapping

import msgspec

from nexus.llm.canonical import FunctionTool, Json, Loss
from nexus.llm.protocols.node import array_of, object_of

_MOST_TOOLS = 20
_MOST_OPTIONAL = 24
_MOST_UNIONS = 16
_NO_ARGUMENTS: Json = {"type": "object", "properties": {}, "additionalProperties": False}
_KEPT = frozenset(("type", "required", "enum", "const", "title", "description", "default", "$ref"))
_LIMITS = frozenset(
    (
        "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "minLength", "maxLength", "pattern",
        "minItems", "maxItems", "uniqueItems", "format", "minProperties", "maxProperties",
    )
)  # fmt: skip
_SAYING_NOTHING = frozenset(
    ("$schema", "$id", "$comment", "examples", "deprecated", "readOnly", "writeOnly", "discriminator")
)
_FORMATS = frozenset(
    ("date-time", "time", "date", "duration", "email", "hostname", "uri", "ipv4", "ipv6", "uuid"),
)
_encode = msgspec.json.Encoder().encode


class Bound(msgspec.Struct, frozen=True):
    """A schema as it can be bound to, and what it takes of what a request may have."""

    schema: Json
    tells: bool
    """Whether a limit in it is only told, and not enforced."""
    optional: int
    unions: int

    @property
    def fits(self) -> bool:
        """Tell whether a request may have it."""
        return self.optional <= _MOST_OPTIONAL and self.unions <= _MOST_UNIONS


class _Unbindable(Exception):
    pass


def bind(schema: Json, *, open_objects: bool = False) -> Bound | None:
    """Fit a schema; None where no model can be bound to it. With `open_objects` they need not be said to be closed."""
    try:
        fitter = _Fitter(schema, open_objects=open_objects)
        fitted = fitter.fit(schema)
    except (_Unbindable, RecursionError):
        return None
    return Bound(fitted, fitter.tells, fitter.optional, fitter.unions)


class _Fitter:
    """Fits one schema."""

    def __init__(self, root: Json, *, open_objects: bool) -> None:
        self._open_objects = open_objects
        self.tells = False
        self.optional = self.unions = 0
        self._refuse_recursion(object_of(root) or {})

    def fit(self, schema: Json) -> Json:  # noqa: C901  # one case for each kind of keyword
        node = object_of(schema)
        if node is None or not node.keys() & {"type", "$ref", "anyOf", "oneOf", "allOf", "enum", "const"}:
            raise _Unbindable
        fitted: dict[str, Json] = {}
        told: dict[str, Json] = {}
        for name, value in node.items():
            if name in _KEPT:
                fitted[name] = value
            elif name in ("anyOf", "oneOf", "allOf"):
                fitted["anyOf" if name == "oneOf" else name] = [self.fit(one) for one in array_of(value)]
            elif name in ("$defs", "definitions"):
                fitted[name] = {key: self.fit(one) for key, one in (object_of(value) or {}).items()}
            elif name == "properties":
                fitted[name] = self._properties(object_of(value) or {}, node)
            elif name == "items":
                fitted[name] = self.fit(value)
            elif (
                (name == "additionalProperties" and value is False)
                or (name == "format" and value in _FORMATS)
                or (name == "minItems" and value in (0, 1))
            ):
                fitted[name] = value
            elif name in _LIMITS:
                told[name] = value
            elif name not in _SAYING_NOTHING:
                raise _Unbindable
        self._check(node)
        if told:
            self.tells = True
            about = f"{{{', '.join(f'{name}: {_encode(value).decode()}' for name, value in told.items())}}}"
            before = fitted.get("description")
            fitted["description"] = f"{before}\n\n{about}" if before else about
        return fitted

    def _check(self, node: Mapping[str, Json]) -> None:
        is_object = "object" in (node.get("type"), *array_of(node.get("type")))
        if is_object and "additionalProperties" not in node and not self._open_objects:
            raise _Unbindable
        if any(isinstance(value, dict | list) for value in (*array_of(node.get("enum")), node.get("const"))):
            raise _Unbindable

    def _properties(self, properties: Mapping[str, Json], node: Mapping[str, Json]) -> Json:
        required = array_of(node.get("required"))
        for name, schema in properties.items():
            self.optional += name not in required
            one = object_of(schema) or {}
            self.unions += "anyOf" in one or "oneOf" in one or isinstance(one.get("type"), list)
        return {name: self.fit(schema) for name, schema in properties.items()}

    def _refuse_recursion(self, root: Mapping[str, Json]) -> None:
        """Refuse what refers to itself, or to another document."""
        parts = {
            f"#/{place}/{name}": frozenset(_references(schema))
            for place in ("$defs", "definitions")
            for name, schema in (object_of(root.get(place)) or {}).items()
        }
        rest = {name: value for name, value in root.items() if name not in ("$defs", "definitions")}
        if not {*_references(rest), *(one for found in parts.values() for one in found)} <= parts.keys():
            raise _Unbindable
        while parts:  # take away what refers to nothing that is left, until nothing is
            free = [name for name, found in parts.items() if not found & parts.keys()]
            if not free:
                raise _Unbindable
            for name in free:
                del parts[name]


def _references(schema: Json) -> Iterator[str]:
    node = object_of(schema)
    reference = node.get("$ref") if node is not None else None
    if isinstance(reference, str):
        yield reference
    for one in array_of(schema) if node is None else node.values():
        yield from _references(one)


class Binder:
    """Binds tools to their schemas, as many as a request may have. A machine for one request."""

    def __init__(self, model: str, form: Bound | None, *, able: bool, open_objects: bool = False) -> None:
        self._model = model
        self._able = able
        self._open_objects = open_objects
        self._tools = 0
        self._optional = form.optional if form is not None else 0
        self._unions = form.unions if form is not None else 0

    def bind(self, tool: FunctionTool, losses: list[Loss]) -> Bound | None:
        """Bind the next tool if it is to be strict; None where it is not, or cannot be."""
        if not tool.strict:
            return None
        schema = _NO_ARGUMENTS if tool.schema is None else tool.schema
        bound = bind(schema, open_objects=self._open_objects) if self._able else None
        if bound is None:
            losses.append(Loss(f"{tool.path}.strict", f"{self._model} cannot be bound to this schema"))
            return None
        optional, unions = self._optional + bound.optional, self._unions + bound.unions
        if self._tools == _MOST_TOOLS or optional > _MOST_OPTIONAL or unions > _MOST_UNIONS:
            losses.append(Loss(f"{tool.path}.strict", f"{self._model} cannot be bound to so much at once"))
            return None
        self._tools, self._optional, self._unions = self._tools + 1, optional, unions
        if bound.tells:
            losses.append(Loss(f"{tool.path}.strict", "the limits of its values are told and not enforced"))
        return bound
