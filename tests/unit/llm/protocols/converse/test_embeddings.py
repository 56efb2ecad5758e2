from typing import Any

import msgspec
import pytest

from nexus.errors import Unrepresentable, UpstreamGarbage
from nexus.llm.canonical import EmbeddingRequest, Json
from nexus.llm.protocols.converse.embeddings import embedder
from nexus.llm.protocols.converse.families import base_model
from recorded import Exchange, exchanges, needed
from wires.converse import model_of

TITAN_1, TITAN_2 = "amazon.titan-embed-text-v1", "amazon.titan-embed-text-v2:0"
COHERE_3, COHERE_4 = "cohere.embed-english-v3", "us.cohere.embed-v4:0"
NOVA = "amazon.nova-2-multimodal-embeddings-v1:0"


def write(
    model: str, *inputs: str, dimensions: int | None = None, **extras: Json
) -> tuple[list[Any], list[str]]:
    request = EmbeddingRequest(model=model, inputs=inputs or ["a"], dimensions=dimensions, extras=extras)
    one = embedder(base_model(model))
    assert one is not None
    requests, losses = one.write_requests(request)
    return [msgspec.json.decode(body) for _, body in requests], [loss.path for loss in losses]


def as_asked(body: dict[str, Any], model: str) -> EmbeddingRequest:
    """Give what a client would have had to ask for a recorded request."""
    extras: dict[str, Json] = {
        name: body[name] for name in ("normalize", "input_type", "max_tokens") if name in body
    }
    text = body.get("singleEmbeddingParams")
    if text is not None:
        extras = {"embeddingPurpose": text["embeddingPurpose"], "truncate": text["text"]["truncationMode"]}
        return EmbeddingRequest(model=model, inputs=[text["text"]["value"]], extras=extras)
    if "truncate" in body:
        extras["truncate"] = body["truncate"]
    inputs = body.get("texts") or [body["inputText"]]
    dimensions = body.get("dimensions") or body.get("output_dimension")
    return EmbeddingRequest(model=model, inputs=inputs, dimensions=dimensions, extras=extras)


@needed
@pytest.mark.parametrize("exchange", exchanges("bedrock-invoke"), ids=str)
def test_a_recorded_exchange_is_written_and_read(exchange: Exchange) -> None:
    path: str = msgspec.json.decode(exchange.meta)["url_path"]
    asked = msgspec.json.decode(exchange.request)
    request = as_asked(asked, model_of(path))
    one = embedder(base_model(request.model))
    assert one is not None
    [(target, body)], losses = one.write_requests(request)
    assert (target, msgspec.json.decode(body), losses) == (path, asked, [])
    found = one.read_responses([exchange.answer])
    answer = msgspec.json.decode(exchange.answer)
    assert len(found.vectors) == len(request.inputs)
    assert len(found.vectors[0]) == (request.dimensions or len(found.vectors[0])) > 100
    assert found.tokens == answer.get("inputTextTokenCount", 0)


def test_titan_takes_one_text_at_a_time_in_order() -> None:
    assert write(TITAN_1, "a", "b") == ([{"inputText": "a"}, {"inputText": "b"}], [])
    one = embedder(TITAN_1)
    assert one is not None
    found = one.read_responses(
        [b'{"embedding":[1],"inputTextTokenCount":2}', b'{"embedding":[2],"inputTextTokenCount":3}']
    )
    assert (found.vectors, found.tokens) == ([[1], [2]], 5)


def test_cohere_takes_many_texts_at_once_but_not_all() -> None:
    bodies, _ = write(COHERE_3, *map(str, range(200)))
    assert [len(body["texts"]) for body in bodies] == [96, 96, 8]
    assert [text for body in bodies for text in body["texts"]] == [str(number) for number in range(200)]


def test_cohere_answers_in_two_forms() -> None:
    one = embedder("cohere.embed-v4:0")
    assert one is not None
    assert one.read_responses([b'{"embeddings":[[1],[2]]}', b'{"embeddings":{"float":[[3]]}}']).vectors == [
        [1],
        [2],
        [3],
    ]


@pytest.mark.parametrize(
    ("model", "settings", "told", "lost"),
    [
        (TITAN_2, {"dimensions": 256, "normalize": False}, {"dimensions": 256, "normalize": False}, []),
        (TITAN_1, {"dimensions": 256, "truncate": "END"}, {}, ["truncate", "dimensions"]),
        (
            "amazon.titan-embed-image-v1",
            {"dimensions": 384},
            {"embeddingConfig": {"outputEmbeddingLength": 384}},
            [],
        ),
        (COHERE_3, {}, {"input_type": "search_document"}, []),
        (
            COHERE_3,
            {"input_type": "query", "truncate": "end"},
            {"input_type": "search_query", "truncate": "END"},
            [],
        ),
        (COHERE_3, {"dimensions": 256}, {"input_type": "search_document"}, ["dimensions"]),
        (COHERE_4, {"dimensions": 256}, {"input_type": "search_document", "output_dimension": 256}, []),
        (TITAN_2, {"user": "u"}, {}, ["user"]),
    ],
)
def test_settings_are_told_in_the_words_of_each_family(
    model: str, settings: dict[str, Any], told: dict[str, Any], lost: list[str]
) -> None:
    [body], losses = write(model, **settings)
    assert {name: value for name, value in body.items() if name not in ("inputText", "texts")} == told
    assert losses == lost


def test_nova_is_told_purpose_length_and_cut() -> None:
    [body], losses = write(NOVA, "a", dimensions=384, input_type="query", truncate="start", user="u")
    assert body == {
        "taskType": "SINGLE_EMBEDDING",
        "singleEmbeddingParams": {
            "embeddingPurpose": "TEXT_RETRIEVAL",
            "embeddingDimension": 384,
            "text": {"value": "a", "truncationMode": "START"},
        },
    }
    assert losses == ["user"]
    assert write(NOVA)[0][0]["singleEmbeddingParams"]["embeddingPurpose"] == "GENERIC_INDEX"


def test_token_numbers_are_refused() -> None:
    one = embedder(TITAN_2)
    assert one is not None
    with pytest.raises(Unrepresentable, match=r"input\.1"):
        one.write_requests(EmbeddingRequest(model=TITAN_2, inputs=["a", [1, 2]]))


@pytest.mark.parametrize("model", [TITAN_2, COHERE_3, NOVA])
def test_what_is_no_list_of_vectors_is_garbage(model: str) -> None:
    one = embedder(model)
    assert one is not None
    with pytest.raises(UpstreamGarbage):
        one.read_responses([b'{"message":"x"}'])


def test_models_that_chat_make_no_embeddings() -> None:
    assert embedder("amazon.nova-pro-v1:0") is None
    assert embedder("cohere.command-r-v1:0") is None
