"""A Converse request while it is being written."""

from dataclasses import dataclass, field

import msgspec

from nexus.llm.canonical import ChatRequest, Json, Loss
from nexus.llm.protocols.node import object_of

Block = dict[str, Json]
"""An object of one key, which tells its kind."""


class Message(msgspec.Struct):
    """One message; its content grows while turns of one role follow each other."""

    role: str
    content: list[Block]


@dataclass(slots=True)
class Draft:
    """What is written, of what, for which model; and what could not be."""

    request: ChatRequest
    base: str
    """The vendor's model behind the name, see `families`."""
    body: dict[str, Json] = field(default_factory=dict[str, Json])
    messages: list[Message] = field(default_factory=list[Message])
    fields: dict[str, Json] = field(default_factory=dict[str, Json])
    """What goes to the model in its vendor's own words, beside the body: `additionalModelRequestFields`."""
    losses: list[Loss] = field(default_factory=list[Loss])
    names: set[str] = field(default_factory=set[str])
    """Names of documents, which have to differ."""

    @property
    def own(self) -> bool:
        """Whether the request was read from this protocol."""
        return self.request.protocol == "converse"

    @property
    def is_to_think(self) -> bool:
        """Whether a Claude model is asked for thoughts."""
        return (object_of(self.fields.get("thinking")) or {}).get("type") in ("enabled", "adaptive")

    def lose(self, path: str, why: str) -> None:
        """Note that something could not be written."""
        self.losses.append(Loss(path, why))
