"""What no single field can know: is there anything to serve, do routes collide, are the files there."""

from collections.abc import Iterator
from itertools import combinations
from pathlib import Path as File
from typing import NamedTuple
from urllib.parse import urlsplit

from nexus.config import limits, vendors
from nexus.config.finding import Finding
from nexus.config.llm import (
    NEVER_FORWARDED,
    AnthropicProtocol,
    AnthropicProxy,
    DuplicateRule,
    ForwardRule,
    HeaderRule,
    LlmConfig,
    OpenAIProtocol,
    ProviderConfig,
)
from nexus.config.path import Path
from nexus.config.ratelimit import RedisStorage
from nexus.config.root import Config
from nexus.config.telemetry import Exporters

WELL_KNOWN = "/.well-known/oauth-protected-resource"
READY = "/ready"
PASSTHROUGH = "/passthrough"
LIMITS = "/v1/limits"

_DUPLICATE = "Duplicate LLM protocol endpoint path: OpenAI and Anthropic protocols cannot use the same path"
_KEY_CURE = """write api_key = "{{{{ env.{} }}}}", or let clients bring theirs with forward_token = true"""
_EXAMPLE = """add an MCP server or a provider of language models, for example:

        [mcp.servers.files]
        cmd = ["npx", "-y", "@modelcontextprotocol/server-filesystem", "/tmp"]

        [llm.providers.openai]
        type = "openai"
        api_key = "{{ env.OPENAI_API_KEY }}"

      all keys: docs/reference/configuration.md"""


def problems(config: Config) -> Iterator[Finding]:
    """Find what is wrong between sections."""
    yield from _downstreams(config)
    yield from _protocols(config)
    yield from _collisions(config)
    yield from _identity(config)
    yield from _providers(config)


def warnings(config: Config) -> Iterator[Finding]:
    """Tell of what is allowed and probably not meant."""
    for name, provider in config.llm.providers.items():
        path = ("llm", "providers", name)
        if provider.api_key is not None and not provider.api_key.get_secret_value():
            yield Finding((*path, "api_key"), "the key is empty")
        if config.llm.enabled and _lacks_key(provider):
            message = "there is no key, so every request to this provider is refused"
            yield Finding((*path, "api_key"), message, _KEY_CURE.format(vendors.variable(provider.type)))
        if provider.tls.insecure:
            yield Finding((*path, "tls", "insecure"), "certificates are not checked")
        yield from _idle_rules(config, name)
    for place, exporters in _exporters(config):
        otlp = exporters.otlp
        if otlp is not None and otlp.idle_table is not None:
            yield Finding((*place, "otlp", otlp.idle_table), otlp.mismatch)


def _lacks_key(provider: ProviderConfig) -> bool:
    """Tell whether a provider needs a key and nobody has one; servers of one's own that speak as OpenAI may do without."""
    if provider.api_key is not None or provider.forward_token:
        return False
    if provider.type == "openai":
        return provider.base_url is None or urlsplit(provider.base_url).hostname == "api.openai.com"
    return provider.type in ("anthropic", "google")


def _idle_rules(config: Config, name: str) -> Iterator[Finding]:
    for holder, headers in _header_rules(config, name):
        for index, rule in enumerate(headers):
            if isinstance(rule, ForwardRule | DuplicateRule):
                names = [one for one in (rule.name, rule.rename) if one and one.lower() in NEVER_FORWARDED]
                for one in names:
                    yield Finding(
                        (*holder, "headers", index), f"{one} is never forwarded: it is about one connection"
                    )


def _exporters(config: Config) -> Iterator[tuple[Path, Exporters]]:
    telemetry = config.telemetry
    if telemetry is not None:
        yield ("telemetry", "exporters"), telemetry.exporters
        yield ("telemetry", "metrics", "exporters"), telemetry.metrics.exporters
        yield ("telemetry", "logs", "exporters"), telemetry.logs.exporters
        yield ("telemetry", "tracing", "exporters"), telemetry.tracing.exporters


