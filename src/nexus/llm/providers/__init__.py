"""Where bytes go. One file a provider, one line here: a provider is found by its `type` in the configuration."""

from collections.abc import Callable

from nexus.config.llm import ProviderConfig
from nexus.llm.providers.anthropic import Anthropic
from nexus.llm.providers.base import Provider
from nexus.llm.providers.bedrock import Bedrock
from nexus.llm.providers.echo import Echo
from nexus.llm.providers.google import Google
from nexus.llm.providers.local import Local
from nexus.llm.providers.openai import OpenAI

PROVIDERS: dict[str, Callable[[str, ProviderConfig], Provider]] = {
    "openai": OpenAI,
    "anthropic": Anthropic,
    "google": Google,
    "bedrock": Bedrock,
    "local": Local,
    "echo": Echo,
}
