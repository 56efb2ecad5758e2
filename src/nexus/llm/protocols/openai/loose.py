"""JSON of a provider, read without trust in its types: what is not of the expected type is taken for absent."""

from typing import cast

import msgspec

from nexus.llm.canonical import Json

encode = msgspec.json.Encoder().encode


def text(value: Json) -> str:
    """Take a string, else an empty one."""
    return value if isinstance(value, str) else ""


def count(value: Json) -> int:
    """Take a number that is not negative as a whole one, else 0."""
    return int(value) if isinstance(value, int | float) and value > 0 else 0


def fields(value: Json) -> dict[str, Json]:
    """Take an object, else an empty one."""
    return cast("dict[str, Json]", value) if isinstance(value, dict) else {}


def arguments(value: Json) -> str:
    """Take the arguments of a call, which some servers give as an object."""
    return encode(value).decode() if isinstance(value, dict) else text(value)
