"""Embeddings as clients of the OpenAI API ask for them.

https://platform.openai.com/docs/api-reference/embeddings
"""

import base64
import struct
from collections.abc import Sequence
from typing import cast

import msgspec

from nexus.errors import InvalidRequest
from nexus.llm.canonical import EmbeddingRequest, EmbeddingResponse, Json
from nexus.llm.protocols.node import Node, array_of

_encode = msgspec.json.Encoder().encode
_MAX_INPUTS = 2048


class Asked(msgspec.Struct, frozen=True):
    """What a client asked, and how it wants the answer."""

    request: EmbeddingRequest
    model: str
    """The name the client used."""
    as_base64: bool


def read_request(body: bytes, model: str) -> Asked:
    """Read a request; `model` is what the provider calls the model.

    Raises:
        InvalidRequest: it breaks a rule of the protocol.
    """
    node = Node.of(body)
    name = node.needed("model")
    encoding = node.text("encoding_format") or "float"
    if encoding not in ("float", "base64"):
        raise node.fail("encoding_format", "must be float or base64")
    request = EmbeddingRequest(
        model=model,
        inputs=_read_inputs(node),
        dimensions=node.integer("dimensions"),
        extras=node.rest(),
    )
    return Asked(request, name, encoding == "base64")


def write_response(response: EmbeddingResponse, asked: Asked) -> bytes:
    """Write an answer."""
    data = [
        {"object": "embedding", "index": index, "embedding": _pack(vector) if asked.as_base64 else vector}
        for index, vector in enumerate(response.vectors)
    ]
    usage = {"prompt_tokens": response.tokens, "total_tokens": response.tokens}
    return _encode({"object": "list", "data": data, "model": asked.model, "usage": usage})


def _pack(vector: Sequence[float]) -> str:
    """Write a vector as the base64 of 32-bit floats, lowest byte first."""
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()


def _read_inputs(node: Node) -> list[str | Sequence[int]]:
    """Read one text, several, or either as token numbers."""
    given = node.take("input")
    if isinstance(given, str):
        return [given]
    items = array_of(given)
    if items and all(type(item) is int for item in items):
        return [cast("list[int]", items)]
    if not items:
        raise node.fail("input", "must be a text or an array of texts, and not empty")
    if len(items) > _MAX_INPUTS:
        raise node.fail("input", f"must have at most {_MAX_INPUTS} items")
    return [_read_input(item, node.at(f"input.{number}")) for number, item in enumerate(items)]


def _read_input(item: Json, path: str) -> str | Sequence[int]:
    if isinstance(item, str):
        return item
    numbers = array_of(item)
    if numbers and all(type(number) is int for number in numbers):
        return cast("list[int]", numbers)
    raise InvalidRequest(f"{path}: must be a text or an array of token numbers")
