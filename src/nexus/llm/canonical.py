"""What every protocol and every provider means by the same word. Data only.

A request is turns of parts, a response is parts, a stream is parts being opened, grown and closed. What one protocol says and
no other can is kept beside it: fields as `extras`, whole parts and tools as `Opaque` and `HostedTool`. They are written back in
the protocol they came from, and declared as a `Loss` in any other.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import msgspec

Json = object
"""Decoded JSON: dict, list, str, int, float, bool or None."""
Extras = Mapping[str, Json]

Role = Literal["system", "developer", "user", "assistant"]
Effort = Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"]
StopReason = Literal["end", "length", "tool", "sequence", "filter", "refusal", "pause", "context"]
MediaKind = Literal["image", "audio", "video", "document"]

_NOTHING: Extras = {}


@dataclass(frozen=True, slots=True)
class Model:
    """A name that can be asked for."""

    id: str
    created: int
    """Unix seconds, 0 where the provider does not say."""
    owned_by: str


class Loss(msgspec.Struct, frozen=True):
    """Something a client asked for that the target cannot be told."""

    path: str
    """Where it stands in the client's request, such as `messages.2.content.0.cache_control`."""
    why: str


class Cache(msgspec.Struct, frozen=True):
    """A mark that the prompt up to here is worth caching."""

    ttl: Literal["5m", "1h"] | None = None
    """How long; None for the provider's own default."""


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """One piece of content."""

    path: str = ""
    """Where it stands in the client's request; empty in answers."""
    cache: Cache | None = None
    extras: Extras = _NOTHING
    """Fields only the protocol it was read from knows."""


class Citation(msgspec.Struct, frozen=True):
    """A source a text rests on."""

    protocol: str
    """Who wrote `raw`."""
    raw: Json
    url: str = ""
    title: str = ""
    quote: str = ""


class Text(Part, frozen=True):
    text: str
    citations: Sequence[Citation] = ()
    logprobs: Sequence[Json] = ()
    """As the OpenAI API writes them: token, logprob, bytes, top_logprobs."""


class Inline(msgspec.Struct, frozen=True):
    """Bytes that came with the request."""

    media_type: str
    data: str
    """Base64."""


class Link(msgspec.Struct, frozen=True):
    """Bytes the provider fetches itself."""

    url: str
    media_type: str = ""


class Stored(msgspec.Struct, frozen=True):
    """A file the vendor of one protocol keeps."""

    id: str


class Written(msgspec.Struct, frozen=True):
    """A document given as its text."""

    text: str
    media_type: str = "text/plain"


class Media(Part, frozen=True):
    """An image, a sound, a film or a document."""

    kind: MediaKind
    source: Inline | Link | Stored | Written
    name: str = ""
    """Title or file name."""


class Thinking(Part, frozen=True):
    """What a model thought, and the proof of it that its vendor wants back."""

    text: str
    signature: str = ""
    """Opaque to us; only valid with the vendor of `origin`."""
    redacted: str = ""
    """The whole thought, encrypted; then `text` is empty."""
    origin: str = ""
    """Protocol whose vendor signed or encrypted it."""
    id: str = ""
    """The item's id where the protocol has one."""


class ToolCall(Part, frozen=True):
    """A model wants a tool to be run."""

    id: str
    name: str
    arguments: str
    """JSON text of an object; free text for a custom tool. Empty in an event that opens a part still to grow."""
    custom: bool = False
    signature: str = ""
    """As in `Thinking`; Google signs calls."""
    origin: str = ""


class ToolResult(Part, frozen=True):
    """What a tool gave."""

    call_id: str
    content: "Sequence[AnyPart]"
    is_error: bool = False
    custom: bool = False


class Refusal(Part, frozen=True):
    """The model's words for not answering."""

    text: str


class Opaque(Part, frozen=True):
    """A part only one protocol knows: written by that protocol as it was, declared or refused by others."""

    protocol: str
    kind: str
    raw: Json


AnyPart = Text | Media | Thinking | ToolCall | ToolResult | Refusal | Opaque


class Turn(msgspec.Struct, frozen=True):
    """One message. Tool results are parts of a user's turn."""

    role: Role
    parts: Sequence[AnyPart]
    path: str = ""
    extras: Extras = _NOTHING


class ToolKind(msgspec.Struct, frozen=True, kw_only=True):
    """What all tools have."""

    path: str = ""
    cache: Cache | None = None
    extras: Extras = _NOTHING


class FunctionTool(ToolKind, frozen=True):
    """A tool that takes a JSON object."""

    name: str
    """The name a provider sees: unique in a request, and flat."""
    description: str = ""
    schema: Json = None
    """JSON schema of the arguments, never rewritten here; None where the client gave none."""
    strict: bool | None = None
    namespace: str = ""
    """The client's group it belongs to (Responses), and below it its name in there."""
    local_name: str = ""


class CustomTool(ToolKind, frozen=True):
    """A tool that takes free text, maybe by a grammar."""

    name: str
    description: str = ""
    format: Json = None
    namespace: str = ""
    local_name: str = ""


class HostedTool(ToolKind, frozen=True):
    """A tool that one vendor runs itself."""

    protocol: str
    kind: str
    raw: Json


