"""The ends of an answer, where it says which model wrote it, what it used and why it ended. Read once the answer has gone.

It is read for every answer there is, so typed and not by the readers of the protocols, which keep what nobody asks for here. A
test holds the counts to theirs.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Annotated

import msgspec

from nexus.errors import UpstreamFailed
from nexus.http import frames
from nexus.llm.canonical import Stop, Usage
from nexus.llm.protocols.anthropic import stops as anthropic_stops
from nexus.llm.protocols.google import answer as gemini
from nexus.llm.protocols.google import stops as google_stops
from nexus.llm.protocols.google import usage as google_usage
from nexus.llm.protocols.openai import stops as openai_stops
from nexus.telemetry.records import Tokens

_FIRST = 3
_LAST = 6
"""Events looked at: those before and after say nothing of what is asked here."""

_NULL = b"null"
_MOST = 2**53
"""More tokens than there are. What a provider counts may not be so, and sums over all calls are made of it."""

Count = Annotated[int, msgspec.Meta(ge=0, le=_MOST)] | None


class _In(msgspec.Struct, gc=False):
    cached_tokens: Count = None
    cache_write_tokens: Count = None


class _Out(msgspec.Struct, gc=False):
    reasoning_tokens: Count = None
    thinking_tokens: Count = None


class _Usage(msgspec.Struct, gc=False):
    """Counts in any protocol a client speaks, with what compatible servers add."""

    prompt_tokens: Count = None
    completion_tokens: Count = None
    total_tokens: Count = None
    prompt_tokens_details: _In | None = None
    completion_tokens_details: _Out | None = None
    prompt_cache_hit_tokens: Count = None
    cached_tokens: Count = None
    num_cached_tokens: Count = None
    input_tokens: Count = None
    output_tokens: Count = None
    input_tokens_details: _In | None = None
    output_tokens_details: _Out | None = None
    cache_read_input_tokens: Count = None
    cache_creation_input_tokens: Count = None


class _Choice(msgspec.Struct, gc=False):
    finish_reason: str | None = None


class _Delta(msgspec.Struct, gc=False):
    stop_reason: str | None = None


class _Incomplete(msgspec.Struct, gc=False):
    reason: str | None = None


class _Told(msgspec.Struct):
    """An answer, or an event of one, in any protocol a client speaks."""

    model: str | None = None
    usage: _Usage | None = None
    choices: list[_Choice] | None = None
    stop_reason: str | None = None
    delta: str | _Delta | None = None
    incomplete_details: _Incomplete | None = None
    status: str | int | None = None
    message: "str | _Told | None" = None
    response: "str | _Told | None" = None
    error: msgspec.Raw = msgspec.Raw(_NULL)


_decode = msgspec.json.Decoder(_Told).decode
_NO_IN, _NO_OUT = _In(), _Out()


class Ends(msgspec.Struct, gc=False):
    """What was found."""

    model: str = ""
    tokens: Tokens | None = None
    finish: str | None = None
    """In the words of OpenAI chats."""
    failed: bool = False
    """Whether it tells of an error instead of an answer, or in the middle of one."""


def of_whole(protocol: str, body: bytes) -> Ends:
    """Read a whole answer; nothing of one that cannot be read."""
    if protocol == "google":
        return read(protocol, (body,))
    try:
        told = _decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return Ends()
    tokens = _tokens(protocol, told.usage, None) if told.usage is not None else None
    return Ends(told.model or "", tokens, _finish(protocol, told), bytes(told.error) != _NULL)


def read(protocol: str, payloads: Iterable[bytes]) -> Ends:
    """Read the data of some events in their order; what cannot be read is passed over."""
    found = Ends()
    for payload in payloads:
        try:
            if protocol == "google":
                _note_google(found, payload)
                continue
            told = _decode(payload)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            continue
        _note(found, protocol, told)
        inner = told.message or told.response
        if type(inner) is _Told:
            _note(found, protocol, inner)
    return found


def of_stream(protocol: str, head: bytes, tail: Sequence[bytes]) -> Iterator[bytes]:
    """Give the data of the last events in `tail`; before them that of the first in `head`, where those say something."""
    if protocol == "anthropic":
        first = head if b"\r" in head else b"\n\n".join(head.split(b"\n\n", _FIRST)[:_FIRST])
        yield from islice(frames.payloads(first), _FIRST)
    data = b"".join(tail)
    if b"\r" not in data:
        data = b"\n\n".join(data.rsplit(b"\n\n", _LAST)[-_LAST:])
    yield from frames.payloads(data)


def word(stop: Stop) -> str:
    """Say why an answer ended in the words of OpenAI chats."""
    return openai_stops.write_stop(stop, refused=False, legacy=False)


def counted(usage: Usage | None) -> Tokens | None:
    """Give counts as records have them; None where they cannot be true."""
    if usage is None:
        return None
    written = usage.cache_write + usage.cache_write_1h
    counts = (usage.prompt, usage.output, usage.cache_read, written, usage.reasoning)
    return Tokens(*counts) if min(counts) >= 0 and max(counts) <= _MOST else None


def _note_google(found: Ends, payload: bytes) -> None:
    """Note what some chunks say. Clients do not speak this protocol but past the gateway, so its own readers will do."""
    decoded = gemini.decode(payload)
    for chunk in decoded if isinstance(decoded, list) else (decoded,):
        found.model = chunk.model_version or found.model
        found.tokens = counted(google_usage.read_usage(chunk.usage_metadata)[0]) or found.tokens
        for candidate in (chunk.candidates or ())[:1]:
            if candidate.finish_reason is None:
                continue
            parts = candidate.content.parts if candidate.content is not None else None
            calls = any(b'"functionCall"' in bytes(part) for part in parts or ())
            try:
                found.finish = word(google_stops.read_stop(candidate, calls=calls))
            except UpstreamFailed:
                found.finish = candidate.finish_reason.lower()


def _note(found: Ends, protocol: str, told: _Told) -> None:
    found.model = told.model or found.model
    if told.usage is not None:
        found.tokens = _tokens(protocol, told.usage, found.tokens) or found.tokens
    found.finish = _finish(protocol, told) or found.finish
    found.failed |= bytes(told.error) != _NULL


def _tokens(protocol: str, usage: _Usage, before: Tokens | None) -> Tokens | None:
    if protocol == "anthropic":
        return _of_anthropic(usage, before)
    if usage.prompt_tokens is not None or usage.completion_tokens is not None:
        return _of_openai(usage)
    return _of_responses(usage) if usage.input_tokens is not None else None


def _of_openai(usage: _Usage) -> Tokens:
    details, prompt = usage.prompt_tokens_details or _NO_IN, usage.prompt_tokens or 0
    cached = (
        details.cached_tokens
        or usage.prompt_cache_hit_tokens
        or usage.cached_tokens
        or usage.num_cached_tokens
        or 0
    )
    output = usage.completion_tokens or 0
    reasoning = (usage.completion_tokens_details or _NO_OUT).reasoning_tokens or 0
    if not (cached or reasoning or details.cache_write_tokens):
        return Tokens(prompt, output)
    read = min(cached, prompt)
    written = min(details.cache_write_tokens or 0, prompt - read)
    if reasoning and usage.total_tokens == prompt + output + reasoning:
        output += reasoning  # counted beside the completion, not in it
    return Tokens(prompt, output, read, written, min(reasoning, output))


def _of_responses(usage: _Usage) -> Tokens:
    details, thought = usage.input_tokens_details or _NO_IN, usage.output_tokens_details or _NO_OUT
    return Tokens(
        usage.input_tokens or 0,
        usage.output_tokens or 0,
        details.cached_tokens or 0,
        details.cache_write_tokens or 0,
        thought.reasoning_tokens or 0,
    )


def _of_anthropic(usage: _Usage, before: Tokens | None) -> Tokens:
    """Read counts; those that are absent are as they were before, since later ones replace earlier ones."""
    old = before or Tokens(0, 0)
    read = _or(usage.cache_read_input_tokens, old.cache_read)
    written = _or(usage.cache_creation_input_tokens, old.cache_write)
    fresh = _or(usage.input_tokens, old.input - old.cache_read - old.cache_write)
    thought = (usage.output_tokens_details or _NO_OUT).thinking_tokens
    output = _or(usage.output_tokens, old.output)
    return Tokens(fresh + read + written, output, read, written, _or(thought, old.reasoning))


def _or(value: Count, default: int) -> int:
    return default if value is None else value


def _finish(protocol: str, told: _Told) -> str | None:
    if protocol == "anthropic":
        reason = told.stop_reason or (told.delta.stop_reason if isinstance(told.delta, _Delta) else None)
        return word(anthropic_stops.read_stop(reason, None, None)) if reason else None
    if protocol == "responses":
        if told.status == "incomplete":
            cut = told.incomplete_details is None or told.incomplete_details.reason != "content_filter"
            return "length" if cut else "content_filter"
        return "stop" if told.status == "completed" else None
    for choice in told.choices or ():
        if choice.finish_reason:
            return choice.finish_reason
    return None
