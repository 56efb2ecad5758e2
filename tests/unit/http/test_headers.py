"""Header rules: what each does, what none can do, and what passes a proxy."""

import re
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from nexus.config.llm import NEVER_FORWARDED, HeaderRule, ProviderConfig
from nexus.http.headers import CONNECTION, CREDENTIALS, DENIED, NEGOTIATION, Header, Rules, end_to_end, merge

read = TypeAdapter[list[HeaderRule]](list[HeaderRule]).validate_python
CLIENT = [
    (b"host", b"gateway"),
    (b"x-a", b"1"),
    (b"x-many", b"first"),
    (b"x-b", b"2"),
    (b"x-many", b"second"),
    (b"x-empty", b""),
    (b"authorization", b"Bearer secret"),
    (b"accept", b"text/html"),
]


def forward(**more: str) -> dict[str, str]:
    return {"rule": "forward", **more}


def insert(name: str, value: str) -> dict[str, str]:
    return {"rule": "insert", "name": name, "value": value}


def remove(**more: str) -> dict[str, str]:
    return {"rule": "remove", **more}


def duplicate(**more: str) -> dict[str, str]:
    return {"rule": "rename_duplicate", **more}


def run(rules: list[dict[str, str]], client: list[Header] = CLIENT) -> list[Header]:
    return Rules(read(rules), {}).apply(client)


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        ([], []),
        ([forward(name="X-A")], [(b"x-a", b"1")]),
        ([forward(name="X-None")], []),
        ([forward(name="X-None", default="d")], [(b"x-none", b"d")]),
        ([forward(name="X-A", default="d")], [(b"x-a", b"1")]),
        ([forward(name="X-Empty", default="d")], [(b"x-empty", b"")]),
        ([forward(name="X-A", rename="Y")], [(b"y", b"1")]),
        ([forward(name="X-None", default="d", rename="Y")], [(b"y", b"d")]),
        ([forward(name="x-many")], [(b"x-many", b"first"), (b"x-many", b"second")]),
        ([forward(name="x-many", rename="Y")], [(b"y", b"first"), (b"y", b"second")]),
        ([forward(pattern="^X-[ab]$")], [(b"x-a", b"1"), (b"x-b", b"2")]),
        ([forward(pattern="MANY")], [(b"x-many", b"first"), (b"x-many", b"second")]),
        ([forward(pattern="^x-[ab]$", rename="Y")], [(b"y", b"2")]),
        ([forward(pattern="^none$", default="d", rename="Y")], []),
        ([insert("X-New", "v")], [(b"x-new", b"v")]),
        ([insert("X-New", "v"), insert("x-new", "w")], [(b"x-new", b"w")]),
        ([insert("X-New", "é")], [(b"x-new", "é".encode())]),
        ([insert("X-A", "mine"), forward(name="X-A")], [(b"x-a", b"1")]),
        ([insert("X-None", "mine"), forward(name="X-None")], []),
        ([forward(name="X-A"), insert("X-A", "mine")], [(b"x-a", b"mine")]),
        (
            [insert("x-many", "mine"), forward(pattern="^x-many$")],
            [(b"x-many", b"first"), (b"x-many", b"second")],
        ),
        ([insert("Y", "mine"), forward(name="x-many", rename="Y")], [(b"y", b"first"), (b"y", b"second")]),
        ([remove(name="X-A")], []),
        ([remove(name="X-A"), forward(name="X-A")], [(b"x-a", b"1")]),
        ([forward(pattern="^x-"), remove(pattern="^X-(many|empty)"), remove(name="X-B")], [(b"x-a", b"1")]),
        ([duplicate(name="X-A", rename="Y")], [(b"x-a", b"1"), (b"y", b"1")]),
        ([duplicate(name="X-None", rename="Y")], []),
        ([duplicate(name="X-None", rename="Y", default="d")], [(b"x-none", b"d"), (b"y", b"d")]),
        ([duplicate(name="X-A", rename="X-A")], [(b"x-a", b"1")]),
    ],
)
def test_what_each_rule_does(rules: list[dict[str, str]], expected: list[Header]) -> None:
    assert run(rules) == expected


def test_forwarding_all_and_then_one_under_another_name_leaves_only_that() -> None:
    client = [(b"x-source", b"s"), (b"x-other", b"o")]
    rules = [forward(pattern="X-.*"), forward(name="X-Source", rename="Y-Source")]
    assert run(rules, client) == [(b"x-other", b"o"), (b"y-source", b"s")]


