"""What a protocol is to the rooms above.

A `Surface` is all a client finds below one base path: endpoints, failures, model lists. An `Inbound` is the half of a chat
protocol clients speak to us, a `Wire` the half we speak to a provider; both know nothing but the canonical model.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from nexus.errors import NexusError
from nexus.llm.canonical import (
    ChatRequest,
    ChatResponse,
    EmbeddingRequest,
    EmbeddingResponse,
    Event,
    Loss,
    Model,
)


class Body(Enum):
    """What carries the model of a request."""

    JSON = "application/json"
    FORM = "multipart/form-data"
    NONE = ""
    """Nothing does: the path has to name the provider."""


class StreamWriter(Protocol):
    """Writes the events of one stream. A machine for one stream."""

    def write(self, event: Event) -> bytes:
        """Give the bytes an event becomes, `b""` when it has none in this protocol."""
        ...

    def fail(self, error: NexusError) -> bytes:
        """Give the last events of a stream that failed on its way."""
        ...


class StreamReader(Protocol):
    """Reads one stream of a provider. A machine for one stream."""

    def read(self, payload: bytes) -> Sequence[Event]:
        """Give what one server-sent event, of which `payload` is the data, says.

        Raises:
            NexusError: it says that the provider failed, or nothing its protocol allows.
        """
        ...

    def end(self) -> Sequence[Event]:
        """Give what the end of the stream says.

        Raises:
            NexusError: the answer was not complete.
        """
        ...


class Inbound(Protocol):
    """The half of a chat protocol that clients speak to us."""

    @property
    def name(self) -> str: ...

    def read_request(self, body: bytes) -> ChatRequest:
        """Read a request.

        Raises:
            InvalidRequest: it breaks a rule of the protocol; the text names the JSON path.
        """
        ...

    def write_response(self, response: ChatResponse, request: ChatRequest) -> tuple[bytes, Sequence[Loss]]:
        """Write an answer to a request this inbound has read, and tell what could not be written."""
        ...

    def write_stream(self, request: ChatRequest) -> StreamWriter:
        """Make what writes the answer to a request this inbound has read, event by event."""
        ...


class Wire(Protocol):
    """The half of a chat protocol that we speak to providers."""

    @property
    def name(self) -> str: ...

    @property
    def longest_tool_name(self) -> int:
        """Characters the name of a tool may have."""
        ...

    def target(self, model: str, *, stream: bool) -> tuple[str, bytes]:
        """Give path and query, below the base URL of a provider."""
        ...

    def caches(self, model: str) -> bool:
        """Tell whether prompts are cached up to the marks in them."""
        ...

    def write_request(self, request: ChatRequest) -> tuple[bytes, Sequence[Loss]]:
        """Write a request; the same request gives the same bytes. Tell which settings the target has no words for.

        Raises:
            Unrepresentable: it has content the target has no words for.
        """
        ...

    def read_response(self, body: bytes, request: ChatRequest) -> ChatResponse:
        """Read the answer to a request this wire has written.

        Raises:
            UpstreamGarbage: it is not what the protocol says.
        """
        ...

    def read_stream(self, request: ChatRequest) -> StreamReader:
        """Make what reads the streamed answer to a request this wire has written."""
        ...


class Counter(Protocol):
    """How a provider is asked for the tokens of a request."""

    def target(self, model: str) -> str:
        """Give the path below the base URL."""
        ...

    def write_request(self, request: ChatRequest) -> bytes:
        """Write the question."""
        ...

    def read_response(self, body: bytes) -> int:
        """Read the number of tokens.

        Raises:
            UpstreamGarbage: there is none.
        """
        ...


class Embedder(Protocol):
    """How a provider that has words of its own for embeddings is asked for them."""

    def write_requests(self, request: EmbeddingRequest) -> tuple[Sequence[tuple[str, bytes]], Sequence[Loss]]:
        """Write as many requests as the provider needs, each a path below the base URL and a body.

        Raises:
            Unrepresentable: an input has no form here, such as token numbers.
        """
        ...

    def read_responses(self, bodies: Sequence[bytes]) -> EmbeddingResponse:
        """Read the answers to all of them, in order.

        Raises:
            UpstreamGarbage: one is not what the protocol says.
        """
        ...


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One path below `/v1`."""

    path: str
    methods: tuple[str, ...]
    body: Body
    model_path: tuple[str, ...] = ("model",)
    """Where an event of a stream names its model."""
    protocol: str = "openai"
    """What a provider has to speak to get this as it is."""
    inbound: Inbound | None = None
    """What reads a chat of it for a provider that speaks something else."""
    write_count: Callable[[int], bytes] | None = None
    """Writes the answer of an endpoint that counts the tokens of a chat instead of having it."""


class Surface(Protocol):
    """All that clients of one vendor's API find below a base path."""

    @property
    def name(self) -> str: ...

    @property
    def endpoints(self) -> tuple[Endpoint, ...]:
        """The endpoints whose path is always the same."""
        ...

    @property
    def keep_alive(self) -> bytes:
        """An event that says nothing, for the silences of a stream."""
        ...

    @property
    def forwarded(self) -> frozenset[bytes]:
        """Headers of a client that are part of the protocol, and go on to a provider that speaks it."""
        ...

    def find(self, path: str) -> Endpoint | None:
        """Find the endpoint of a path below `/v1`."""
        ...

    def write_error(self, error: NexusError) -> tuple[int, bytes, bytes]:
        """Give status, content type and body for a failure before the first byte of an answer."""
        ...

    def write_event(self, error: NexusError, endpoint: Endpoint) -> bytes:
        """Give the last events of a stream that failed on its way."""
        ...

    def write_list(self, models: Iterable[Model]) -> bytes:
        """Write the answer to `GET /v1/models`."""
        ...

    def write_model(self, model: Model) -> bytes:
        """Write the answer to `GET /v1/models/{id}`."""
        ...
