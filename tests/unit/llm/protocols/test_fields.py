import re
from unittest import mock

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nexus.errors import InvalidRequest
from nexus.llm.protocols import fields

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=6),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "model", "é", 'b"c', ""]), inner)
    ),
    max_leaves=8,
)
KEYS = st.sampled_from(["a", "model", "é", 'b"c', "models", ""])
SPACE = st.sampled_from(["", " ", "\n ", "\t", "\r\n"])


@st.composite
def objects(draw: st.DrawFn) -> tuple[bytes, dict[str, object]]:
    """An object written with any spacing, and what it means."""
    content: dict[str, object] = draw(st.dictionaries(KEYS, JSON))
    gap = lambda: draw(SPACE)  # noqa: E731
    items = [
        f"{gap()}{msgspec.json.encode(key).decode()}{gap()}:{gap()}{msgspec.json.encode(value).decode()}{gap()}"
        for key, value in content.items()
    ]
    return (gap() + "{" + ",".join(items) + gap() + "}" + gap()).encode(), content


@given(objects())
def test_replace_changes_the_value_and_no_other_byte(written: tuple[bytes, dict[str, object]]) -> None:
    body, content = written
    after = fields.replace(body, ("model",), b'"\\u0000new"')
    if not isinstance(content.get("model"), str) or any(
        '"' in key for key in list(content)[: list(content).index("model")]
    ):
        assert after == body or msgspec.json.decode(after) == content | {"model": "\0new"}
        return
    assert msgspec.json.decode(after) == content | {"model": "\0new"}
    span = fields.locate(body, ("model",))
    assert span is not None
    assert body[: span[0]] == after[: span[0]]
    assert after.endswith(body[span[1] :])


def found(body: bytes) -> tuple[int, int] | str | None:
    try:
        return fields.locate(body, ("model",))
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        return type(error).__name__


@given(objects(), st.integers(0, 40), st.sampled_from([b"", b'"', b"{", b"\xff", b"\\", b',"model":1', b"x"]))
def test_the_short_way_to_a_model_leads_where_the_long_one_does(
    written: tuple[bytes, dict[str, object]], at: int, put: bytes
) -> None:
    for body in (written[0], written[0][:at] + put + written[0][at:]):
        with mock.patch.object(fields, "_PLAIN", re.compile(b"(?!)")):
            long = found(body)
        if body.count(b'"model"') == 1 or long is None:
            assert found(body) == long
        else:  # of doubled ones neither way changes any, or both the same
            assert found(body) in (long, None)


@given(objects())
def test_split_and_join_keep_the_meaning_and_the_text_of_values(
    written: tuple[bytes, dict[str, object]],
) -> None:
    body, content = written
    assert msgspec.json.decode(fields.join(fields.split(body))) == content


def test_numbers_keep_their_text_and_keys_their_order() -> None:
    body = b'{"z": 0.10, "a": 1e3, "model": "m", "n": {"x": 1.50 , "y":[ ]}}'
    assert fields.join(fields.split(body)) == b'{"z":0.10,"a":1e3,"model":"m","n":{"x": 1.50 , "y":[ ]}}'


def test_a_doubled_model_leaves_as_one() -> None:
    split = fields.split(b'{"model":"cheap","model":"dear"}')
    assert fields.text(split, "model") == "dear"
    assert fields.join(split) == b'{"model":"dear"}'


def test_replace_follows_a_path() -> None:
    body = b'{"model": "outer", "response": {"model" : "inner"}}'
    assert (
        fields.replace(body, ("response", "model"), b'"x"')
        == b'{"model": "outer", "response": {"model" : "x"}}'
    )


def test_replace_is_not_fooled_by_the_same_words_inside_a_value() -> None:
    body = b'{"text":"\\"model\\":\\"a\\"","deep":{"model":"a"},"model":"a"}'
    assert (
        fields.replace(body, ("model",), b'"b"')
        == b'{"text":"\\"model\\":\\"a\\"","deep":{"model":"a"},"model":"b"}'
    )


@pytest.mark.parametrize(
    "body", [b"[]", b"1", b'{"model":1}', b'{"model":null}', b"{}", b'{"deep":{"model":"a"}}']
)
def test_replace_leaves_what_has_no_model_in_that_place(body: bytes) -> None:
    assert fields.replace(body, ("model",), b'"b"') == body


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"", "empty"),
        (b"nonsense", "malformed"),
        (b'{"model":"m"', "truncated"),
        (b"[]", "Expected `object`"),
        (b'{"model":"m"} x', "trailing"),
        (b'{"a":' + b"[" * 100_000, ""),
    ],
)
def test_a_body_that_is_no_object_is_refused(body: bytes, says: str) -> None:
    with pytest.raises(InvalidRequest, match=r"Failed to parse request body: .*" + says):
        fields.split(body)


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"{}", "missing field `model`"),
        (b'{"model":1}', "`model` must be a string"),
        (b'{"model":null}', "a string"),
    ],
)
def test_the_model_has_to_be_a_string(body: bytes, says: str) -> None:
    with pytest.raises(InvalidRequest, match=says):
        fields.text(fields.split(body), "model")


def test_stream_is_a_boolean_or_null() -> None:
    assert fields.flag(fields.split(b'{"stream":true}'), "stream")
    assert not fields.flag(fields.split(b'{"stream":null}'), "stream")
    assert not fields.flag(fields.split(b"{}"), "stream")
    with pytest.raises(InvalidRequest, match="`stream` must be true or false"):
        fields.flag(fields.split(b'{"stream":"yes"}'), "stream")
