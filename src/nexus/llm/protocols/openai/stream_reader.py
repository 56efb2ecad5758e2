"""A streamed answer of a server.

Chunks have no beginnings and ends of parts: a part begins where something of another kind comes, and ends where the next
begins. Calls stay open as long as a server may still give them arguments.
"""

from collections.abc import Sequence
from typing import Literal

import msgspec

from nexus.errors import UpstreamFailed, UpstreamGarbage
from nexus.llm.canonical import (
    AnyPart,
    ChatRequest,
    Event,
    Extras,
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
)
from nexus.llm.protocols.node import array_of
from nexus.llm.protocols.openai import answers, loose, stops
from nexus.llm.protocols.openai.calls import Call, Calls
from nexus.llm.protocols.openai.options import PROTOCOL
from nexus.llm.protocols.openai.thoughts import read_detail
from nexus.llm.protocols.openai.usage import read_usage


class _Function(msgspec.Struct, gc=False):
    name: Json = None
    arguments: Json = None
    input: Json = None


class _Piece(msgspec.Struct, gc=False):
    index: int | None = None
    id: Json = None
    function: _Function | None = None
    custom: _Function | None = None
    extra_content: Json = None


class _Delta(msgspec.Struct, gc=False):
    content: Json = None
    refusal: str | None = None
    reasoning: Json = None
    reasoning_content: Json = None
    reasoning_details: Json = None
    tool_calls: list[_Piece] | None = None
    function_call: _Function | None = None
    annotations: Json = None
    audio: Json = None
    images: Json = None


class _Choice(msgspec.Struct, gc=False):
    index: int | None = None
    delta: _Delta | None = None
    message: _Delta | None = None
    """In place of a delta, where a server that cannot stream tells all at once."""
    finish_reason: str | None = None
    logprobs: Json = None
    stop_reason: Json = None
    error: Json = None


class _Chunk(msgspec.Struct, gc=False):
    id: Json = None
    model: Json = None
    created: Json = None
    service_tier: Json = None
    choices: list[_Choice] | None = None
    usage: Json = None
    x_groq: Json = None
    error: Json = None


_Kind = Literal["text", "thought", "refusal"]
_EMPTY: dict[_Kind, AnyPart] = {
    "text": Text(text=""),
    "thought": Thinking(text="", origin=PROTOCOL),
    "refusal": Refusal(text=""),
}
_decode = msgspec.json.Decoder(_Chunk).decode
_decode_all = msgspec.json.Decoder(dict[str, Json]).decode


