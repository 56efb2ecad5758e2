"""Embeddings in OpenAI's shape, for providers with words of their own."""

import base64
import struct
from typing import Any

import msgspec
import pytest

from nexus.errors import InvalidRequest
from nexus.llm.canonical import EmbeddingResponse
from nexus.llm.protocols.openai import embeddings


def read(**fields: Any) -> embeddings.Asked:
    return embeddings.read_request(msgspec.json.encode({"model": "up/e", **fields}), "e-1")


@pytest.mark.parametrize(
    ("given", "inputs"),
    [
        ("a", ["a"]),
        (["a", "b"], ["a", "b"]),
        ([1, 2], [[1, 2]]),
        ([[1, 2], [3]], [[1, 2], [3]]),
        (["a", [3]], ["a", [3]]),
    ],
)
def test_every_form_of_input_is_a_list_of_inputs(given: object, inputs: object) -> None:
    asked = read(input=given, dimensions=8, input_type="query", user="u")
    assert asked.request.inputs == inputs
    assert (asked.request.model, asked.model, asked.request.dimensions) == ("e-1", "up/e", 8)
    assert asked.request.extras == {"input_type": "query", "user": "u"}


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({}, "input"),
        ({"input": []}, "input"),
        ({"input": {"a": 1}}, "input"),
        ({"input": ["a", True]}, "input.1"),
        ({"input": [["a"]]}, "input.0"),
        ({"input": ["a"] * 2049}, "input"),
        ({"input": "a", "encoding_format": "hex"}, "encoding_format"),
        ({"input": "a", "dimensions": -1}, "dimensions"),
    ],
)
def test_a_broken_rule_is_told_by_its_path(fields: dict[str, Any], path: str) -> None:
    with pytest.raises(InvalidRequest, match=rf"^{path.replace('.', '[.]')}: "):
        read(**fields)


RESPONSE = EmbeddingResponse(vectors=[[0.5, -1.25], [3.0, 0.1]], tokens=7)


def test_vectors_come_in_order_with_the_name_the_client_used() -> None:
    assert msgspec.json.decode(embeddings.write_response(RESPONSE, read(input="a"))) == {
        "object": "list",
        "data": [
            {"object": "embedding", "index": 0, "embedding": [0.5, -1.25]},
            {"object": "embedding", "index": 1, "embedding": [3.0, 0.1]},
        ],
        "model": "up/e",
        "usage": {"prompt_tokens": 7, "total_tokens": 7},
    }


def test_base64_holds_the_floats_lowest_byte_first() -> None:
    written = embeddings.write_response(RESPONSE, read(input="a", encoding_format="base64"))
    packed = msgspec.json.decode(written)["data"][1]["embedding"]
    assert struct.unpack("<2f", base64.b64decode(packed)) == pytest.approx((3.0, 0.1))


def test_the_official_types_take_the_answer() -> None:
    from openai.types import CreateEmbeddingResponse

    written = embeddings.write_response(RESPONSE, read(input="a"))
    found = CreateEmbeddingResponse.model_validate_json(written, strict=True)
    assert found.data[0].embedding == [0.5, -1.25]
