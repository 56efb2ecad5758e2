"""The model list of the OpenAI protocol, read from an upstream and written for a client."""

from collections.abc import Iterable

import msgspec

from nexus.llm.canonical import Model
from nexus.llm.protocols.fields import encode


class _Entry(msgspec.Struct):
    id: str
    created: int | float | None = None
    owned_by: str | None = None


class _Page(msgspec.Struct):
    data: list[_Entry]
    has_more: bool | None = None
    last_id: str | None = None


_decode = msgspec.json.Decoder(_Page).decode


def read_page(body: bytes) -> tuple[list[Model], str | None]:
    """Read one page of a list: its models, and the id to continue after when there is more.

    Raises:
        msgspec.MsgspecError: not a model list.
    """
    page = _decode(body)
    models = [Model(entry.id, int(entry.created or 0), entry.owned_by or "openai") for entry in page.data]
    return models, (page.last_id if page.has_more else None)


def write_list(models: Iterable[Model]) -> bytes:
    """Write the answer to `GET /v1/models`."""
    return encode({"object": "list", "data": [_entry(model) for model in models]})


def write_model(model: Model) -> bytes:
    """Write the answer to `GET /v1/models/{id}`."""
    return encode(_entry(model))


def _entry(model: Model) -> dict[str, object]:
    return {"id": model.id, "object": "model", "created": model.created, "owned_by": model.owned_by}