def _downstreams(config: Config) -> Iterator[Finding]:
    llm = config.llm
    mcp_serves = config.mcp.enabled and config.mcp.servers
    llm_serves = llm.enabled and (llm.providers or llm.proxy.anthropic.enabled)
    if not mcp_serves and not llm_serves:
        yield Finding((), "No downstream servers configured.", _EXAMPLE, (("llm",), ("mcp",)))


def _protocols(config: Config) -> Iterator[Finding]:
    llm = config.llm
    enabled = llm.protocols.openai.enabled or llm.protocols.anthropic.enabled
    if llm.enabled and llm.providers and not enabled:
        message = "LLM providers are configured but no protocol endpoints are enabled"
        cure = "set enabled = true in [llm.protocols.openai] or [llm.protocols.anthropic]"
        yield Finding(("llm", "protocols"), message, cure, (("llm", "protocols"), ("llm", "enabled")))


class _Place(NamedTuple):
    """A path something is served at; a tree when routes hang below it."""

    what: str
    path: Path
    value: str
    tree: bool = False


def _places(config: Config) -> Iterator[_Place]:
    """Give every path that is taken; of two that collide the later one is blamed, so those nobody can move come first."""
    health, metrics = (
        config.server.health,
        config.telemetry.prometheus if config.telemetry is not None else None,
    )
    yield _Place("the readiness check", ("server", "health"), READY)
    if config.server.client_identification.enabled and limits.limits_tokens(config):
        yield _Place("the list of what is left of limits", ("server", "client_identification"), LIMITS)
    if metrics is not None and metrics.enabled and metrics.listen is None:
        yield _Place("metrics for Prometheus", ("telemetry", "prometheus", "path"), metrics.path)
    if config.llm.enabled:
        yield from _llm_places(config.llm)
    if config.mcp.enabled:
        yield _Place("the MCP endpoint", ("mcp", "path"), config.mcp.path)
        for name in config.mcp.views:
            yield _Place(f"the MCP view '{name}'", ("mcp", "views", name), config.mcp.view_path(name))
    if config.server.openapi.enabled:
        yield _Place("the OpenAPI document", ("server", "openapi", "path"), config.server.openapi.path)
    if health.enabled and health.listen is None:
        yield _Place("the health check", ("server", "health", "path"), health.path)
    if config.server.oauth is not None:
        yield _Place("the OAuth metadata", ("server", "oauth"), WELL_KNOWN)


def _llm_places(llm: LlmConfig) -> Iterator[_Place]:
    spoken: tuple[tuple[str, Path, OpenAIProtocol | AnthropicProtocol | AnthropicProxy], ...] = (
        ("the OpenAI protocol", ("llm", "protocols", "openai", "path"), llm.protocols.openai),
        ("the Anthropic protocol", ("llm", "protocols", "anthropic", "path"), llm.protocols.anthropic),
        ("the Anthropic proxy", ("llm", "proxy", "anthropic", "path"), llm.proxy.anthropic),
    )
    for what, path, spot in spoken:
        if spot.enabled:
            yield _Place(what, path, spot.path, tree=True)
    for name, provider in llm.providers.items():
        if provider.passthrough:
            path = ("llm", "providers", name, "passthrough")
            yield _Place(f"the passthrough to '{name}'", path, f"{PASSTHROUGH}/{name}", tree=True)


def _collisions(config: Config) -> Iterator[Finding]:
    for one, other in combinations(_places(config), 2):
        if not _collide(one, other):
            continue
        needs = (one.path[:-1], other.path[:-1], ("llm", "enabled"))
        if one.path[1:3] == ("protocols", "openai") and other.path[1:3] == ("protocols", "anthropic"):
            message = f"{_DUPLICATE} ({one.value})"
            yield Finding(other.path, message, "give one of them another path", needs)
            continue
        message = f"{other.what} and {one.what} cannot both be at {other.value}"
        yield Finding(other.path, message, "give one of them another path", needs)


def _collide(one: _Place, other: _Place) -> bool:
    mine, theirs = one.value.rstrip("/"), other.value.rstrip("/")
    if mine == theirs:
        return True
    # every route of a tree is under /v1
    return (one.tree and not other.tree and theirs.startswith(mine + "/v1/")) or (
        other.tree and not one.tree and mine.startswith(theirs + "/v1/")
    )


