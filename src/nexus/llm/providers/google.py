"""Google's Gemini API, in its own protocol.

https://ai.google.dev/api
"""

from collections.abc import Sequence

from nexus.config.llm import ProviderConfig
from nexus.errors import NexusError
from nexus.http.client import Failed, header_block
from nexus.llm.canonical import Model
from nexus.llm.protocols.base import Counter, Embedder, Wire
from nexus.llm.protocols.google import names
from nexus.llm.protocols.google.embeddings import GoogleEmbedder
from nexus.llm.protocols.google.wire import GoogleCounter, GoogleWire
from nexus.llm.providers.api import OUR_HEADERS, Api
from nexus.llm.providers.base import Answer, Call, Connections
from nexus.llm.providers.keys import Keys, scheme

DEFAULT_BASE_URL = "https://generativelanguage.googleapis.com/v1beta"
_WIRE = GoogleWire()
_COUNTER = GoogleCounter()
_EMBEDDER = GoogleEmbedder()
_NEXT_PAGE = "pageSize=1000&pageToken"
"""Parameter that a page's token is given in; pages after the first are as large as they can be."""


class Google:
    """A provider that speaks the Gemini API below its base URL.

    Its OpenAI-compatible endpoint says less than the API itself, so everything is translated.
    """

    kind = "google"
    trouble: str | None = None

    def __init__(self, name: str, config: ProviderConfig) -> None:
        self.name = name
        self._api = Api("Google", config.base_url or DEFAULT_BASE_URL, config)
        # in a header, not in the URL: what is in a URL ends up in logs
        self._keys = Keys(config, scheme(config), header_block(OUR_HEADERS))
        self.discovers = self._keys.own is not None

    def speaks(self, model: str) -> Sequence[str]:
        """Name no protocol: clients cannot speak this one to us."""
        return ()

    def wire(self, model: str) -> Wire:
        """Give the Gemini API."""
        return _WIRE

    def counter(self, model: str) -> Counter:
        """Give its own token count."""
        return _COUNTER

    def embedder(self, model: str) -> Embedder:
        """Give its own words for embeddings."""
        return _EMBEDDER

    async def start(self) -> None:
        """Nothing to bring up: connections open as they are needed."""

    async def models(self) -> Sequence[Model]:
        """Ask for all models."""
        return await self._api.models("google", self._keys.lines(()), names.read_page, _NEXT_PAGE)

    async def send(self, call: Call) -> Answer:
        """Send a request below the base URL."""
        return await self._api.send(call, self._keys.lines(call.asked.headers if call.asked else ()))

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
