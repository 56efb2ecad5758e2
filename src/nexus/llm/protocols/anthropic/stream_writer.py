"""Canonical events into the stream of a Claude: `event:` names, one block at a time, numbers of tokens at both ends.

https://platform.claude.com/docs/en/build-with-claude/streaming
"""

import msgspec

from nexus.errors import NexusError
from nexus.llm.canonical import (
    AnyPart,
    Event,
    Json,
    Opaque,
    PartClosed,
    PartDelta,
    PartOpened,
    Refusal,
    Started,
    Stopped,
    Text,
    Thinking,
    ToolCall,
    Usage,
)
from nexus.llm.protocols.anthropic import errors
from nexus.llm.protocols.anthropic.citations import write_citation
from nexus.llm.protocols.anthropic.response_writer import write_part, write_signature
from nexus.llm.protocols.anthropic.stops import write_stop
from nexus.llm.protocols.anthropic.usage import write_usage
from nexus.llm.protocols.signature import seal

_encode = msgspec.json.Encoder().encode
_text = msgspec.json.Encoder().encode


class StreamWriter:
    """Writes one stream."""

    def __init__(self) -> None:
        self._own = False
        self._next = 0
        """The number of the next block."""
        self._open: int | None = None
        """The part whose block is being written."""
        self._part: AnyPart | None = None
        self._grown = False
        self._signature = ""
        """Of the open thought: clients take it in one piece, and a seal is for the whole."""
        self._prefix = b""
        """What all further deltas of the block begin with."""
        self._waiting: dict[int, list[Event]] = {}
        """Parts that began before the open one ended; blocks do not overlap."""
        self._usage: Usage | None = None

    def write(self, event: Event) -> bytes:
        """Give the bytes an event becomes."""
        match event:
            case PartDelta(index):
                if index == self._open:
                    return self._grow(event)
                self._waiting.get(index, []).append(event)
                return b""
            case PartOpened(index):
                if self._open is not None:
                    self._waiting[index] = [event]
                    return b""
                return self._begin(event)
            case PartClosed(index):
                if index != self._open:
                    self._waiting.get(index, []).append(event)
                    return b""
                return self._end() + self._catch_up()
            case Started():
                return self._start(event)
            case Stopped():
                return self._finish(event)

    def fail(self, error: NexusError) -> bytes:
        """Give the last event of a stream that failed on its way."""
        return errors.write_event(error)

    def _start(self, event: Started) -> bytes:
        self._own = event.protocol == "anthropic"
        self._usage = event.usage
        message: dict[str, Json] = {
            "id": event.id,
            "type": "message",
            "role": "assistant",
            "model": event.model,
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": write_usage(event.usage, own=self._own),
        }
        if self._own:
            message |= event.extras
        return _event("message_start", {"message": message})

    def _begin(self, event: PartOpened) -> bytes:
        part = event.part
        self._open, self._part, self._grown, self._signature = event.index, part, False, ""
        blocks = write_part(part, own=self._own)
        if not blocks:
            return b""  # this protocol has no words for it
        signed = b""
        if isinstance(part, ToolCall):
            signed = self._whole_thought(part)
        block = blocks[-1]
        head = _event("content_block_start", {"index": self._next, "content_block": _emptied(part, block)})
        kind, field = _delta_of(part)
        if kind:
            self._prefix = (
                b'event: content_block_delta\ndata: {"type":"content_block_delta","index":%d,"delta":{"type":"%s","%s":'
                % (self._next, kind, field)
            )
        begun = _begun(part)
        return signed + head + (self._grow(begun) if begun is not None else b"")

    def _whole_thought(self, part: ToolCall) -> bytes:
        """Write the signature of a call as a block of its own, before the call."""
        written = b""
        for block in write_signature(part):
            delta = {"type": "signature_delta", "signature": block["signature"]}
            written += (
                _event(
                    "content_block_start", {"index": self._next, "content_block": {**block, "signature": ""}}
                )
                + _event("content_block_delta", {"index": self._next, "delta": delta})
                + _event("content_block_stop", {"index": self._next})
            )
            self._next += 1
        return written

    def _grow(self, event: PartDelta) -> bytes:
        part = self._part
        if isinstance(part, Opaque):
            own = part.protocol == "anthropic" and event.raw is not None
            return self._delta(event.raw) if own else b""
        written = b""
        if event.text:
            self._grown = True
            written = self._prefix + _text(event.text) + b"}}\n\n"
        self._signature += event.signature
        if event.citation is not None and (citation := write_citation(event.citation)) is not None:
            written += self._delta({"type": "citations_delta", "citation": citation})
        return written

    def _delta(self, delta: Json) -> bytes:
        return _event("content_block_delta", {"index": self._next, "delta": delta})

    def _end(self) -> bytes:
        part = self._part
        self._open = self._part = None
        if part is None or not write_part(part, own=self._own):
            return b""
        written = b""
        if isinstance(part, ToolCall) and not self._grown:
            written = self._prefix + b'"{}"}}\n\n'  # clients parse what the pieces add up to
        if self._signature and isinstance(part, Thinking):
            signature = seal(self._signature, part.origin, "anthropic")
            written += self._delta({"type": "signature_delta", "signature": signature})
        written += _event("content_block_stop", {"index": self._next})
        self._next += 1
        return written

    def _catch_up(self) -> bytes:
        """Write the parts that had to wait."""
        written = b""
        while self._open is None and self._waiting:
            events = self._waiting.pop(min(self._waiting))
            written += b"".join([self.write(event) for event in events])
        return written

    def _finish(self, event: Stopped) -> bytes:
        reason, sequence = write_stop(event.stop)
        delta: dict[str, Json] = {"stop_reason": reason, "stop_sequence": sequence}
        if self._own:
            if event.stop.detail is not None:
                delta["stop_details"] = event.stop.detail
            delta |= event.extras
        usage = write_usage(event.usage or self._usage, own=self._own)
        return _event("message_delta", {"delta": delta, "usage": usage}) + _event("message_stop", {})


def _event(kind: str, fields: dict[str, Json]) -> bytes:
    return b"event: %s\ndata: %s\n\n" % (kind.encode(), _encode({"type": kind, **fields}))


def _delta_of(part: AnyPart) -> tuple[bytes, bytes]:
    """Name the kind of delta that a part grows by, and its field."""
    match part:
        case Text() | Refusal():
            return b"text_delta", b"text"
        case ToolCall():
            return b"input_json_delta", b"partial_json"
        case Thinking():
            return b"thinking_delta", b"thinking"
        case _:
            return b"", b""


def _begun(part: AnyPart) -> PartDelta | None:
    """Give what a part holds already when it opens, as its first delta."""
    match part:
        case Text(text) | Refusal(text) if text:
            return PartDelta(0, text)
        case ToolCall() if part.arguments:
            return PartDelta(0, part.arguments)
        case Thinking() if not part.redacted and (part.text or part.signature):
            return PartDelta(0, part.text, part.signature)
        case _:
            return None


def _emptied(part: AnyPart, block: dict[str, Json]) -> dict[str, Json]:
    """Write a block as it is before its first delta."""
    match part:
        case Text() | Refusal():
            return {**block, "text": ""}
        case ToolCall():
            return {**block, "input": {}}
        case Thinking() if not part.redacted:
            return {**block, "thinking": "", "signature": ""}
        case _:
            return block
