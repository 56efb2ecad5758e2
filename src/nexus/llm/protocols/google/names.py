"""Names of models as the API writes them: `models/gemini-2.5-flash`, `tunedModels/mine`."""

from urllib.parse import quote

import msgspec

from nexus.llm.canonical import Model

_PREFIX = "models/"
_COLLECTIONS = (_PREFIX, "tunedModels/")


def resource(model: str) -> str:
    """Name a model in full."""
    return model if model.startswith(_COLLECTIONS) else _PREFIX + model


def path(model: str, method: str) -> str:
    """Give the path of a method of a model."""
    collection, _, name = resource(model).partition("/")
    return f"/{collection}/{quote(name, safe='')}:{method}"


class _Entry(msgspec.Struct):
    name: str


class _Page(msgspec.Struct):
    models: list[_Entry] = []
    nextPageToken: str | None = None


_decode = msgspec.json.Decoder(_Page).decode


def read_page(body: bytes) -> tuple[list[Model], str | None]:
    """Read one page of the model list: its models, and the token of the next page when there is one.

    Raises:
        msgspec.MsgspecError: not a model list.
    """
    page = _decode(body)
    models = [Model(entry.name.removeprefix(_PREFIX), 0, "google") for entry in page.models]
    return models, page.nextPageToken or None
