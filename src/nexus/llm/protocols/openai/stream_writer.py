"""A streamed answer for a client: parts flattened to chunks."""

import msgspec

from nexus.errors import NexusError
from nexus.llm.canonical import (
    AnyPart,
    ChatRequest,
    Event,
    Json,
    Media,
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
from nexus.llm.protocols.openai import answers, errors, loose, stops
from nexus.llm.protocols.openai.options import PROTOCOL
from nexus.llm.protocols.openai.response_writer import as_custom, custom_names, is_legacy, write_call
from nexus.llm.protocols.openai.thoughts import DETAILS, write_detail
from nexus.llm.protocols.openai.usage import write_usage

_encode = msgspec.json.Encoder().encode
_DONE = b"data: [DONE]\n\n"


class _Open:
    """A part that is being written. A machine for one part."""

    __slots__ = ("held", "number", "part", "proof", "start")

    def __init__(self, part: AnyPart, number: int, start: int, held: list[str] | None = None) -> None:
        self.part = part
        self.number = number
        """Among the calls, or among the thoughts."""
        self.start = start
        """Where its text begins in the whole text."""
        self.held = held
        """Arguments held back: a free text has to be unwrapped as a whole."""
        self.proof = ""


class ChatStreamWriter:
    """Writes one stream."""

    def __init__(self, request: ChatRequest) -> None:
        self._own_chunk = request.stream_usage
        """Whether the client wants the usage in a chunk of its own."""
        self._legacy = is_legacy(request)
        self._custom = custom_names(request)
        self._own = False
        self._usage: Usage | None = None
        self._head = b""
        self._tail = b""
        self._extras: dict[str, Json] = {}
        self._open: dict[int, _Open] = {}
        self._length = 0
        self._calls = 0
        self._thoughts = 0
        self._has_refused = False
        self._listed: dict[str, int] = {}
        """The number of the last entry of each list."""

    def write(self, event: Event) -> bytes:
        """Give the chunks an event becomes, `b""` when it has none."""
        match event:
            case PartDelta():
                return self._grow(event)
            case PartOpened():
                return self._begin(event)
            case PartClosed(index):
                opened = self._open.pop(index, None)
                return b"" if opened is None else self._end(opened)
            case Started():
                return self._start(event)
            case Stopped():
                return self._stop(event)

    def _start(self, event: Started) -> bytes:
        self._own = event.protocol == PROTOCOL
        self._usage = event.usage
        head: dict[str, Json] = {
            "id": event.id,
            "object": "chat.completion.chunk",
            "created": event.created,
            "model": event.model,
        }
        if event.service_tier is not None:
            self._extras["service_tier"] = event.service_tier
        if self._own:
            self._extras.update(event.extras)
        self._head = b"data: " + _encode(head)[:-1]
        self._tail = _tail(self._extras)
        return self._chunk({"role": "assistant"})

    def _chunk(self, delta: dict[str, Json]) -> bytes:
        return b'%b,"choices":[{"index":0,"delta":%b}]%b\n\n' % (self._head, _encode(delta), self._tail)

    def _begin(self, event: PartOpened) -> bytes:
        part = event.part
        match part:
            case ToolCall():
                return self._begin_call(event.index, part)
            case Text() | Refusal():
                opened = _Open(part, 0, self._length)
            case Thinking():
                opened = _Open(part, self._thoughts, 0)
                self._thoughts += 1
            case Media():
                picture = answers.write_picture(part)
                return (
                    b"" if picture is None else self._chunk({"images": [self._numbered("images", picture)]})
                )
            case Opaque(protocol=protocol, kind=kind) if protocol == PROTOCOL and kind in (
                answers.SPOKEN,
                DETAILS,
            ):
                self._open[event.index] = _Open(part, 0, 0)
                return self._chunk({kind: part.raw if kind == answers.SPOKEN else [part.raw]})
            case _:
                return b""
        self._open[event.index] = opened
        return self._begin_said(event.index, part)

    def _numbered(self, field: str, entry: Json) -> Json:
        """Number an entry of a list that grows over chunks: OpenAI's own library refuses to add up those without."""
        number = self._listed[field] = self._listed.get(field, -1) + 1
        return {"index": number, **loose.fields(entry)}

    def _begin_said(self, index: int, part: Text | Refusal | Thinking) -> bytes:
        """Write what an opened part has already."""
        if isinstance(part, Thinking):
            return self._begin_thought(self._open[index])
        out = b""
        citations = part.citations if isinstance(part, Text) else ()
        logprobs = part.logprobs if isinstance(part, Text) else ()
        if part.text or logprobs:
            out = self._grow(PartDelta(index, part.text, logprobs=logprobs))
        return out + b"".join(self._grow(PartDelta(index, citation=one)) for one in citations)

    def _begin_thought(self, opened: _Open) -> bytes:
        part = opened.part
        assert isinstance(part, Thinking)
        if not (part.text or part.redacted or part.id or part.extras or part.signature):
            return b""
        detail = write_detail(part, opened.number, own=self._own)
        plain: dict[str, Json] = {"reasoning_content": part.text} if part.text else {}
        return self._chunk({**plain, DETAILS: [detail]})

    def _begin_call(self, index: int, part: ToolCall) -> bytes:
        number, self._calls = self._calls, self._calls + 1
        if self._legacy and number:
            return b""  # one call is all a client of the old form can read
        if not part.custom and part.name in self._custom:
            self._open[index] = _Open(part, number, 0, [part.arguments])
            return b""
        self._open[index] = _Open(part, number, 0)
        empty = msgspec.structs.replace(part, arguments="")
        start = self._call(number, write_call(empty))
        return start + self._grow(PartDelta(index, part.arguments)) if part.arguments else start

    def _call(self, number: int, fields: dict[str, Json]) -> bytes:
        if self._legacy:
            function = fields.get("function")
            return self._chunk({"function_call": function}) if function else b""
        return self._chunk({"tool_calls": [{"index": number, **fields}]})

    def _grow(self, delta: PartDelta) -> bytes:
        opened = self._open.get(delta.index)
        if opened is None:
            return b""
        if delta.signature:
            opened.proof += delta.signature
        match opened.part:
            case Text():
                return self._grow_text(delta, opened)
            case ToolCall() as call if delta.text:
                return self._grow_call(delta.text, call, opened)
            case Thinking() as part if delta.text:
                detail = write_detail(
                    Thinking(text=delta.text, extras=part.extras), opened.number, own=self._own
                )
                return self._chunk({"reasoning_content": delta.text, DETAILS: [detail]})
            case Refusal() if delta.text:
                self._has_refused = True
                return self._chunk({"refusal": delta.text})
            case Opaque(kind=kind) if delta.raw is not None:
                return self._chunk({kind: delta.raw})
            case _:
                return b""

    def _grow_text(self, delta: PartDelta, opened: _Open) -> bytes:
        self._length += len(delta.text)
        if delta.citation is not None:
            written = answers.write_citation(delta.citation, opened.start, self._length)
            fields: dict[str, Json] = {"content": delta.text} if delta.text else {}
            if written is not None:
                fields["annotations"] = [self._numbered("annotations", written)]
            return self._chunk(fields) if fields else b""
        if delta.logprobs:
            choice: Json = {
                "index": 0,
                "delta": {"content": delta.text},
                "logprobs": {"content": delta.logprobs},
            }
            return b'%b,"choices":[%b]%b\n\n' % (self._head, _encode(choice), self._tail)
        return self._chunk({"content": delta.text}) if delta.text else b""

    def _grow_call(self, text: str, call: ToolCall, opened: _Open) -> bytes:
        if opened.held is not None:
            opened.held.append(text)
            return b""
        inner: Json = {"input": text} if call.custom else {"arguments": text}
        return self._call(opened.number, {"custom" if call.custom else "function": inner})

    def _end(self, opened: _Open) -> bytes:
        """Write what is known only now: a signature, which a client takes as a whole, and a free text held back."""
        part, proof = opened.part, opened.proof
        if isinstance(part, ToolCall) and opened.held is not None:
            whole = msgspec.structs.replace(
                part, arguments="".join(opened.held), signature=part.signature + proof
            )
            return self._call(opened.number, write_call(as_custom(whole)))
        if not proof:
            return b""
        if isinstance(part, ToolCall):
            extra = answers.write_proof(part.signature + proof, part.origin)
            return self._call(opened.number, {"extra_content": extra})
        if isinstance(part, Thinking):
            signed = Thinking(text="", signature=part.signature + proof, origin=part.origin)
            return self._chunk({DETAILS: [write_detail(signed, opened.number, own=self._own)]})
        return b""

    def _stop(self, event: Stopped) -> bytes:
        reason = stops.write_stop(event.stop, refused=self._has_refused, legacy=self._legacy)
        closing = b'%b,"choices":[{"index":0,"delta":{},"finish_reason":%b}]' % (self._head, _encode(reason))
        last = {**self._extras, **event.extras} if self._own else self._extras
        usage = event.usage or self._usage
        if usage is None:
            return b"%b%b\n\n%b" % (closing, _tail(last), _DONE)
        last = {"usage": write_usage(usage, own=self._own), **last}
        if not self._own_chunk:
            return b"%b%b\n\n%b" % (closing, _tail(last), _DONE)
        extra = b'%b,"choices":[]%b\n\n' % (self._head, _tail(last))
        return b"%b%b\n\n%b%b" % (closing, self._tail, extra, _DONE)

    def fail(self, error: NexusError) -> bytes:
        """Give the last events of a stream that failed on its way."""
        return errors.write_event(error)


def _tail(fields: dict[str, Json]) -> bytes:
    """Write the fields after the choices, and the end of the chunk."""
    return b"," + _encode(fields)[1:] if fields else b"}"
