"""Vendors whose keys have well-known names in the environment, and the providers such keys make."""

from collections.abc import Mapping
from typing import NamedTuple


class Vendor(NamedTuple):
    name: str
    type: str
    keys: tuple[str, ...]
    base_url: str | None = None
    base_url_key: str | None = None
    """Variable that overrides the base URL."""


VENDORS = (
    Vendor("openai", "openai", ("OPENAI_API_KEY",), base_url_key="OPENAI_BASE_URL"),
    Vendor("anthropic", "anthropic", ("ANTHROPIC_API_KEY",)),
    Vendor("google", "google", ("GEMINI_API_KEY", "GOOGLE_API_KEY")),
    Vendor("openrouter", "openai", ("OPENROUTER_API_KEY",), "https://openrouter.ai/api/v1"),
    Vendor("groq", "openai", ("GROQ_API_KEY",), "https://api.groq.com/openai/v1"),
    Vendor("mistral", "openai", ("MISTRAL_API_KEY",), "https://api.mistral.ai/v1"),
    Vendor("deepseek", "openai", ("DEEPSEEK_API_KEY",), "https://api.deepseek.com/v1"),
    Vendor("xai", "openai", ("XAI_API_KEY",), "https://api.x.ai/v1"),
    Vendor("together", "openai", ("TOGETHER_API_KEY",), "https://api.together.xyz/v1"),
)


def variable(type: str) -> str:
    """Name the variable the key of a type's own vendor is usually in."""
    return next(vendor.keys[0] for vendor in VENDORS if vendor.name == type)


def found(environ: Mapping[str, str]) -> dict[str, tuple[Vendor, str]]:
    """Find the vendors whose key is set, each with the variable that has it."""
    variables = ((vendor, key) for vendor in VENDORS for key in vendor.keys if environ.get(key, "").strip())
    first: dict[str, tuple[Vendor, str]] = {}
    for vendor, variable in variables:
        first.setdefault(vendor.name, (vendor, variable))
    return first


def provider(vendor: Vendor, variable: str, environ: Mapping[str, str]) -> dict[str, object]:
    """Write the table of a provider as a file would have it."""
    table: dict[str, object] = {"type": vendor.type, "api_key": environ[variable].strip()}
    chosen = environ.get(vendor.base_url_key, "").strip() if vendor.base_url_key else ""
    if base_url := chosen or vendor.base_url:
        table["base_url"] = base_url
    return table
