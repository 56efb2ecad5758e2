"""What became of a request, once it is over: immutable, without a word of what was said in it."""

import msgspec

from nexus.telemetry.trace import Span


class Tokens(msgspec.Struct, frozen=True, gc=False):
    """What a provider counted."""

    input: int
    """Of the whole request, those from and into a cache included."""
    output: int
    """Written, thoughts included."""
    cache_read: int = 0
    """Those of `input` that came from a cache."""
    cache_write: int = 0
    """Those of `input` that went into one."""
    reasoning: int = 0
    """Those of `output` that were thoughts."""


class Chunks(msgspec.Struct, frozen=True, gc=False):
    """The times between the pieces of a streamed answer, after its first token."""

    counts: tuple[int, ...]
    """By the buckets of `metrics.CHUNKS`."""
    seconds: float


class Work(msgspec.Struct, frozen=True, gc=False):
    """What the operation of a request came to."""

    duration: float
    """Seconds."""
    error: str | None
    """What kind of failure it was; None where it succeeded."""


class UsageRecord(Work, frozen=True, gc=False):
    """One call of a model: the record to account by."""

    time: float
    """When it began, in seconds since the epoch."""
    operation: str
    """`chat.completions` for a chat in any protocol; else the endpoint, such as `embeddings`."""
    asked: str
    """The model as the client named it; empty where the request named none."""
    provider: str = ""
    """Its name in the configuration; empty where nobody was found to ask."""
    served: str = ""
    """The model that answered, as the provider calls it."""
    client: str | None = None
    group: str | None = None
    stream: bool = False
    status: int = 0
    """What the client was answered; 499 where it had left before."""
    api_error: str | None = None
    """The failure as the client's protocol calls it."""
    finish: str | None = None
    """Why the model ended, in the words of OpenAI chats."""
    tokens: Tokens | None = None
    """None where the provider did not say."""
    first_token: float | None = None
    """Seconds until the first piece with content or a tool call; only of streams."""
    chunks: Chunks | None = None
    dropped: tuple[str, ...] = ()
    """Paths in the request that the provider has no words for."""


class ToolRecord(Work, frozen=True, gc=False):
    """One request of MCP."""

    method: str
    """Such as `tools/call`."""
    tool: str | None = None
    """`search`, or the bare name of a tool that was run; its full name where that failed."""
    builtin: bool = False
    server: str | None = None
    keywords: int | None = None
    results: int | None = None


class RequestRecord(msgspec.Struct, frozen=True, gc=False):
    """One request that was answered."""

    time: float
    """When it came, in seconds since the epoch."""
    method: str
    route: str
    """The template of its path; `unknown` where none fits."""
    status: int
    duration: float
    """Seconds, to the last byte."""
    client: str | None = None
    group: str | None = None
    work: Work | None = None
    trace_id: int = 0
    """0 where it was not traced."""
    span_id: int = 0
    spans: tuple[Span, ...] = ()
    path: str = ""
    """What was asked for where no route fits, redacted."""
