"""A configuration without a file: one provider for every well-known key in the environment."""

from collections.abc import Mapping

from pydantic import ValidationError

from nexus.config import vendors
from nexus.config.loader import Loaded
from nexus.config.root import Config
from nexus.errors import ConfigError, Problem


def from_environment(environ: Mapping[str, str]) -> Loaded | None:
    """Make a configuration of the keys found; none if there is no key.

    A key the vendor refuses only earns a warning at start: other programs may have wanted it there.

    Raises:
        ConfigError: a variable holds what no configuration could.
    """
    found = vendors.found(environ)
    if not found:
        return None
    origin = f"environment: {', '.join(variable for _, variable in found.values())}"
    providers = {
        name: vendors.provider(vendor, variable, environ) for name, (vendor, variable) in found.items()
    }
    llm = {"discovery": {"on_start_error": "warn"}, "protocols": {"anthropic": {"enabled": True}}}
    document = {"llm": {**llm, "providers": providers}}
    try:
        return Loaded(Config.model_validate(document), (), origin)
    except ValidationError as error:
        raise ConfigError([_problem(each["loc"], found) for each in error.errors()], origin) from None


def _problem(location: tuple[int | str, ...], found: Mapping[str, tuple[vendors.Vendor, str]]) -> Problem:
    """Name the variable at fault; its value is not shown."""
    vendor, variable = found[str(location[2])]
    if location[-1] == "base_url":
        return Problem(
            vendor.base_url_key or vendor.name, "expected a URL that starts with http:// or https://"
        )
    return Problem(variable, "a key holds printable ASCII characters only")
