"""A model that says what it was told: for a first try without any key, and for tests of everything around a model."""

import time
from collections.abc import Iterator, Sequence
from itertools import count

import msgspec

from nexus.config.llm import ProviderConfig
from nexus.errors import Headers, NexusError, UpstreamBroken
from nexus.http.client import Failed
from nexus.llm.canonical import Model
from nexus.llm.protocols.base import Wire
from nexus.llm.protocols.fields import encode
from nexus.llm.protocols.openai.wire import ChatWire
from nexus.llm.providers.base import Answer, Call, Plain

MODEL = "echo"
_WIRE = ChatWire()
_JSON = b"application/json"
_numbers = count(1)


class _Message(msgspec.Struct):
    role: str = ""
    content: str | list[dict[str, object]] | None = None


class _Chat(msgspec.Struct):
    messages: list[_Message]
    stream: bool | None = False


_decode = msgspec.json.Decoder(_Chat).decode


class Echo(Plain):
    """A provider without an upstream: answers chat completions, streamed or whole, with the last message."""

    kind = "echo"
    discovers = True
    trouble: str | None = None

    def __init__(self, name: str, config: ProviderConfig) -> None:
        self.name = name

    def speaks(self, model: str) -> Sequence[str]:
        """Name the one protocol it knows."""
        return ("openai",)

    def wire(self, model: str) -> Wire:
        """Give chat completions, so that clients of every protocol can try it."""
        return _WIRE

    async def start(self) -> None:
        """Nothing to bring up."""

    async def models(self) -> Sequence[Model]:
        """Name the one model."""
        return (Model(MODEL, 0, "nexus"),)

    async def send(self, call: Call) -> Answer:
        """Answer a chat completion; anything else is not found."""
        if call.path != "/chat/completions":
            return Told(404, _JSON, [_error("The echo model only knows chat completions", 404)])
        try:
            chat = _decode(call.body)
        except msgspec.MsgspecError as error:
            return Told(400, _JSON, [_error(f"The echo model cannot read this: {error}", 400)])
        words = _last_text(chat.messages)
        if chat.stream:
            return Told(200, b"text/event-stream", list(_events(words)))
        return Told(200, _JSON, [_completion(words)])

    def failure(self, error: Failed) -> NexusError:
        """Say that a connection broke; there is none."""
        return UpstreamBroken("the echo model", str(error))

    async def close(self) -> None:
        """Nothing to give back."""


class Told:
    """An answer that is already known."""

    def __init__(self, status: int, content_type: bytes, pieces: Sequence[bytes]) -> None:
        self.heartbeat = 0.0
        self._status = status
        self._headers = [(b"content-type", content_type)]
        self._pieces = list(reversed(pieces))

    @property
    def status(self) -> int:
        """The HTTP status."""
        return self._status

    @property
    def headers(self) -> Headers:
        """The response headers."""
        return self._headers

    def header(self, name: bytes) -> bytes | None:
        """Give the value of a header."""
        return dict(self._headers).get(name)

    async def next(self) -> bytes | None:
        """Give the next piece, `b""` at the end."""
        return self._pieces.pop() if self._pieces else b""

    async def read(self, limit: int) -> bytes:
        """Give all that is left."""
        rest, self._pieces = b"".join(reversed(self._pieces)), []
        return rest

    def close(self) -> None:
        """Nothing to give back."""


def _last_text(messages: Sequence[_Message]) -> str:
    content = messages[-1].content if messages else None
    if isinstance(content, str):
        return content
    return "".join(str(part.get("text", "")) for part in content or ())


def _completion(words: str) -> bytes:
    message = {"role": "assistant", "content": words}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    tokens = len(words.split())
    usage = {"prompt_tokens": tokens, "completion_tokens": tokens, "total_tokens": 2 * tokens}
    head = {"id": _id(), "object": "chat.completion", "created": int(time.time()), "model": MODEL}
    return encode({**head, "choices": [choice], "usage": usage})


def _events(words: str) -> Iterator[bytes]:
    head = {"id": _id(), "object": "chat.completion.chunk", "created": int(time.time()), "model": MODEL}

    def event(delta: dict[str, str], finish: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "finish_reason": finish}
        return b"data: " + encode({**head, "choices": [choice]}) + b"\n\n"

    yield event({"role": "assistant", "content": ""})
    for index, word in enumerate(words.split(" ")):
        yield event({"content": word if index == 0 else f" {word}"})
    yield event({}, "stop")
    yield b"data: [DONE]\n\n"


def _error(message: str, code: int) -> bytes:
    return encode({"error": {"message": message, "type": "invalid_request_error", "code": code}})


def _id() -> str:
    return f"chatcmpl-echo-{next(_numbers)}"
