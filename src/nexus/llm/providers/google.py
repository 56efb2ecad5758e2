"""Google's Gemini API, in its own protocol.

https://ai.google.dev/api
"""

from collections.abc import Sequence

from nexus.config.llm import ProviderConfig
from nexus.llm.canonical import Model
from nexus.llm.protocols.base import Counter, Embedder, Wire
from nexus.llm.protocols.google import names
from nexus.llm.protocols.google.embeddings import GoogleEmbedder
from nexus.llm.protocols.google.wire import GoogleCounter, GoogleWire
from nexus.llm.providers.remote import Remote

DEFAULT_BASE_URL = "https://generativelanguage.googleapis.com/v1beta"
_WIRE = GoogleWire()
_COUNTER = GoogleCounter()
_EMBEDDER = GoogleEmbedder()
_NEXT_PAGE = "pageSize=1000&pageToken"
"""Parameter that a page's token is given in; pages after the first are as large as they can be."""


class Google(Remote):
    """A provider that speaks the Gemini API below its base URL.

    Its OpenAI-compatible endpoint says less than the API itself, so everything is translated.
    """

    kind = "google"

    def __init__(self, name: str, config: ProviderConfig) -> None:
        # its key goes in a header, not in the URL: what is in a URL ends up in logs
        super().__init__(name, config, "Google", config.base_url or DEFAULT_BASE_URL)

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

    async def models(self) -> Sequence[Model]:
        """Ask for all models."""
        return await self._listed(names.read_page, _NEXT_PAGE)
