"""Tokens of a chat: an estimate of a request before it is sent, and what its answer says it was.

The estimate is the one the contract gives: the vocabulary cl100k, 3 for each message and 3 for the whole. Tool calls, their
results and the definitions of tools count as the text they are.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import aclosing
from importlib import util
from importlib.machinery import PathFinder

import msgspec

from nexus.context import Identity
from nexus.http import frames
from nexus.llm.canonical import Json
from nexus.llm.prompt import MESSAGE, Prompt
from nexus.ratelimit.hold import FREE, Hold
from nexus.ratelimit.limiter import Estimate, Limiter

DEFAULT_OUTPUT = 4096
"""What is held for an answer whose length the client does not bound."""
LIMITED = frozenset(("/chat/completions", "/completions", "/embeddings", "/messages", "/responses"))
"""The endpoints that use a client's tokens."""
UNLISTED = "*"
"""What all models are counted as that are in no list: a name of its own for each would be room of its own."""
_LONG = 32 * 1024
"""Characters above which a text is counted in another thread, about 1 ms."""
_MAX_KNOWN = 10_000
_KEPT = 10_000
"""Pieces of an answer kept to be counted together."""

_decode = msgspec.json.Decoder(dict[str, Json]).decode


class Metering:
    """Holds tokens for a request and settles what its answer used."""

    def __init__(self, limiter: Limiter) -> None:
        self._limiter = limiter
        self._counter: Counter | None = None

    async def start(self) -> None:
        """Load the vocabulary, if anything will be counted by it. Other work goes on meanwhile."""
        if self._limiter.limits_tokens:
            await self._loaded()

    async def reserve(
        self, identity: Identity | None, provider: str, model: str, path: str, body: bytes
    ) -> Hold:
        """Hold what a request to one endpoint will use; `model` without the name of its provider.

        Raises:
            RateLimited: the client has no room for it.
            NotReady: nobody can tell, and that is configured to refuse.
        """
        if identity is None or path not in LIMITED:
            return FREE
        budget = self._limiter.budget(identity, provider, model)
        if budget is None:
            return FREE
        counter = self._counter or await self._loaded()
        return await self._limiter.reserve(budget, await counter.estimate(body))

    def settle(self, hold: Hold, body: bytes | AsyncGenerator[bytes]) -> bytes | AsyncGenerator[bytes]:
        """Settle by a whole answer, or let a stream go by and settle when it ends, however it ends."""
        if not hold.measured or self._counter is None:
            return body
        if not isinstance(body, bytes):
            return _settling(hold, Meter(self._counter), body)
        if (told := _told(body)) is not None:  # else what was held stands
            hold.settle(told)
        return body

    async def _loaded(self) -> "Counter":
        self._counter = await asyncio.to_thread(Counter)
        return self._counter


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
        self._counted = 0
        """Tokens of texts that were too many to keep."""
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
        if len(self._texts) >= _KEPT:
            self._counted, self._texts = self._guess(), []
        if isinstance(event.delta, str):
            self._texts.append(event.delta)
        elif event.delta is not None:
            self._texts += _written(event.delta)
        for choice in event.choices or ():
            self._texts += _written(choice.delta) if choice.delta is not None else ()
            self._texts += (choice.text,) if choice.text else ()

    def output(self) -> int:
        """Give the tokens written: as told, or as counted where the stream ended before it told."""
        return self.told if self.told is not None else self._guess()

    def _guess(self) -> int:
        return self._counted + self._counter.guess("".join(self._texts))


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
    """Counts by the vocabulary cl100k. The first one takes a tenth of a second to make."""

    def __init__(self) -> None:
        self._count = _vocabulary()
        # a conversation comes again with every turn: what it was counted to is kept by its hash, never the text itself
        self._known: dict[int, int] = {}

    async def estimate(self, body: bytes) -> Estimate:
        """Estimate what a request body asks for. What is no JSON counts as the text it is."""
        try:
            prompt = Prompt(_decode(body))
        except msgspec.ValidationError:  # JSON, but no object
            return Estimate(MESSAGE, DEFAULT_OUTPUT)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return Estimate(MESSAGE + await self.count(body.decode("utf-8", "replace")), DEFAULT_OUTPUT)
        input = MESSAGE + prompt.tokens + await self.count(*prompt.texts)
        return Estimate(input, (prompt.answer or DEFAULT_OUTPUT) * prompt.answers)

    async def count(self, *texts: str) -> int:
        """Count the tokens of some texts; special ones in them are plain text. Long ones are counted in another thread."""
        total, length = 0, 0
        new: list[str] = []
        for text in texts:
            if (known := self._known.get(hash(text))) is not None:
                total += known
            else:
                new.append(text)
                length += len(text)
        if not new:
            return total
        counts = await asyncio.to_thread(self._all, new) if length > _LONG else self._all(new)
        if len(self._known) + len(new) > _MAX_KNOWN:
            self._known.clear()
        self._known.update(zip(map(hash, new[:_MAX_KNOWN]), counts, strict=False))
        return total + sum(counts)

    def guess(self, text: str) -> int:
        """Count the tokens of a text at once; of a long one the beginning stands for all."""
        if len(text) <= _LONG:
            return self._one(text)
        return self._one(text[:_LONG]) * len(text) // _LONG

    def _all(self, texts: Sequence[str]) -> list[int]:
        return [self._one(text) for text in texts]

    def _one(self, text: str) -> int:
        try:
            return self._count(text)
        except UnicodeEncodeError:  # half a surrogate pair
            return self._count(text.encode("utf-8", "replace").decode())


def _vocabulary() -> Callable[[str], int]:
    """Load the counting part of its package alone: the rest builds tables of all vocabularies, 1 s and 70 MiB of them."""
    package = util.find_spec("bpe_openai")
    spec = PathFinder.find_spec("bpe_openai._bindings", package and package.submodule_search_locations)
    if spec is None or spec.loader is None:
        raise ModuleNotFoundError("bpe-openai is not installed")
    bindings = util.module_from_spec(spec)
    spec.loader.exec_module(bindings)
    return bindings.tokenizer_for_encoding("cl100k_base").count
