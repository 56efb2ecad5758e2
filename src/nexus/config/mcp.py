"""The `[mcp]` section: the MCP endpoint and the servers behind it."""

from pathlib import Path
from typing import Annotated, Literal, cast

from pydantic import BeforeValidator, Discriminator, Field, SecretStr, Tag, model_validator

from nexus.config.base import Count, Expected, Flag, Groups, HttpUrl, Route, Section
from nexus.config.duration import Duration
from nexus.config.llm import InsertRule
from nexus.config.ratelimit import McpRateLimits


class DownstreamCache(Section):
    """Connections kept for clients whose token is forwarded."""

    max_size: Count = 1000
    """Connections kept at most."""
    idle_timeout: Duration = 600.0
    """Time after which an unused connection is closed."""


class ToolAccess(Section):
    """Who may use one tool, instead of the server's lists."""

    allow: Groups | None = None
    """Groups that may use it; an empty array lets nobody."""
    deny: Groups | None = None
    """Groups that may not."""


class McpServer(Section):
    """What servers of both kinds have."""

    rate_limits: McpRateLimits | None = None
    """Limits on calls."""
    allow: Groups | None = None
    """Groups that may use the server; an empty array lets nobody."""
    deny: Groups | None = None
    """Groups that may not."""
    tools: dict[str, ToolAccess] = Field(default={})
    """Who may use single tools."""


class StderrFile(Section):
    """Append what the server prints to a file."""

    file: Path
    """File to append to."""


def _stderr(value: object) -> object:
    if isinstance(value, dict) and set(cast("dict[str, object]", value)) == {"file"}:
        name = cast("dict[str, object]", value)["file"]
        if isinstance(name, str):
            return StderrFile(file=Path(name))
    if isinstance(value, StderrFile) or value in ("null", "inherit", "pipe"):
        return value
    raise Expected('"null", "inherit", "pipe" or { file = "path" }')


def _command(value: object) -> object:
    if value == [] or value == ():
        raise ValueError("Command cannot be empty - must contain at least the executable")
    return value


class StdioServer(McpServer):
    """A server started as a child process."""

    cmd: Annotated[tuple[str, ...], BeforeValidator(_command)]
    """The executable and its arguments."""
    env: dict[str, SecretStr] = Field(default={})
    """Environment variables it gets besides the common ones."""
    cwd: Path | None = None
    """Directory it runs in."""
    stderr: Annotated[
        Literal["null", "inherit", "pipe"] | StderrFile,
        BeforeValidator(_stderr),
    ] = "null"
    """Where its error output goes: `"null"`, `"inherit"`, `"pipe"` or `{ file = "path" }`."""


class McpTls(Section):
    """TLS to an MCP server."""

    verify_certs: Flag = True
    """Whether the server's certificate is checked."""
    accept_invalid_hostnames: Flag = False
    """Accept a certificate of another host."""
    root_ca_cert_path: Path | None = None
    """PEM file of further authorities to trust."""
    client_cert_path: Path | None = None
    """PEM file of our certificate, for mutual TLS."""
    client_key_path: Path | None = None
    """PEM file of our certificate's key."""


class McpAuth(Section):
    """What is sent to an MCP server as its bearer token."""

    token: SecretStr | None = None
    """A fixed token."""
    type: Literal["forward"] | None = None
    """`"forward"`: the client's own token."""

    @model_validator(mode="after")
    def _one_of(self) -> "McpAuth":
        if (self.token is None) == (self.type is None):
            raise ValueError('expected { token = "…" } or { type = "forward" }')
        return self


class HttpServer(McpServer):
    """A server reached over HTTP."""

    url: HttpUrl
    """Where it is."""
    protocol: Literal["sse", "streamable-http"] | None = None
    """What it speaks; found out if unset."""
    message_url: HttpUrl | None = None
    """Where messages go, for servers that speak SSE."""
    tls: McpTls | None = None
    """TLS to the server."""
    auth: McpAuth | None = None
    """Bearer token sent to it."""
    headers: tuple[InsertRule, ...] = ()
    """Headers set on every request to it."""


def _kind(value: object) -> str:
    stdio = isinstance(value, StdioServer) or (isinstance(value, dict) and "cmd" in value)
    return "stdio" if stdio else "http"


def _one_kind(value: object) -> object:
    if isinstance(value, dict) and {"cmd", "url"} <= cast("dict[str, object]", value).keys():
        raise ValueError("did not match any variant: a server has either `cmd` or `url`, not both")
    return cast("object", value)


Server = Annotated[
    Annotated[StdioServer, Tag("stdio")] | Annotated[HttpServer, Tag("http")],
    Discriminator(_kind),
    BeforeValidator(_one_kind),
]


class McpConfig(Section):
    """MCP servers behind one endpoint."""

    enabled: Flag = True
    """Whether the endpoint is served."""
    path: Route = "/mcp"
    """Path of the endpoint."""
    enable_structured_content: Flag = True
    """Whether results of `search` are also sent as structured content."""
    downstream_cache: DownstreamCache = DownstreamCache()
    """Connections kept for clients whose token is forwarded."""
    headers: tuple[InsertRule, ...] = ()
    """Headers set on every request to servers over HTTP."""
    servers: dict[str, Server] = Field(default={})
    """MCP servers by name."""
