"""Where the configuration comes from: a named file, ./nexus.toml, or the keys in the environment."""

from collections.abc import Mapping
from pathlib import Path

from nexus.config import Loaded, from_environment, load
from nexus.errors import ConfigError, Problem

DEFAULT = Path("nexus.toml")

EXAMPLE = """No downstream servers configured. Nothing was found to serve: there is no ./nexus.toml, and no provider key in the
environment (OPENAI_API_KEY, ANTHROPIC_API_KEY, GEMINI_API_KEY, OPENROUTER_API_KEY, …).

Either set such a key and start again, or write a nexus.toml:

    [llm.providers.openai]
    type = "openai"
    api_key = "{{ env.OPENAI_API_KEY }}"

or try it without any key:

    [llm.providers.try]
    type = "echo"
"""


def find(config: Path | None, environ: Mapping[str, str]) -> tuple[Loaded, Path | None]:
    """Load the configuration; gives the file as well when there is one.

    Raises:
        ConfigError: it has mistakes, or there is none.
    """
    if config is not None and not config.is_file():
        raise ConfigError([Problem("", f"there is no file {config}", "check --config and NEXUS_CONFIG_PATH")])
    file = config or (DEFAULT if DEFAULT.is_file() else None)
    if file is not None:
        return load(file, environ), file
    loaded = from_environment(environ)
    if loaded is None:
        raise ConfigError([Problem("", EXAMPLE)])
    return loaded, None