@pytest.mark.parametrize("name", sorted(NEVER_FORWARDED))
@pytest.mark.parametrize(
    "rule",
    [
        forward(name="$"),
        forward(name="$", default="d"),
        forward(name="$", rename="X-Y", default="d"),
        forward(name="X-A", rename="$"),
        forward(pattern="^$"),
        forward(pattern="^$", rename="X-Y"),
        forward(pattern="^x-a", rename="$"),
        duplicate(name="$", rename="X-Y", default="d"),
    ],
)
def test_what_belongs_to_one_message_or_connection_is_never_forwarded(
    rule: dict[str, str], name: str
) -> None:
    about = {key: value.replace("$", name.upper()) for key, value in rule.items()}
    assert run([about], [*CLIENT, (name.encode(), b"v")]) == []


@pytest.mark.parametrize("name", sorted(NEVER_FORWARDED))
def test_a_second_name_is_denied_alone(name: str) -> None:
    assert run([duplicate(name="X-A", rename=name)]) == [(b"x-a", b"1")]


@pytest.mark.parametrize("name", sorted(CREDENTIALS - DENIED))
def test_credentials_are_forwarded_by_name_and_by_no_pattern(name: bytes) -> None:
    client = [(name, b"secret")]
    assert run([forward(pattern=".*")], client) == []
    assert run([forward(pattern=re.escape(name.decode()), rename="X-Y")], client) == []
    assert run([forward(name=name.decode())], client) == [(name, b"secret")]


@pytest.mark.parametrize(
    "name", ["Content-Type", "Content-Length", "Host", "Transfer-Encoding", "Connection", "Expect"]
)
def test_no_rule_sets_what_frames_the_message(name: str) -> None:
    assert run([insert(name, "x")]) == []


@pytest.mark.parametrize("name", ["Accept", "Accept-Encoding", "Origin", "Authorization", "User-Agent"])
def test_an_insert_sets_anything_else(name: str) -> None:
    assert run([insert(name, "x")]) == [(name.lower().encode(), b"x")]


def test_a_header_named_by_connection_is_for_the_gateway_alone() -> None:
    client = [(b"connection", b"close, X-A"), (b"x-a", b"1"), (b"x-b", b"2")]
    assert run([forward(pattern="^x-")], client) == [(b"x-b", b"2")]
    assert run([forward(name="x-a")], client) == []


def provider(**more: object) -> ProviderConfig:
    return ProviderConfig.model_validate({"type": "openai", **more})


def test_without_rules_there_is_nothing_to_run() -> None:
    assert Rules.of(provider()) is None
    assert Rules.of(provider(models={"m": {"rename": "n"}})) is None
    assert Rules.of(provider(models={"m": {"headers": [insert("A", "b")]}})) is not None


def test_rules_of_a_model_run_after_those_of_its_provider() -> None:
    models = {"alias": {"rename": "real", "headers": [remove(name="X-A"), insert("X-B", "model")]}}
    rules = Rules.of(provider(headers=[forward(name="X-A"), insert("X-B", "provider")], models=models))
    assert rules is not None
    assert rules.apply(CLIENT, "alias") == [(b"x-b", b"model")]
    for other in ("real", "up/alias", "", "ALIAS"):
        assert rules.apply(CLIENT, other) == [(b"x-a", b"1"), (b"x-b", b"provider")]


def test_rules_of_a_model_alone_touch_no_other() -> None:
    rules = Rules.of(provider(models={"m": {"headers": [insert("A", "b")]}}))
    assert rules is not None
    assert (rules.apply(CLIENT, "m"), rules.apply(CLIENT, "n")) == ([(b"a", b"b")], [])


def test_rules_can_work_on_headers_that_go_on_anyway() -> None:
    rules = Rules(read([remove(name="X-A"), forward(name="X-B", rename="Y"), insert("Z", "z")]), {})
    begun = [(b"x-a", b"1"), (b"x-b", b"2"), (b"x-many", b"first"), (b"x-many", b"second")]
    rest = [(b"x-many", b"first"), (b"x-many", b"second")]
    assert rules.apply(CLIENT, begun=begun) == [*rest, (b"y", b"2"), (b"z", b"z")]
    only_inserts = Rules(read([insert("Z", "z")]), {})
    assert only_inserts.apply(CLIENT, begun=[(b"x-a", b"1")]) == [(b"x-a", b"1"), (b"z", b"z")]
    assert only_inserts.apply(CLIENT) == [(b"z", b"z")]


