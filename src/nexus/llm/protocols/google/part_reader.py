"""The parts of an answer, as they come chunk by chunk."""

from collections.abc import Callable, Iterable

import msgspec

from nexus.llm.canonical import (
    AnyPart,
    ChatRequest,
    Citation,
    CustomTool,
    Event,
    Inline,
    Json,
    Media,
    Opaque,
    PartClosed,
    PartDelta,
    PartOpened,
    Text,
    Thinking,
    ToolCall,
)
from nexus.llm.protocols import custom_tools
from nexus.llm.protocols.google.answer import Blob, FunctionCall, Part, decode_part
from nexus.llm.protocols.media import kind_of
from nexus.llm.protocols.node import object_of

_decode = msgspec.json.Decoder().decode
_BESIDE = frozenset(("thoughtSignature", "thought", "partMetadata"))


class PartReader:
    """Turns parts into events: texts and thoughts grow over chunks, all else comes whole."""

    def __init__(self, request: ChatRequest, new_id: Callable[[], str]) -> None:
        self.events: list[Event] = []
        """What has been read; whoever takes it puts a new list here."""
        self.calls = 0
        self._custom = frozenset(tool.name for tool in request.tools if isinstance(tool, CustomTool))
        self._new_id = new_id
        self._answer = ""
        self._index = -1
        self._open: type[Text] | type[Thinking] | None = None
        self._signature = ""  # of the open text, told when that is closed
        self._last_call: tuple[str, bool] = ("", False)

    def read(self, parts: Iterable[msgspec.Raw], answer: str, *, last: bool) -> None:
        """Read the parts of a chunk; `answer` is the id of the whole, `last` says that nothing follows."""
        self._answer = answer
        decoded = [(decode_part(raw), raw) for raw in parts]
        alone = last and len(decoded) == 1
        for part, raw in decoded:
            if part.function_call is not None:
                if not (alone and self._is_echo(part.function_call)):
                    self._read_call(part.function_call, part.thought_signature or "")
            elif part.text is not None:
                self._read_text(part, part.text)
            elif part.inline_data is not None and not part.thought:
                self._read_media(part.inline_data, part.thought_signature or "")
            else:
                self._read_opaque(raw)

    def add_logprobs(self, logprobs: list[Json]) -> None:
        """Add the probabilities of the text that came last; those of thoughts and calls have no place."""
        if self._open is Text:
            self.events.append(PartDelta(self._index, logprobs=logprobs))

    def add_sources(self, citations: Iterable[Citation]) -> None:
        """Add what the text that came last rests on."""
        if self._open is Text:
            self.events += [PartDelta(self._index, citation=citation) for citation in citations]

    def close(self) -> None:
        """Close what is open."""
        if self._open is not None:
            self.events.append(PartClosed(self._index))
            self._open = None
        if self._signature:
            thought = Thinking("", self._signature, origin="google")
            self._signature = ""
            self._whole(thought)

    def _read_text(self, part: Part, text: str) -> None:
        kind = Thinking if part.thought else Text
        signature = part.thought_signature or ""
        if text or (signature and part.thought):
            if self._open is not kind or self._signature:
                self.close()
                self._begin(Thinking("", origin="google") if part.thought else Text(""))
                self._open = kind
            self.events.append(PartDelta(self._index, text, signature if part.thought else ""))
        if signature and not part.thought:
            self._signature = signature
            if self._open is not Text:
                self.close()

    def _read_call(self, call: FunctionCall, signature: str) -> None:
        self.close()
        # a pretty-printed answer would make pretty-printed arguments
        arguments = msgspec.json.format(bytes(call.args), indent=-1).decode()
        self._last_call = (call.name, arguments not in ("{}", "null"))
        custom = call.name in self._custom
        if custom:
            arguments = custom_tools.text_of(arguments)
        elif arguments == "null":
            arguments = "{}"
        made = f"call_{self._answer or self._new_id()}_{self.calls}"
        self.calls += 1
        origin = "google" if signature else ""
        self._whole(
            ToolCall(call.id or made, call.name, arguments, custom=custom, signature=signature, origin=origin)
        )

    def _is_echo(self, call: FunctionCall) -> bool:
        """Tell whether the end of a stream only names the last call once more, without arguments or id.

        Some servers of this API do; Gemini itself gives calls without arguments together with the others, or an id.
        """
        return bytes(call.args) == b"{}" and call.id is None and self._last_call == (call.name, True)

    def _read_media(self, blob: Blob, signature: str) -> None:
        self.close()
        self._whole(Media(kind=kind_of(blob.mime_type), source=Inline(blob.mime_type, blob.data)))
        self._signature = signature
        self.close()

    def _read_opaque(self, raw: msgspec.Raw) -> None:
        fields = object_of(_decode(raw)) or {}
        kind = next((name for name in fields if name not in _BESIDE), None)
        if kind is None:
            return  # an empty part says nothing
        self.close()
        self._whole(Opaque(protocol="google", kind=kind, raw=fields))

    def _begin(self, part: AnyPart) -> None:
        self._index += 1
        self.events.append(PartOpened(self._index, part))

    def _whole(self, part: AnyPart) -> None:
        self._begin(part)
        self.events.append(PartClosed(self._index))
