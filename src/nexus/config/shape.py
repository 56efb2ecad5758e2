"""What the models say about a place in the document: which keys it knows, whether it holds a secret."""

import types
from collections.abc import Iterable, Sequence
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, SecretStr

Shapes = Sequence[Any]


def at(root: type[BaseModel], path: Iterable[str | int]) -> Shapes:
    """Find the types a place may have; none where no model knows it."""
    shapes: Shapes = [root]
    for part in path:
        shapes = [inner for shape in shapes for inner in _inside(shape, part)]
    return shapes


def keys(shapes: Shapes) -> list[str]:
    """List the keys of the tables a place may hold, as the file writes them."""
    names: dict[str, None] = {}
    for model in models(shapes):
        for name, info in model.model_fields.items():
            names[info.alias or name] = None
    return list(names)


def models(shapes: Shapes) -> list[type[BaseModel]]:
    """List the tables a place may hold."""
    return [shape for shape in shapes if isinstance(shape, type) and issubclass(shape, BaseModel)]


def is_secret(shapes: Shapes) -> bool:
    """Tell whether a value there must not be shown."""
    return SecretStr in shapes


def _inside(shape: Any, part: str | int) -> list[Any]:
    if isinstance(shape, type) and issubclass(shape, BaseModel):
        for name, info in shape.model_fields.items():
            if part == (info.alias or name):
                return unwrap(info.annotation)
        return []
    inner = get_args(shape)
    match get_origin(shape):
        case origin if origin is dict and isinstance(part, str):
            return unwrap(inner[1])
        case origin if origin in (list, tuple, frozenset) and isinstance(part, int):
            return unwrap(inner[0])
        case _:
            return []


def unwrap(annotation: Any) -> list[Any]:
    """Take apart unions and annotations down to the types themselves."""
    origin = get_origin(annotation)
    if origin is Annotated:
        return unwrap(get_args(annotation)[0])
    if origin in (Union, types.UnionType):
        return [shape for option in get_args(annotation) for shape in unwrap(option)]
    return [annotation]
