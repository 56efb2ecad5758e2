"""Output items while they grow: what each of them is, and which events tell it.

An item is begun, opened for a part, grown by deltas, closed for the part, and finished.
"""

from collections.abc import Sequence
from typing import Literal, Protocol

import msgspec

from nexus.llm.canonical import (
    AnyTool,
    Citation,
    CustomTool,
    FunctionTool,
    Json,
    PartDelta,
    Refusal,
    Text,
    Thinking,
    ToolCall,
)
from nexus.llm.protocols.custom_tools import text_of
from nexus.llm.protocols.node import object_of
from nexus.llm.protocols.responses import NAME
from nexus.llm.protocols.responses import stream_events as events
from nexus.llm.protocols.responses.stream_events import Said
from nexus.llm.protocols.responses.thoughts import seal_thought, summary_of

Status = Literal["in_progress", "completed", "incomplete"]


class OutputItem(Protocol):
    """One output item."""

    at: int
    """Its place in the output."""

    @property
    def is_open(self) -> bool:
        """Whether something of it is still to come."""
        ...

    def item(self, status: Status) -> Json:
        """Give it as it is by now."""
        ...

    def grow(self, delta: PartDelta) -> list[Said]:
        """Take more of an open part."""
        ...

    def close(self, index: int) -> list[Said]:
        """Take that a part is complete."""
        ...


class _Content:
    """A part of a message."""

    __slots__ = ("at", "citations", "is_refusal", "logprobs", "texts")

    def __init__(self, at: int, part: Text | Refusal) -> None:
        self.at = at
        self.is_refusal = isinstance(part, Refusal)
        self.texts = [part.text]
        self.citations: list[Citation] = [] if isinstance(part, Refusal) else list(part.citations)
        self.logprobs: list[Json] = [] if isinstance(part, Refusal) else list(part.logprobs)

    @property
    def text(self) -> str:
        return "".join(self.texts)

    def annotations(self) -> list[Json]:
        written = (write_citation(one, self.text) for one in self.citations)
        return [one for one in written if one is not None]

    def part(self) -> Json:
        if self.is_refusal:
            return {"type": "refusal", "refusal": self.text}
        return _text_part(self.text, self.annotations(), self.logprobs)


def _text_part(text: str, annotations: Sequence[Json] = (), logprobs: Sequence[Json] = ()) -> Json:
    return {"type": "output_text", "annotations": annotations, "logprobs": logprobs, "text": text}


def write_citation(citation: Citation, text: str) -> Json:
    """Write a source of a text, None if it has no form here; of other vendors' sources it is known only that they are of it."""
    if citation.protocol == NAME:
        return citation.raw
    if not citation.url:
        return None
    written: dict[str, Json] = {"type": "url_citation", "start_index": 0, "end_index": len(text)}
    return {**written, "title": citation.title or citation.url, "url": citation.url}


class Message:
    """What the assistant says, in one part or several."""

    def __init__(self, at: int, id: str, provided: Json) -> None:
        self.at, self.id = at, id
        self.provided = provided
        """The message of the provider that its parts belong to; None where there are none."""
        self._open: dict[int, _Content] = {}
        self._contents: list[_Content] = []

    @property
    def is_open(self) -> bool:
        return bool(self._open)

    def item(self, status: Status) -> Json:
        content = [] if status == "in_progress" else [one.part() for one in self._contents]
        written: dict[str, Json] = {
            "id": self.id,
            "type": "message",
            "status": status,
            "content": content,
            "role": "assistant",
        }
        phase = (object_of(self.provided) or {}).get("phase")
        return written if phase is None else {**written, "phase": phase}

    def open(self, index: int, part: Text | Refusal) -> list[Said]:
        """Take a part that begins."""
        content = self._open[index] = _Content(len(self._contents), part)
        self._contents.append(content)
        empty: Json = {"type": "refusal", "refusal": ""} if content.is_refusal else _text_part("")
        added = events.ContentAdded(self.id, self.at, content.at, empty)
        return [added, self._delta(content, part.text, list(content.logprobs))] if part.text else [added]

    def grow(self, delta: PartDelta) -> list[Said]:
        content = self._open[delta.index]
        if delta.citation:
            content.citations.append(delta.citation)
        if delta.logprobs:
            content.logprobs += delta.logprobs
        if not delta.text:
            return []
        content.texts.append(delta.text)
        return [self._delta(content, delta.text, delta.logprobs)]

    def _delta(self, content: _Content, text: str, logprobs: Sequence[Json]) -> Said:
        if content.is_refusal:
            return events.RefusalDelta(self.id, self.at, content.at, text)
        return events.TextDelta(self.id, self.at, content.at, text, logprobs)

    def close(self, index: int) -> list[Said]:
        content = self._open.pop(index)
        done = events.ContentDone(self.id, self.at, content.at, content.part())
        if content.is_refusal:
            return [events.RefusalDone(self.id, self.at, content.at, content.text), done]
        cited: list[Said] = [
            events.AnnotationAdded(self.id, self.at, content.at, number, annotation)
            for number, annotation in enumerate(content.annotations())
        ]
        told = events.TextDone(self.id, self.at, content.at, content.text, content.logprobs)
        return [*cited, told, done]


