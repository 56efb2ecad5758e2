"""Typed events of a provider into the events of the canonical model.

https://platform.openai.com/docs/api-reference/responses-streaming
"""

from collections.abc import Callable, Sequence

import msgspec

from nexus.errors import UpstreamFailed, UpstreamGarbage
from nexus.llm.canonical import (
    AnyPart,
    ChatRequest,
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
)
from nexus.llm.protocols.responses import NAME
from nexus.llm.protocols.responses.content import read_citation
from nexus.llm.protocols.responses.response_reader import (
    Envelope,
    Failure,
    Item,
    failed,
    message_of,
    open_call,
    read_content,
    read_item,
    read_kind,
    read_stop,
    thought_of,
)
from nexus.llm.protocols.responses.thoughts import BETWEEN
from nexus.llm.protocols.responses.usage import read_usage

_EMPTY_LIST = b"[]"
_NOTHING: Sequence[Event] = ()


class _Said(msgspec.Struct):
    """Any event; the fields are those of some."""

    type: str = ""
    output_index: int = 0
    content_index: int = 0
    summary_index: int = 0
    delta: Json = None
    text: Json = None
    refusal: Json = None
    arguments: Json = None
    input: Json = None
    logprobs: msgspec.Raw = msgspec.Raw(_EMPTY_LIST)
    annotation: Json = None
    part: msgspec.Raw = msgspec.Raw()
    item: msgspec.Raw = msgspec.Raw()
    response: msgspec.Raw = msgspec.Raw()
    error: msgspec.Raw = msgspec.Raw()
    message: str | None = None
    code: str | int | None = None


class _Open:
    """An output item that is not done."""

    __slots__ = ("begun", "index", "item", "parts", "said", "section")

    def __init__(self, item: Item) -> None:
        self.item = item
        self.begun = False
        """Whether a part of a message was."""
        self.index = -1
        """The part of a thought or a call."""
        self.parts: dict[int, int] = {}
        """The open parts of a message, by their place in it."""
        self.said: set[int] = set()
        """The parts of which something came."""
        self.section: tuple[str, int] | None = None
        """Which part of a thought is being told."""


_decode = msgspec.json.Decoder(_Said).decode
_decode_answer = msgspec.json.Decoder(Envelope).decode
_decode_failure = msgspec.json.Decoder(Failure).decode
_decode_logprobs = msgspec.json.Decoder(list[Json]).decode