def _identity(config: Config) -> Iterator[Finding]:
    identification = config.server.client_identification
    if not identification.enabled or config.server.oauth is not None:
        return
    base = ("server", "client_identification")
    for key, source in (("client_id", identification.client_id), ("group_id", identification.group_id)):
        if source is not None and source.jwt_claim is not None:
            message = (
                f"{key} is read from a claim of the token, but without [server.oauth] no request has one"
            )
            cure = f'configure [server.oauth], or use {key} = {{ http_header = "…" }}'
            yield Finding((*base, key), message, cure, (base, ("server", "oauth")))


def _providers(config: Config) -> Iterator[Finding]:
    for name, provider in config.llm.providers.items():
        path = ("llm", "providers", name)
        if not name or "/" in name:
            message = "the name of a provider cannot be empty or hold a slash"
            yield Finding(path, message, "give it another name; models are asked for as name/model")
        if provider.type == "bedrock":
            yield from _bedrock_headers(config, name)


def _bedrock_headers(config: Config, name: str) -> Iterator[Finding]:
    path = ("llm", "providers", name)
    for holder, headers in _header_rules(config, name):
        if headers:
            message = (
                "header rules cannot be applied on a provider of type 'bedrock': its requests are signed"
            )
            yield Finding((*holder, "headers"), message, "remove them", (path,))


def _header_rules(config: Config, name: str) -> Iterator[tuple[Path, tuple[HeaderRule, ...]]]:
    provider = config.llm.providers[name]
    path = ("llm", "providers", name)
    yield path, provider.headers
    for model, entry in provider.models.items():
        yield (*path, "models", model), entry.headers


def check_files(config: Config) -> list[Finding]:
    """Find the TLS files that are missing or cannot be used."""
    found: list[Finding] = []
    tls = config.server.tls
    if tls is not None:
        found += _pair(("server", "tls"), ("certificate", tls.certificate), ("key", tls.key))
    for name, provider in config.llm.providers.items():
        path, mine = ("llm", "providers", name, "tls"), provider.tls
        found += _missing((*path, "ca"), mine.ca)
        found += _own(path, ("client_cert", mine.client_cert), ("client_key", mine.client_key))
    storage = config.server.rate_limits.storage
    if isinstance(storage, RedisStorage) and (mine := storage.tls) is not None and mine.enabled:
        path = ("server", "rate_limits", "storage", "tls")
        found += _missing((*path, "ca_cert_path"), mine.ca_cert_path)
        found += _own(
            path, ("client_cert_path", mine.client_cert_path), ("client_key_path", mine.client_key_path)
        )
    return found


_Named = tuple[str, File | None]


def _own(table: Path, certificate: _Named, key: _Named) -> list[Finding]:
    """Check a certificate of ours and its key, which may both be left out."""
    if certificate[1] is not None:
        return _pair(table, certificate, key)
    if key[1] is None:
        return []
    return [Finding((*table, key[0]), "a key without its certificate", f"add {certificate[0]}")]


def _pair(table: Path, certificate: _Named, key: _Named) -> list[Finding]:
    found = [*_missing((*table, certificate[0]), certificate[1]), *_missing((*table, key[0]), key[1])]
    if found or certificate[1] is None:
        return found
    import ssl  # only a gateway with TLS pays for it

    try:
        # a key behind a passphrase would make OpenSSL ask for it on the terminal
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate[1], key[1], password="")
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", None) or str(error)
        message = f"Failed to load TLS certificate and key: {str(reason).replace('_', ' ').lower()}"
        return [Finding(table, message, "both must be PEM, and the key must belong to the certificate")]
    return []


def _missing(path: Path, file: File | None) -> list[Finding]:
    if file is None:
        return []
    try:
        with file.open("rb"):
            return []
    except OSError as error:
        return [Finding(path, f"cannot read {file}: {error.strerror or error}", needs=(path,))]
