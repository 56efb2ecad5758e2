"""A provider that is one HTTP API with one key: everything about it but what it speaks."""

from collections.abc import Sequence

from nexus.config.llm import ProviderConfig
from nexus.errors import NexusError
from nexus.http.client import Failed, header_block
from nexus.llm.canonical import Model
from nexus.llm.providers.api import OUR_HEADERS, Api, ReadPage
from nexus.llm.providers.base import Answer, Call, Connections, Plain
from nexus.llm.providers.keys import Keys, scheme


class Remote(Plain):
    """What is reached below a base URL with a key in a header."""

    kind = ""
    """Its type in the configuration."""
    trouble: str | None = None

    def __init__(
        self, name: str, config: ProviderConfig, label: str, base_url: str, *, optional: bool = False
    ) -> None:
        """`label` names it in messages; with `optional`, it may do without a key."""
        self.name = name
        self._api = Api(label, base_url, config, name)
        self._keys = Keys(config, scheme(config), header_block(OUR_HEADERS), optional=optional)
        self.discovers = self._keys.own is not None

    async def start(self) -> None:
        """Nothing to bring up: connections open as they are needed."""

    async def send(self, call: Call) -> Answer:
        """Send a request below the base URL."""
        return await self._api.send(call, self._signed(call))

    def failure(self, error: Failed) -> NexusError:
        """Say that the connection broke."""
        return self._api.failure(error)

    @property
    def connections(self) -> Connections:
        """Count the connections there are."""
        return self._api.connections

    async def close(self) -> None:
        """Close all connections."""
        self._api.close()

    def _signed(self, call: Call) -> bytes:
        return self._keys.lines(call.asked.headers if call.asked else ())

    async def _listed(self, read: ReadPage, after: str, more: bytes = b"") -> Sequence[Model]:
        return await self._api.models(self.kind, self._keys.lines(()) + more, read, after)
