"""Tokens of a chat: an estimate of a request before it is sent, and what its answer says it was.

The estimate is the one the contract gives: the vocabulary cl100k, 3 for each message and 3 for the whole. Tool calls, their
results and the definitions of tools count as the text they are.
"""

import asyncio
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import aclosing
from typing import cast

import msgspec

from nexus.context import Identity
from nexus.http import frames
from nexus.llm.canonical import Json
from nexus.ratelimit.hold import FREE, Hold
from nexus.ratelimit.limiter import Estimate, Limiter

DEFAULT_OUTPUT = 4096
"""What is held for an answer whose length the client does not bound."""
LIMITED = frozenset(("/chat/completions", "/completions", "/embeddings", "/messages", "/responses"))
"""The endpoints that use a client's tokens."""
_MESSAGE = 3
_MEDIA = 85
"""For an image or a file: what the smallest image costs at most vendors; its bytes are no text."""
_PIECE = 64 * 1024
"""Characters counted in one go, about 2 ms."""
_SHORT = 64
"""Characters below which a text is counted faster than it is looked up."""
_MAX_KNOWN = 10_000
_BOUNDS = ("max_completion_tokens", "max_output_tokens", "max_tokens")

_decode = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode


class Metering:
    """Holds tokens for a request and settles what its answer used."""

    def __init__(self, limiter: Limiter) -> None:
        self._limiter = limiter
        self._counter = Counter() if limiter.limits_tokens else None

    async def reserve(
        self, identity: Identity | None, provider: str, model: str, path: str, body: bytes
    ) -> Hold:
        """Hold what a request to one endpoint will use; `model` as the client wrote it.

        Raises:
            RateLimited: the client has no room for it.
            NotReady: nobody can tell, and that is configured to refuse.
        """
        counter = self._counter
        if counter is None or identity is None or path not in LIMITED:
            return FREE
        name = model.removeprefix(f"{provider}/")
        return await self._limiter.reserve(identity, provider, name, lambda: counter.estimate(body))

    def settle(self, hold: Hold, body: bytes | AsyncGenerator[bytes]) -> bytes | AsyncGenerator[bytes]:
        """Settle by a whole answer, or let a stream go by and settle when it ends, however it ends."""
        if not hold.measured or self._counter is None:
            return body
        if not isinstance(body, bytes):
            return _settling(hold, Meter(self._counter), body)
        if (told := _told(body)) is not None:  # else what was held stands
            hold.settle(told)
        return body


async def _settling(hold: Hold, meter: "Meter", body: AsyncGenerator[bytes]) -> AsyncGenerator[bytes]:
    try:
        async with aclosing(body):
            async for piece in body:
                meter.watch(piece)
                yield piece
    finally:
        hold.settle(meter.output())


class _Usage(msgspec.Struct):
    completion_tokens: int | None = None
    output_tokens: int | None = None


class _Telling(msgspec.Struct):
    usage: _Usage | None = None


class _Function(msgspec.Struct):
    arguments: str | None = None


class _Call(msgspec.Struct):
    function: _Function | None = None


class _Delta(msgspec.Struct):
    """What grows: of a choice (OpenAI), of a block (Anthropic)."""

    content: str | None = None
    reasoning_content: str | None = None
    refusal: str | None = None
    tool_calls: list[_Call] | None = None
    text: str | None = None
    thinking: str | None = None
    partial_json: str | None = None


class _Choice(msgspec.Struct):
    delta: _Delta | None = None
    text: str | None = None


class _Event(_Telling):
    """An answer, or an event of one, in any protocol a client speaks."""

    choices: list[_Choice] | None = None
    delta: str | _Delta | None = None
    response: _Telling | None = None


_read = msgspec.json.Decoder(_Event).decode
_read_whole = msgspec.json.Decoder(_Telling).decode


def _told(body: bytes) -> int | None:
    """Read what a whole answer says was written."""
    try:
        usage = _read_whole(body).usage
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    return _written_tokens(usage) if usage is not None else None


