"""The `[llm]` section: protocols clients speak to us, providers we speak to."""

import re
from pathlib import Path
from typing import Annotated, Literal, cast

from pydantic import BeforeValidator, Discriminator, Field, SecretStr, Tag, WithJsonSchema, model_validator

from nexus.config.base import (
    Flag,
    HeaderName,
    HttpUrl,
    Open,
    Positive,
    Prefix,
    Section,
    header_value,
    http_url,
    pattern,
    text,
)
from nexus.config.duration import Duration, Interval
from nexus.config.ratelimit import TokenRateLimits

ProviderType = Literal["openai", "anthropic", "google", "bedrock", "local", "echo"]


def _key(value: object) -> object:
    content = value.get_secret_value() if isinstance(value, SecretStr) else text(value)
    if not (content.isascii() and (content.isprintable() or not content)):
        raise ValueError("a key holds printable ASCII characters only")
    return value


_REGEX = WithJsonSchema({"type": "string"})
Filter = Annotated[re.Pattern[str], BeforeValidator(lambda value: pattern(value, "model_filter")), _REGEX]
HeaderPattern = Annotated[
    re.Pattern[str], BeforeValidator(lambda value: pattern(value, "header pattern")), _REGEX
]


def _value(value: object) -> object:
    return value if isinstance(value, SecretStr) else header_value(value)


NEVER_FORWARDED = frozenset(
    (
        "accept",
        "accept-charset",
        "accept-encoding",
        "accept-ranges",
        "connection",
        "content-length",
        "content-type",
        "host",
        "keep-alive",
        "origin",
        "proxy-authenticate",
        "proxy-authorization",
        "sec-websocket-accept",
        "sec-websocket-extensions",
        "sec-websocket-key",
        "sec-websocket-protocol",
        "sec-websocket-version",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    )
)
"""Headers no rule takes from a client: they describe one message or one connection."""

ApiKey = Annotated[SecretStr, BeforeValidator(_key)]
HeaderValue = Annotated[SecretStr, BeforeValidator(_value)]


def _name_or_pattern(rule: "ForwardRule | RemoveRule") -> None:
    if (rule.name is None) == (rule.pattern is None):
        raise ValueError("expected exactly one of `name` and `pattern`")


class ForwardRule(Section):
    """Pass a header of the client on."""

    rule: Literal["forward"]
    """Pass a header of the client on."""
    name: HeaderName | None = None
    """Header to pass on."""
    pattern: HeaderPattern | None = None
    """Regular expression for the headers to pass on; case does not matter."""
    default: HeaderValue | None = None
    """Value to send when the client sent none."""
    rename: HeaderName | None = None
    """Name to send it under."""

    @model_validator(mode="after")
    def _check(self) -> "ForwardRule":
        _name_or_pattern(self)
        return self


class InsertRule(Section):
    """Set a header."""

    rule: Literal["insert"]
    """Set a header."""
    name: HeaderName
    """Header to set."""
    value: HeaderValue
    """Value to set it to."""


class RemoveRule(Section):
    """Take away what earlier rules set."""

    rule: Literal["remove"]
    """Take away what earlier rules set."""
    name: HeaderName | None = None
    """Header to take away."""
    pattern: HeaderPattern | None = None
    """Regular expression for the headers to take away; case does not matter."""

    @model_validator(mode="after")
    def _check(self) -> "RemoveRule":
        _name_or_pattern(self)
        return self


class DuplicateRule(Section):
    """Send a header of the client under two names."""

    rule: Literal["rename_duplicate"]
    """Send a header of the client under two names."""
    name: HeaderName
    """Header to pass on."""
    rename: HeaderName
    """Second name to send it under."""
    default: HeaderValue | None = None
    """Value to send when the client sent none."""


HeaderRule = Annotated[ForwardRule | InsertRule | RemoveRule | DuplicateRule, Field(discriminator="rule")]


class ModelConfig(Open):
    """One model of a provider, by the name clients use."""

    rename: str | None = None
    """The provider's own name of the model, if it differs."""
    rate_limits: TokenRateLimits | None = None
    """Limits on tokens for this model, instead of the provider's."""
    headers: tuple[HeaderRule, ...] = ()
    """Header rules for this model, run after the provider's."""


class Timeouts(Section):
    """How long to wait for a provider. There is no limit on the whole answer."""

    connect: Interval = 10.0
    """Longest time to open a connection."""
    first_byte: Interval = 600.0
    """Longest wait for the answer to begin."""
    idle: Interval = 300.0
    """Longest silence within an answer."""


class ProviderTls(Section):
    """TLS to a provider."""

    ca: Path | None = None
    """PEM file of further authorities to trust."""
    client_cert: Path | None = None
    """PEM file of our certificate, for mutual TLS."""
    client_key: Path | None = None
    """PEM file of our certificate's key."""
    insecure: Flag = False
    """Accept any certificate; for tests only."""
    server_name: str | None = None
    """Name the provider's certificate must carry, instead of the host of the URL."""


def _proxy(value: object) -> str:
    return "none" if text(value) == "none" else http_url(value)


