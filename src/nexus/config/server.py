"""The `[server]` section: where to listen, what to let through before any route is reached."""

import re
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Annotated, Literal, cast

from pydantic import BeforeValidator, PlainSerializer, PlainValidator, WithJsonSchema, model_validator

from nexus.config.auth import ClientIdentification, OAuthConfig
from nexus.config.base import (
    Count,
    Expected,
    Flag,
    HeaderName,
    Listen,
    Positive,
    Quoting,
    Route,
    Section,
    header_name,
    text,
)
from nexus.config.duration import Duration
from nexus.config.ratelimit import RateLimits

METHODS = ("GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "CONNECT", "PATCH", "TRACE")
_ORIGIN = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^\s/]+\S*")


def _network(value: object) -> IPv4Network | IPv6Network:
    try:
        return ip_network(text(value))
    except ValueError:
        raise Expected('an address or a network such as "10.0.0.0/8"') from None


Network = Annotated[
    IPv4Network | IPv6Network,
    PlainValidator(_network),
    PlainSerializer(str),
    WithJsonSchema({"type": "string", "examples": ["10.0.0.0/8"]}),
]
Names = Literal["*"] | tuple[str, ...]
"""Everything, or these."""


def _strings(value: object, what: str) -> Names:
    if value == "*":
        return "*"
    if isinstance(value, str):
        return (value,)
    if isinstance(value, (list, tuple)):
        items = cast("list[object]", value)
        if all(isinstance(item, str) for item in items):
            return tuple(cast("list[str]", items))
    raise Expected(f'"*", {what} or an array of them')


def _origins(value: object) -> Names:
    names = _strings(value, "a URL")
    if names != "*" and not all(_ORIGIN.fullmatch(name) for name in names):
        raise Expected('"*" or origins such as "https://app.example.com" or "https://*.example.com"')
    return names


def _methods(value: object) -> Names:
    names = _strings(value, "a method")
    if names == "*":
        return names
    known = ", ".join(f"`{method}`" for method in METHODS)
    # a single method may be written in any case, one in an array may not
    names = (names[0].upper(),) if isinstance(value, str) else names
    for name in names:
        if name not in METHODS:
            raise Quoting(
                f"unknown variant `{name}`, expected one of {known}",
                f"unknown variant, expected one of {known}",
            )
    return names


def _headers(value: object) -> Names:
    names = _strings(value, "a header name")
    for name in names:
        if not name.isascii():
            raise Quoting(
                f'invalid value: string "{name}", expected an ascii string', "expected an ascii string"
            )
        header_name(name)
    return names


_NAMES = WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]})
Origins = Annotated[Names, BeforeValidator(_origins), _NAMES]
Methods = Annotated[Names, BeforeValidator(_methods), _NAMES]
HeaderNames = Annotated[Names, BeforeValidator(_headers), _NAMES]


class TlsConfig(Section):
    """Serve HTTPS."""

    certificate: Path
    """PEM file of the certificate and its chain."""
    key: Path
    """PEM file of the certificate's key."""


class HealthConfig(Section):
    """The health check."""

    enabled: Flag = True
    """Whether there is a health check."""
    path: Route = "/health"
    """Path of the health check."""
    listen: Listen | None = None
    """Answer health checks on this address instead of the main one."""


class OpenApiConfig(Section):
    """The description of the HTTP API for programs."""

    enabled: Flag = False
    """Whether it is served."""
    path: Route = "/openapi.json"
    """Path of the document."""


class CsrfConfig(Section):
    """Refuse requests a web page could have forged."""

    enabled: Flag = False
    """Whether requests must carry the header."""
    header_name: HeaderName = "X-Nexus-CSRF-Protection"
    """Header a request must carry, with any value."""


class ClientIpConfig(Section):
    """Which headers tell the client's address."""

    x_real_ip: Flag = False
    """Believe `X-Real-IP`."""
    x_forwarded_for_trusted_hops: Count | None = None
    """Number of proxies in front whose `X-Forwarded-For` entries are believed; none if unset."""
    trusted_proxies: tuple[Network, ...] = ()
    """Networks of the proxies, such as `"10.0.0.0/8"`: headers of any other peer are not believed; every peer's if empty."""


class CorsConfig(Section):
    """What web pages of other origins may do. Everything is allowed while the table is absent."""

    allow_credentials: Flag = False
    """Whether pages may send cookies and credentials."""
    allow_origins: Origins | None = None
    """Origins that may call: `"*"`, one, or an array; `*` stands for a part of the host."""
    allow_methods: Methods | None = None
    """Methods pages may use: `"*"`, one, or an array."""
    allow_headers: HeaderNames | None = None
    """Headers pages may send: `"*"`, one, or an array."""
    expose_headers: HeaderNames | None = None
    """Headers pages may read: `"*"`, one, or an array."""
    max_age: Duration | None = None
    """How long a page may remember the answer."""
    allow_private_network: Flag = False
    """Whether public pages may call a private address."""

    @model_validator(mode="after")
    def _no_credentials_for_all(self) -> "CorsConfig":
        keys = ("allow_origins", "allow_methods", "allow_headers", "expose_headers")
        wild = [key for key in keys if getattr(self, key) == "*"]
        if self.allow_credentials and wild:
            raise ValueError(
                f'allow_credentials cannot be combined with {wild[0]} = "*"; list what is allowed'
            )
        return self


class ServerConfig(Section):
    """The HTTP server."""

    listen_address: Listen | None = None
    """Address and port to listen on; `127.0.0.1:8000` if neither this nor the command line says."""
    max_body_size: Positive = 33_554_432
    """Largest request body taken, in bytes."""
    max_header_size: Positive = 65_536
    """Largest request head taken, in bytes."""
    max_connections: Positive | None = None
    """Connections of clients at one time, of each process; half of the files it may have open if unset."""
    shutdown_timeout: Duration = 30.0
    """How long requests in flight may go on after a stop was asked for."""
    shutdown_delay: Duration = 0.0
    """How long new requests are still taken before that, while `/ready` says 503 and every answer closes its connection."""
    workers: Positive = 1
    """Processes that serve requests."""
    tls: TlsConfig | None = None
    """Serve HTTPS."""
    health: HealthConfig = HealthConfig()
    """The health check."""
    openapi: OpenApiConfig = OpenApiConfig()
    """The description of the HTTP API for programs."""
    cors: CorsConfig | None = None
    """What web pages of other origins may do; everything while the table is absent."""
    csrf: CsrfConfig = CsrfConfig()
    """Refuse requests a web page could have forged."""
    client_ip: ClientIpConfig = ClientIpConfig()
    """Which headers tell the client's address."""
    oauth: OAuthConfig | None = None
    """Require a bearer token on every request."""
    client_identification: ClientIdentification = ClientIdentification()
    """Know the client of each request."""
    rate_limits: RateLimits = RateLimits(enabled=False)
    """Limits on HTTP requests."""
