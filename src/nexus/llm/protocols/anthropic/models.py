"""The model list of the Anthropic protocol, read from an upstream."""

import msgspec

from nexus.llm.canonical import Model


class _Entry(msgspec.Struct):
    id: str


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
    return [Model(entry.id, 0, "anthropic") for entry in page.data], (page.last_id if page.has_more else None)