NAMES = st.sampled_from(
    [*sorted(NEVER_FORWARDED), *(name.decode() for name in sorted(CREDENTIALS)), "x-a", "x-b", "x-c"]
)
PATTERNS = st.sampled_from([".*", "^x-", "a", "auth|cookie", "^x-a$", "te"])
RuleTables = list[dict[str, str]]
RULES = st.lists(
    st.one_of(
        st.builds(forward, name=NAMES),
        st.builds(forward, name=NAMES, rename=NAMES, default=st.just("default")),
        st.builds(forward, pattern=PATTERNS),
        st.builds(forward, pattern=PATTERNS, rename=NAMES),
        st.builds(remove, name=NAMES),
        st.builds(remove, pattern=PATTERNS),
        st.builds(duplicate, name=NAMES, rename=NAMES, default=st.just("default")),
    ),
    max_size=6,
)
CLIENTS = st.lists(
    st.tuples(NAMES.map(str.encode), st.text(string.ascii_letters, max_size=3).map(str.encode)), max_size=8
)


@given(RULES, CLIENTS)
def test_no_rules_let_a_denied_header_out(rules: RuleTables, client: list[Header]) -> None:
    assert not {name for name, _ in run(rules, client)} & DENIED


@given(RULES, CLIENTS)
def test_a_secret_goes_out_only_by_its_name(rules: RuleTables, client: list[Header]) -> None:
    named = {rule["name"].encode() for rule in rules if "name" in rule and rule["rule"] != "remove"}
    marked = [(name, b"secret of " + name) for name, _ in client]
    for _, value in run(rules, marked):
        origin = value.removeprefix(b"secret of ")
        assert origin not in CREDENTIALS or origin in named


@given(RULES, CLIENTS)
def test_removing_acts_on_nothing_but_what_rules_have_set(rules: RuleTables, client: list[Header]) -> None:
    removing = [rule for rule in rules if rule["rule"] == "remove"]
    setting = [rule for rule in rules if rule["rule"] != "remove"]
    before = list(client)
    assert run(removing, client) == []
    assert run([*removing, *setting], client) == run(setting, client)
    assert client == before


@given(RULES, RULES, CLIENTS)
def test_the_order_of_rules_decides(first: RuleTables, second: RuleTables, client: list[Header]) -> None:
    half = run(first, client)
    assert run([*first, *second], client) == Rules(read(second), {}).apply(client, begun=half)


OURS = b"authorization: Bearer ours\r\nAPI-Key: k\r\naccept: */*\r\n"


def test_a_header_set_by_rule_takes_the_place_of_ours() -> None:
    assert merge(OURS, []) is OURS
    assert merge(OURS, [(b"x", b"1")]) == b"x: 1\r\n" + OURS
    assert merge(OURS, [(b"authorization", b"a"), (b"api-key", b"b")]) == (
        b"authorization: a\r\napi-key: b\r\naccept: */*\r\n"
    )
    assert merge(b"", [(b"x", b"1"), (b"x", b"2")]) == b"x: 1\r\nx: 2\r\n"


@pytest.mark.parametrize("value", [b"a\r\nx: y", b"a\nx: y", b"a\rb", b"a\0b"])
def test_no_value_becomes_another_header(value: bytes) -> None:
    with pytest.raises(ValueError, match="line break"):
        merge(OURS, [(b"x", value)])


def test_the_lists_are_those_of_the_contract() -> None:
    assert len(DENIED) == 21
    assert len(DENIED - NEGOTIATION) == 15
    assert DENIED - NEGOTIATION < CONNECTION


def test_what_belongs_to_a_connection_does_not_pass_a_proxy() -> None:
    headers = [(name, b"v") for name in sorted(CONNECTION | NEGOTIATION | {b"x-a", b"cookie"})]
    assert {name for name, _ in end_to_end(headers)} == NEGOTIATION | {b"x-a", b"cookie"}
    assert {name for name, _ in end_to_end(headers, {b"cookie", b"x-a"})} == NEGOTIATION


def test_a_proxy_keeps_order_and_repetition() -> None:
    headers = [
        (b"b", b"1"),
        (b"connection", b"Close ,x-hop"),
        (b"a", b"2"),
        (b"X-Hop".lower(), b"3"),
        (b"b", b"4"),
    ]
    assert end_to_end(iter(headers)) == [(b"b", b"1"), (b"a", b"2"), (b"b", b"4")]
