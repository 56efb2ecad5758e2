"""Anthropic and everything that is compatible with it: a base URL, a key in a header.

https://platform.claude.com/docs/en/api/overview
"""

from collections.abc import Sequence

from nexus.config.llm import ProviderConfig
from nexus.llm.canonical import Model
from nexus.llm.protocols.anthropic import models as model_list
from nexus.llm.protocols.anthropic.wire import MessagesCounter, MessagesWire
from nexus.llm.protocols.base import Counter, Wire
from nexus.llm.providers.base import Answer, Call
from nexus.llm.providers.remote import Remote

DEFAULT_BASE_URL = "https://api.anthropic.com/v1"
_WIRE = MessagesWire()
_COUNTER = MessagesCounter()
_VERSION = b"anthropic-version: 2023-06-01\r\n"


class Anthropic(Remote):
    """A provider that speaks the Anthropic API below its base URL."""

    kind = "anthropic"

    def __init__(self, name: str, config: ProviderConfig) -> None:
        super().__init__(name, config, "Anthropic", config.base_url or DEFAULT_BASE_URL)

    def speaks(self, model: str) -> Sequence[str]:
        """Name its own protocol."""
        return ("anthropic",)

    def wire(self, model: str) -> Wire:
        """Give the Messages protocol."""
        return _WIRE

    def counter(self, model: str) -> Counter:
        """Give its own token count."""
        return _COUNTER

    async def models(self) -> Sequence[Model]:
        """Ask for all models."""
        return await self._listed(model_list.read_page, "after_id", _VERSION)

    async def send(self, call: Call) -> Answer:
        """Send a request below the base URL; a client that names no version of the protocol gets the current one."""
        headers = self._signed(call)
        if b"anthropic-version: " not in call.headers:
            headers += _VERSION
        return await self._api.send(call, headers)
