"""Embeddings of the models behind Bedrock, by InvokeModel: every family has words of its own.

https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-titan-embed-text.html
https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-embed.html
https://docs.aws.amazon.com/nova/latest/userguide/embeddings-schema.html
"""

from collections.abc import Callable, Iterable, Mapping, Sequence

import msgspec

from nexus.errors import Unrepresentable, UpstreamGarbage
from nexus.llm.canonical import EmbeddingRequest, EmbeddingResponse, Json, Loss
from nexus.llm.protocols.converse.wire import path_of

_MOST = 96
"""Texts in one request to Cohere."""
_COHERE_TASKS = {
    "query": "search_query",
    "document": "search_document",
    "passage": "search_document",
}
_NOVA_TASKS = {
    "query": "TEXT_RETRIEVAL",
    "search_query": "TEXT_RETRIEVAL",
    "document": "GENERIC_INDEX",
    "passage": "GENERIC_INDEX",
    "search_document": "GENERIC_INDEX",
    "classification": "CLASSIFICATION",
    "clustering": "CLUSTERING",
}
"""What other vendors call the purpose, under `input_type`."""
_encode = msgspec.json.Encoder().encode


class _ByType(msgspec.Struct):
    float: list[list[float]]


class _Typed(msgspec.Struct):
    embedding: list[float]


class _Titan(msgspec.Struct, rename="camel"):
    embedding: list[float]
    input_text_token_count: int = 0


class _Cohere(msgspec.Struct):
    embeddings: list[list[float]] | _ByType


class _Nova(msgspec.Struct):
    embeddings: list[_Typed]


_decode_titan = msgspec.json.Decoder(_Titan).decode
_decode_cohere = msgspec.json.Decoder(_Cohere).decode
_decode_nova = msgspec.json.Decoder(_Nova).decode

_Written = tuple[Sequence[Json], set[str]]
"""Bodies, and the names of the settings that were told in them."""


class Embedder:
    """Asks one family of models for embeddings."""

    def __init__(
        self,
        write: Callable[[EmbeddingRequest, list[str]], _Written],
        read: Callable[[bytes], tuple[Sequence[Sequence[float]], int]],
    ) -> None:
        self._write = write
        self._read = read

    def write_requests(self, request: EmbeddingRequest) -> tuple[Sequence[tuple[str, bytes]], Sequence[Loss]]:
        """Write as many requests as the family needs."""
        texts: list[str] = []
        for number, text in enumerate(request.inputs):
            if not isinstance(text, str):
                raise Unrepresentable(
                    f"input.{number}", "models of Bedrock embed texts, not the numbers of tokens"
                )
            texts.append(text)
        bodies, told = self._write(request, texts)
        given: list[str] = [*request.extras, *(["dimensions"] if request.dimensions is not None else [])]
        losses = [Loss(name, f"{request.model} has no such setting") for name in given if name not in told]
        path = f"{path_of(request.model)}/invoke"
        return [(path, _encode(body)) for body in bodies], losses

    def read_responses(self, bodies: Sequence[bytes]) -> EmbeddingResponse:
        """Read the answers to all of them."""
        try:
            answers = [self._read(body) for body in bodies]
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            raise UpstreamGarbage("Bedrock answered with something that is no list of embeddings") from None
        vectors = [vector for found, _ in answers for vector in found]
        return EmbeddingResponse(vectors=vectors, tokens=sum(tokens for _, tokens in answers))


def embedder(base: str) -> Embedder | None:
    """Give how a model is asked for embeddings, None if it makes none."""
    return next((one for start, one in _FAMILIES.items() if base.startswith(start)), None)


def _write_titan_1(request: EmbeddingRequest, texts: list[str]) -> _Written:
    return [{"inputText": text} for text in texts], set()


