"""What a client makes of an answer, without what does not matter."""

from typing import cast

_BESIDE = ("parsed", "parsed_arguments", "parsed_output", "created", "created_at", "id", "index", "container")
"""What clients add, and what is made up anew for each answer."""
_ONLY_WHOLE = ("cache_creation",)
"""What a client takes from the beginning of a stream, when it was not yet known."""


def meaning(value: object) -> object:
    """Leave out what does not matter, and what is empty."""
    match value:
        case dict():
            fields = cast("dict[str, object]", value)
            if "invalid_json" in fields:  # in a stream the pieces go through as they are
                return {}
            kept = {name: meaning(fields[name]) for name in fields if name not in (*_BESIDE, *_ONLY_WHOLE)}
            return {name: found for name, found in kept.items() if found not in (None, [], {})}
        case list():
            return [meaning(one) for one in cast("list[object]", value)]
        case _:
            return value
