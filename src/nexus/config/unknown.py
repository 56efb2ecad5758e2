"""Keys that are accepted and do nothing: some tables tolerate them, a typo must still be seen."""

from collections.abc import Iterator
from typing import cast

from pydantic import BaseModel

from nexus.config import words
from nexus.config.base import Open
from nexus.config.finding import Finding
from nexus.config.llm import ProviderConfig
from nexus.config.path import Path, key
from nexus.config.root import Config

_KEY = frozenset({"api_key", "forward_token"})
_OPENAI = frozenset({"responses"})
_HTTP = _OPENAI | {"api_key_header", "query", "passthrough"}
_NETWORK = frozenset({"base_url", "proxy", "tls"})
_USELESS = {
    "openai": frozenset[str](),
    "anthropic": _OPENAI,
    "google": _OPENAI,
    "bedrock": _HTTP | {"forward_token"},
    "local": _KEY | _HTTP | _NETWORK,
    "echo": _KEY | _HTTP | _NETWORK | {"timeouts", "max_connections"},
}


def known(provider: ProviderConfig) -> list[str]:
    """List the keys that mean something to a provider of this type."""
    return [name for name in type(provider).model_fields if name not in _USELESS[provider.type]]


def warnings(config: Config) -> Iterator[Finding]:
    """Tell of every key that does nothing."""
    yield from _extras(config, ())
    for name, provider in config.llm.providers.items():
        for field in sorted(provider.model_fields_set & _USELESS[provider.type]):
            path = ("llm", "providers", name, field)
            yield Finding(path, f"has no effect on a provider of type '{provider.type}'")


def _extras(value: object, path: Path) -> Iterator[Finding]:
    if isinstance(value, dict):
        for name, item in cast("dict[str, object]", value).items():
            yield from _extras(item, (*path, name))
    if not isinstance(value, BaseModel):
        return
    if isinstance(value, Open):
        names = known(value) if isinstance(value, ProviderConfig) else list(type(value).model_fields)
        for name, content in value.extra.items():
            yield Finding((*path, name), "unknown key, ignored", _cure(path, name, content, names))
    for name, info in type(value).model_fields.items():
        if name in value.model_fields_set:
            yield from _extras(getattr(value, name), (*path, info.alias or name))


def _cure(path: Path, name: str, content: object, names: list[str]) -> str:
    if len(path) == 5 and path[3] == "models" and isinstance(content, dict):
        # [llm.providers.x.models.gpt-4.1] without quotes is a table "1" in a model "gpt-4"
        return f"a model name with a dot needs quotes: models.{key(f'{path[4]}.{name}')}"
    guess = words.near(name, names)
    return f"did you mean '{guess}'?" if guess else f"known here: {', '.join(names)}"
