"""Reasoning items, and what other vendors want back, carried in their `encrypted_content`.

Clients give reasoning items back as they came, so that is where signatures of other vendors travel: of a thought, of a thought
that is encrypted as a whole, and of a tool call, which has no field for one.
"""

import msgspec

from nexus.llm.canonical import Json, Thinking, ToolCall
from nexus.llm.protocols.node import Node, array_of
from nexus.llm.protocols.responses import NAME
from nexus.llm.protocols.signature import seal, unseal

_REDACTED = "redacted~"
_CALL = "call~"
BETWEEN = "\n\n"
"""Stands between the parts of a summary where they become one text."""


class CallSignature(msgspec.Struct, frozen=True):
    """What the vendor of `origin` signed a tool call with."""

    call_id: str
    signature: str
    origin: str

    def on(self, call: ToolCall) -> ToolCall:
        """Put it on its call."""
        return msgspec.structs.replace(call, signature=self.signature, origin=self.origin)


def read_thought(node: Node, *, stateful: bool) -> Thinking | CallSignature:
    """Read a reasoning item; `stateful` keeps what only this protocol needs."""
    node.take("type")
    data, origin = unseal(node.text("encrypted_content") or "", NAME)
    if origin != NAME and data.startswith(_CALL):
        call_id, _, signature = data.removeprefix(_CALL).rpartition("~")
        return CallSignature(call_id, signature, origin)
    shown = {name: node.peek(name) for name in ("content", "summary")}
    texts = [_text(part) for name in shown for part in node.nodes(name)]
    if not stateful:
        node.take("status")
    text = BETWEEN.join(texts)
    is_whole = not shown["content"] and array_of(shown["summary"]) == summary_of(text)
    parts = shown if stateful and not is_whole else {}
    encrypted = data.startswith(_REDACTED) and origin != NAME
    return Thinking(
        text,
        signature="" if encrypted else data,
        redacted=data.removeprefix(_REDACTED) if encrypted else "",
        origin=origin,
        id=node.text("id") or "",
        path=node.path,
        extras={**node.rest(), **{name: value for name, value in parts.items() if value is not None}},
    )


def _text(part: Node) -> str:
    text = part.peek("text")
    if isinstance(text, str):
        return text
    raise part.fail("text", "must be a string")


def write_thought(part: Thinking) -> dict[str, Json]:
    """Write a reasoning item for a provider that speaks this protocol."""
    item: dict[str, Json] = {"type": "reasoning"}
    if part.id:
        item["id"] = part.id
    item["summary"] = summary_of(part.text)
    if part.signature:
        item["encrypted_content"] = part.signature
    return item


def summary_of(text: str) -> list[Json]:
    """Write the text of a thought."""
    return [{"type": "summary_text", "text": text}] if text else []


def seal_thought(part: Thinking) -> str:
    """Write, for a client, what proves a thought."""
    if part.redacted:
        return seal(_REDACTED + part.redacted, part.origin, NAME)
    return seal(part.signature, part.origin, NAME)


def seal_call(part: ToolCall) -> str:
    """Write, for a client, what proves a tool call."""
    return seal(f"{_CALL}{part.id}~{part.signature}", part.origin, NAME)
