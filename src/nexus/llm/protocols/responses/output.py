"""Parts into output items, one by one as they come."""

import hashlib
from collections.abc import Sequence

from nexus.llm.canonical import (
    AnyPart,
    ChatRequest,
    Citation,
    CustomTool,
    FunctionTool,
    Inline,
    Json,
    Loss,
    Media,
    Opaque,
    PartClosed,
    PartDelta,
    PartOpened,
    Refusal,
    Text,
    Thinking,
    ToolCall,
)
from nexus.llm.protocols.node import object_of
from nexus.llm.protocols.responses import NAME
from nexus.llm.protocols.responses import stream_events as events
from nexus.llm.protocols.responses.output_items import (
    Call,
    Message,
    OutputItem,
    Status,
    Thought,
    Whole,
    write_citation,
)
from nexus.llm.protocols.responses.stream_events import Said
from nexus.llm.protocols.responses.thoughts import seal_call

_MAX_STEM = 48
"""Ids longer than 64 are refused when they come back."""
_IMAGES = ("png", "webp", "jpeg", "gif")


class Output:
    """The output of one answer.

    An item is finished when the next begins or the answer ends, not before: only then is it known whether the answer broke off
    in it.
    """

    def __init__(self, request: ChatRequest, answer_id: str, protocol: str) -> None:
        self.losses: list[Loss] = []
        self.has_refusal = False
        self._tools = {
            tool.name: tool for tool in request.tools if isinstance(tool, FunctionTool | CustomTool)
        }
        stem = answer_id.removeprefix("resp_")
        self._stem = stem if len(stem) <= _MAX_STEM else hashlib.sha256(stem.encode()).hexdigest()[:_MAX_STEM]
        self._protocol = protocol
        self._items: list[OutputItem] = []
        self._finished: dict[int, Json] = {}
        self._open: dict[int, OutputItem] = {}

    def items(self) -> list[Json]:
        """Give the finished items in order."""
        return [self._finished[at] for at in sorted(self._finished)]

    def open(self, event: PartOpened) -> list[Said]:
        """Take a part that begins."""
        part, index = event.part, event.index
        if isinstance(part, Text | Refusal):
            return self._open_content(index, part)
        opened = self._make(part)
        if opened is None:
            self._lose(index, f"the Responses protocol has no words for {_kind(part)} in answers")
            return []
        self._open[index] = opened
        begun = self._begin(opened)
        return begun + opened.open() if isinstance(opened, Thought | Call) else begun

    def grow(self, delta: PartDelta) -> list[Said]:
        """Take more of a part."""
        grown = self._open.get(delta.index)
        if grown is None:
            return []
        if delta.citation:
            self._check(delta.index, (delta.citation,))
        return grown.grow(delta)

    def close(self, event: PartClosed) -> list[Said]:
        """Take that a part is complete."""
        closed = self._open.pop(event.index, None)
        if closed is None:
            return []
        told = closed.close(event.index)
        if closed is not self._items[-1] and not closed.is_open:
            told.append(self._finish(closed, "completed"))
        return told

    def end(self, status: Status) -> list[Said]:
        """Take that nothing follows; `status` is that of the last item."""
        told = [said for index in list(self._open) for said in self.close(PartClosed(index))]
        if self._items and self._items[-1].at not in self._finished:
            told.append(self._finish(self._items[-1], status))
        calls = [item.signed for item in self._items if isinstance(item, Call)]
        for call in calls:
            if call.signature and call.origin not in ("", NAME):
                proof = self._proof(call)
                told += [*self._begin(proof), self._finish(proof, "completed")]
        return told

    def _open_content(self, index: int, part: Text | Refusal) -> list[Said]:
        provided = part.extras.get("message") if self._protocol == NAME else None
        message = self._items[-1] if self._items else None
        begun: list[Said] = []
        if not isinstance(message, Message) or message.provided != provided:
            id = (object_of(provided) or {}).get("id")
            message = Message(len(self._items), str(id or self._id("msg")), provided)
            begun = self._begin(message)
        self._open[index] = message
        if isinstance(part, Text):
            self._check(index, part.citations)
        else:
            self.has_refusal = True
        return begun + message.open(index, part)

    def _make(self, part: AnyPart) -> OutputItem | None:
        at = len(self._items)
        match part:
            case Thinking():
                return Thought(at, part.id or self._id("rs"), part)
            case ToolCall():
                own = part.extras.get("id") if self._protocol == NAME else None
                id = str(own or self._id("ctc" if part.custom else "fc"))
                return Call(at, id, part, self._tools.get(part.name))
            case Opaque() if part.protocol == NAME and "message" not in part.extras:
                return Whole(at, part.raw)
            case Media(kind="image", source=Inline() as image):
                return Whole(at, _image(self._id("ig"), image))
            case _:
                return None

    def _begin(self, item: OutputItem) -> list[Said]:
        last = self._items[-1] if self._items else None
        told: list[Said] = []
        if last is not None and not last.is_open and last.at not in self._finished:
            told.append(self._finish(last, "completed"))
        self._items.append(item)
        return [*told, events.ItemAdded(item.at, item.item("in_progress"))]

    def _finish(self, item: OutputItem, status: Status) -> Said:
        finished = self._finished[item.at] = item.item(status)
        return events.ItemDone(item.at, finished)

    def _proof(self, call: ToolCall) -> Whole:
        """Make the item in which the signature of a call travels."""
        item: dict[str, Json] = {"id": self._id("rs"), "type": "reasoning", "summary": []}
        return Whole(len(self._items), {**item, "encrypted_content": seal_call(call)})

    def _id(self, kind: str) -> str:
        return f"{kind}_{self._stem}_{len(self._items)}"

    def _check(self, index: int, citations: Sequence[Citation]) -> None:
        if any(write_citation(one, "") is None for one in citations):
            self._lose(index, "a source without an address has no form here")

    def _lose(self, index: int, why: str) -> None:
        self.losses.append(Loss(f"response.{index}", why))


def _image(id: str, image: Inline) -> Json:
    ending = image.media_type.removeprefix("image/")
    written: dict[str, Json] = {"id": id, "type": "image_generation_call", "status": "completed"}
    if ending in _IMAGES:
        written["output_format"] = ending
    return {**written, "result": image.data}


def _kind(part: AnyPart) -> str:
    return part.kind if isinstance(part, Opaque | Media) else type(part).__name__.lower()
