"""What one caller sees: names, groups, owners; each rule by itself."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nexus.config.mcp import McpServer, StdioServer, ToolAccess
from nexus.mcp.access import Access
from nexus.mcp.caller import NOBODY, Caller
from nexus.mcp.listing import Listing
from nexus.mcp.names import MAX_NAME, join, shorten
from nexus.mcp.toolbox import Toolbox
from nexus.mcp.uris import matches


def _server(
    allow: list[str] | None = None,
    deny: list[str] | None = None,
    **tools: tuple[list[str] | None, list[str] | None],
) -> McpServer:
    own = {name: ToolAccess(allow=_set(a), deny=_set(d)) for name, (a, d) in tools.items()}
    return StdioServer(cmd=("x",), allow=_set(allow), deny=_set(deny), tools=own)


def _set(groups: list[str] | None) -> frozenset[str] | None:
    return None if groups is None else frozenset(groups)


@pytest.mark.parametrize(
    ("allow", "deny", "group", "may"),
    [
        (None, None, None, True),
        (None, None, "a", True),
        ([], None, None, False),
        ([], None, "a", False),
        (["a"], None, "a", True),
        (["a"], None, "b", False),
        (["a"], None, None, False),
        (None, ["a"], "a", False),
        (None, ["a"], "b", True),
        (None, ["a"], None, True),
        (["a"], ["a"], "a", False),
        (None, [], "a", True),
    ],
)
def test_lists_decide(allow: list[str] | None, deny: list[str] | None, group: str | None, may: bool) -> None:
    access = Access({"s": _server(allow, deny)})
    assert access.server(Caller(group), "s") is may
    assert access.tool(Caller(group), "s", "t") is may


@pytest.mark.parametrize(
    ("allow", "deny", "group", "may"),
    [
        (["premium"], None, "basic", False),
        (["premium"], None, "premium", True),
        ([], None, "basic", False),
        (None, None, "nobody", True),
        (None, ["basic"], "basic", False),
    ],
)
def test_a_tool_with_rules_of_its_own_obeys_only_them(
    allow: list[str] | None, deny: list[str] | None, group: str, may: bool
) -> None:
    access = Access({"s": _server(["basic"], t=(allow, deny))})
    assert access.tool(Caller(group), "s", "t") is may


def test_where_groups_exist_who_has_none_sees_nothing() -> None:
    access = Access({"s": _server()}, frozenset({"a"}))
    assert access.tool(Caller("a"), "s", "t")
    assert not access.tool(Caller("b"), "s", "t")
    assert not access.tool(NOBODY, "s", "t")
    assert not access.server(NOBODY, "s")


def _listing(*tools: str) -> Listing:
    return Listing(
        tuple({"name": name, "inputSchema": {}} for name in tools),
        ({"name": "p"},),
        ({"uri": "x://1", "name": "one"},),
        ({"uriTemplate": "x://{id}", "name": "t"},),
    )


def _box(**listings: Listing) -> Toolbox:
    return Toolbox.build(listings, Access({name: _server() for name in listings}), NOBODY)


def test_tools_are_found_by_each_of_their_names() -> None:
    box = _box(**{"s" * 70: _listing("t")})
    full = join("s" * 70, "t")
    assert box.find(full) is box.find(shorten(full)) is box.tools[full]
    assert box.find("t") is None


def test_names_may_hold_the_separator_after_the_first() -> None:
    box = _box(a=_listing("b__c"))
    tool = box.find("a__b__c")
    assert tool is not None
    assert (tool.server, tool.name) == ("a", "b__c")


def test_the_first_server_by_name_has_a_uri() -> None:
    box = _box(a=_listing(), b=_listing())
    assert {one.server for one in box.resources.values()} == {"a"}
    assert [one.server for one in box.templates] == ["a", "b"]
    assert list(box.prompts) == ["a__p", "b__p"]


async def test_the_index_is_built_once() -> None:
    box = _box(a=_listing("read_file"))
    index = await box.index()
    assert index is await box.index()
    assert len(index) == 1


@given(st.text(min_size=1, max_size=200))
def test_short_names_are_short_stable_and_keep_their_beginning(name: str) -> None:
    short = shorten(name)
    assert len(short) <= MAX_NAME
    assert short == shorten(name)
    assert short[:55] == name[:55]
    if len(name) <= MAX_NAME:
        assert short == name


def test_long_names_that_begin_alike_stay_apart() -> None:
    names = {shorten(f"{'a' * 80}{at}") for at in range(1000)}
    assert len(names) == 1000


@pytest.mark.parametrize(
    ("template", "uri", "fits"),
    [
        ("test://template/{id}/data", "test://template/7/data", True),
        ("test://template/{id}/data", "test://template/7/8/data", False),
        ("test://template/{id}/data", "test://template/7/other", False),
        ("file:///{+path}", "file:///a/b/c.txt", True),
        ("file:///{path}", "file:///a/b", False),
        ("x://list{?page,size}", "x://list", True),
        ("x://list{?page,size}", "x://list?page=2", True),
        ("x://a.b", "x://aXb", False),
        ("x://{a}{b}", "x://ab", True),
        ("x://{a}{b}", "x://a", False),
        ("x://{a}-{b}", "x://1-2-3", True),
        ("x://{a}", "x://", False),
        ("x://y{#part}", "x://y#z", True),
        ("x://y{#part}", "x://y", False),
        ("x://y{.kind}", "x://y.json", True),
        ("x://y{/more}", "x://y/a/b", True),
        ("x://y{;more}", "x://y;a=1", True),
        ("x://y?a=1{&b}", "x://y?a=1&b=2", True),
        ("x://y?a=1{&b}", "x://y?a=1", True),
    ],
)
def test_uris_fit_their_templates(template: str, uri: str, fits: bool) -> None:
    assert matches(template, uri) is fits


@pytest.mark.timeout(5)
def test_no_template_is_slow_to_be_held_against_a_uri() -> None:
    assert not matches("x://" + "{+a}b" * 30, "x://" + "ab" * 4000 + "c")
    assert not matches("x://{+a}", "x://" + "a" * 1_000_000)


@given(st.text("ab-/?#.", max_size=12))
def test_templates_mean_what_the_same_regular_expression_means(uri: str) -> None:
    kinds = {
        "{a}": r"[^/?#]+",
        "{+a}": ".+",
        "{#a}": "#.+",
        "{.a}": r"\.[^/?#]+",
        "{/a}": "/[^?#]+",
        "{?a}": r"(\?.*)?",
    }
    for one, first in kinds.items():
        for other, second in kinds.items():
            assert matches(f"{one}-{other}", uri) is (re.fullmatch(f"{first}-{second}", uri) is not None)
