"""`{{ env.NAME }}`: where it is replaced, where not, and what is said when it cannot be."""

import pytest

from nexus.config import loads
from nexus.config.expand import expand
from nexus.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "expanded"),
    [
        ("{{ env.A }}", "1"),
        ("{{env.A}}", "1"),
        ("{{\tenv.A   }}", "1"),
        ("x{{ env.A }}y{{ env.B }}z", "x1y{{ env.A }}z"),
        ("{{ env.EMPTY }}", ""),
        (
            "${A} {{}} {{ env.A | x }} {{ env-A }} { env.A }",
            "${A} {{}} {{ env.A | x }} {{ env-A }} { env.A }",
        ),
        ("{{{ env.A }}}", "{1}"),
    ],
)
def test_strings_expand(text: str, expanded: str) -> None:
    result = expand({"k": text}, {"A": "1", "B": "{{ env.A }}", "EMPTY": ""})
    assert result.document == {"k": expanded}
    assert not result.failures


def test_strings_expand_at_every_depth_and_nothing_else_does() -> None:
    document: dict[str, object] = {"{{ env.A }}": [1, True, {"x": ["{{ env.A }}"]}]}
    assert expand(document, {"A": "v"}).document == {"{{ env.A }}": [1, True, {"x": ["v"]}]}


@pytest.mark.parametrize("key", ["meow.FOO", "env.A.B", "FOO", "env.", ".A", "env"])
def test_other_scopes_are_refused(key: str) -> None:
    result = expand({"k": f"{{{{ {key} }}}}"}, {"A": "1", "": "2"})
    message = f"right now only variables scoped with 'env.' are supported: `{key}`"
    assert result.failures == {("k",): f"Failed to expand dynamic string at path 'k': {message}"}


def test_a_missing_variable_is_named_with_its_place() -> None:
    result = expand({"mcp": {"headers": [{"value": "{{ env.NOPE }}"}]}}, {})
    assert list(result.failures.values()) == [
        "Failed to expand dynamic string at path 'mcp.headers[0].value': environment variable not found: `NOPE`"
    ]


def test_of_several_failures_in_one_string_the_last_is_told() -> None:
    (message,) = expand({"k": "{{ env.ONE }} {{ two }} {{ env.THREE }}"}, {}).failures.values()
    assert message.endswith("environment variable not found: `THREE`")


def test_disabled_sections_expand_too_and_all_failures_are_told() -> None:
    text = """
    [llm]
    enabled = false
    [llm.providers.a]
    type = "openai"
    api_key = "{{ env.ONE }}"
    base_url = "{{ env.TWO }}"
    """
    with pytest.raises(ConfigError) as caught:
        loads(text, {})
    paths = [problem.path for problem in caught.value.problems]
    assert paths == ["llm.providers.a.api_key", "llm.providers.a.base_url"]
    assert [problem.line for problem in caught.value.problems] == [6, 7]


def test_any_string_may_come_from_the_environment() -> None:
    text = """
    [llm]
    keep_alive = "{{ env.ALIVE }}"
    [llm.providers.a]
    type = "{{ env.TYPE }}"
    """
    config = loads(text, {"ALIVE": "2s", "TYPE": "echo"}).config
    assert config.llm.keep_alive == 2
    assert config.llm.providers["a"].type == "echo"
