"""What the gateway asks of a provider: where the bytes go and who signs them. A provider knows no protocol's fields."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol, runtime_checkable

import msgspec

from nexus.errors import Headers, NexusError
from nexus.http.client import Failed
from nexus.llm.canonical import Model
from nexus.llm.protocols.base import Counter, Embedder, Wire


class Answer(Protocol):
    """The answer of an upstream, its head received, its body still to come."""

    heartbeat: float
    """Seconds of silence after which `next` gives `None`; 0 for never."""

    @property
    def status(self) -> int: ...

    @property
    def headers(self) -> Headers: ...

    def header(self, name: bytes) -> bytes | None: ...

    async def next(self) -> bytes | None: ...

    async def read(self, limit: int) -> bytes: ...

    def close(self) -> None: ...


class Asked(msgspec.Struct, frozen=True, gc=False):
    """Who asks, and for what: what header rules and keys are chosen by."""

    headers: Sequence[tuple[bytes, bytes]]
    """All of the client's, lower-case names."""
    model: str
    """As the client wrote it, without the provider's name."""


class Call(msgspec.Struct, frozen=True, gc=False):
    """One request as it leaves us: below the provider's base URL, everything but address and signature."""

    protocol: str
    method: bytes
    path: str
    body: bytes = b""
    content_type: bytes = b""
    query: bytes = b""
    stream: bool = False
    headers: bytes = b""
    """Lines of the client's headers that are part of its protocol."""
    asked: Asked | None = None
    """None where the gateway asks on its own account."""


class Connections(NamedTuple):
    """Connections to a provider."""

    active: int
    idle: int
    """Kept for the next request."""


class Provider(Protocol):
    """One configured provider. Made before the server listens, started in its loop, closed with it."""

    @property
    def name(self) -> str:
        """The prefix it is routed by."""
        ...

    @property
    def kind(self) -> str:
        """Its type in the configuration."""
        ...

    def speaks(self, model: str) -> Sequence[str]:
        """Name the protocols it can be sent as they are; `model` is its own name of one, empty where none is asked."""
        ...

    def wire(self, model: str) -> Wire | None:
        """Give what chats of any other protocol are translated into."""
        ...

    def counter(self, model: str) -> Counter | None:
        """Give how it is asked for the tokens of a request, if it can be."""
        ...

    def embedder(self, model: str) -> Embedder | None:
        """Give how it is asked for embeddings, where it has words of its own for that."""
        ...

    @property
    def discovers(self) -> bool:
        """Whether it can be asked for its models."""
        ...

    @property
    def trouble(self) -> str | None:
        """What keeps it from answering just now, as far as it knows without asking."""
        ...

    async def start(self) -> None:
        """Bring up what it needs beside connections.

        Raises:
            ProviderFailed: it cannot be used.
        """
        ...

    async def models(self) -> Sequence[Model]:
        """Ask for its models, all pages.

        Raises:
            UpstreamError: it answered with a failure.
            UpstreamUnreachable: it did not answer.
        """
        ...

    async def send(self, call: Call) -> Answer:
        """Send a request and wait for the head of its answer, of whatever status.

        Raises:
            UpstreamUnreachable: there is none.
        """
        ...

    def failure(self, error: Failed) -> NexusError:
        """Say, in the name of this provider, that the connection to it broke."""
        ...

    async def close(self) -> None:
        """Give back everything it holds."""
        ...


@runtime_checkable
class Connected(Protocol):
    """A provider behind connections of ours."""

    @property
    def connections(self) -> Connections:
        """Count the connections there are."""
        ...


class Plain:
    """What a provider is that only takes its own protocols."""

    def wire(self, model: str) -> Wire | None:
        """Nothing is translated."""
        return None

    def counter(self, model: str) -> Counter | None:
        """It cannot count."""
        return None

    def embedder(self, model: str) -> Embedder | None:
        """It has no words of its own."""
        return None


class ProviderFailed(Exception):
    """A provider cannot be brought up."""
