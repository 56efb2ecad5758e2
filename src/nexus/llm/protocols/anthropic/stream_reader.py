"""A stream of Claude into canonical events.

https://platform.claude.com/docs/en/build-with-claude/streaming
"""

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from nexus.errors import UpstreamFailed, UpstreamGarbage
from nexus.llm.canonical import (
    ChatRequest,
    Event,
    Extras,
    Json,
    Opaque,
    PartClosed,
    PartDelta,
    PartOpened,
    Started,
    Stop,
    Stopped,
    Text,
    ToolCall,
    Usage,
)
from nexus.llm.protocols.anthropic import schema_tool
from nexus.llm.protocols.anthropic.citations import read_citation
from nexus.llm.protocols.anthropic.response_reader import Block, read_block, read_extras, read_tier
from nexus.llm.protocols.anthropic.stops import read_stop
from nexus.llm.protocols.anthropic.usage import read_usage
from nexus.llm.protocols.node import object_of

_CUT = "The upstream ended the stream before the answer was complete"


class _Delta(msgspec.Struct):
    type: str = ""
    text: str = ""
    thinking: str = ""
    signature: str = ""
    partial_json: str = ""
    citation: Json = None
    stop_reason: str | None = None
    stop_sequence: str | None = None
    stop_details: Json = None


class _Failure(msgspec.Struct):
    message: str = "the upstream failed"
    type: str = "api_error"


class _Event(msgspec.Struct):
    type: str
    index: int = 0
    delta: msgspec.Raw = msgspec.Raw(b"{}")
    content_block: Block | None = None
    message: dict[str, Json] | None = None
    usage: dict[str, Json] | None = None
    error: _Failure | None = None


_decode = msgspec.json.Decoder(_Event).decode
_decode_delta = msgspec.json.Decoder(_Delta).decode
_decode_any = msgspec.json.Decoder(dict[str, Json]).decode
_NONE: tuple[Event, ...] = ()


@dataclass(slots=True)
class _Open:
    """A part that has begun and not ended."""

    index: int
    is_opaque: bool = False
    """Whether only this protocol knows it."""
    lacks_arguments: bool = False
    """Whether it is a call of which no arguments have come."""


class StreamReader:
    """Reads one stream."""

    def __init__(self, request: ChatRequest) -> None:
        self._model = request.model
        self._unwraps = schema_tool.is_needed(request)
        self._answered = False
        self._called = False
        self._open: dict[int, _Open] = {}
        """By the number of the block."""
        self._count = 0
        self._started = False
        self._usage: Usage | None = None
        self._stop: Stop | None = None
        self._extras: Extras = {}
        self._done = False

    def read(self, payload: bytes) -> Sequence[Event]:
        """Give what one event says."""
        try:
            found = self._read(_decode(payload))
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, KeyError, TypeError):
            raise UpstreamGarbage("The upstream sent an event that is none of its protocol") from None
        return found if self._started else self._begun(found)

    def end(self) -> Sequence[Event]:
        """Give what the end of the stream says."""
        if self._done:
            return _NONE
        if self._stop is None:
            raise UpstreamFailed(_CUT)
        return self._begun(self._finish())

    def _begun(self, found: Sequence[Event]) -> Sequence[Event]:
        """Begin the answer where the upstream did not say that it does."""
        if self._started or not found:
            return found
        self._started = True
        return found if type(found[0]) is Started else (Started("anthropic", "", self._model), *found)

    def _read(self, event: _Event) -> Sequence[Event]:
        match event.type:
            case _ if self._done:
                return _NONE
            case "content_block_delta":
                return self._grow(event)
            case "content_block_start" if event.content_block is not None:
                return (*self._close(event.index), self._begin(event.index, event.content_block))
            case "content_block_stop":
                return self._close(event.index)
            case "message_start" if event.message is not None and not self._started:
                return (self._start(event.message),)
            case "message_delta":
                return self._settle(event)
            case "message_stop":
                return self._finish()
            case "error":
                failure = event.error or _Failure()
                raise UpstreamFailed(failure.message, failure.type)
            case _:
                return _NONE  # pings, and what may be invented later

    def _start(self, message: dict[str, Json]) -> Started:
        usage = object_of(message.get("usage"))
        tier = None
        if usage is not None:
            self._usage = read_usage(usage)
            tier = read_tier(usage)
        return Started(
            "anthropic",
            str(message.get("id") or ""),
            str(message.get("model") or ""),
            usage=self._usage,
            service_tier=tier,
            extras=read_extras(message),
        )

    def _begin(self, index: int, block: Block) -> Event:
        part = read_block(block, grows=True)
        opened = self._open[index] = _Open(self._count, isinstance(part, Opaque))
        self._count += 1
        if isinstance(part, ToolCall):
            opened.lacks_arguments = not part.arguments
            if self._unwraps and schema_tool.is_call(part):
                self._answered = True
                part = Text(part.arguments)
            else:
                self._called = True
        return PartOpened(opened.index, part)

    def _close(self, index: int) -> Sequence[Event]:
        opened = self._open.pop(index, None)
        if opened is None:
            return _NONE
        closed = PartClosed(opened.index)
        return (PartDelta(opened.index, "{}"), closed) if opened.lacks_arguments else (closed,)

    def _grow(self, event: _Event) -> Sequence[Event]:
        opened = self._open.get(event.index)
        if opened is None:
            return _NONE
        index = opened.index
        if opened.is_opaque:
            return (PartDelta(index, raw=_decode_any(event.delta)),)
        delta = _decode_delta(event.delta)
        match delta.type:
            case "text_delta":
                return (PartDelta(index, delta.text),)
            case "input_json_delta":
                opened.lacks_arguments = opened.lacks_arguments and not delta.partial_json
                return (PartDelta(index, delta.partial_json),)
            case "thinking_delta":
                return (PartDelta(index, delta.thinking),)
            case "signature_delta":
                return (PartDelta(index, signature=delta.signature),)
            case "citations_delta":
                return (PartDelta(index, citation=read_citation(delta.citation)),)
            case _:
                return _NONE

    def _settle(self, event: _Event) -> Sequence[Event]:
        delta = _decode_delta(event.delta)
        stop = read_stop(delta.stop_reason, delta.stop_sequence, delta.stop_details)
        if self._answered and not self._called and stop.reason == "tool":
            stop = Stop("end")
        self._stop = stop
        known, given = _Delta.__struct_fields__, _decode_any(event.delta)
        self._extras = {name: given[name] for name in given if name not in known and given[name] is not None}
        if event.usage is not None:
            self._usage = read_usage(event.usage, self._usage)
        return _NONE

    def _finish(self) -> Sequence[Event]:
        self._done = True
        closed = [event for index in list(self._open) for event in self._close(index)]
        return (*closed, Stopped(self._stop or Stop("end"), self._usage, self._extras))
