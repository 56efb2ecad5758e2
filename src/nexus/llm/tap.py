"""What is found out about a call of a model while its bytes go by, for the record of it.

While the answer is on its way only times are taken and its ends kept; they are read once it has gone. Where nobody looks at the
request, nothing is.
"""

from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Mapping
from functools import cache
from types import MappingProxyType
from typing import TypeVar

import msgspec

from nexus.errors import Headers, NexusError
from nexus.llm import ends
from nexus.llm.canonical import Stop, Usage
from nexus.llm.protocols import fields
from nexus.llm.protocols.losses import DROPPED
from nexus.llm.reply import Reply
from nexus.telemetry import failures, observation
from nexus.telemetry.metrics import CHUNKS, COUNT_TOKENS, LIST_MODELS
from nexus.telemetry.observation import Observation, clock
from nexus.telemetry.records import Chunks, Tokens, UsageRecord
from nexus.telemetry.redact import redact_name
from nexus.telemetry.trace import Attribute

T = TypeVar("T")

_LAST_PIECES = 6
_MAX_CONTENT = 256 * 1024
"""Bytes of a conversation in a span, where the configuration wants them there at all."""
_MAX_NAME = 256
_LARGE = 64 * 1024
"""Bytes that are not kept for longer than they must."""
_MAX_REASON = 64
_REASONS = frozenset(("stop", "length", "tool_calls", "content_filter", "function_call"))
_CHAT = "chat.completions"
_OPERATIONS = {
    "/messages": _CHAT,
    "/responses": _CHAT,
    "/messages/count_tokens": COUNT_TOKENS,
    "/models": LIST_MODELS,
}
_SPANS = {_CHAT: "llm:chat_completion"}
_LIMITS = ("max_tokens", "max_completion_tokens", "max_output_tokens")
_SPOKEN = ("messages", "input", "prompt")
_TEXTS = (
    "content",
    "text",
    "thinking",
    "reasoning_content",
    "reasoning",
    "refusal",
    "partial_json",
    "arguments",
    "delta",
)
_BEGINS = tuple(f'"{name}":{space}"'.encode() for name in _TEXTS for space in ("", " "))
_CALLS = (b'"tool_calls":[', b'"tool_calls": [', b'"tool_use"', b'"function_call"')


class Tap:
    """A call nobody looks at."""

    __slots__ = ()

    def asks(self, model: str, split: fields.Fields | None, *, stream: bool) -> None:
        """Tell what is asked for."""

    def goes(self, provider: str, model: str) -> None:
        """Tell who is asked, and for which of its models."""

    def whole(self, body: bytes) -> None:
        """Show the whole answer of a provider that was asked in the client's protocol."""

    def watch(self, events: bytes) -> None:
        """Show some events of its stream."""

    def tick(self, *, begun: bool) -> None:
        """Tell that something was sent on; `begun` once it held content."""

    def answered(self, model: str, usage: Usage | None, stop: Stop | None) -> None:
        """Tell what a translated answer says of itself; what is not known yet comes later."""

    def replied(self, reply: Reply) -> None:
        """Tell what the client is answered: its headers list what was left out of the request."""

    def failed(self, error: NexusError) -> None:
        """Tell that it failed."""


UNSEEN = Tap()
"""The only one of its kind."""


def begin(path: str, protocol: str) -> Tap:
    """Begin a call of the endpoint at `path`, for whoever looks at this request."""
    seen = observation.current()
    if seen is None:
        return UNSEEN
    seen.begin(call := Metered(path, protocol, seen))
    return call


def current() -> Tap:
    """Give the call this request is about."""
    seen = observation.current()
    return seen.operation if seen is not None and isinstance(seen.operation, Metered) else UNSEEN


def passed_on() -> bytes:
    """Write the header lines by which a provider continues the trace; none unless the configuration wants it."""
    headers = observation.passed_on()
    return b"".join([f"{name}: {value}\r\n".encode() for name, value in headers]) if headers else b""


