"""`python -m nexus.config.reference` writes the reference of the file, in Markdown, from the models."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from nexus.config import describe, duration
from nexus.config.llm import BedrockConfig, LocalConfig, ProviderConfig
from nexus.config.mcp import BuiltinServer, HttpServer, StdioServer
from nexus.config.root import Config
from nexus.config.shape import unwrap

_HEAD = """<!-- written by `python -m nexus.config.reference`: change src/nexus/config, not this file -->

# Configuration

Nexus reads one TOML file, `nexus.toml` or what `--config` names.

- Any string may hold `{{ env.NAME }}`, which is replaced by the variable of that name.
- A **duration** is a text such as `"500ms"`, `"60s"` or `"1h30m"`; a bare whole number means seconds.
- `<name>` in a title stands for a name of your own. A name with a dot needs quotes: `models."gpt-4.1"`.
- An unknown key is a mistake and stops the start; in the tables of providers and models it earns a warning.
- Parts that are not available in this version are refused or warned about when the file is read.
"""
_VARIANTS = {
    ProviderConfig: "any type",
    BedrockConfig: 'type = "bedrock"',
    LocalConfig: 'type = "local"',
    StdioServer: "started as a process",
    BuiltinServer: "coming with Nexus",
    HttpServer: "reached over HTTP",
}


def render() -> str:
    """Write the whole reference."""
    parts = [_HEAD]
    written: dict[type[BaseModel], str] = {}
    for name, info in Config.model_fields.items():
        parts += _tables(info.annotation, name, written)
    return "\n".join(parts)


def _tables(annotation: Any, title: str, written: dict[type[BaseModel], str]) -> Iterator[str]:
    """Write the tables a place may hold, and the ones inside; one that was `written` is only referred to."""
    options = [option for option in unwrap(annotation) if _is_model(option)]
    for model in options:
        if model in written:
            variant = "" if len(options) == 1 else _variant(model)
            yield f"## `[{title}]`{variant}\n\nThe same keys as `[{written[model]}]`.\n"
            continue
        written[model] = title
        base = next((other for other in options if other is not model and issubclass(model, other)), None)
        yield _table(model, title, base, alone=len(options) == 1)
        for name, info in _own(model, base):
            yield from _inner(info.annotation, f"{title.strip('[]')}.{info.alias or name}", written)


def _inner(annotation: Any, title: str, written: dict[type[BaseModel], str]) -> Iterator[str]:
    for shape in unwrap(annotation):
        arguments = get_args(shape)
        if get_origin(shape) is dict:
            yield from _tables(arguments[1], f"{title}.<name>", written)
        elif get_origin(shape) is tuple and any(_is_model(option) for option in unwrap(arguments[0])):
            yield from _tables(arguments[0], f"[{title}]", written)
    yield from _tables(annotation, title, written)


def _own(model: type[BaseModel], base: type[BaseModel] | None) -> list[tuple[str, FieldInfo]]:
    inherited = base.model_fields if base else {}
    return [(name, info) for name, info in model.model_fields.items() if name not in inherited]


def _table(model: type[BaseModel], title: str, base: type[BaseModel] | None, *, alone: bool) -> str:
    texts = describe.descriptions(model)
    lines = [f"## `[{title}]`{'' if alone else _variant(model)}", "", (model.__doc__ or "").strip(), ""]
    if base is not None:
        lines += ["The keys below come on top of the common ones.", ""]
    lines += ["| key | type | default | meaning |", "|---|---|---|---|"]
    for name, info in _own(model, base):
        cells = (f"`{info.alias or name}`", _type(info), _default(info), texts[name])
        lines.append("| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |")
    return "\n".join([*lines, ""])


def _variant(model: type[BaseModel]) -> str:
    if model in _VARIANTS:
        return f", {_VARIANTS[model]}"
    for key in ("rule", "type"):
        if key in model.model_fields:
            return f", {key} = {_word(model.model_fields[key].annotation)}"
    return ""


def _type(info: FieldInfo) -> str:
    property_schema = _resolved(info)
    if property_schema.get("x-duration"):
        return "duration"
    words = [_word(shape) for shape in unwrap(info.annotation) if shape is not type(None)]
    return " or ".join(dict.fromkeys(word for word in words if word))


def _resolved(info: FieldInfo) -> dict[str, Any]:
    """Give the JSON Schema an annotation carries itself."""
    for note in (*info.metadata, *_notes(info.annotation)):
        carried = getattr(note, "json_schema", None)
        if isinstance(carried, dict):
            return carried  # pyright: ignore[reportUnknownVariableType]  # of WithJsonSchema
    return {}


def _notes(annotation: Any) -> list[Any]:
    return [
        note for part in (annotation, *get_args(annotation)) for note in getattr(part, "__metadata__", ())
    ]


def _word(shape: Any) -> str:
    if _is_model(shape):
        return "table"
    arguments = get_args(shape)
    match get_origin(shape):
        case origin if origin is Literal:
            return " or ".join(f'`"{value}"`' for value in arguments)
        case origin if origin is dict:
            inner = [_word(option) for option in unwrap(arguments[1])]
            return f"map of {inner[0]}s"
        case origin if origin in (tuple, frozenset):
            return f"array of {_word(unwrap(arguments[0])[0])}s"
        case _:
            return _SCALARS.get(getattr(shape, "__name__", ""), "string")


_SCALARS = {
    "bool": "boolean",
    "int": "integer",
    "float": "number",
    "Path": "path",
    "Pattern": "regular expression",
}


def _default(info: FieldInfo) -> str:
    if info.is_required():
        return "required"
    value = info.get_default(call_default_factory=True)
    if value is None or value is PydanticUndefined or isinstance(value, BaseModel):
        return ""
    if _resolved(info).get("x-duration"):
        return f'`"{duration.show(value)}"`'
    match value:
        case bool():
            return f"`{str(value).lower()}`"
        case str():
            return f'`"{value}"`'
        case int() | float():
            return f"`{value}`"
        case dict():
            return "`{}`"
        case _:
            return "`[]`"


def _is_model(shape: Any) -> bool:
    return isinstance(shape, type) and issubclass(shape, BaseModel)


def main() -> None:
    """Write the reference to a file, or to standard output."""
    if len(sys.argv) > 1:
        Path(sys.argv[1]).write_text(render(), encoding="utf-8")
    else:
        sys.stdout.write(render())


if __name__ == "__main__":
    main()
