"""The JSON Schema of the file, for editors and for the reference."""

import ast
import inspect
from itertools import pairwise
from typing import Any, cast

from pydantic import BaseModel

from nexus.config import duration
from nexus.config.root import Config
from nexus.config.shape import models, unwrap

DRAFT = "https://json-schema.org/draft/2020-12/schema"


def schema() -> dict[str, object]:
    """Describe the file as JSON Schema, draft 2020-12, every key with what it means and its default."""
    made: dict[str, Any] = Config.model_json_schema()
    definitions = cast("dict[str, Any]", made.get("$defs", {}))
    for model in all_models():
        table = made if model is Config else definitions.get(model.__name__)
        if table is None:
            continue
        table["description"] = (model.__doc__ or "").strip()
        table.pop("title", None)
        for name, text in descriptions(model).items():
            key = model.model_fields[name].alias or name
            table["properties"][key]["description"] = text
            table["properties"][key].pop("title", None)
    _tidy(made)
    return {"$schema": DRAFT, **made}


def descriptions(model: type[BaseModel]) -> dict[str, str]:
    """Read the docstrings under a model's fields, those of its bases included.

    Pydantic could do this, but at the import of every model and so at every start of the gateway.
    """
    found: dict[str, str] = {}
    for base in reversed(model.__mro__):
        if base is BaseModel or not issubclass(base, BaseModel):
            continue
        body = cast("ast.ClassDef", ast.parse(inspect.getsource(base)).body[0]).body
        for field, doc in pairwise(body):
            match field, doc:
                case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                    found[name] = inspect.cleandoc(text)
                case _:
                    pass
    return {name: text for name, text in found.items() if name in model.model_fields}


def all_models() -> list[type[BaseModel]]:
    """List every table of the file."""
    waiting: list[type[BaseModel]] = [Config]
    seen: list[type[BaseModel]] = []
    while waiting:
        model = waiting.pop()
        if model in seen:
            continue
        seen.append(model)
        for info in model.model_fields.values():
            waiting += models(_leaves(info.annotation))
    return seen


def _leaves(annotation: Any) -> list[Any]:
    found: list[Any] = []
    for shape in unwrap(annotation):
        found += [shape, *(leaf for inner in getattr(shape, "__args__", ()) for leaf in _leaves(inner))]
    return found


def _tidy(node: Any) -> None:
    """Turn what pydantic means into what the file means: TOML has no null, and durations are text."""
    if isinstance(node, list):
        for item in cast("list[Any]", node):
            _tidy(item)
    if not isinstance(node, dict):
        return
    table = cast("dict[str, Any]", node)
    _without_null(table)
    _default(table)
    for value in table.values():
        _tidy(value)


def _without_null(table: dict[str, Any]) -> None:
    if "oneOf" in table and "discriminator" not in table:
        # a provider of a special type is also a provider: one of several would be two
        table["anyOf"] = table.pop("oneOf")
    options = cast("list[dict[str, Any]]", table.get("anyOf", []))
    kept = [option for option in options if option.get("type") != "null"]
    if len(kept) == len(options):
        return
    if len(kept) > 1:
        table["anyOf"] = kept
    else:
        del table["anyOf"]
        for key, value in kept[0].items():
            table.setdefault(key, value)
    if table.get("default", ...) is None:
        del table["default"]


def _default(table: dict[str, Any]) -> None:
    if table.pop("x-duration", False) and "default" in table:
        table["default"] = duration.show(table["default"])
    if "$ref" in table and "default" in table:
        del table["default"]  # the table's own keys have theirs
    if isinstance(table.get("title"), str):
        del table["title"]
