"""Whatever a file says, the answer is a configuration or a list of mistakes with true places."""

import tomllib
from collections.abc import Iterable
from typing import Any, cast, get_args, get_origin

from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from nexus.config import Config, describe, loads, shape
from nexus.config.path import key
from nexus.errors import ConfigError

SECRET = "a-secret-value"
WORDS = [
    "openai",
    "redis",
    "memory",
    "insert",
    "1m",
    "http://h",
    "/x",
    "*",
    "(",
    "é",
    "",
    "a\n",
    "{{env.S}}",
    "{{env.N}}",
]
scalars = st.one_of(
    st.sampled_from(WORDS), st.integers(-1, 5), st.booleans(), st.floats(-1, 2, allow_nan=False)
)
junk = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=2),
        st.dictionaries(st.sampled_from(["rule", "type", "cmd", "x y"]), inner, max_size=2),
    ),
    max_leaves=4,
)


@st.composite
def tables(draw: st.DrawFn, model: type[BaseModel]) -> dict[str, Any]:
    """Draw a table of a model: some of its keys with something that nearly fits, now and then a stranger."""
    known = shape.keys([model])
    table: dict[str, Any] = {}
    for name in draw(st.lists(st.sampled_from(known), max_size=4, unique=True)):
        table[name] = draw(values(shape.at(model, [name])))
    if draw(st.integers(0, 9)) == 0:
        table["stranger"] = draw(junk)
    return table


def values(shapes: Iterable[Any]) -> st.SearchStrategy[Any]:
    options: list[st.SearchStrategy[Any]] = [junk]
    for found in list(shapes):
        if isinstance(found, type) and issubclass(found, BaseModel):
            options += [tables(found)] * 4
        elif inner := get_args(found):
            of = values(shape.unwrap(inner[-1] if get_origin(found) is dict else inner[0]))
            options += [
                st.dictionaries(st.sampled_from(["a", "b.c"]), of, max_size=2)
                if get_origin(found) is dict
                else st.lists(of, max_size=2)
            ] * 4
    return st.one_of(options)


def write(value: object) -> str:
    if isinstance(value, dict):
        pairs = cast("dict[str, object]", value)
        return "{ " + ", ".join(f"{key(name)} = {write(item)}" for name, item in pairs.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(write(item) for item in cast("list[object]", value)) + "]"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return '"' + value.replace("\n", "\\n") + '"'
    return repr(value)


def answer(text: str) -> ConfigError | None:
    try:
        loads(text, {"S": SECRET})
    except ConfigError as error:
        return error
    return None


@settings(max_examples=300)
@given(tables(Config))
def test_any_document_is_answered(document: dict[str, Any]) -> None:
    text = "\n".join(f"{key(name)} = {write(value)}" for name, value in document.items())
    assert tomllib.loads(text) == document
    error = answer(text)
    if error is None:
        return
    assert error.problems
    assert SECRET not in str(error)
    assert len({(problem.path, problem.message) for problem in error.problems}) == len(error.problems)
    for problem in error.problems:
        assert "Input should" not in problem.message
        assert "another value" not in problem.message
        top = problem.path.split(".")[0].split("[")[0]
        if problem.line:
            assert text.split("\n")[problem.line - 1].startswith(f"{top} =")


def test_the_shapes_lead_to_every_table() -> None:
    assert len(describe.all_models()) > 50
