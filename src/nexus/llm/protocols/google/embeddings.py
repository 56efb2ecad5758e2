"""Embeddings.

https://ai.google.dev/api/embeddings#method:-models.batchembedcontents
"""

from collections.abc import Sequence

import msgspec

from nexus.errors import Unrepresentable, UpstreamGarbage
from nexus.llm.canonical import EmbeddingRequest, EmbeddingResponse, Json, Loss
from nexus.llm.protocols.google import names

_MOST = 100
"""Texts in one request."""
_TASKS = {
    "query": "RETRIEVAL_QUERY",
    "search_query": "RETRIEVAL_QUERY",
    "document": "RETRIEVAL_DOCUMENT",
    "passage": "RETRIEVAL_DOCUMENT",
    "search_document": "RETRIEVAL_DOCUMENT",
    "classification": "CLASSIFICATION",
    "clustering": "CLUSTERING",
}
"""What other vendors call the task, under `input_type`."""
_OWN_TASKS = frozenset(
    (
        "RETRIEVAL_QUERY",
        "RETRIEVAL_DOCUMENT",
        "SEMANTIC_SIMILARITY",
        "CLASSIFICATION",
        "CLUSTERING",
        "QUESTION_ANSWERING",
        "FACT_VERIFICATION",
        "CODE_RETRIEVAL_QUERY",
    )
)
_TASK_FIELDS = ("input_type", "task_type", "taskType")
_encode = msgspec.json.Encoder().encode


class _Vector(msgspec.Struct):
    values: list[float]


class _Usage(msgspec.Struct):
    promptTokenCount: int = 0


class _Answer(msgspec.Struct):
    embeddings: list[_Vector]
    usageMetadata: _Usage | None = None


_decode = msgspec.json.Decoder(_Answer).decode


class GoogleEmbedder:
    """Asks for embeddings, a batch of texts at a time."""

    def write_requests(self, request: EmbeddingRequest) -> tuple[Sequence[tuple[str, bytes]], Sequence[Loss]]:
        """Write as many requests as the texts need."""
        settings, losses = _write_settings(request)
        entries: list[Json] = []
        for number, text in enumerate(request.inputs):
            if not isinstance(text, str):
                raise Unrepresentable(f"input.{number}", "Gemini embeds texts, not the numbers of tokens")
            entries.append({**settings, "content": {"parts": [{"text": text}]}})
        path = names.path(request.model, "batchEmbedContents")
        starts = range(0, len(entries), _MOST)
        return [(path, _encode({"requests": entries[i : i + _MOST]})) for i in starts], losses

    def read_responses(self, bodies: Sequence[bytes]) -> EmbeddingResponse:
        """Read the answers to all of them."""
        try:
            answers = [_decode(body) for body in bodies]
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            raise UpstreamGarbage("Google answered with something that is no list of embeddings") from None
        vectors = [vector.values for answer in answers for vector in answer.embeddings]
        tokens = sum(answer.usageMetadata.promptTokenCount for answer in answers if answer.usageMetadata)
        return EmbeddingResponse(vectors=vectors, tokens=tokens)


def _write_settings(request: EmbeddingRequest) -> tuple[dict[str, Json], list[Loss]]:
    settings: dict[str, Json] = {"model": names.resource(request.model)}
    losses: list[Loss] = []
    for name, value in request.extras.items():
        if name in _TASK_FIELDS and (task := _task(value)):
            settings["taskType"] = task
        elif name == "title" and isinstance(value, str):
            settings["title"] = value
        else:
            losses.append(Loss(name, "Gemini has no such setting"))
    if request.dimensions is not None:
        settings["outputDimensionality"] = request.dimensions
    return settings, losses


def _task(value: Json) -> str | None:
    if not isinstance(value, str):
        return None
    return value.upper() if value.upper() in _OWN_TASKS else _TASKS.get(value.lower())