class Metered(Tap):
    """A call somebody looks at."""

    span_id = 0
    attributes: Mapping[str, Attribute] = MappingProxyType({})
    # what is not found out stays as it is here: most of it, in most calls
    _asked = _provider = _served = ""
    _stream = False
    _first = _last = _waited = 0.0
    _gaps: list[int] | None = None
    _whole = _head = b""
    _tail: deque[bytes] | None = None
    _tokens: Tokens | None = None
    _stop: Stop | None = None
    _headers: Headers = ()
    _error: NexusError | None = None
    _written: list[bytes] | None = None
    _kept = 0

    def __init__(self, path: str, protocol: str, seen: Observation) -> None:
        self.began = clock()
        self._seen = seen
        self._path = path
        self._protocol = protocol

    @property
    def name(self) -> str:
        operation, name = _named(self._path)
        return "llm:chat_completion_stream" if self._stream and operation == _CHAT else name

    def asks(self, model: str, split: fields.Fields | None, *, stream: bool) -> None:
        self._asked, self._stream = model, stream
        if self._seen.sampled and split is not None:
            self.attributes = told = _settings(split)
            if self._seen.content:
                told["gen_ai.input.messages"] = _spoken(split)
                self._written = []

    def goes(self, provider: str, model: str) -> None:
        self._provider, self._served = provider, model

    def whole(self, body: bytes) -> None:
        self._whole = body
        if len(body) > _LARGE:
            self._seen.large = True

    def watch(self, events: bytes) -> None:
        if len(events) > _LARGE:
            self._seen.large = True
        if self._tail is None:
            self._head, self._tail = events, deque(maxlen=_LAST_PIECES)
        self._tail.append(events)
        self.tick(begun=self._first > 0 or _has_content(events))
        if self._written is not None and self._kept < _MAX_CONTENT:
            self._kept += len(events)
            self._written.append(events)

    def tick(self, *, begun: bool) -> None:
        now = clock()
        if self._first:
            gaps, gap = self._gaps, now - self._last
            if gaps is None:
                gaps = self._gaps = [0] * (len(CHUNKS) + 1)
            gaps[bisect_left(CHUNKS, gap)] += 1
            self._waited += gap
        elif begun:
            self._first = now
        self._last = now

    def answered(self, model: str, usage: Usage | None, stop: Stop | None) -> None:
        self._served = model or self._served
        self._tokens = ends.counted(usage) or self._tokens
        self._stop = stop or self._stop

    def replied(self, reply: Reply) -> None:
        self._headers = reply.headers
        if not self._whole and self._tokens is None and isinstance(reply.body, bytes):
            self.whole(reply.body)  # in the client's protocol as well

    def failed(self, error: NexusError) -> None:
        self._error = error

    def finish(self, seen: Observation) -> UsageRecord:
        """Say what became of it."""
        found = self._found()
        error = self._failure(seen) or (failures.PROVIDER if found.failed else None)
        identity, gaps = seen.identity, self._gaps
        record = UsageRecord(
            seen.ended - self.began,
            error,
            seen.time / 1e9 + (self.began - seen.began),
            _named(self._path)[0],
            self._asked[:_MAX_NAME],
            self._provider,
            found.model[:_MAX_NAME],
            identity.client if identity is not None else None,
            identity.group if identity is not None else None,
            self._stream,
            seen.answered,
            failures.as_told(self._error) if self._error is not None else None,
            _reason(found.finish) if error is None else None,
            found.tokens,
            self._first - self.began if self._first else None,
            Chunks(tuple(gaps), self._waited) if gaps is not None else None,
            self._dropped(),
        )
        if seen.sampled:
            self._describe(record, seen)
        return record

    def _failure(self, seen: Observation) -> str | None:
        if self._error is not None:
            return failures.of_model(self._error)
        if seen.status >= 500:
            return failures.INTERNAL
        return None if seen.complete else failures.DISCONNECTED

    def _found(self) -> ends.Ends:
        if not self._whole and self._tail is None:
            finish = ends.word(self._stop) if self._stop is not None else None
            return ends.Ends(self._served, self._tokens, finish)
        if self._tail is None:
            found = ends.of_whole(self._protocol, self._whole)
        else:
            found = ends.read(self._protocol, ends.of_stream(self._protocol, self._head, self._tail))
        found.model = found.model or self._served
        return found

    def _dropped(self) -> tuple[str, ...]:
        for name, value in self._headers:
            if name == DROPPED:
                return tuple(value.decode("latin-1").split(", "))  # a provider may have sent it
        return ()

    def _describe(self, record: UsageRecord, seen: Observation) -> None:
        """Write what the span of this call says."""
        optional = {
            "gen_ai.request.model": redact_name(record.asked) or None,
            "gen_ai.operation.name": record.operation,
            "gen_ai.provider.name": record.provider or None,
            "gen_ai.response.model": redact_name(record.served) if record.error is None else None,
            "gen_ai.response.finish_reason": record.finish,
            "gen_ai.response.time_to_first_chunk": record.first_token,
            "client.id": redact_name(record.client) if record.client is not None else None,
            "client.group": redact_name(record.group) if record.group is not None else None,
            "llm.stream": "true" if record.stream else None,
            "llm.auth_forwarded": "true" if seen.sent(b"x-provider-api-key") else "false",
            "nexus.dropped": ", ".join(record.dropped) or None,
            "error": "true" if record.error is not None else None,
            "error.type": record.api_error or record.error,
            "gen_ai.output.messages": self._said(),
            **_counted(record),
            **(_count(self._whole) if record.operation == COUNT_TOKENS and record.error is None else {}),
        }
        told = {name: value for name, value in optional.items() if value is not None}
        self.attributes = {**self.attributes, **told}

    def _said(self) -> str | None:
        if self._written is None:
            return None
        return (self._whole or b"".join(self._written))[:_MAX_CONTENT].decode("utf-8", "replace")


