"""A whole answer for a client."""

from collections.abc import Sequence

import msgspec

from nexus.llm.canonical import (
    ChatRequest,
    ChatResponse,
    CustomTool,
    Json,
    Loss,
    Media,
    Opaque,
    Refusal,
    Text,
    Thinking,
    ToolCall,
)
from nexus.llm.protocols import custom_tools
from nexus.llm.protocols.openai import answers, stops
from nexus.llm.protocols.openai.options import PROTOCOL
from nexus.llm.protocols.openai.thoughts import DETAILS, write_detail
from nexus.llm.protocols.openai.tools import LEGACY
from nexus.llm.protocols.openai.usage import write_usage

_encode = msgspec.json.Encoder().encode


def write_response(response: ChatResponse, request: ChatRequest) -> tuple[bytes, Sequence[Loss]]:
    """Write an answer, and tell what could not be written."""
    own = response.protocol == PROTOCOL
    message = _Message(request, own=own)
    for index, part in enumerate(response.parts):
        message.add(part, f"answer.{index}")
    legacy = is_legacy(request)
    choice: dict[str, Json] = {"index": 0, "message": message.written(legacy=legacy)}
    if message.logprobs:
        choice["logprobs"] = {"content": message.logprobs}
    choice["finish_reason"] = stops.write_stop(response.stop, refused=bool(message.refusal), legacy=legacy)
    body: dict[str, Json] = {
        "id": response.id,
        "object": "chat.completion",
        "created": response.created,
        "model": response.model,
        "choices": [choice],
    }
    if response.usage is not None:
        body["usage"] = write_usage(response.usage, own=own)
    if response.service_tier is not None:
        body["service_tier"] = response.service_tier
    if own:
        body.update(response.extras)
    return _encode(body), message.losses


def is_legacy(request: ChatRequest) -> bool:
    """Tell whether the client is of the time before tools, and reads `function_call`."""
    return any(tool.path.startswith(LEGACY) for tool in request.tools)


def custom_names(request: ChatRequest) -> frozenset[str]:
    """Name the tools that take free text, of which a provider may know the function form only."""
    return frozenset(tool.name for tool in request.tools if isinstance(tool, CustomTool))


def as_custom(call: ToolCall) -> ToolCall:
    """Give a call of the function form the free text the client expects."""
    text = custom_tools.text_of(call.arguments)
    return msgspec.structs.replace(call, arguments=text, custom=True)


class _Message:
    """Gathers the parts of an answer under the names its message has for them."""

    def __init__(self, request: ChatRequest, *, own: bool) -> None:
        self._own = own
        self._custom = custom_names(request)
        self._texts: list[str] = []
        self._length = 0
        self._thoughts: list[Thinking] = []
        self._calls: list[dict[str, Json]] = []
        self._annotations: list[Json] = []
        self._pictures: list[Json] = []
        self._unknown: list[Json] = []
        self._spoken: Json = None
        self.refusal = ""
        self.logprobs: list[Json] = []
        self.losses: list[Loss] = []

    def add(self, part: object, path: str) -> None:
        match part:
            case Text():
                self._add_text(part, path)
            case Thinking():
                self._thoughts.append(part)
            case ToolCall():
                self._calls.append(write_call(as_custom(part) if self._is_custom(part) else part))
            case Refusal():
                self.refusal += part.text
            case Media() if (picture := answers.write_picture(part)) is not None:
                self._pictures.append(picture)
            case Opaque(protocol=protocol, kind=kind) if protocol == PROTOCOL and kind in (
                answers.SPOKEN,
                DETAILS,
            ):
                self._add_own(part)
            case _:
                self.losses.append(Loss(path, "an answer of the chat protocol has no place for it"))

    def _is_custom(self, call: ToolCall) -> bool:
        return not call.custom and call.name in self._custom

    def _add_own(self, part: Opaque) -> None:
        if part.kind == answers.SPOKEN:
            self._spoken = part.raw
        else:
            self._unknown.append(part.raw)

    def _add_text(self, part: Text, path: str) -> None:
        start, self._length = self._length, self._length + len(part.text)
        self._texts.append(part.text)
        self.logprobs += part.logprobs
        for citation in part.citations:
            written = answers.write_citation(citation, start, self._length)
            if written is None:
                self.losses.append(Loss(f"{path}.citations", "a source without a URL has no form here"))
            else:
                self._annotations.append(written)

    def written(self, *, legacy: bool) -> dict[str, Json]:
        message: dict[str, Json] = {"role": "assistant"}
        if thoughts := "".join(part.text for part in self._thoughts):
            message["reasoning_content"] = thoughts
        details = [write_detail(part, index, own=self._own) for index, part in enumerate(self._thoughts)]
        pairs: tuple[tuple[str, Json], ...] = (
            (DETAILS, [*details, *self._unknown]),
            ("content", "".join(self._texts)),
            ("refusal", self.refusal),
            ("annotations", self._annotations),
            (answers.SPOKEN, self._spoken),
            ("images", self._pictures),
        )
        message.update((name, value) for name, value in pairs if value)
        if self._calls and legacy:
            message["function_call"] = self._calls[0]["function"]
            self.losses += [Loss(LEGACY, "one call is all a client of the old form can read")] * (
                len(self._calls) > 1
            )
        elif self._calls:
            message["tool_calls"] = self._calls
        return message


def write_call(call: ToolCall) -> dict[str, Json]:
    """Write a call; its signature where Google's own clients look for it."""
    kind, field = ("custom", "input") if call.custom else ("function", "arguments")
    written: dict[str, Json] = {
        "id": call.id,
        "type": kind,
        kind: {"name": call.name, field: call.arguments},
    }
    if call.signature:
        written["extra_content"] = answers.write_proof(call.signature, call.origin)
    return written
