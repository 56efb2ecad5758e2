"""A streamed Converse answer into canonical events. Each event is an object of one key, which tells its kind.

https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ConverseStreamOutput.html
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import msgspec

from nexus.errors import UpstreamFailed, UpstreamGarbage
from nexus.llm.canonical import (
    AnyPart,
    ChatRequest,
    Event,
    Json,
    PartClosed,
    PartDelta,
    PartOpened,
    Started,
    Stop,
    Stopped,
    Text,
    Thinking,
    ToolCall,
    Usage,
)
from nexus.llm.protocols.converse import answer_tool
from nexus.llm.protocols.converse.block_reader import read_block, read_citation
from nexus.llm.protocols.converse.response_reader import Tier
from nexus.llm.protocols.converse.stops import read_stop
from nexus.llm.protocols.converse.usage import Tokens, read_usage
from nexus.llm.protocols.node import array_of, object_of

_CUT = "Bedrock ended the stream before the answer was complete"
_KINDS = {"throttlingException": "rate_limit_error", "validationException": "invalid_request_error"}
_NONE: tuple[Event, ...] = ()
_UNANNOUNCED = ("", "text", "reasoningContent")
"""Blocks whose beginning says nothing; Bedrock leaves it out, stand-ins for it do not."""


class _BlockStart(msgspec.Struct, rename="camel"):
    content_block_index: int = 0
    start: dict[str, Json] = {}


class _ToolDelta(msgspec.Struct):
    input: str = ""


class _Reasoning(msgspec.Struct, rename="camel"):
    text: str | None = None
    signature: str | None = None
    redacted_content: str | None = None


class _Delta(msgspec.Struct, rename="camel"):
    text: str | None = None
    tool_use: _ToolDelta | None = None
    reasoning_content: _Reasoning | None = None
    citation: dict[str, Json] | None = None
    tool_result: Json = None
    image: Json = None


class _BlockDelta(msgspec.Struct, rename="camel"):
    delta: _Delta
    content_block_index: int = 0


class _BlockStop(msgspec.Struct, rename="camel"):
    content_block_index: int = 0


class _MessageStop(msgspec.Struct, rename="camel"):
    stop_reason: str
    additional_model_response_fields: Json = None


class _Metadata(msgspec.Struct, rename="camel"):
    usage: Tokens | None = None
    metrics: Json = None
    trace: Json = None
    performance_config: Json = None
    service_tier: Tier | None = None


class _Event(msgspec.Struct, rename="camel"):
    content_block_delta: _BlockDelta | None = None
    content_block_start: _BlockStart | None = None
    content_block_stop: _BlockStop | None = None
    message_start: Json = None
    message_stop: _MessageStop | None = None
    metadata: _Metadata | None = None


_decode = msgspec.json.Decoder(_Event).decode
_decode_any = msgspec.json.Decoder(dict[str, Json]).decode


@dataclass(slots=True)
class _Open:
    """A part that has begun and not ended."""

    index: int
    kind: Literal["text", "thought", "call", "answer", "held"]
    empty: bool = True
    block: dict[str, Json] | None = None
    """A block that is told when it is whole: one that only this protocol knows, or an image."""
    text: str = ""


class StreamReader:
    """Reads one stream."""

    def __init__(self, request: ChatRequest, base: str) -> None:
        self._model = request.model
        self._unwraps = answer_tool.is_needed(request, base)
        self._open: dict[int, _Open] = {}
        self._count = 0
        self._called = self._answered = False
        self._started = self._done = False
        self._stop: Stop | None = None
        self._usage: Usage | None = None
        self._extras: dict[str, Json] = {}

    def read(self, payload: bytes) -> Sequence[Event]:
        """Give what one event says."""
        try:
            found = _NONE if self._done else self._read(_decode(payload), payload)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, KeyError, TypeError):
            raise UpstreamGarbage("Bedrock sent an event that is none of the Converse API") from None
        if self._started or not found:
            return found
        self._started = True
        return (Started("converse", "", self._model), *found)

    def end(self) -> Sequence[Event]:
        """Give what the end of the stream says."""
        if self._done:
            return _NONE
        if self._stop is None:
            raise UpstreamFailed(_CUT)
        return self._finish()

    def _read(self, event: _Event, payload: bytes) -> Sequence[Event]:
        if (grown := event.content_block_delta) is not None:
            return self._grow(grown.content_block_index, grown.delta)
        if (begun := event.content_block_start) is not None:
            return self._begin(begun.content_block_index, begun.start)
        if (ended := event.content_block_stop) is not None:
            return self._close(ended.content_block_index)
        if (stopped := event.message_stop) is not None:
            return self._settle(stopped)
        if (metadata := event.metadata) is not None:
            return self._measure(metadata)
        if event.message_start is not None and not self._started:
            self._started = True
            return (Started("converse", "", self._model),)
        _raise_failure(_decode_any(payload))
        return _NONE

    def _begin(self, block: int, start: dict[str, Json]) -> Sequence[Event]:
        kind, content = next(iter(start.items()), ("", None))
        closed = self._close(block)
        if kind in _UNANNOUNCED:
            return closed  # it begins with its first delta
        fields = object_of(content) or {}
        if kind != "toolUse" or fields.get("type") == "server_tool_use":
            self._open[block] = _Open(-1, "held", block={kind: fields})
            return closed
        name = str(fields["name"])
        if self._unwraps and name == answer_tool.NAME:
            self._answered = True
            return (*closed, *self._start(block, "answer", Text("")))
        self._called = True
        return (*closed, *self._start(block, "call", ToolCall(str(fields["toolUseId"]), name, "")))

    def _grow(self, block: int, delta: _Delta) -> Sequence[Event]:
        if (text := delta.text) is not None:
            return self._add(block, "text", PartDelta(-1, text))
        if delta.tool_use is not None:
            return self._grow_call(block, delta.tool_use.input)
        if (thought := delta.reasoning_content) is not None:
            return self._grow_thought(block, thought)
        if delta.citation is not None:
            return self._add(block, "text", PartDelta(-1, citation=read_citation(delta.citation)))
        self._hold(block, delta)
        return _NONE

    def _grow_call(self, block: int, text: str) -> Sequence[Event]:
        part = self._open[block]
        if part.kind == "held":
            part.text += text
            return _NONE
        if not text:
            return _NONE
        part.empty = False
        return (PartDelta(part.index, text),)

    def _grow_thought(self, block: int, thought: _Reasoning) -> Sequence[Event]:
        if thought.redacted_content is not None:
            redacted = Thinking("", redacted=thought.redacted_content, origin="converse")
            return (*self._close(block), *self._start(block, "thought", redacted))
        return self._add(
            block, "thought", PartDelta(-1, thought.text or "", signature=thought.signature or "")
        )

    def _add(self, block: int, kind: Literal["text", "thought"], delta: PartDelta) -> Sequence[Event]:
        """Let a part grow that need not have been announced."""
        part = self._open.get(block)
        if part is not None and part.kind == kind:
            return (msgspec.structs.replace(delta, index=part.index),)
        new: AnyPart = Text("") if kind == "text" else Thinking("", origin="converse")
        events = (*self._close(block), *self._start(block, kind, new))
        return (*events, msgspec.structs.replace(delta, index=self._open[block].index))

    def _start(
        self, block: int, kind: Literal["text", "thought", "call", "answer"], part: AnyPart
    ) -> Sequence[Event]:
        index, self._count = self._count, self._count + 1
        self._open[block] = _Open(index, kind)
        return (PartOpened(index, part),)

    def _hold(self, block: int, delta: _Delta) -> None:
        """Add to a block that is told when it is whole."""
        held = object_of(
            (self._open[block].block or {}).get("toolResult" if delta.image is None else "image")
        )
        if held is None:
            return
        if delta.image is not None:
            held |= object_of(delta.image) or {}
        else:
            held["content"] = [*array_of(held.get("content")), *array_of(delta.tool_result)]

    def _close(self, block: int) -> Sequence[Event]:
        part = self._open.pop(block, None)
        if part is None:
            return _NONE
        if part.block is not None:
            return self._tell(part.block, part.text)
        if part.empty and part.kind in ("call", "answer"):
            return (PartDelta(part.index, "{}"), PartClosed(part.index))
        return (PartClosed(part.index),)

    def _tell(self, block: dict[str, Json], text: str) -> Sequence[Event]:
        """Tell a block that was held back."""
        if (call := object_of(block.get("toolUse"))) is not None:
            call["input"] = _decode_any(text) if text else {}
        index, self._count = self._count, self._count + 1
        return (PartOpened(index, read_block(block)), PartClosed(index))

    def _settle(self, stopped: _MessageStop) -> Sequence[Event]:
        more = stopped.additional_model_response_fields
        stop = read_stop(stopped.stop_reason, more, called=self._called)
        if self._answered and not self._called and stop.reason == "tool":
            stop = Stop("end")
        self._stop = stop
        if more is not None:
            self._extras["additionalModelResponseFields"] = more
        return self._close_all()

    def _close_all(self) -> list[Event]:
        return [event for block in sorted(self._open) for event in self._close(block)]

    def _measure(self, metadata: _Metadata) -> Sequence[Event]:
        self._usage = read_usage(metadata.usage) if metadata.usage is not None else None
        for name, value in (
            ("trace", metadata.trace),
            ("performanceConfig", metadata.performance_config),
            ("metrics", metadata.metrics),
            ("serviceTier", metadata.service_tier),
        ):
            if value is not None:
                self._extras[name] = msgspec.to_builtins(value)
        return _NONE if self._stop is None else self._finish()

    def _finish(self) -> Sequence[Event]:
        if self._done:
            return _NONE
        self._done = True
        return (*self._close_all(), Stopped(self._stop or Stop("end"), self._usage, self._extras))


def _raise_failure(event: dict[str, Json]) -> None:
    """Raise what an event says if it tells a failure; other events may be invented later."""
    for kind, content in event.items():
        message = (object_of(content) or {}).get("message")
        if isinstance(message, str):
            raise UpstreamFailed(message, _KINDS.get(kind, "api_error"))