AnyTool = FunctionTool | CustomTool | HostedTool


class ToolChoice(msgspec.Struct, frozen=True):
    """Whether the model has to call, and what."""

    mode: Literal["auto", "none", "required", "one"]
    name: str = ""
    """The tool of mode `one`."""
    allowed: Sequence[str] = ()
    """Where not empty, the only tools it may choose."""


class Format(msgspec.Struct, frozen=True):
    """The form of the answer's text."""

    kind: Literal["text", "json", "schema"]
    schema: Json = None
    name: str = ""
    description: str = ""
    strict: bool | None = None
    path: str = ""


class Reasoning(msgspec.Struct, frozen=True):
    """How much to think before answering."""

    mode: Literal["on", "off", "adaptive", "unset"]
    """`adaptive` leaves it to the model; `unset` says only the effort."""
    effort: Effort | None = None
    budget: int | None = None
    """Tokens to think with at most."""
    summary: str | None = None
    """Whether and how thoughts are shown; `omitted` for not at all."""
    path: str = ""


class ChatRequest(msgspec.Struct, kw_only=True):
    """What a client wants a model to go on from."""

    protocol: str
    """Who read it; the `extras` in it are this protocol's."""
    model: str
    """What the provider calls it."""
    turns: Sequence[Turn]
    stream: bool = False
    stream_usage: bool = True
    """Whether the client wants the usage in a stream."""
    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    frequency_penalty: float | None = None
    presence_penalty: float | None = None
    stop: Sequence[str] = ()
    seed: int | None = None
    logprobs: bool = False
    top_logprobs: int | None = None
    tools: Sequence[AnyTool] = ()
    tool_choice: ToolChoice | None = None
    parallel_tools: bool | None = None
    format: Format | None = None
    reasoning: Reasoning | None = None
    verbosity: str | None = None
    service_tier: str | None = None
    user: str | None = None
    cache_key: str | None = None
    extras: Extras = _NOTHING


class Usage(msgspec.Struct, frozen=True):
    """Tokens of one exchange. No token is counted in two of the input fields."""

    input: int = 0
    """Read anew: neither from nor into a cache."""
    output: int = 0
    """Written, thoughts included."""
    cache_read: int = 0
    cache_write: int = 0
    """Written into a cache for five minutes, or for an unknown time."""
    cache_write_1h: int = 0
    reasoning: int = 0
    """Those of `output` that were thoughts."""
    extras: Extras = _NOTHING

    @property
    def prompt(self) -> int:
        """All tokens of the request."""
        return self.input + self.cache_read + self.cache_write + self.cache_write_1h


class Stop(msgspec.Struct, frozen=True):
    """Why a model ended."""

    reason: StopReason
    sequence: str | None = None
    """The stop sequence it came upon."""
    detail: Json = None
    """What the vendor adds, such as a safety rating."""


class ChatResponse(msgspec.Struct, frozen=True, kw_only=True):
    """A whole answer."""

    protocol: str
    """Who read it; the `extras` in it are this protocol's."""
    id: str
    """Empty where the provider gives none."""
    model: str
    parts: Sequence[AnyPart]
    stop: Stop
    usage: Usage | None = None
    created: int = 0
    """Unix seconds, 0 where the provider does not say."""
    service_tier: str | None = None
    extras: Extras = _NOTHING


class Started(msgspec.Struct, frozen=True):
    """The answer begins."""

    protocol: str
    """Who read it; the `extras` of the stream are this protocol's."""
    id: str
    model: str
    created: int = 0
    usage: Usage | None = None
    """What is known of the input by now."""
    service_tier: str | None = None
    extras: Extras = _NOTHING


class PartOpened(msgspec.Struct, frozen=True):
    """A part begins; parts are numbered from 0 and never open twice."""

    index: int
    part: AnyPart
    """What is known from the beginning; texts and arguments in it are what has come already, mostly nothing."""


class PartDelta(msgspec.Struct, frozen=True):
    """An open part grows."""

    index: int
    text: str = ""
    """More of its text: of a text, thought or refusal, of a tool call's arguments."""
    signature: str = ""
    citation: Citation | None = None
    logprobs: Sequence[Json] = ()
    raw: Json = None
    """A change only the protocol of an `Opaque` part knows."""


class PartClosed(msgspec.Struct, frozen=True):
    """A part is complete."""

    index: int


class Stopped(msgspec.Struct, frozen=True):
    """The answer is complete; nothing follows."""

    stop: Stop
    usage: Usage | None = None
    extras: Extras = _NOTHING


class EmbeddingRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Texts to turn into vectors."""

    model: str
    inputs: Sequence[str | Sequence[int]]
    """Texts, or texts as token numbers of the model's own vocabulary."""
    dimensions: int | None = None
    extras: Extras = _NOTHING
    """Other fields of the client, such as `input_type`; a wire takes those its vendor knows."""


class EmbeddingResponse(msgspec.Struct, frozen=True, kw_only=True):
    """A vector for each text, in order."""

    vectors: Sequence[Sequence[float]]
    tokens: int = 0
    """Tokens read; 0 where the provider does not say."""


Event = Started | PartOpened | PartDelta | PartClosed | Stopped
