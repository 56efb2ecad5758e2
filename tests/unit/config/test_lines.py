"""The line index agrees with `tomllib` on what there is, and with the text on where."""

import tomllib
from typing import cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nexus.config.lines import index
from nexus.config.path import Path, write

TEXT = '''# first
a = 1
"q.x".b = { c = [1, { d = "]" }], 'e' = """
x"""" }

[t.u]
k = [
  "a", # ]
  """b
""",
]
[[t.v]]
x = 1
[[t.v]]   # again
x = "#"
[t.v.w]
y = 1979-05-27 07:32:00Z
[ "quoted \\u0041" . 'lit.eral' ]
"" = \'\'\'
'' '\'\'\'\'
after = true
'''


def test_every_form_of_key_has_its_line() -> None:
    assert {write(path): line for path, line in index(TEXT).items()} == {
        "a": 2,
        '"q.x"': 3,
        '"q.x".b': 3,
        '"q.x".b.c': 3,
        '"q.x".b.c[0]': 3,
        '"q.x".b.c[1]': 3,
        '"q.x".b.c[1].d': 3,
        '"q.x".b.e': 3,
        "t": 6,
        "t.u": 6,
        "t.u.k": 7,
        "t.u.k[0]": 8,
        "t.u.k[1]": 9,
        "t.v": 12,
        "t.v[0]": 12,
        "t.v[0].x": 13,
        "t.v[1]": 14,
        "t.v[1].x": 15,
        "t.v[1].w": 16,
        "t.v[1].w.y": 17,
        '"quoted A"': 18,
        '"quoted A"."lit.eral"': 18,
        '"quoted A"."lit.eral".""': 19,
        '"quoted A"."lit.eral".after': 21,
    }
    assert paths(tomllib.loads(TEXT)) == set(index(TEXT))


@pytest.mark.parametrize(
    "text", ["", "\n\n", "# only", "a = [", "= 1", "[a", 'a = "', "a = 1 b = 2", '"\\x" = 1']
)
def test_no_text_crashes(text: str) -> None:
    assert isinstance(index(text), dict)


def test_lines_of_windows_files_count_alike() -> None:
    assert index("a = 1\r\n\r\n[b]\r\nc = 2\r\n")["b", "c"] == 4


names = st.one_of(st.text("ab-_1", min_size=1, max_size=3), st.text("a.\"'\\ é\n#[]{}=", max_size=4))
strings = st.text("ab \"'\\#[]{},=\n\té", max_size=8)


def quoted(text: str) -> str:
    escapes = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t"}
    return '"' + "".join(escapes.get(c, c) for c in text) + '"'


def literal(text: str) -> str:
    return quoted(text) if "'" in text or "\n" in text else f"'{text}'"


def multiline(text: str) -> str:
    return '"""\n' + text.replace("\\", "\\\\").replace('"', '\\"') + '"""'


def key(name: str) -> str:
    return name if name and all(c in "ab-_1" for c in name) else quoted(name)


scalars = st.one_of(
    st.integers().map(str),
    st.booleans().map(lambda value: str(value).lower()),
    st.sampled_from(["1979-05-27", "07:32:00", "1.5e3", "inf"]),
    strings.map(quoted),
    strings.map(literal),
    strings.map(multiline),
)


def array(items: list[str]) -> str:
    return "[" + ", # ] \n".join(items) + "\n]" if items else "[ ]"


def inline(pairs: dict[str, str]) -> str:
    # no line break may stand in an inline table but inside its values
    return "{ " + ", ".join(f"{key(name)} = {value}" for name, value in pairs.items()) + " }"


values = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(array), st.dictionaries(names, inner, max_size=3).map(inline)
    ),
    max_leaves=6,
)
tables = st.dictionaries(names, values, max_size=3)


@st.composite
def documents(draw: st.DrawFn) -> str:
    lines = [f"{key(name)} = {value} # c" for name, value in draw(tables).items()]
    for name in draw(st.lists(names, max_size=3, unique=True)):
        header = draw(st.sampled_from(["[t.{}]", "[[t.{}]]", "[ t . {} . sub ]"]))
        for _ in range(2 if header.startswith("[[") else 1):
            lines += ["", "# c", header.format(key(name))]
            lines += [f"{key(inner)}.deep={value}" for inner, value in draw(tables).items()]
    return "\n".join(lines)


@settings(max_examples=300, deadline=None)
@given(documents())
def test_the_index_knows_exactly_what_tomllib_finds(text: str) -> None:
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return  # two names collided
    found = index(text)
    assert set(found) == paths(document)
    lines = text.split("\n")
    for path, line in found.items():
        name = path[-1]
        if isinstance(name, str) and name.isascii() and name.isalnum():
            assert name in lines[line - 1]


def paths(value: object, here: Path = ()) -> set[Path]:
    if isinstance(value, dict):
        inner = [(*here, name) for name in cast("dict[str, object]", value)]
        children = list(zip(inner, cast("dict[str, object]", value).values(), strict=True))
    elif isinstance(value, list):
        children = [((*here, number), item) for number, item in enumerate(cast("list[object]", value))]
    else:
        return set()
    return {path for path, _ in children}.union(*(paths(item, path) for path, item in children))
