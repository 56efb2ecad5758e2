"""What an adapter is: a way to one family of models. The OpenCode transport, OpenRouter and every gateway satisfy it."""

from collections.abc import Sequence
from typing import Literal, Protocol

import msgspec

Role = Literal["system", "user", "assistant", "tool"]
Finish = Literal["stop", "length", "tool_calls", "filtered", "other"]


class ToolCall(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    name: str
    arguments: str
    """JSON text."""


class Message(msgspec.Struct, frozen=True, kw_only=True):
    role: Role
    text: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    """Only of an assistant."""
    tool_call_id: str | None = None
    """Only of a tool."""


class Tool(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    description: str
    parameters: dict[str, object]


class Prompt(msgspec.Struct, frozen=True, kw_only=True):
    """One call to a model."""

    messages: tuple[Message, ...]
    model: str = ""
    """What the adapter calls the model; empty leaves the choice to it."""
    max_output_tokens: int | None = None
    temperature: float | None = None
    schema: dict[str, object] | None = None
    """Ask for JSON of this shape, where the model can; an adapter that cannot leaves it out (the words ask as well)."""
    tools: tuple[Tool, ...] = ()
    """Only for adapters with `has_tools`."""
    timeout: float = 300.0
    """Seconds for the whole call, retries not counted."""
    variant: str | None = None
    thinking: bool = False
    work_dir: str | None = None
    allow_edits: bool = False
    """Variant, thinking, work_dir and allow_edits speak to the OpenCode transport; others leave them out."""

    @property
    def system(self) -> str:
        return "\n\n".join(message.text for message in self.messages if message.role == "system")

    @property
    def text(self) -> str:
        """Everything that is not system, as one text: what a command line tool is told."""
        return "\n\n".join(message.text for message in self.messages if message.role != "system")


class Usage(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    input_tokens: int = 0
    output_tokens: int = 0

    @property
    def total(self) -> int:
        return self.input_tokens + self.output_tokens

    def __add__(self, other: "Usage") -> "Usage":
        return Usage(
            input_tokens=self.input_tokens + other.input_tokens,
            output_tokens=self.output_tokens + other.output_tokens,
        )


class Completion(msgspec.Struct, frozen=True, kw_only=True):
    """What a model answered."""

    text: str
    model: str
    """The model that really ran, as the provider names it."""
    finish: Finish = "stop"
    usage: Usage = Usage()
    cost_usd: float | None = None
    """What the provider said it cost; None when it did not say."""
    thinking: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    warnings: tuple[str, ...] = ()


class Listed(msgspec.Struct, frozen=True, kw_only=True):
    """A model in an adapter's live catalogue."""

    id: str
    context: int | None = None
    input_per_million: float | None = None
    """US dollars; None when the catalogue does not say."""
    output_per_million: float | None = None
    parameters: tuple[str, ...] | None = None
    """What requests may carry (`tools`, `response_format`); None when the catalogue does not say."""
    created: int = 0

    @property
    def free(self) -> bool:
        return self.id.endswith(":free") or (self.input_per_million == 0 and self.output_per_million == 0)


class Adapter(Protocol):
    """A way to models. Made without I/O; `close` may be called on one that was never used."""

    @property
    def name(self) -> str:
        """What `--model` may say: `openrouter`, `custom-openai`, `nexus`, `opencode`, `openai`, ..."""
        ...

    @property
    def title(self) -> str:
        """What `doctor` prints: `OpenRouter`, `Custom OpenAI`, `Nexus`, `OpenCode`, ..."""
        ...

    @property
    def host(self) -> str:
        """The host name it talks to, for traces; never more of the URL. Empty for a subprocess."""
        ...

    @property
    def pinned(self) -> str:
        """The model the user configured for it (`NEXUS_CUSTOM_MODEL`), or empty."""
        ...

    @property
    def has_tools(self) -> bool:
        """Whether `Prompt.tools` may be used."""
        ...

    async def models(self) -> Sequence[Listed]:
        """List the live catalogue, cached for a while.

        Raises:
            AdapterError, Refused: it cannot be asked.
        """
        ...

    async def complete(self, prompt: Prompt) -> Completion:
        """Call the model once: no retries, no fallback, no substitute model; those belong to the caller.

        Raises:
            AdapterError: with its kind.
            Refused: the guard refuses the destination.
        """
        ...

    async def close(self) -> None:
        """Let go of connections."""
        ...
