"""What a model is given to read, and how much it may write, in any protocol a client speaks. Knows no vocabulary."""

from collections.abc import Callable, Mapping, Sequence
from typing import cast

import msgspec

from nexus.llm.canonical import Json

MESSAGE = 3
"""Tokens a message costs besides its text."""
ROLES = ("user", "assistant", "tool", "function", "model", "system")
"""Roles whose name is one token."""
_MEDIA = 85
"""For an image or a file: what the smallest image costs at most vendors; its bytes are no text."""
_MOST = 128
"""Answers a vendor writes at once."""
_SYSTEM = ("system", "developer")
_ITS_TEXTS = ("text", "thinking", "refusal", "name", "arguments", "output")
_MEDIA_FIELDS = ("image_url", "source", "input_audio", "file", "file_id", "file_data")

_Item = dict[str, Json] | list[Json] | str | float | None
_encode = msgspec.json.Encoder().encode


class Prompt:
    """The texts of a request in any order, tokens for what is no text, and what may be answered."""

    tokens = 0
    answer = 0
    """Tokens the model may write; 0 where that is not said."""
    answers = 1

    def __init__(self, fields: Mapping[str, Json]) -> None:
        self.texts: list[str] = []
        self._system: list[str] = []
        for name, value in fields.items():
            if (read := _READ.get(name)) is not None:
                read(self, value)
        if self._system:  # one message, however many there were
            self.tokens += MESSAGE + 1
            self.texts.append("\n".join(self._system))

    def instructions(self, value: Json) -> None:
        """Take in what is said to the model before all else: a string, or parts that have one."""
        if isinstance(value, str):
            self._system.append(value)
        for part in _objects(value):
            if isinstance(text := part.get("text"), str):
                self._system.append(text)

    def messages(self, value: Json) -> None:
        """Take in messages, or items of the Responses API."""
        for message in _objects(value):
            role, content = message.get("role"), message.get("content")
            if role in _SYSTEM:
                self.instructions(content)
            elif role in ROLES and isinstance(content, str) and "tool_calls" not in message:
                self.tokens += MESSAGE + 1  # as most are
                self.texts.append(content)
            else:
                self._message(message, role)

    def plain(self, value: Json) -> None:
        """Take in what is completed or embedded: one text, several, or numbers of tokens."""
        if isinstance(value, str):
            self.texts.append(value)
        elif isinstance(value, list):
            for item in cast("list[_Item]", value):
                if isinstance(item, str):
                    self.texts.append(item)
                elif isinstance(item, int):
                    self.tokens += 1
                elif isinstance(item, list):
                    self.tokens += len(item)

    def input(self, value: Json) -> None:
        """Take in what two APIs call by one name: items, or what is embedded."""
        self.messages(value)
        self.plain(value)

    def tools(self, value: Json) -> None:
        """Take in definitions of tools, each as the JSON it is."""
        self.texts += [_encode(tool).decode() for tool in _objects(value)]

    def _message(self, message: dict[str, Json], role: Json) -> None:
        self.tokens += MESSAGE
        if role is None:
            self.tokens += 1
            self._part(message)
            return
        if role in ROLES:
            self.tokens += 1
        elif isinstance(role, str):
            self.texts.append(role)
        self._content(message.get("content"))
        for call in _objects(message.get("tool_calls")):
            self._part(call)

    def bound(self, value: Json) -> None:
        """Take in how much may be written; of several bounds the widest."""
        if type(value) is int and value > self.answer:
            self.answer = value

    def choices(self, value: Json) -> None:
        """Take in how many answers are asked for."""
        if type(value) is int and 0 < value <= _MOST:
            self.answers = value

    def _content(self, content: Json) -> None:
        if isinstance(content, str):
            self.texts.append(content)
        elif isinstance(content, list):
            for part in cast("list[_Item]", content):
                if isinstance(part, dict):
                    self._part(part)
                elif isinstance(part, str):
                    self.texts.append(part)

    def _part(self, part: dict[str, Json]) -> None:
        if isinstance(function := part.get("function"), dict):
            self._part(cast("dict[str, Json]", function))
        for name in _ITS_TEXTS:
            if isinstance(text := part.get(name), str):
                self.texts.append(text)
        if isinstance(arguments := part.get("input"), (dict, str)):
            self.texts.append(arguments if isinstance(arguments, str) else _encode(arguments).decode())
        for inner in (*_objects(part.get("output")), *_objects(part.get("summary"))):
            self._part(inner)
        if part.get("type") == "tool_result":
            self.tokens += MESSAGE + 1
        self._content(part.get("content"))
        source = part.get("source")
        document = cast("dict[str, Json]", source) if isinstance(source, dict) else {}
        if document.get("type") in ("text", "content"):  # written out
            self._content(document.get("data"))
            self._content(document.get("content"))
        elif any(name in part for name in _MEDIA_FIELDS):
            self.tokens += _MEDIA


_READ: Mapping[str, Callable[[Prompt, Json], None]] = {
    "system": Prompt.instructions,
    "instructions": Prompt.instructions,
    "messages": Prompt.messages,
    "input": Prompt.input,
    "prompt": Prompt.plain,
    "tools": Prompt.tools,
    "functions": Prompt.tools,
    "max_completion_tokens": Prompt.bound,
    "max_output_tokens": Prompt.bound,
    "max_tokens": Prompt.bound,
    "n": Prompt.choices,
}


def _objects(value: Json) -> Sequence[dict[str, Json]]:
    if not isinstance(value, list):
        return ()
    return [item for item in cast("list[_Item]", value) if isinstance(item, dict)]
