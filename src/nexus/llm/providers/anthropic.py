"""Anthropic: its own protocol, and chat completions through the vendor's OpenAI-compatible endpoint.

https://platform.claude.com/docs/en/api/overview · https://platform.claude.com/docs/en/api/openai-sdk
"""

from collections.abc import Sequence

from nexus.config.llm import ProviderConfig
from nexus.errors import NexusError, Unauthenticated
from nexus.http.client import Failed, header_block
from nexus.llm.canonical import Model
from nexus.llm.protocols.anthropic import models as model_list
from nexus.llm.providers.api import OUR_HEADERS, Api
from nexus.llm.providers.base import Answer, Call

DEFAULT_BASE_URL = "https://api.anthropic.com/v1"
_VERSION = b"anthropic-version: 2023-06-01\r\n"


class Anthropic:
    """A provider that speaks the Anthropic API below its base URL."""

    kind = "anthropic"
    speaks = ("anthropic", "openai")
    trouble: str | None = None

    def __init__(self, name: str, config: ProviderConfig) -> None:
        self.name = name
        self.discovers = config.api_key is not None
        self._api = Api("Anthropic", config.base_url or DEFAULT_BASE_URL, config)
        key = config.api_key.get_secret_value() if config.api_key is not None else ""
        self._headers = {
            "anthropic": header_block([(config.api_key_header or "x-api-key", key), *OUR_HEADERS]),
            "openai": header_block([("authorization", f"Bearer {key}"), *OUR_HEADERS]),
        }

    async def start(self) -> None:
        """Nothing to bring up: connections open as they are needed."""

    async def models(self) -> Sequence[Model]:
        """Ask for all models."""
        headers = self._headers["anthropic"] + _VERSION
        return await self._api.models("anthropic", headers, model_list.read_page, "after_id")

    async def send(self, call: Call) -> Answer:
        """Send a request below the base URL; a client that names no version of the protocol gets the current one."""
        if not self.discovers:
            raise Unauthenticated("Authentication failed: No API key configured")
        headers = self._headers[call.protocol]
        if call.protocol == "anthropic" and b"anthropic-version: " not in call.headers:
            headers += _VERSION
        return await self._api.send(call, headers)

    def failure(self, error: Failed) -> NexusError:
        """Say that the connection broke."""
        return self._api.failure(error)

    async def close(self) -> None:
        """Close all connections."""
        self._api.close()
