"""OpenAI and everything that is compatible with it: a base URL, a key in a header."""

from collections.abc import Sequence

from nexus.config.llm import ProviderConfig
from nexus.errors import NexusError, Unauthenticated
from nexus.http.client import Failed, header_block
from nexus.llm.canonical import Model
from nexus.llm.protocols.openai import models as model_list
from nexus.llm.providers.api import OUR_HEADERS, Api
from nexus.llm.providers.base import Answer, Call

DEFAULT_BASE_URL = "https://api.openai.com/v1"


class OpenAI:
    """A provider that speaks the OpenAI API below its base URL."""

    kind = "openai"
    speaks = ("openai",)
    trouble: str | None = None

    def __init__(self, name: str, config: ProviderConfig) -> None:
        self.name = name
        base_url = (config.base_url or DEFAULT_BASE_URL).rstrip("/")
        # without a key the vendor refuses everything; a compatible server of one's own may well need none
        self.discovers = config.api_key is not None or base_url != DEFAULT_BASE_URL
        self._api = Api("OpenAI", base_url, config)
        self._headers = header_block([*_authorization(config), *OUR_HEADERS])

    async def start(self) -> None:
        """Nothing to bring up: connections open as they are needed."""

    async def models(self) -> Sequence[Model]:
        """Ask for all models."""
        return await self._api.models("openai", self._headers, model_list.read_page, "after")

    async def send(self, call: Call) -> Answer:
        """Send a request below the base URL."""
        if not self.discovers:
            raise Unauthenticated("Authentication failed: No API key configured")
        return await self._api.send(call, self._headers)

    def failure(self, error: Failed) -> NexusError:
        """Say that the connection broke."""
        return self._api.failure(error)

    async def close(self) -> None:
        """Close all connections."""
        self._api.close()


def _authorization(config: ProviderConfig) -> list[tuple[str, str]]:
    if config.api_key is None:
        return []
    key = config.api_key.get_secret_value()
    return [(config.api_key_header, key)] if config.api_key_header else [("authorization", f"Bearer {key}")]
