"""The canonical model into a generateContent request."""

from nexus.llm.canonical import ChatRequest, Extras, Json, Loss
from nexus.llm.protocols import losses as loss_lists
from nexus.llm.protocols.google.content_writer import ContentWriter
from nexus.llm.protocols.google.settings import write_settings, write_tier
from nexus.llm.protocols.google.tools import write_choice, write_tools
from nexus.llm.protocols.node import object_of


def write_request(request: ChatRequest) -> tuple[dict[str, Json], list[Loss]]:
    """Write a request and tell what could not be.

    Raises:
        Unrepresentable: it has content the protocol has no words for.
    """
    losses: list[Loss] = []
    body: dict[str, Json] = {}
    instruction, contents = ContentWriter(request, losses).write()
    if instruction is not None:
        body["systemInstruction"] = instruction
    body["contents"] = contents
    if tools := write_tools(request, losses):
        body["tools"] = tools
    if (choice := write_choice(request)) is not None:
        body["toolConfig"] = {"functionCallingConfig": choice}
    if config := write_settings(request, losses):
        body["generationConfig"] = config
    if (tier := write_tier(request, losses)) is not None:
        body["serviceTier"] = tier
    losses += loss_lists.cache_marks(request, "Gemini caches by itself")
    if request.protocol == "google":
        _merge(body, request.extras)
    else:
        losses += loss_lists.foreign_fields(request)
    return body, losses


def _merge(body: dict[str, Json], extras: Extras) -> None:
    for name, value in extras.items():
        known, more = object_of(body.get(name)), object_of(value)
        body[name] = {**known, **more} if known is not None and more is not None else value
