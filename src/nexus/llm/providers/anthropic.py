"""Anthropic and everything that is compatible with it: a base URL, a key in a header.

https://platform.claude.com/docs/en/api/overview
"""

from collections.abc import Sequence

from nexus.config.llm import ProviderConfig
from nexus.errors import NexusError
from nexus.http.client import Failed, header_block
from nexus.llm.canonical import Model
from nexus.llm.protocols.anthropic import models as model_list
from nexus.llm.protocols.anthropic.wire import MessagesCounter, MessagesWire
from nexus.llm.protocols.base import Counter, Wire
from nexus.llm.providers.api import OUR_HEADERS, Api
from nexus.llm.providers.base import Answer, Call, Connections, Plain
from nexus.llm.providers.keys import Keys, scheme

DEFAULT_BASE_URL = "https://api.anthropic.com/v1"
_WIRE = MessagesWire()
_COUNTER = MessagesCounter()
_VERSION = b"anthropic-version: 2023-06-01\r\n"


class Anthropic(Plain):
    """A provider that speaks the Anthropic API below its base URL."""

    kind = "anthropic"
    trouble: str | None = None

    def __init__(self, name: str, config: ProviderConfig) -> None:
        self.name = name
        self._api = Api("Anthropic", config.base_url or DEFAULT_BASE_URL, config)
        self._keys = Keys(config, scheme(config), header_block(OUR_HEADERS))
        self.discovers = self._keys.own is not None

    def speaks(self, model: str) -> Sequence[str]:
        """Name its own protocol."""
        return ("anthropic",)

    def wire(self, model: str) -> Wire:
        """Give the Messages protocol."""
        return _WIRE

    def counter(self, model: str) -> Counter:
        """Give its own token count."""
        return _COUNTER

    async def start(self) -> None:
        """Nothing to bring up: connections open as they are needed."""

    async def models(self) -> Sequence[Model]:
        """Ask for all models."""
        headers = self._keys.lines(()) + _VERSION
        return await self._api.models("anthropic", headers, model_list.read_page, "after_id")

    async def send(self, call: Call) -> Answer:
        """Send a request below the base URL; a client that names no version of the protocol gets the current one."""
        headers = self._keys.lines(call.asked.headers if call.asked else ())
        if b"anthropic-version: " not in call.headers:
            headers += _VERSION
        return await self._api.send(call, headers)

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
