"""A JSON object of a client's request, taken apart field by field.

What is taken is gone from it, so what is left at the end is what its reader does not know, and can be declared. Every
complaint names the JSON path. A null is an absent field.
"""

from typing import cast

import msgspec

from nexus.errors import InvalidRequest
from nexus.llm.canonical import Extras, Json

_NOTHING: Extras = {}
_decode = msgspec.json.Decoder().decode


def object_of(value: Json) -> dict[str, Json] | None:
    """Give a value if it is an object."""
    return cast("dict[str, Json]", value) if isinstance(value, dict) else None


def array_of(value: Json) -> list[Json]:
    """Give a value if it is an array, else an empty one."""
    return cast("list[Json]", value) if isinstance(value, list) else []


class Node:
    """One object and where it stands."""

    __slots__ = ("_fields", "path")

    def __init__(self, fields: Json, path: str = "") -> None:
        if type(fields) is not dict:
            raise InvalidRequest(f"{path or 'the body'}: must be an object")
        self._fields = cast("dict[str, Json]", fields)
        self.path = path

    @staticmethod
    def of(body: bytes) -> "Node":
        """Read a whole body.

        Raises:
            InvalidRequest: not a JSON object.
        """
        try:
            return Node(_decode(body))
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise InvalidRequest(f"Failed to parse request body: {error or 'nested too deeply'}") from None

    def at(self, name: str | int) -> str:
        """Name the path of a field."""
        return f"{self.path}.{name}" if self.path else str(name)

    def fail(self, name: str, rule: str) -> InvalidRequest:
        """Make the complaint that a field breaks a rule."""
        return InvalidRequest(f"{self.at(name)}: {rule}")

    def take(self, name: str) -> Json:
        """Take a field of any type."""
        return self._fields.pop(name, None)

    def peek(self, name: str) -> Json:
        """Look at a field and leave it."""
        return self._fields.get(name)

    def text(self, name: str) -> str | None:
        """Take a string."""
        value = self._fields.pop(name, None)
        if value is None or type(value) is str:
            return value
        raise self.fail(name, "must be a string")

    def needed(self, name: str) -> str:
        """Take a string that has to be there."""
        value = self._fields.pop(name, None)
        if type(value) is str:
            return value
        raise self.fail(name, "is missing" if value is None else "must be a string")

    def integer(self, name: str) -> int | None:
        """Take an integer that is not negative."""
        value = self._fields.pop(name, None)
        if value is None:
            return None
        if type(value) is float and value.is_integer():
            value = int(value)
        if type(value) is int and value >= 0:
            return value
        raise self.fail(name, "must be a whole number, not negative")

    def number(self, name: str) -> float | None:
        """Take a number; an integer stays one."""
        value = self._fields.pop(name, None)
        if value is None or type(value) is float or type(value) is int:
            return value
        raise self.fail(name, "must be a number")

    def flag(self, name: str) -> bool | None:
        """Take a boolean."""
        value = self._fields.pop(name, None)
        if value is None or type(value) is bool:
            return value
        raise self.fail(name, "must be true or false")

    def node(self, name: str) -> "Node | None":
        """Take an object."""
        value = self._fields.pop(name, None)
        return None if value is None else Node(value, self.at(name))

    def items(self, name: str) -> list[Json]:
        """Take an array; an absent one is empty."""
        value = self._fields.pop(name, None)
        if value is None:
            return []
        if type(value) is list:
            return cast("list[Json]", value)
        raise self.fail(name, "must be an array")

    def nodes(self, name: str) -> "list[Node]":
        """Take an array of objects; an absent one is empty."""
        path = self.at(name)
        return [Node(item, f"{path}.{number}") for number, item in enumerate(self.items(name))]

    def texts(self, name: str) -> list[str]:
        """Take an array of strings, or a single string."""
        value = self._fields.get(name)
        if type(value) is str:
            del self._fields[name]
            return [value]
        items = self.items(name)
        if all(type(item) is str for item in items):
            return cast("list[str]", items)
        raise self.fail(name, "must be a string or an array of strings")

    def rest(self) -> Extras:
        """Give what nobody took, nulls left out."""
        fields = self._fields
        if not fields:
            return _NOTHING
        return {name: value for name, value in fields.items() if value is not None}

    def everything(self) -> dict[str, Json]:
        """Give the object as it is now."""
        return self._fields
