"""Mistakes in plain words: what pydantic found, told to whoever wrote the file.

No secret and no value from the environment is ever repeated.
"""

import datetime
import difflib
import re
from collections.abc import Sequence
from typing import Any, cast

from pydantic import BaseModel
from pydantic_core import ErrorDetails

from nexus.config import shape
from nexus.config.base import Expected, Quoting
from nexus.config.path import Path, key
from nexus.config.shape import Shapes

_PASSWORD = re.compile(r"//[^/@\s]*@")
_KINDS = {
    "string_type": "a string",
    "bool_type": "true or false",
    "int_type": "a whole number",
    "float_type": "a number",
    "dict_type": "a table",
    "model_type": "a table",
    "model_attributes_type": "a table",
    "list_type": "an array",
    "tuple_type": "an array",
    "frozen_set_type": "an array",
    "path_type": "a path",
    "int_parsing_size": "a smaller number",
}


def near(name: str, known: Sequence[str]) -> str | None:
    """Find the known name a misspelt one was probably meant to be."""
    folded = {option.lower().replace("-", "_"): option for option in known}
    found = difflib.get_close_matches(name.lower().replace("-", "_"), folded, n=1, cutoff=0.6)
    return folded[found[0]] if found else None


def cure_for_key(name: str, possible: Sequence[str]) -> str:
    """Say what to do about a key nobody knows; `possible` are the keys of every kind of table it may be in."""
    guess = near(name, [other for other in possible if other != name])
    return f"did you mean '{guess}'?" if guess else "remove it"


def place(document: object, error: ErrorDetails) -> Path:
    """Turn pydantic's location into a path of the document: names of union branches are dropped."""
    path: Path = ()
    here = document
    location = error["loc"]
    for number, part in enumerate(location):
        if isinstance(here, dict) and part in here:
            here = cast("dict[object, object]", here)[part]
        elif isinstance(here, list) and isinstance(part, int) and part < len(cast("list[object]", here)):
            here = cast("list[object]", here)[part]
        elif not (error["type"] == "missing" and number == len(location) - 1):
            continue
        path = (*path, part)
    if error["type"] in ("union_tag_invalid", "union_tag_not_found"):
        path = (*path, _tag_key(error.get("ctx", {})))
    return path


def explain(root: type[BaseModel], path: Path, error: ErrorDetails, *, secret: bool) -> tuple[str, str]:
    """Give message and cure for one error of the schema; `secret` values are not shown."""
    shapes = shape.at(root, path)
    secret = secret or shape.is_secret(shapes)
    context: dict[str, Any] = error.get("ctx", {})
    value = error.get("input")
    match error["type"]:
        case "extra_forbidden":
            name = str(path[-1])
            # of several kinds of table, one that has the key is not the one that refused it
            tables = shape.models(shape.at(root, path[:-1]))
            known = shape.keys([table for table in tables if name not in shape.keys([table])])
            return f"unknown field `{name}`{_expected(known)}", cure_for_key(name, shape.keys(tables))
        case "missing":
            return f"missing field `{path[-1]}`", _add(str(path[-1]), shapes)
        case "literal_error":
            return _variant(value, _options(str(context["expected"])), secret)
        case "union_tag_invalid":
            tag = cast("dict[str, object]", value).get(_tag_key(context)) if isinstance(value, dict) else None
            return _variant(tag, _options(str(context["expected_tags"])), secret)
        case "union_tag_not_found":
            if not isinstance(value, dict):
                return f"expected a table{_got(value, secret)}", ""
            name = _tag_key(context)
            return f"missing field `{name}`", _tag_cure(name, shape.at(root, path[:-1]))
        case "greater_than_equal" if context.get("ge") == 1 and value == 0:
            return "must be greater than zero", ""
        case "greater_than_equal":
            return f"expected a whole number, {context.get('ge')} or more{_got(value, secret)}", ""
        case "value_error":
            return _own(context.get("error"), value, secret), ""
        case kind:
            return f"expected {_KINDS.get(kind, 'another value')}{_got(value, secret)}", ""


def show(value: object) -> str:
    """Write a value the way the file does, shortened."""
    match value:
        case bool():
            return "true" if value else "false"
        case str():
            text = _PASSWORD.sub("//…@", value)
            text = text if len(text) <= 60 else text[:57] + "…"
            return '"' + "".join(c if c.isprintable() else f"\\u{ord(c):04X}" for c in text) + '"'
        case int() | float():
            return str(value)
        case dict():
            return "a table"
        case list():
            return "an array"
        case datetime.date() | datetime.time():
            return "a date or time"
        case _:
            return "something else"


def kind(value: object) -> str:
    """Name the kind of a value without telling the value."""
    match value:
        case bool():
            return "true or false"
        case str():
            return "a string"
        case int() | float():
            return "a number"
        case _:
            return show(value)


def _got(value: object, secret: bool) -> str:
    return f", got {kind(value) if secret else show(value)}"


def _own(error: object, value: object, secret: bool) -> str:
    if isinstance(error, Expected):
        return f"expected {error}{_got(value, secret)}"
    if isinstance(error, Quoting) and secret:
        return error.plain
    return str(error)


def _variant(value: object, options: list[str], secret: bool) -> tuple[str, str]:
    known = ", ".join(f"`{option}`" for option in options)
    if not isinstance(value, str):
        return f"expected one of {known}{_got(value, secret)}", ""
    if secret:
        return f"unknown variant, expected one of {known}", ""
    guess = near(value, options)
    shown = show(value)[1:-1]
    return f"unknown variant `{shown}`, expected one of {known}", f"did you mean '{guess}'?" if guess else ""


def _options(expected: str) -> list[str]:
    return [option.strip(" '") for option in expected.replace(" or ", ", ").split(",")]


def _tag_key(context: dict[str, Any]) -> str:
    return str(context.get("discriminator", "type")).strip("'")


def _tag_cure(name: str, shapes: Shapes) -> str:
    options: list[str] = []
    for model in shape.models(shapes):
        for option in shape.unwrap(model.model_fields[name].annotation):
            options += [f'"{value}"' for value in getattr(option, "__args__", ())]
    return f"add {name} = {' or '.join(options)}" if options else f"add {name}"


def _add(name: str, shapes: Shapes) -> str:
    if shape.models(shapes):
        return f"add the table {key(name)}"
    return f"add {key(name)} = …"


def _expected(known: Sequence[str]) -> str:
    return f", expected one of {', '.join(f'`{name}`' for name in known)}" if known else ""
