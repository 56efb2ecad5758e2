"""Embeddings of Gemini."""

from typing import Any

import msgspec
import pytest

from nexus.errors import Unrepresentable, UpstreamGarbage
from nexus.llm.canonical import EmbeddingRequest
from nexus.llm.protocols.google.embeddings import GoogleEmbedder

MODEL = "gemini-embedding-001"
EMBEDDER = GoogleEmbedder()


def write(*inputs: Any, **more: Any) -> tuple[list[tuple[str, dict[str, Any]]], list[str]]:
    asked, losses = EMBEDDER.write_requests(EmbeddingRequest(model=MODEL, inputs=inputs, **more))
    return [(path, msgspec.json.decode(body)) for path, body in asked], [loss.path for loss in losses]


def entry(**more: Any) -> dict[str, Any]:
    (asked,), _ = write("a", **more)
    (found,) = asked[1]["requests"]
    return found


def test_texts_are_asked_for_in_one_batch_and_order() -> None:
    (asked,), losses = write("a", "b")
    assert asked == (
        f"/models/{MODEL}:batchEmbedContents",
        {
            "requests": [
                {"model": f"models/{MODEL}", "content": {"parts": [{"text": "a"}]}},
                {"model": f"models/{MODEL}", "content": {"parts": [{"text": "b"}]}},
            ]
        },
    )
    assert losses == []


def test_more_texts_than_a_batch_holds_are_several() -> None:
    asked, _ = write(*(str(number) for number in range(201)))
    assert [len(body["requests"]) for _, body in asked] == [100, 100, 1]
    assert asked[2][1]["requests"][0]["content"]["parts"] == [{"text": "200"}]


def test_dimensions_are_sent() -> None:
    assert entry(dimensions=256)["outputDimensionality"] == 256


@pytest.mark.parametrize(
    ("extras", "task"),
    [
        ({"input_type": "query"}, "RETRIEVAL_QUERY"),
        ({"input_type": "search_document"}, "RETRIEVAL_DOCUMENT"),
        ({"task_type": "semantic_similarity"}, "SEMANTIC_SIMILARITY"),
        ({"taskType": "CODE_RETRIEVAL_QUERY"}, "CODE_RETRIEVAL_QUERY"),
    ],
)
def test_the_task_is_said_in_googles_words(extras: dict[str, str], task: str) -> None:
    assert entry(extras=extras)["taskType"] == task


def test_a_title_is_sent_and_what_gemini_lacks_is_declared() -> None:
    assert entry(extras={"title": "t"})["title"] == "t"
    assert write("a", extras={"user": "u", "input_type": "image", "title": 5})[1] == [
        "user",
        "input_type",
        "title",
    ]


def test_token_numbers_are_refused() -> None:
    with pytest.raises(Unrepresentable, match=r"input\.1"):
        write("a", [1, 2])


def test_vectors_of_several_answers_stay_in_order() -> None:
    first = b'{"embeddings":[{"values":[0.5,1]}],"usageMetadata":{"promptTokenCount":3}}'
    second = b'{"embeddings":[{"values":[2.0]}],"usageMetadata":{"promptTokenCount":4}}'
    response = EMBEDDER.read_responses([first, second, b'{"embeddings":[]}'])
    assert response.vectors == [[0.5, 1.0], [2.0]]
    assert response.tokens == 7


@pytest.mark.parametrize("garbage", [b"", b"{}", b'{"embeddings":[{"values":["a"]}]}'])
def test_garbage_is_named(garbage: bytes) -> None:
    with pytest.raises(UpstreamGarbage):
        EMBEDDER.read_responses([garbage])
