"""Names of tools too long for a provider."""

from hypothesis import given
from hypothesis import strategies as st

from nexus.llm.canonical import ChatRequest, FunctionTool, HostedTool, Text, ToolCall, ToolChoice, Turn
from nexus.llm.protocols.tool_names import shorten, shorten_all

LONG = "mcp__a_server_with_quite_a_name__" + "x" * 60


def request(*names: str) -> ChatRequest:
    return ChatRequest(
        protocol="anthropic",
        model="m",
        turns=[Turn("assistant", [Text("x"), *[ToolCall("a", name, "{}") for name in names]])],
        tools=[
            HostedTool(protocol="anthropic", kind="k", raw={}),
            *[FunctionTool(name=name) for name in names],
        ],
        tool_choice=ToolChoice("one", names[0], tuple(names)),
    )


def test_short_names_cost_nothing() -> None:
    asked = request("a", "b")
    assert shorten_all(asked, 64) == (asked, {})
    assert shorten_all(asked, 64)[0] is asked


def test_a_long_name_is_short_everywhere_and_known_by_both() -> None:
    sent, back = shorten_all(request(LONG, "b"), 64)
    (short,) = back
    assert (len(short), back[short]) == (64, LONG)
    assert [tool.name for tool in sent.tools if isinstance(tool, FunctionTool)] == [short, "b"]
    assert [part.name for part in sent.turns[0].parts if isinstance(part, ToolCall)] == [short, "b"]
    assert sent.tool_choice == ToolChoice("one", short, (short, "b"))


@given(st.text("ab_", min_size=1, max_size=200), st.text("ab_", min_size=1, max_size=200))
def test_different_names_stay_different_and_the_same_the_same(one: str, other: str) -> None:
    assert (shorten(one, 64) == shorten(other, 64)) == (one == other)
    assert len(shorten(one, 64)) <= 64


def test_a_long_name_is_short_also_where_its_tool_is_gone() -> None:
    asked = request(LONG)
    asked.tools, asked.tool_choice = (), None
    sent, back = shorten_all(asked, 64)
    assert [part.name for part in sent.turns[0].parts if isinstance(part, ToolCall)] == list(back)