def _written_tokens(usage: _Usage) -> int:
    return usage.output_tokens or usage.completion_tokens or 0


class Meter:
    """Reads what an answer used while it goes by. A machine for one answer; what it cannot read it lets pass."""

    def __init__(self, counter: "Counter") -> None:
        self._counter = counter
        self._texts: list[str] = []
        self.told: int | None = None
        """Tokens the model has written, as its provider says."""

    def watch(self, piece: bytes) -> None:
        """Look at whole events of a stream."""
        for event in frames.events(piece):
            if payload := frames.payload(event):
                self.read(payload)

    def read(self, payload: bytes) -> None:
        """Look at the data of one event."""
        try:
            event = _read(payload)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return
        usage = event.usage or (event.response.usage if event.response is not None else None)
        if usage is not None:  # each later one includes the earlier
            self.told = _written_tokens(usage)
        if isinstance(event.delta, str):
            self._texts.append(event.delta)
        elif event.delta is not None:
            self._texts += _written(event.delta)
        for choice in event.choices or ():
            self._texts += _written(choice.delta) if choice.delta is not None else ()
            self._texts += (choice.text,) if choice.text else ()

    def output(self) -> int:
        """Give the tokens written: as told, or as counted where the stream ended before it told."""
        return self.told if self.told is not None else self._counter.guess("".join(self._texts))


def _written(delta: _Delta) -> Iterator[str]:
    for text in (
        delta.content,
        delta.reasoning_content,
        delta.refusal,
        delta.text,
        delta.thinking,
        delta.partial_json,
    ):
        if text:
            yield text
    for call in delta.tool_calls or ():
        if call.function is not None and call.function.arguments:
            yield call.function.arguments


class Counter:
    """Counts by the vocabulary cl100k. Loading it takes half a second: make one before the server listens."""

    def __init__(self) -> None:
        # its other door builds tables nobody needs here, in Python
        from bpe_openai import _bindings  # pyright: ignore[reportMissingTypeStubs]

        self._count = _bindings.tokenizer_for_encoding("cl100k_base").count
        # a conversation comes again with every turn: what it was counted to is kept by its hash, never the text itself
        self._known: dict[int, int] = {}

    async def estimate(self, body: bytes) -> Estimate:
        """Estimate what a request body asks for. Other work goes on while a long one is counted.

        A body that is no chat, or none at all, counts as the text that is in it.
        """
        try:
            request = _decode(body)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return Estimate(_MESSAGE, DEFAULT_OUTPUT)  # it will be refused for what it is
        if not isinstance(request, dict):
            return Estimate(_MESSAGE, DEFAULT_OUTPUT)
        fields = cast("dict[str, Json]", request)
        total, since = _MESSAGE, 0
        for text in _texts(fields):
            if isinstance(text, int):
                total += text
                continue
            total += self._count_piece(text) if len(text) < _SHORT else await self.count(text)
            since += len(text)
            if since > _PIECE:
                since = 0
                await asyncio.sleep(0)
        return Estimate(total, _bound(fields))

    async def count(self, text: str) -> int:
        """Count the tokens of a text; special ones in it are plain text."""
        if len(text) < _SHORT:
            return self._count_piece(text)
        if (total := self._known.get(hash(text))) is not None:
            return total
        total = 0
        for piece in _pieces(text):
            total += self._count_piece(piece)
            if len(text) > _PIECE:
                await asyncio.sleep(0)
        if len(self._known) >= _MAX_KNOWN:
            self._known.clear()
        self._known[hash(text)] = total
        return total

    def guess(self, text: str) -> int:
        """Count the tokens of a text at once; of a long one the beginning stands for all."""
        if len(text) <= _PIECE:
            return self._count_piece(text)
        return self._count_piece(text[:_PIECE]) * len(text) // _PIECE

    def _count_piece(self, text: str) -> int:
        try:
            return self._count(text)
        except UnicodeEncodeError:  # half a surrogate pair
            return self._count(text.encode("utf-8", "replace").decode())


