"""The conversation of a request.

https://ai.google.dev/api/caching#Content
"""

from collections.abc import Sequence
from itertools import groupby

import msgspec

from nexus.errors import Unrepresentable
from nexus.llm.canonical import (
    AnyPart,
    ChatRequest,
    Json,
    Loss,
    Media,
    Opaque,
    Refusal,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
    Turn,
)
from nexus.llm.protocols.arguments import as_object
from nexus.llm.protocols.google import generations
from nexus.llm.protocols.google.media_writer import write_media
from nexus.llm.protocols.google.results import write_result
from nexus.llm.protocols.node import object_of

_Part = dict[str, Json]
_SYSTEM = ("system", "developer")

_UNSIGNED = "skip_thought_signature_validator"
"""What Google documents for calls whose signature is not to be had, since another model or a client wrote them.

https://ai.google.dev/gemini-api/docs/thought-signatures
"""


class _Content(msgspec.Struct):
    role: str
    parts: list[_Part]


class ContentWriter:
    """Writes the conversation of one request."""

    def __init__(self, request: ChatRequest, losses: list[Loss]) -> None:
        self._turns = request.turns
        self._model = request.model
        self._losses = losses
        self._own = request.protocol == "google"
        self._nests = generations.nests_media(request.model)
        self._names: dict[str, str] = {}

    def write(self) -> tuple[Json, list[Json]]:
        """Give the system instruction, None if there is none, and the contents."""
        count = next((i for i, turn in enumerate(self._turns) if turn.role not in _SYSTEM), len(self._turns))
        instruction = self._write_instruction(self._turns[:count])
        contents: list[_Content] = []
        for role, turns in groupby(self._turns[count:], _role):
            content = self._write_content(role, list(turns))
            if contents and contents[-1].role == role:
                contents[-1].parts += content.parts
            elif content.parts:
                contents.append(content)
        if not contents:  # there has to be one, and it may be empty
            contents.append(_Content("user", [{"text": ""}]))
        if generations.checks_signatures(self._model):
            _sign(contents)
        return instruction, list(contents)

    def _write_instruction(self, turns: Sequence[Turn]) -> Json:
        parts: list[Json] = []
        for part in (part for turn in turns for part in turn.parts):
            if not isinstance(part, Text):
                raise Unrepresentable(part.path, "a system instruction of Gemini holds text only")
            parts.append({"text": part.text, **self._extras(part)})
        return {"role": "user", "parts": parts} if parts else None

    def _write_content(self, role: str, turns: list[Turn]) -> _Content:
        parts: list[_Part] = []
        beside: list[_Part] = []
        for turn in turns:
            if turn.role in _SYSTEM:  # it keeps its place, which says more than its role
                self._losses.append(
                    Loss(f"{turn.path}.role", "Gemini has instructions at the beginning only")
                )
            for part in turn.parts:
                if not isinstance(part, ToolResult):
                    parts += beside  # media follow the last of the results they came in
                    beside = []
                self._write_part(part, parts, beside)
        parts += beside
        said = [part for part in parts if part != {"text": ""}]
        return _Content(role, said or parts[:1])

    def _write_part(self, part: AnyPart, parts: list[_Part], beside: list[_Part]) -> None:
        match part:
            case Text() | Refusal():
                self._write_text(part, parts)
            case Media():
                parts.append({**write_media(part, self._losses, own=self._own), **self._extras(part)})
            case Thinking():
                self._write_thought(part, parts)
            case ToolCall():
                parts.append(self._write_call(part))
            case ToolResult():
                name = self._names.get(part.call_id, part.call_id)
                result, media = write_result(part, name, self._losses, own=self._own, nests=self._nests)
                parts.append(result)
                beside += media
            case Opaque():
                parts.append(_write_opaque(part))

    def _write_text(self, part: Text | Refusal, parts: list[_Part]) -> None:
        if isinstance(part, Text) and part.citations:
            self._losses.append(Loss(f"{part.path}.citations", "Gemini takes no sources back"))
        parts.append({"text": part.text, **self._extras(part)})

    def _write_thought(self, part: Thinking, parts: list[_Part]) -> None:
        if part.redacted or part.origin not in ("", "google"):
            self._losses.append(Loss(part.path, f"only {part.origin or 'its vendor'} can read this thought"))
            return
        signature = part.signature if part.origin else ""
        if part.text:
            signed = {"thoughtSignature": signature} if signature else {}
            parts.append({"text": part.text, "thought": True, **signed, **self._extras(part)})
        elif signature:
            _sign_last(parts, signature)

    def _write_call(self, call: ToolCall) -> _Part:
        self._names[call.id] = call.name
        function: dict[str, Json] = {"id": call.id} if call.id else {}
        function |= {"name": call.name, "args": as_object(call)}
        signed = call.signature if call.origin == "google" else ""
        written: _Part = {"functionCall": function}
        if signed:
            written["thoughtSignature"] = signed
        return written | self._extras(call)

    def _extras(self, part: AnyPart) -> _Part:
        return dict(part.extras) if self._own else {}


def _role(turn: Turn) -> str:
    return "model" if turn.role == "assistant" else "user"


def _write_opaque(part: Opaque) -> _Part:
    raw = object_of(part.raw)
    if part.protocol != "google" or raw is None:
        raise Unrepresentable(part.path, f"only the {part.protocol} protocol has {part.kind}")
    return raw


def _sign_last(parts: list[_Part], signature: str) -> None:
    """Put the signature of an answer on the part it came with: the text or image before it, else an empty text."""
    last = parts[-1] if parts else {}
    if last.keys() & {"text", "inlineData"} and not last.keys() & {"thought", "thoughtSignature"}:
        last["thoughtSignature"] = signature
    else:
        parts.append({"text": "", "thoughtSignature": signature})


def _sign(contents: list[_Content]) -> None:
    """Sign the first call of each step since the user last spoke, where Gemini looks for a signature."""
    for content in reversed(contents):
        wanted = "functionCall" if content.role == "model" else "functionResponse"
        part = next((part for part in content.parts if wanted in part), None)
        if content.role == "model" and part is not None:
            part.setdefault("thoughtSignature", _UNSIGNED)
        elif content.role == "user" and part is None:
            return