class ProviderConfig(Open):
    """One provider: where its bytes go and what signs them."""

    type: ProviderType
    """What kind of provider it is."""
    api_key: ApiKey | None = None
    """Key sent to the provider."""
    base_url: HttpUrl | None = None
    """Where the provider's API begins; the vendor's own address if unset."""
    forward_token: Flag = False
    """Let clients bring their own key in `X-Provider-API-Key`."""
    model_filter: Filter | None = None
    """Regular expression the discovered models must match; case does not matter."""
    models: dict[str, ModelConfig] = Field(default={})
    """Models by the name clients use; discovered ones need no entry."""
    rate_limits: TokenRateLimits | None = None
    """Limits on tokens."""
    headers: tuple[HeaderRule, ...] = ()
    """Header rules, run in order."""
    timeouts: Timeouts = Timeouts()
    """How long to wait for the provider."""
    max_connections: Positive = 512
    """Connections held to the provider at most."""
    tls: ProviderTls = ProviderTls()
    """TLS to the provider."""
    proxy: Annotated[str, BeforeValidator(_proxy)] | None = Field(default=None, repr=False)
    """Proxy to go through, or `"none"`; if unset, `HTTPS_PROXY`, `HTTP_PROXY` and `NO_PROXY` decide."""
    api_key_header: HeaderName | None = None
    """Header that carries the key as it is, instead of `Authorization: Bearer`; Azure wants `api-key`."""
    responses: Flag | None = None
    """Whether an OpenAI-compatible server has the Responses API too; if unset, only OpenAI and Azure are taken to."""
    loss: Literal["warn", "strict"] | None = None
    """`llm.loss` for this provider."""
    cache_prompts: Flag = False
    """Mark translated prompts for the vendor's cache (Claude, and Nova on Bedrock) where the client marked nothing."""
    query: dict[str, str] = Field(default={}, repr=False)
    """Parameters added to every URL, such as Azure's `api-version`."""
    passthrough: Flag = False
    """Forward `/passthrough/<name>/…` to this provider as it is, with its key: any method, any path, any model."""

    @model_validator(mode="after")
    def _check(self) -> "ProviderConfig":
        if self.passthrough and self.type not in ("openai", "anthropic", "google"):
            raise ValueError("passthrough is there for the types openai, anthropic and google")
        return self


class BedrockConfig(ProviderConfig):
    """AWS Bedrock."""

    region: str | None = None
    """AWS region; if unset, the environment's or the profile's, at last `us-east-1`."""
    access_key_id: SecretStr | None = None
    """AWS access key, used together with `secret_access_key`."""
    secret_access_key: SecretStr | None = None
    """AWS secret key."""
    session_token: SecretStr | None = None
    """AWS session token of temporary keys."""
    profile: str | None = None
    """Profile in the AWS configuration files."""
    betas: tuple[str, ...] | None = None
    """Betas of Claude that may be asked for; if unset, those Bedrock is known to take."""


class LocalConfig(ProviderConfig):
    """A model run by the gateway itself, with llama.cpp."""

    model_path: Path | None = None
    """GGUF file of the model; the small one of `nexus[local]` if unset."""
    context: Positive = 8192
    """Tokens of context."""
    threads: Positive | None = None
    """Threads to compute with; llama.cpp decides if unset."""


def _kind(value: object) -> str:
    if isinstance(value, ProviderConfig):
        kind = value.type
    elif isinstance(value, dict):
        kind = cast("dict[str, object]", value).get("type")
    else:
        kind = None
    return str(kind) if kind in ("bedrock", "local") else "api"


Provider = Annotated[
    Annotated[ProviderConfig, Tag("api")]
    | Annotated[BedrockConfig, Tag("bedrock")]
    | Annotated[LocalConfig, Tag("local")],
    Discriminator(_kind),
]


class OpenAIProtocol(Section):
    """The OpenAI protocol for clients."""

    enabled: Flag = True
    """Whether clients may speak it."""
    path: Prefix = "/llm/openai"
    """Path its routes are under."""


class AnthropicProtocol(Open):
    """The Anthropic protocol for clients."""

    enabled: Flag = False
    """Whether clients may speak it."""
    path: Prefix = "/llm/anthropic"
    """Path its routes are under."""


class Protocols(Section):
    """What clients may speak."""

    openai: OpenAIProtocol = OpenAIProtocol()
    """The OpenAI protocol."""
    anthropic: AnthropicProtocol = AnthropicProtocol()
    """The Anthropic protocol."""


class AnthropicProxy(Section):
    """Pass requests on to Anthropic untouched, with the client's own key."""

    enabled: Flag = False
    """Whether it is served."""
    path: Prefix = "/proxy/anthropic"
    """Path its routes are under."""
    base_url: HttpUrl = "https://api.anthropic.com"
    """Where requests go; `/v1/…` is added to it."""


class ProxyConfig(Section):
    """Pass-through to a vendor."""

    anthropic: AnthropicProxy = AnthropicProxy()
    """Pass-through to Anthropic."""


class Discovery(Section):
    """Asking providers for their models."""

    interval: Interval = 300.0
    """Time between two rounds."""
    on_start_error: Literal["fail", "warn"] = "fail"
    """Whether a provider that cannot be asked at start stops the gateway or only earns a warning."""


class LlmConfig(Section):
    """Language models."""

    enabled: Flag = True
    """Whether language models are served."""
    keep_alive: Duration = 15.0
    """Silence of a provider after which a comment is sent to a streaming client; `"0"` for never."""
    from_environment: Flag = False
    """Also serve a provider for every well-known key in the environment, such as `OPENAI_API_KEY`."""
    loss: Literal["warn", "strict"] = "warn"
    """What becomes of a setting the provider's protocol lacks: left out and listed in `x-nexus-dropped`, or refused."""
    require_explicit_models: Flag = False
    """Serve only the models named in the file."""
    discovery: Discovery = Discovery()
    """Asking providers for their models."""
    protocols: Protocols = Protocols()
    """What clients may speak."""
    proxy: ProxyConfig = ProxyConfig()
    """Pass-through to a vendor."""
    providers: dict[str, Provider] = Field(default={})
    """Providers by name, in the order that decides who owns a model name."""
