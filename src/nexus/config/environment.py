"""A configuration without a file: one provider for every well-known key in the environment."""

from collections.abc import Mapping
from typing import NamedTuple

from pydantic import ValidationError

from nexus.config.loader import Loaded
from nexus.config.root import Config
from nexus.errors import ConfigError, Problem


class _Vendor(NamedTuple):
    name: str
    type: str
    keys: tuple[str, ...]
    base_url: str | None = None
    base_url_key: str | None = None
    """Variable that overrides the base URL."""


# until their own types are built, anthropic and google are reached through their OpenAI-compatible endpoints;
# then their type becomes their name and the base URL goes
_VENDORS = (
    _Vendor("openai", "openai", ("OPENAI_API_KEY",), base_url_key="OPENAI_BASE_URL"),
    _Vendor("anthropic", "openai", ("ANTHROPIC_API_KEY",), "https://api.anthropic.com/v1"),
    _Vendor(
        "google",
        "openai",
        ("GEMINI_API_KEY", "GOOGLE_API_KEY"),
        "https://generativelanguage.googleapis.com/v1beta/openai",
    ),
    _Vendor("openrouter", "openai", ("OPENROUTER_API_KEY",), "https://openrouter.ai/api/v1"),
    _Vendor("groq", "openai", ("GROQ_API_KEY",), "https://api.groq.com/openai/v1"),
    _Vendor("mistral", "openai", ("MISTRAL_API_KEY",), "https://api.mistral.ai/v1"),
    _Vendor("deepseek", "openai", ("DEEPSEEK_API_KEY",), "https://api.deepseek.com/v1"),
    _Vendor("xai", "openai", ("XAI_API_KEY",), "https://api.x.ai/v1"),
    _Vendor("together", "openai", ("TOGETHER_API_KEY",), "https://api.together.xyz/v1"),
)


def from_environment(environ: Mapping[str, str]) -> Loaded | None:
    """Make a configuration of the keys found; none if there is no key.

    Raises:
        ConfigError: a variable holds what no configuration could.
    """
    providers: dict[str, object] = {}
    used: list[str] = []
    for vendor in _VENDORS:
        variable = next((key for key in vendor.keys if environ.get(key, "").strip()), None)
        if variable is None:
            continue
        used.append(variable)
        providers[vendor.name] = _provider(vendor, environ[variable].strip(), environ)
    if not providers:
        return None
    origin = f"environment: {', '.join(used)}"
    try:
        config = Config.model_validate({"llm": {"providers": providers}})
    except ValidationError as error:
        raise ConfigError(
            [_problem(each["loc"], used, providers) for each in error.errors()], origin
        ) from None
    return Loaded(config, (), origin)


def _provider(vendor: _Vendor, key: str, environ: Mapping[str, str]) -> dict[str, object]:
    provider: dict[str, object] = {"type": vendor.type, "api_key": key}
    chosen = environ.get(vendor.base_url_key, "").strip() if vendor.base_url_key else ""
    base_url = chosen or vendor.base_url
    if base_url:
        provider["base_url"] = base_url
    return provider


def _problem(location: tuple[int | str, ...], used: list[str], providers: dict[str, object]) -> Problem:
    """Name the variable at fault; its value is not shown."""
    name = str(location[2])
    vendor = next(vendor for vendor in _VENDORS if vendor.name == name)
    if location[-1] == "base_url":
        return Problem(vendor.base_url_key or name, "expected a URL that starts with http:// or https://")
    return Problem(used[list(providers).index(name)], "a key holds printable ASCII characters only")