def _write_titan_2(request: EmbeddingRequest, texts: list[str]) -> _Written:
    settings: dict[str, Json] = {}
    if request.dimensions is not None:
        settings["dimensions"] = request.dimensions
    if isinstance(request.extras.get("normalize"), bool):
        settings["normalize"] = request.extras["normalize"]
    return [{"inputText": text, **settings} for text in texts], {*settings}


def _write_titan_image(request: EmbeddingRequest, texts: list[str]) -> _Written:
    if request.dimensions is None:
        return [{"inputText": text} for text in texts], set()
    config = {"outputEmbeddingLength": request.dimensions}
    return [{"inputText": text, "embeddingConfig": config} for text in texts], {"dimensions"}


def _write_cohere_3(request: EmbeddingRequest, texts: list[str]) -> _Written:
    task = request.extras.get("input_type")
    task = task if isinstance(task, str) else "search_document"
    settings: dict[str, Json] = {"input_type": _COHERE_TASKS.get(task.lower(), task)}
    if isinstance(cut := request.extras.get("truncate"), str):
        settings["truncate"] = cut.upper()
    return [{"texts": some, **settings} for some in _batches(texts)], {*settings}


def _write_cohere_4(request: EmbeddingRequest, texts: list[str]) -> _Written:
    bodies, told = _write_cohere_3(request, texts)
    settings: dict[str, Json] = {}
    if request.dimensions is not None:
        settings["output_dimension"] = request.dimensions
        told = told | {"dimensions"}
    if isinstance(request.extras.get("max_tokens"), int):
        settings["max_tokens"] = request.extras["max_tokens"]
    return [{**_fields(body), **settings} for body in bodies], told | {*settings}


def _write_nova(request: EmbeddingRequest, texts: list[str]) -> _Written:
    purpose, told = _purpose(request.extras)
    settings: dict[str, Json] = {"embeddingPurpose": purpose}
    if request.dimensions is not None:
        settings["embeddingDimension"] = request.dimensions
        told = told | {"dimensions"}
    cut = request.extras.get("truncate")
    if isinstance(cut, str):
        told = told | {"truncate"}
    mode = cut.upper() if isinstance(cut, str) else "NONE"
    return [
        {
            "taskType": "SINGLE_EMBEDDING",
            "singleEmbeddingParams": {**settings, "text": {"value": text, "truncationMode": mode}},
        }
        for text in texts
    ], told


def _purpose(extras: Mapping[str, Json]) -> tuple[str, set[str]]:
    for name in ("embeddingPurpose", "embedding_purpose", "input_type"):
        if isinstance(value := extras.get(name), str):
            return _NOVA_TASKS.get(value.lower(), value.upper()), {name}
    return "GENERIC_INDEX", set()


def _batches(texts: list[str]) -> Iterable[list[str]]:
    return [texts[begin : begin + _MOST] for begin in range(0, len(texts), _MOST)]


def _fields(body: Json) -> Mapping[str, Json]:
    return msgspec.convert(body, dict[str, Json])


def _read_titan(body: bytes) -> tuple[Sequence[Sequence[float]], int]:
    answer = _decode_titan(body)
    return [answer.embedding], answer.input_text_token_count


def _read_cohere(body: bytes) -> tuple[Sequence[Sequence[float]], int]:
    found = _decode_cohere(body).embeddings
    return found.float if isinstance(found, _ByType) else found, 0


def _read_nova(body: bytes) -> tuple[Sequence[Sequence[float]], int]:
    return [one.embedding for one in _decode_nova(body).embeddings], 0


_FAMILIES = {
    "amazon.titan-embed-text-v2": Embedder(_write_titan_2, _read_titan),
    "amazon.titan-embed-image": Embedder(_write_titan_image, _read_titan),
    "amazon.titan-embed": Embedder(_write_titan_1, _read_titan),
    "amazon.nova-2-multimodal-embeddings": Embedder(_write_nova, _read_nova),
    "cohere.embed-v4": Embedder(_write_cohere_4, _read_cohere),
    "cohere.embed": Embedder(_write_cohere_3, _read_cohere),
}
