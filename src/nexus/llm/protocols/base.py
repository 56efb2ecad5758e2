"""What a protocol is to the rooms above: its endpoints, its words for a failure, its model list."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from nexus.errors import NexusError
from nexus.llm.canonical import Model


class Body(Enum):
    """What carries the model of a request."""

    JSON = "application/json"
    FORM = "multipart/form-data"
    NONE = ""
    """Nothing does: the path has to name the provider."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One path below `/v1`."""

    path: str
    methods: tuple[str, ...]
    body: Body
    model_path: tuple[str, ...] = ("model",)
    """Where an event of a stream names its model."""


class Inbound(Protocol):
    """A protocol that clients may speak to us."""

    @property
    def name(self) -> str:
        """What providers that speak it call it."""
        ...

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
