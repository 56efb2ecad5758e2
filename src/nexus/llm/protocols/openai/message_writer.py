"""Turns as messages of the chat protocol."""

import hashlib
from collections.abc import Sequence

from nexus.errors import Unrepresentable
from nexus.llm.canonical import (
    AnyPart,
    Cache,
    ChatRequest,
    Json,
    Loss,
    Opaque,
    Refusal,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
    Turn,
)
from nexus.llm.protocols import custom_tools
from nexus.llm.protocols.node import array_of
from nexus.llm.protocols.openai import loose
from nexus.llm.protocols.openai.message_reader import AUDIO
from nexus.llm.protocols.openai.options import PROTOCOL, Options
from nexus.llm.protocols.openai.part_writer import write_cache, write_part
from nexus.llm.protocols.openai.thoughts import DETAILS, write_detail

_MAX_ID = 40


class MessageWriter:
    """Writes the turns of a request. A machine for one request."""

    __slots__ = ("_cache", "_held", "_options", "_own", "_written", "losses")

    def __init__(self, request: ChatRequest, options: Options) -> None:
        self._options = options
        self._own = request.protocol == PROTOCOL
        self._cache = options.cache_control
        self._written: list[dict[str, Json]] = []
        self._held: list[AnyPart] = []
        self.losses: list[Loss] = []

    def write(self, turns: Sequence[Turn]) -> list[dict[str, Json]]:
        """Write all turns.

        Raises:
            Unrepresentable: one has content that has no words here.
        """
        for turn in turns:
            if turn.role == "user":
                self._user(turn)
            elif turn.role == "assistant":
                self._flush()
                self._written.append(self._answer(turn))
            else:
                self._flush()
                self._instruct(self._system(turn))
            if self._own and turn.extras:
                self._written[-1].update(turn.extras)
        self._flush()
        return self._written

    def _user(self, turn: Turn) -> None:
        """Write the results of a turn, one message each, and what else the user says after them."""
        said: list[AnyPart] = []
        for part in turn.parts:
            if isinstance(part, ToolResult):
                self._written.append(self._result(part))
            else:
                said.append(part)
        if said or not turn.parts:
            content = self._content([*self._held, *said])
            self._held.clear()
            self._written.append({"role": "user", "content": content})

    def _flush(self) -> None:
        if self._held:
            self._written.append({"role": "user", "content": self._content(self._held)})
            self._held.clear()

    def _result(self, result: ToolResult) -> dict[str, Json]:
        """Write a result. A tool's message has text only, so the user shows its images once all tools have answered.

        https://platform.openai.com/docs/api-reference/chat/create
        """
        if result.is_error:
            self.losses.append(Loss(f"{result.path}.is_error", "the chat protocol has no mark for it"))
        shown: list[AnyPart] = []
        for part in result.content:
            (shown if isinstance(part, Text) or self._own else self._held).append(part)
        content = self._content(shown)
        if self._cache and result.cache is not None:
            content = _marked(content, result.cache)
        return {"role": "tool", "tool_call_id": self._id(result.call_id), "content": content}

    def _system(self, turn: Turn) -> dict[str, Json]:
        role = "system" if turn.role == "developer" and not self._options.developer_role else turn.role
        foreign = next((part for part in turn.parts if not isinstance(part, Text)), None)
        if foreign is not None and not self._own:
            raise Unrepresentable(foreign.path, "a system message of the chat protocol holds only text")
        return {"role": role, "content": self._content(turn.parts)}

    def _instruct(self, message: dict[str, Json]) -> None:
        """Add instructions; the templates of many models that people run themselves know only one message of them."""
        before = self._written[-1] if self._written else {}
        if self._own or self._options.developer_role or before.get("role") != "system":
            self._written.append(message)
        elif isinstance(before["content"], str) and isinstance(message["content"], str):
            before["content"] = f"{before['content']}\n\n{message['content']}"
        else:
            before["content"] = [*_parts(before["content"]), *_parts(message["content"])]

    def _answer(self, turn: Turn) -> dict[str, Json]:
        thoughts: list[Thinking | Opaque] = []
        calls: list[Json] = []
        content: list[AnyPart] = []
        refusals: list[str] = []
        written: dict[str, Json] = {"role": "assistant", "content": None}
        for part in turn.parts:
            match part:
                case Thinking() | Opaque(protocol="openai", kind="reasoning_details"):
                    thoughts.append(part)
                case ToolCall():
                    calls.append(self._call(part))
                case Refusal():
                    refusals.append(part.text)
                case Opaque(protocol="openai", kind="audio"):
                    written[AUDIO] = part.raw
                case _:
                    content.append(part)
        if content or not (calls or refusals or AUDIO in written):
            written["content"] = self._content(content)
        if refusals:
            written["refusal"] = "".join(refusals)
        self._think(thoughts, written)
        if calls:
            written["tool_calls"] = calls
        return written

    def _think(self, thoughts: Sequence[Thinking | Opaque], written: dict[str, Json]) -> None:
        field = self._options.reasoning_field
        if field == DETAILS:
            told = [
                part for part in thoughts if isinstance(part, Opaque) or part.text or part.origin == PROTOCOL
            ]
        else:
            told = [part for part in thoughts if field and isinstance(part, Thinking) and part.text]
        if field and told:
            details = [self._detail(part, index) for index, part in enumerate(told)]
            text = "".join(part.text for part in told if isinstance(part, Thinking))
            written[field] = details if field == DETAILS else text
        why = "the upstream does not take this thought of an earlier turn"
        self.losses += [Loss(part.path, why) for part in thoughts if part not in told]

    def _detail(self, part: Thinking | Opaque, index: int) -> Json:
        return part.raw if isinstance(part, Opaque) else write_detail(_unsigned(part), index, own=self._own)

    def _call(self, call: ToolCall) -> dict[str, Json]:
        if call.custom and self._options.custom_tools:
            kind, inner = "custom", {"name": call.name, "input": call.arguments}
        else:
            arguments = custom_tools.arguments_of(call.arguments) if call.custom else call.arguments
            kind, inner = "function", {"name": call.name, "arguments": arguments}
        written: dict[str, Json] = {"id": self._id(call.id), "type": kind, kind: inner}
        if call.signature and call.origin == PROTOCOL:
            written["extra_content"] = {"google": {"thought_signature": call.signature}}
        return {**written, **call.extras} if self._own else written

    def _id(self, id: str) -> str:
        """Keep ids within what OpenAI takes; call and result are shortened alike."""
        if self._own or len(id) <= _MAX_ID:
            return id
        return "call_" + hashlib.blake2s(id.encode(), digest_size=16).hexdigest()

    def _content(self, parts: Sequence[AnyPart]) -> Json:
        """Write content, as a string where it is one plain text."""
        if not parts:
            return ""
        if not self._own:
            self.losses += [
                Loss(f"{part.path}.citations", "the chat protocol has none in a request")
                for part in parts
                if isinstance(part, Text) and part.citations
            ]
        written = [write_part(part, own=self._own, cache=self._cache) for part in parts]
        only = written[0]
        return only["text"] if len(written) == 1 and only.keys() == {"type", "text"} else written


def _parts(content: Json) -> list[Json]:
    return [{"type": "text", "text": content}] if isinstance(content, str) else array_of(content)


def _marked(content: Json, cache: Cache) -> Json:
    """Put the mark of a result on its last text, since a message cannot carry one."""
    parts = array_of(content) or [{"type": "text", "text": content}]
    return [*parts[:-1], {**loose.fields(parts[-1]), "cache_control": write_cache(cache)}]


def _unsigned(part: Thinking) -> Thinking:
    """Leave out a signature of another vendor."""
    if part.origin in ("", PROTOCOL):
        return part
    return Thinking(text=part.text, path=part.path)