class ChatStreamReader:
    """Reads one stream."""

    def __init__(self, request: ChatRequest) -> None:
        self._request = request
        self._started: Started | None = None
        self._next = 0
        self._kind: _Kind | None = None
        self._open = -1
        self._thought: Json = None
        """The number the server gave the open thought."""
        self._has_thought = False
        self._has_refused = False
        self._spoken = -1
        self._calls = Calls()
        self._reason = ""
        self._sequence: Json = None
        self._usage: Json = None
        self._extras: dict[str, Json] = {}
        self._done = False

    def read(self, payload: bytes) -> Sequence[Event]:
        """Give what one chunk says.

        Raises:
            UpstreamFailed: it says that the server failed.
            UpstreamGarbage: it is no chunk.
        """
        if self._done or not payload:
            return ()
        if payload.strip() == b"[DONE]":
            return self._finish()
        try:
            chunk = _decode(payload)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            raise UpstreamGarbage("The upstream's stream holds something that is not a chunk") from None
        if chunk.error:
            raise stops.failure(chunk.error)
        self._count(chunk)
        events: list[Event] = []
        choices = chunk.choices
        if not choices:
            self._remember(payload)
            return events
        if self._started is None:
            events.append(self._start(chunk, payload))
        for choice in choices:
            if not choice.index:
                self._read_choice(choice, events)
        return events

    def _count(self, chunk: _Chunk) -> None:
        """Keep the newest counts; Groq had them in a place of its own."""
        if chunk.usage:
            self._usage = chunk.usage
        elif chunk.x_groq:
            self._usage = loose.fields(chunk.x_groq).get("usage") or self._usage

    def _remember(self, payload: bytes) -> None:
        """Keep what a chunk beside the answer says, such as a moderation, and the first chunk did not."""
        raw = _decode_all(payload)
        if raw.get("object") == "error":  # vLLM
            raise stops.failure(raw)
        known: Extras = self._started.extras if self._started else {}
        extras = answers.extras_of(raw)
        self._extras.update((name, value) for name, value in extras.items() if known.get(name) != value)

    def end(self) -> Sequence[Event]:
        """Give what the end of the stream says; servers that do not write `[DONE]` end with their reason.

        Raises:
            UpstreamFailed: the answer was not complete.
        """
        if self._done:
            return ()
        if not self._reason:
            raise UpstreamFailed("The upstream ended the stream before it was complete")
        return self._finish()

    def _start(self, chunk: _Chunk, payload: bytes) -> Started:
        self._started = Started(
            PROTOCOL,
            loose.text(chunk.id),
            loose.text(chunk.model),
            loose.count(chunk.created),
            service_tier=loose.text(chunk.service_tier) or None,
            extras=answers.extras_of(_decode_all(payload)),
        )
        return self._started

    def _read_choice(self, choice: _Choice, events: list[Event]) -> None:
        if choice.error:
            raise stops.failure(choice.error)
        if (delta := choice.delta or choice.message) is not None:
            self._grow(delta, choice.logprobs, events)
        if choice.finish_reason:
            if choice.finish_reason == "error":
                raise UpstreamFailed("The upstream ended its answer with an error")
            self._reason, self._sequence = choice.finish_reason, choice.stop_reason
            self._close(events)

    def _grow(self, delta: _Delta, logprobs: Json, events: list[Event]) -> None:
        thought = delta.reasoning or delta.reasoning_content
        if thought or delta.reasoning_details:
            self._think(loose.text(thought), array_of(delta.reasoning_details), events)
        if delta.content or logprobs is not None:
            self._read_content(delta.content, logprobs, events)
        if delta.refusal:
            self._has_refused = True
            self._say("refusal", delta.refusal, events)
        if delta.tool_calls:
            for piece in delta.tool_calls:
                self._call(piece, events)
        if delta.function_call is not None:
            self._call(_Piece(function=delta.function_call), events)
        if delta.annotations or delta.images or delta.audio:
            self._read_rare(delta, events)

    def _read_content(self, content: Json, logprobs: Json, events: list[Event]) -> None:
        if logprobs is not None and (tokens := array_of(loose.fields(logprobs).get("content"))):
            self._open_as("text", events)
            events.append(PartDelta(self._open, loose.text(content), logprobs=tokens))
        elif type(content) is str:
            if content:
                self._say("text", content, events)
        else:
            self._read_chunks(content, events)

    def _read_chunks(self, content: Json, events: list[Event]) -> None:
        for item in array_of(content):
            match answers.read_chunk(item):
                case Text(text=text):
                    self._say("text", text, events)
                case Thinking(text=text):
                    self._say("thought", text, events)
                case Refusal(text=text):
                    self._say("refusal", text, events)
                case part:
                    self._whole(part, events)

    def _read_rare(self, delta: _Delta, events: list[Event]) -> None:
        for annotation in array_of(delta.annotations):
            self._open_as("text", events)
            events.append(PartDelta(self._open, citation=answers.read_citation(annotation)))
        for picture in array_of(delta.images):
            self._whole(answers.read_picture(picture), events)
        if delta.audio and self._spoken < 0:
            self._settle(events)
            self._spoken = self._number()
            events.append(
                PartOpened(self._spoken, Opaque(protocol=PROTOCOL, kind=answers.SPOKEN, raw=delta.audio))
            )
        elif delta.audio:
            events.append(PartDelta(self._spoken, raw=delta.audio))

    def _say(self, kind: _Kind, text: str, events: list[Event]) -> None:
        if kind != self._kind:
            self._open_as(kind, events)
        events.append(PartDelta(self._open, text))

    def _open_as(self, kind: _Kind, events: list[Event], part: AnyPart | None = None) -> None:
        """Open a part of a kind, if it is not the one that is open; `part` is opened in any case."""
        if kind == self._kind and part is None:
            return
        self._settle(events)
        self._kind, self._open = kind, self._number()
        events.append(PartOpened(self._open, part or _EMPTY[kind]))

    def _whole(self, part: AnyPart, events: list[Event]) -> None:
        """Tell a part that comes in one piece."""
        self._settle(events)
        index = self._number()
        events += (PartOpened(index, part), PartClosed(index))

    def _number(self) -> int:
        self._next += 1
        return self._next - 1

    def _think(self, plain: str, details: list[Json], events: list[Event]) -> None:
        """Read thoughts, which some servers tell twice: in details, and again as plain text."""
        told = False
        for detail in details:
            part = read_detail(detail)
            if isinstance(part, Opaque) or part.redacted:
                self._whole(part, events)
                continue
            told = told or bool(part.text)
            self._think_detail(part, loose.fields(detail).get("index"), events)
        if plain and not told:
            self._say("thought", plain, events)
            self._has_thought = True

    def _think_detail(self, part: Thinking, number: Json, events: list[Event]) -> None:
        grows = self._kind == "thought" and (number == self._thought or not part.text)
        if not grows:
            if self._has_thought and not part.text:
                return  # the proof of a thought that is long closed: OpenRouter may send it after the text
            opened = Thinking(text="", origin=PROTOCOL, id=part.id, extras=part.extras)
            self._open_as("thought", events, opened)
            self._thought = number
        self._has_thought = True
        if part.text or part.signature:
            events.append(PartDelta(self._open, part.text, part.signature))

    def _call(self, piece: _Piece, events: list[Event]) -> None:
        inner = piece.custom or piece.function or _Function()
        id, name = loose.text(piece.id), loose.text(inner.name)
        text = loose.text(inner.input) if piece.custom else loose.arguments(inner.arguments)
        call = self._calls.find(piece.index, id, name, text)
        if call is None:
            self._settle(events)
            call = Call(id or self._make_id(), name, custom=piece.custom is not None)
            self._calls.add(call, piece.index)
        elif call.closed:
            return
        call.name = call.name or name
        if text:
            call.pieces.append(text)
        proof = answers.read_proof(piece.extra_content) if piece.extra_content else ""
        if call.part is None:
            if not call.name:
                return  # it comes with a later piece
            call.part = self._number()
            events.append(PartOpened(call.part, call.as_part(proof)))
            text, proof = "".join(call.pieces), ""
        if text or proof:
            events.append(PartDelta(call.part, text, proof))

    def _make_id(self) -> str:
        started = self._started or Started(PROTOCOL, "", "")
        return answers.make_id(self._request, started.id, started.created, len(self._calls.all))

    def _settle(self, events: list[Event]) -> None:
        """Close what is open before a part of another kind: calls only if their arguments are whole."""
        if self._kind is not None:
            events.append(PartClosed(self._open))
            self._kind = self._thought = None
        for call in self._calls.all:
            if not call.closed and call.part is not None and call.is_complete():
                call.closed = True
                events.append(PartClosed(call.part))

    def _close(self, events: list[Event]) -> None:
        """Close all that is open; a call without arguments gets an empty object."""
        self._settle(events)
        for call in self._calls.all:
            if call.closed:
                continue
            if call.part is None:
                raise UpstreamGarbage("The upstream's stream calls a tool without a name")
            if not call.custom and not "".join(call.pieces).strip():
                events.append(PartDelta(call.part, "{}"))
            call.closed = True
            events.append(PartClosed(call.part))

    def _finish(self) -> list[Event]:
        if self._started is None:
            raise UpstreamGarbage("The upstream's stream holds no answer")
        self._done = True
        events: list[Event] = []
        self._close(events)
        if self._spoken >= 0:
            events.append(PartClosed(self._spoken))
        called = bool(self._calls.all)
        stop = stops.read_stop(self._reason, self._sequence, called=called, refused=self._has_refused)
        events.append(Stopped(stop, read_usage(self._usage), self._extras))
        return events