class StreamReader:
    """Reads the stream of one answer."""

    def __init__(self, request: ChatRequest) -> None:
        self._request = request
        self._started = False
        self._stopped = False
        self._next = 0
        self._items: dict[int, _Open] = {}
        self._called = False
        self._refused = False
        self._readers: dict[str, Callable[[_Said], Sequence[Event]]] = {
            "response.created": self._begin,
            "response.in_progress": self._begin,
            "response.output_item.added": self._open_item,
            "response.output_item.done": self._close_item,
            "response.content_part.added": self._open_content,
            "response.content_part.done": self._close_content,
            "response.output_text.delta": self._grow_text,
            "response.output_text.done": self._complete_text,
            "response.output_text.annotation.added": self._cite,
            "response.refusal.delta": self._grow_refusal,
            "response.refusal.done": self._complete_refusal,
            "response.reasoning_summary_text.delta": self._grow_summary,
            "response.reasoning_text.delta": self._grow_reasoning,
            "response.function_call_arguments.delta": self._grow_item,
            "response.custom_tool_call_input.delta": self._grow_item,
            "response.completed": self._stop,
            "response.incomplete": self._stop,
            "response.failed": self._fail,
            "error": self._fail,
        }

    def read(self, payload: bytes) -> Sequence[Event]:
        """Read one event.

        Raises:
            UpstreamFailed: it says that the provider failed.
            UpstreamGarbage: it is none.
        """
        if self._stopped or not payload or payload == b"[DONE]":
            return _NOTHING
        try:
            said = _decode(payload)
            read = self._readers.get(said.type)
            events = _NOTHING if read is None else read(said)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            raise UpstreamGarbage("The upstream sent an event the Responses protocol does not have") from None
        if events and not self._started:
            self._started = True
            return [Started(NAME, "", self._request.model), *events]
        return events

    def end(self) -> Sequence[Event]:
        """Read the end of the stream.

        Raises:
            UpstreamFailed: the answer was not complete.
        """
        if not self._stopped:
            raise UpstreamFailed("The upstream ended its stream before the answer was complete")
        return _NOTHING

    def _begin(self, said: _Said) -> Sequence[Event]:
        if self._started:
            return _NOTHING
        self._started = True
        answer = _decode_answer(said.response)
        tier = answer.service_tier if answer.service_tier != "auto" else None
        return (Started(NAME, answer.id, answer.model, int(answer.created_at), service_tier=tier),)

    def _open(self, part: AnyPart) -> PartOpened:
        self._next += 1
        return PartOpened(self._next - 1, part)

    def _open_item(self, said: _Said) -> Sequence[Event]:
        item = read_kind(said.item)
        if isinstance(item, Opaque):
            return _NOTHING  # it is told when it is done
        left = self._leave(self._items.pop(said.output_index, None))
        open = self._items[said.output_index] = _Open(item)
        match item.type:
            case "message":
                return left
            case "reasoning":
                opened = self._open(Thinking("", origin=NAME, id=item.id or ""))
            case _:
                self._called = True
                call = open_call(item, self._request)
                opened = self._open(call)
                if call.arguments:
                    open.said.add(opened.index)
        open.index = opened.index
        return (*left, opened)

    def _leave(self, open: _Open | None) -> list[Event]:
        """Close the parts of an item that had no end."""
        left = () if open is None else (open.index, *open.parts.values())
        return [PartClosed(index) for index in left if index >= 0]

    def _close_item(self, said: _Said) -> Sequence[Event]:
        open = self._items.pop(said.output_index, None)
        if open is None:  # not understood, or not announced
            return self._tell(said.item)
        item = read_kind(said.item)
        if isinstance(item, Opaque):
            raise UpstreamGarbage("The upstream ended an item as another than it began")
        match item.type:
            case "message" if not open.begun:
                return self._tell(said.item)
            case "message":
                return [PartClosed(index) for index in open.parts.values()]
            case "reasoning":
                late = "" if open.section else thought_of(item)
                signature = item.encrypted_content or ""
                grown = [PartDelta(open.index, late, signature)] if late or signature else []
                return [*grown, PartClosed(open.index)]
            case _:
                whole = item.input if item.type == "custom_tool_call" else item.arguments or "{}"
                late = [] if open.index in open.said or not whole else [PartDelta(open.index, whole)]
                return [*late, PartClosed(open.index)]

    def _tell(self, raw: msgspec.Raw) -> Sequence[Event]:
        """Tell an item that comes as a whole."""
        events: list[Event] = []
        for part in read_item(raw, self._request):
            self._called = self._called or isinstance(part, ToolCall)
            self._refused = self._refused or isinstance(part, Refusal)
            opened = self._open(part)
            events += (opened, PartClosed(opened.index))
        return events

    def _open_content(self, said: _Said) -> Sequence[Event]:
        open = self._items.get(said.output_index)
        if open is None or open.item.type != "message":
            return _NOTHING
        closed = self._close_content(said)
        return (*closed, self._open_part(open, said, read_content(said.part, open.item)))

    def _open_part(self, open: _Open, said: _Said, part: AnyPart) -> PartOpened:
        self._refused = self._refused or isinstance(part, Refusal)
        opened = self._open(part)
        open.begun = True
        open.parts[said.content_index] = opened.index
        if isinstance(part, Text | Refusal) and part.text:
            open.said.add(opened.index)
        return opened

    def _close_content(self, said: _Said) -> Sequence[Event]:
        open = self._items.get(said.output_index)
        index = open.parts.pop(said.content_index, None) if open else None
        return _NOTHING if index is None else (PartClosed(index),)

    def _grow_text(self, said: _Said) -> Sequence[Event]:
        logprobs = bytes(said.logprobs)
        more = () if logprobs == _EMPTY_LIST else _decode_logprobs(logprobs)
        return self._grow_content(said, Text, said.delta, more)

    def _grow_refusal(self, said: _Said) -> Sequence[Event]:
        return self._grow_content(said, Refusal, said.delta)

    def _complete_text(self, said: _Said) -> Sequence[Event]:
        return self._complete_content(said, Text, said.text)

    def _complete_refusal(self, said: _Said) -> Sequence[Event]:
        return self._complete_content(said, Refusal, said.refusal)

    def _complete_content(self, said: _Said, kind: type[Text | Refusal], whole: Json) -> Sequence[Event]:
        """Tell a text now of which nothing came until it was complete."""
        open = self._items.get(said.output_index)
        if open is None or open.parts.get(said.content_index) in open.said:
            return _NOTHING
        return self._grow_content(said, kind, whole)

    def _grow_content(
        self, said: _Said, kind: type[Text | Refusal], text: Json, logprobs: Sequence[Json] = ()
    ) -> Sequence[Event]:
        open = self._items.get(said.output_index)
        if open is None or not isinstance(text, str) or not (text or logprobs):
            return _NOTHING
        index = open.parts.get(said.content_index)
        if index is None:  # not announced
            opened = self._open_part(open, said, kind(text, extras=message_of(open.item)))
            return (opened,)
        open.said.add(index)
        return (PartDelta(index, text, logprobs=logprobs),)

    def _cite(self, said: _Said) -> Sequence[Event]:
        open = self._items.get(said.output_index)
        index = open.parts.get(said.content_index) if open else None
        if index is None:
            return _NOTHING
        return (PartDelta(index, citation=read_citation(said.annotation)),)

    def _grow_item(self, said: _Said) -> Sequence[Event]:
        open = self._items.get(said.output_index)
        if open is None or not isinstance(said.delta, str):
            return _NOTHING
        open.said.add(open.index)
        return (PartDelta(open.index, said.delta),)

    def _grow_summary(self, said: _Said) -> Sequence[Event]:
        return self._grow_thought(said, ("summary", said.summary_index))

    def _grow_reasoning(self, said: _Said) -> Sequence[Event]:
        return self._grow_thought(said, ("content", said.content_index))

    def _grow_thought(self, said: _Said, section: tuple[str, int]) -> Sequence[Event]:
        open = self._items.get(said.output_index)
        if open is None or not isinstance(said.delta, str):
            return _NOTHING
        begins = open.section is not None and open.section != section
        open.section = section
        return (PartDelta(open.index, BETWEEN + said.delta if begins else said.delta),)

    def _stop(self, said: _Said) -> Sequence[Event]:
        answer = _decode_answer(said.response)
        stop = read_stop(answer, called=self._called, refused=self._refused)
        begun = self._begin(said)
        self._stopped = True
        closed = [event for open in self._items.values() for event in self._leave(open)]
        return [*begun, *closed, Stopped(stop, read_usage(answer.usage))]

    def _fail(self, said: _Said) -> Sequence[Event]:
        if bytes(said.response):
            raise failed(_decode_answer(said.response).error)
        if bytes(said.error):
            raise failed(_decode_failure(said.error))
        raise failed(Failure(said.message, said.code))