def _reason(said: str | None) -> str | None:
    """Give why a model ended; in a provider's own words, no more of them than a label can hold."""
    return said if said in _REASONS or said is None else redact_name(said[:_MAX_REASON])


@cache
def _named(path: str) -> tuple[str, str]:
    """Name the operation of an endpoint, and its span."""
    operation = _OPERATIONS.get(path) or path.strip("/").partition("/{")[0].replace("/", ".")
    return operation, _SPANS.get(operation) or f"llm:{operation}"


def _has_content(events: bytes) -> bool:
    """Tell whether some events hold text that is not empty, or a call."""
    for begins in _BEGINS:
        at = -1
        while (at := events.find(begins, at + 1)) >= 0:
            if events[at + len(begins)] != 0x22:  # the quote that would end it
                return True
    return any(call in events for call in _CALLS)


def _counted(record: UsageRecord) -> dict[str, Attribute | None]:
    tokens = record.tokens
    if tokens is None:
        return {}
    prefix = "gen_ai.usage."
    return {
        prefix + "input_tokens": tokens.input,
        prefix + "output_tokens": tokens.output,
        prefix + "total_tokens": tokens.input + tokens.output,
        prefix + "cache_read.input_tokens": tokens.cache_read or None,
        prefix + "cache_creation.input_tokens": tokens.cache_write or None,
        prefix + "reasoning.output_tokens": tokens.reasoning or None,
    }


class _Count(msgspec.Struct):
    input_tokens: int | None = None
    cache_creation_input_tokens: int | None = None
    cache_read_input_tokens: int | None = None


def _count(body: bytes) -> dict[str, Attribute | None]:
    """Read what a count of tokens came to."""
    try:
        counted = msgspec.json.decode(body, type=_Count)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return {}
    prefix = "llm.count_tokens."
    return {
        prefix + "input": counted.input_tokens,
        prefix + "cache_creation": counted.cache_creation_input_tokens,
        prefix + "cache_read": counted.cache_read_input_tokens,
    }


_read_int = msgspec.json.Decoder(int).decode
_read_float = msgspec.json.Decoder(float).decode
_read_list = msgspec.json.Decoder(list[msgspec.Raw]).decode


def _settings(split: fields.Fields) -> dict[str, Attribute]:
    """Read what a span says of a request."""
    found: dict[str, Attribute] = {}
    most = next((split[name] for name in _LIMITS if name in split), None)
    if most is not None and (limit := _setting(_read_int, most)) is not None:
        found["gen_ai.request.max_tokens"] = limit
    if (raw := split.get("temperature")) is not None and (value := _setting(_read_float, raw)) is not None:
        found["gen_ai.request.temperature"] = value
    if (raw := split.get("tools")) is not None and (tools := _setting(_read_list, raw)):
        found |= {"gen_ai.request.has_tools": "true", "gen_ai.request.tool_count": len(tools)}
    return found


def _setting(read: Callable[[msgspec.Raw], T], raw: msgspec.Raw) -> T | None:
    """Read one field; None for what is not of its kind, which is its provider's to refuse."""
    try:
        return read(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None


def _spoken(split: fields.Fields) -> str:
    raw = next((bytes(split[name]) for name in _SPOKEN if name in split), b"")
    return raw[:_MAX_CONTENT].decode("utf-8", "replace")
