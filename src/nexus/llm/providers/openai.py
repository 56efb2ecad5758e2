"""OpenAI and everything that is compatible with it: a base URL, a key in a header."""

import re
from collections.abc import Sequence
from urllib.parse import urlsplit

import msgspec

from nexus.config.llm import ProviderConfig
from nexus.llm.canonical import Model
from nexus.llm.protocols.base import Wire
from nexus.llm.protocols.openai import models as model_list
from nexus.llm.protocols.openai.options import COMPATIBLE, Options
from nexus.llm.protocols.openai.wire import ChatWire
from nexus.llm.protocols.responses.wire import ResponsesWire
from nexus.llm.providers.remote import Remote

_RESPONSES = ResponsesWire()
_THINKS = re.compile(r"o\d|gpt-(?:[5-9]|\d\d)(?!.*chat)|codex")
# these refuse what they do not know
_STRICT = Options(max_tokens="max_tokens", developer_role=False, custom_tools=False, most_stops=None)
_SERVERS = {
    "openrouter.ai": msgspec.structs.replace(
        COMPATIBLE, reasoning_field="reasoning_details", cache_control=True
    ),
    "api.groq.com": msgspec.structs.replace(_STRICT, reasoning_field="reasoning"),
    "api.deepseek.com": msgspec.structs.replace(_STRICT, reasoning_field="reasoning_content"),
    "api.moonshot.ai": msgspec.structs.replace(_STRICT, reasoning_field="reasoning_content"),
    "api.mistral.ai": _STRICT,
    "api.x.ai": _STRICT,
}
DEFAULT_BASE_URL = "https://api.openai.com/v1"


class OpenAI(Remote):
    """A provider that speaks the OpenAI API below its base URL."""

    kind = "openai"

    def __init__(self, name: str, config: ProviderConfig) -> None:
        base_url = (config.base_url or DEFAULT_BASE_URL).rstrip("/")
        # without a key the vendor refuses everything; a compatible server of one's own may well need none
        super().__init__(name, config, "OpenAI", base_url, optional=base_url != DEFAULT_BASE_URL)
        responses = config.responses if config.responses is not None else _is_vendor(base_url)
        self._speaks = ("openai", "embeddings", "responses") if responses else ("openai", "embeddings")
        self._wire = ChatWire(_options(base_url))

    def speaks(self, model: str) -> Sequence[str]:
        """Name the protocols of its API."""
        return self._speaks

    def wire(self, model: str) -> Wire:
        """Give chat completions, as this server wants them; models that think keep their thoughts by the Responses API."""
        return _RESPONSES if "responses" in self._speaks and _THINKS.match(model) else self._wire

    async def models(self) -> Sequence[Model]:
        """Ask for all models."""
        return await self._listed(model_list.read_page, "after")


def _options(base_url: str) -> Options:
    """Choose the words for a server by its address; one of one's own gets those that all of them know."""
    if _is_vendor(base_url):
        return Options()
    host = urlsplit(base_url).hostname or ""
    return next((options for end, options in _SERVERS.items() if host.endswith(end)), COMPATIBLE)


def _is_vendor(base_url: str) -> bool:
    """Tell the addresses that are known to have the Responses API; others say so in the file."""
    host = urlsplit(base_url).hostname or ""
    return host == "api.openai.com" or host.endswith(".openai.azure.com")
