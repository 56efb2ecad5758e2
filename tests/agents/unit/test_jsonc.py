"""JSON with comments: read strictly, and edited so that nobody notices but the entry."""

from typing import Any, cast

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nexus_agents.opencode.jsonc import Broken, loads, put

ENTRY = {"type": "local", "command": ["nexus-agents", "--mode=server"]}
PATH = ("mcp", "nexus-agents")

COMMENTED = """\
// my config
{
  "$schema": "https://opencode.ai/config.json", // the schema
  /* providers */
  "provider": {
    "custom": { "options": { "apiKey": "{env:CUSTOM_API_KEY}", }, },
  },
  "mcp": {
    // the one I use
    "github": {
      "type": "remote",
      "url": "https://example.com/mcp", // not // a comment "
    },
  },
}
"""


def test_an_entry_joins_the_others_and_nothing_else_changes() -> None:
    expected = COMMENTED.replace(
        """\
    },
  },
}
""",
        """\
    },
    "nexus-agents": {
      "type": "local",
      "command": ["nexus-agents", "--mode=server"]
    },
  },
}
""",
    )
    assert put(COMMENTED, PATH, ENTRY) == expected


CASES = {
    "{}": '{\n  "mcp": {\n    "nexus-agents": 1\n  }\n}',
    '{"a":1}': '{"a":1, "mcp": {"nexus-agents": 1}}',
    '{"a":1,}': '{"a":1, "mcp": {"nexus-agents": 1}}',
    '{\n\t"a": 1\n}\n': '{\n\t"a": 1,\n\t"mcp": {\n\t\t"nexus-agents": 1\n\t}\n}\n',
    '{\r\n    "a": 1 // one\r\n}': '{\r\n    "a": 1, // one\r\n    "mcp": {\r\n        "nexus-agents": 1\r\n    }\r\n}',
    '{\n  "a": 1, /* x */ // y\n}': '{\n  "a": 1, /* x */ // y\n  "mcp": {\n    "nexus-agents": 1\n  },\n}',
    '{\n  "a": 1\n  // last words\n}': '{\n  "a": 1,\n  "mcp": {\n    "nexus-agents": 1\n  }\n  // last words\n}',
    '{\n  // nothing yet\n}\n': '{\n  // nothing yet\n  "mcp": {\n    "nexus-agents": 1\n  }\n}\n',
    '{ /* nothing */ }': '{ /* nothing */\n  "mcp": {\n    "nexus-agents": 1\n  }\n}',
    '{"a": 1,\n "b": 2}': '{"a": 1,\n "b": 2,\n "mcp": {\n  "nexus-agents": 1\n }\n}',
    '\ufeff{"mcp": {}}': '\ufeff{"mcp": {\n  "nexus-agents": 1\n}}',
    '{"mcp": {"nexus-agents": 1}}': '{"mcp": {"nexus-agents": 1}}',
    '{"mcp": {"nexus-agents": /* old */ 2 /* kept */}}': '{"mcp": {"nexus-agents": /* old */ 1 /* kept */}}',
    '{"mcp": {"nexus-agents": 3}, "mcp": {"x": 1}}': '{"mcp": {"nexus-agents": 3}, "mcp": {"x": 1, "nexus-agents": 1}}',
    '{"mcp": {"nexus-agents": true}}': '{"mcp": {"nexus-agents": 1}}',
}  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), CASES.items())
def test_an_entry_takes_the_style_of_the_file(text: str, expected: str) -> None:
    assert put(text, PATH, 1) == expected


@pytest.mark.parametrize(("text", "expected"), CASES.items())
def test_the_same_entry_again_changes_nothing(text: str, expected: str) -> None:
    assert put(expected, PATH, 1) == expected


BROKEN = {
    "": (1, 1),
    "{": (1, 2),
    "{}{": (1, 3),
    '{\n  "a": 1\n  "b": 2\n}': (3, 3),
    '{"a" 1}': (1, 6),
    '{"a": }': (1, 7),
    "{'a': 1}": (1, 2),
    '{"a": 01}': (1, 7),
    '{"a": undefined}': (1, 7),
    '{"a": NaN}': (1, 7),
    '{"a": "x\ny"}': (1, 7),
    '{"a": "\\q"}': (1, 7),
    '{"a": [1 2]}': (1, 10),
    '{"a": 1}\n/* never ends': (2, 1),
    '{"a": 1,,}': (1, 9),
    '{,}': (1, 2),
    '[1,,2]': (1, 4),
    '{a: 1}': (1, 2),
    '{"a": 1} x': (1, 10),
    "[" * 200: (1, 102),
}  # fmt: skip


@pytest.mark.parametrize(("text", "place"), BROKEN.items(), ids=[repr(text)[:30] for text in BROKEN])
def test_a_broken_text_is_refused_with_its_place(text: str, place: tuple[int, int]) -> None:
    with pytest.raises(Broken) as caught:
        loads(text)
    assert (caught.value.line, caught.value.column) == place
    assert f"line {place[0]}, column {place[1]}" in str(caught.value)
    with pytest.raises(Broken):
        put(text, PATH, 1)


@pytest.mark.parametrize("text", ['{"mcp": null}', '{"mcp": []}', "[]", '"x"'])
def test_what_is_no_object_is_not_replaced_by_one(text: str) -> None:
    with pytest.raises(Broken, match="not an object"):
        put(text, PATH, 1)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**9), 10**9) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=12,
)
GAPS = st.sampled_from(["", " ", "\n", "\n  ", "\r\n\t", " // c }\n", "/* { */", ' /* \n " */ ', "// ,\n"])


@st.composite
def written(draw: st.DrawFn, value: Any) -> str:
    """Write a value with comments and trailing commas anywhere they may stand."""

    def gap() -> str:
        return draw(GAPS)

    def write(value: Any) -> str:
        if isinstance(value, dict):
            fields = cast(dict[str, Any], value)
            parts = [
                f"{gap()}{write(key)}{gap()}:{gap()}{write(each)}{gap()}" for key, each in fields.items()
            ]
        elif isinstance(value, list):
            parts = [f"{gap()}{write(each)}{gap()}" for each in cast(list[Any], value)]
        else:
            return msgspec.json.encode(value).decode()
        comma = "," + gap() if parts and draw(st.booleans()) else "" if parts else gap()
        both = "{}" if isinstance(value, dict) else "[]"
        return both[0] + ",".join(parts) + comma + both[1]

    return gap() + write(value) + gap()  # fmt: skip


OBJECTS = st.dictionaries(st.text(max_size=5) | st.just("mcp"), JSON, max_size=4)


@given(st.data(), JSON)
def test_what_was_written_is_read(data: st.DataObject, value: Any) -> None:
    assert loads(data.draw(written(value))) == value


@given(st.data(), OBJECTS, JSON)
def test_an_edit_sets_the_entry_and_keeps_every_other_byte(
    data: st.DataObject, config: dict[str, Any], value: Any
) -> None:
    text = data.draw(written(config))
    servers = config.get("mcp", {})
    if not isinstance(servers, dict):
        return
    edited = put(text, PATH, value)
    assert loads(edited) == {**config, "mcp": {**servers, "nexus-agents": value}}
    assert put(edited, PATH, value) == edited
    left = iter(edited)
    if "nexus-agents" not in servers:
        assert all(char in left for char in text if not char.isspace()), (
            "something is gone, or not in its order"
        )