def _pieces(text: str) -> Iterator[str]:
    """Cut a text, where possible between two words: there the vocabulary cuts as well."""
    begin = 0
    while begin < len(text):
        end = begin + _PIECE
        if end < len(text) and (space := text.rfind(" ", begin + 1, end)) > 0:
            end = space
        yield text[begin:end]
        begin = end


def _bound(fields: dict[str, Json]) -> int:
    for name in _BOUNDS:
        if type(bound := fields.get(name)) is int and bound > 0:
            return bound * _choices(fields)
    return DEFAULT_OUTPUT * _choices(fields)


def _choices(fields: dict[str, Json]) -> int:
    return choices if type(choices := fields.get("n")) is int and 0 < choices <= 128 else 1


def _texts(fields: dict[str, Json]) -> Iterator[str | int]:
    """Give every text of a request, in any protocol, and numbers for what costs tokens and is no text."""
    systems = list(_system(fields))
    if systems:
        yield from ("system", _MESSAGE, "\n".join(systems))
    for message in (
        _objects(fields.get("messages")) if "messages" in fields else _objects(fields.get("input"))
    ):
        role = message.get("role")
        if role in ("system", "developer"):
            continue
        yield from (role if isinstance(role, str) else "assistant", _MESSAGE)
        yield from _content(message)
    for name in ("input", "prompt"):
        yield from _plain(fields.get(name))
    for name in ("tools", "functions"):
        for tool in _objects(fields.get(name)):
            yield _encode(tool).decode()


def _system(fields: dict[str, Json]) -> Iterator[str]:
    """Give what is said to the model before all else, wherever a protocol has it."""
    yield from _strings(fields.get("system"))
    yield from _strings(fields.get("instructions"))
    for name in ("messages", "input"):
        for message in _objects(fields.get(name)):
            if message.get("role") in ("system", "developer"):
                yield from _strings(message.get("content"))


def _strings(content: Json) -> Iterator[str]:
    """Give the texts of a content: a string, or parts that have one."""
    if isinstance(content, str):
        yield content
    for part in _objects(content):
        if isinstance(text := part.get("text"), str):
            yield text


def _content(message: dict[str, Json]) -> Iterator[str | int]:
    """Give what a message, or an item of the Responses API, is made of."""
    content = message.get("content")
    if isinstance(content, str):
        yield content
    for part in _objects(content):
        yield from _part(part)
    for call in _objects(message.get("tool_calls")):
        yield from _part(call)
    if message.get("role") is None:
        yield from _part(message)


def _part(part: dict[str, Json]) -> Iterator[str | int]:
    function = part.get("function")
    if isinstance(function, dict):
        yield from _part(cast("dict[str, Json]", function))
    for name in ("text", "thinking", "refusal", "name", "arguments", "output"):
        if isinstance(text := part.get(name), str):
            yield text
    if isinstance(arguments := part.get("input"), (dict, str)):
        yield arguments if isinstance(arguments, str) else _encode(arguments).decode()
    for inner in (*_objects(part.get("output")), *_objects(part.get("summary"))):
        yield from _part(inner)
    if part.get("type") == "tool_result":
        yield from _content({"role": "tool", "content": part.get("content")})
    elif any(name in part for name in ("image_url", "source", "input_audio", "file", "file_id", "file_data")):
        yield _MEDIA


def _plain(value: Json) -> Iterator[str | int]:
    """Give the texts of a completion or an embedding: one, several, or numbers of tokens."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for item in cast("list[Json]", value):
            if isinstance(item, str):
                yield item
            elif isinstance(item, int):
                yield 1
            elif isinstance(item, list):
                yield len(cast("list[Json]", item))


def _objects(value: Json) -> Sequence[dict[str, Json]]:
    if not isinstance(value, list):
        return ()
    return [cast("dict[str, Json]", item) for item in cast("list[Json]", value) if isinstance(item, dict)]