class Thought:
    """What the model thinks, told as a summary."""

    def __init__(self, at: int, id: str, part: Thinking) -> None:
        self.at, self.id = at, id
        self.is_open = True
        self._part = part
        self._texts: list[str] = []
        self._signatures = [part.signature]

    def item(self, status: Status) -> Json:
        written: dict[str, Json] = {"id": self.id, "type": "reasoning", "summary": []}
        if status != "in_progress":
            written["summary"] = summary_of("".join(self._texts))
            signed = msgspec.structs.replace(self._part, signature="".join(self._signatures))
            if sealed := seal_thought(signed):
                written["encrypted_content"] = sealed
        return written

    def open(self) -> list[Said]:
        """Take what there is from the beginning."""
        return self._say(self._part.text)

    def grow(self, delta: PartDelta) -> list[Said]:
        self._signatures.append(delta.signature)
        return self._say(delta.text)

    def _say(self, text: str) -> list[Said]:
        if not text:
            return []
        told = events.SummaryTextDelta(self.id, self.at, 0, text)
        begins = not self._texts
        self._texts.append(text)
        return [events.SummaryAdded(self.id, self.at, 0, _summary_part("")), told] if begins else [told]

    def close(self, index: int) -> list[Said]:
        self.is_open = False
        text = "".join(self._texts)
        if not text:
            return []
        told = events.SummaryTextDone(self.id, self.at, 0, text)
        return [told, events.SummaryDone(self.id, self.at, 0, _summary_part(text))]


def _summary_part(text: str) -> Json:
    return {"type": "summary_text", "text": text}


class Call:
    """A call of a function or of a custom tool."""

    def __init__(self, at: int, id: str, part: ToolCall, tool: AnyTool | None) -> None:
        self.at, self.id = at, id
        self.is_open = True
        self.part = part
        self._tool = tool
        self._is_custom = part.custom or isinstance(tool, CustomTool)
        self._is_wrapped = self._is_custom and not part.custom
        """Whether the free text comes as the arguments of a function, and so can be told only when all of it is there."""
        self._texts: list[str] = []
        self._signatures = [part.signature]

    @property
    def signed(self) -> ToolCall:
        """The call with all of what its vendor signed it with."""
        return msgspec.structs.replace(self.part, signature="".join(self._signatures))

    def item(self, status: Status) -> Json:
        text = "" if status == "in_progress" else "".join(self._texts)
        kind, field = ("custom_tool_call", "input") if self._is_custom else ("function_call", "arguments")
        written: dict[str, Json] = {"id": self.id, "type": kind, "status": status, field: text}
        written["call_id"] = self.part.id
        if isinstance(self._tool, FunctionTool | CustomTool) and self._tool.namespace:
            return {**written, "name": self._tool.local_name, "namespace": self._tool.namespace}
        return {**written, "name": self.part.name}

    def open(self) -> list[Said]:
        """Take what there is from the beginning."""
        return self._say(self.part.arguments)

    def grow(self, delta: PartDelta) -> list[Said]:
        if delta.signature:
            self._signatures.append(delta.signature)
        return self._say(delta.text)

    def _say(self, text: str) -> list[Said]:
        if not text:
            return []
        self._texts.append(text)
        if self._is_wrapped:
            return []
        kind = events.InputDelta if self._is_custom else events.ArgumentsDelta
        return [kind(self.id, self.at, text)]

    def close(self, index: int) -> list[Said]:
        self.is_open = False
        if not self._is_custom:
            late = [] if self._texts else self._say("{}")
            return [*late, events.ArgumentsDone(self.id, self.at, "".join(self._texts))]
        late = []
        if self._is_wrapped:
            wrapped, self._texts, self._is_wrapped = "".join(self._texts), [], False
            late = self._say(text_of(wrapped))
        return [*late, events.InputDone(self.id, self.at, "".join(self._texts))]


class Whole:
    """An item that is told at once."""

    def __init__(self, at: int, item: Json) -> None:
        self.at = at
        self.is_open = True
        self._item = item

    def item(self, status: Status) -> Json:
        return self._item

    def grow(self, delta: PartDelta) -> list[Said]:
        return []

    def close(self, index: int) -> list[Said]:
        self.is_open = False
        return []
