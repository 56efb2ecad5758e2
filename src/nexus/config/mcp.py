"""The `[mcp]` section: the MCP endpoint and the servers behind it."""

import re
import sys
from pathlib import Path
from typing import Annotated, Literal, cast

from pydantic import BeforeValidator, Discriminator, Field, SecretStr, Tag, model_validator

from nexus.config.base import Count, Expected, Flag, Groups, HttpUrl, Route, Section
from nexus.config.duration import Duration, Interval
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

    startup_timeout: Interval = 30.0
    """Longest time to start, connect and list what it has; tried again later if that fails."""
    request_timeout: Interval = 300.0
    """Longest time for an answer; every sign of progress starts it anew."""
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


class ChildServer(McpServer):
    """What servers started as a child process have."""

    env: dict[str, SecretStr] = Field(default={})
    """Environment variables it gets besides the inherited ones."""
    inherit_env: Flag = True
    """Whether it inherits our whole environment, keys of providers included; if not, only what finds paths and language."""
    cwd: Path | None = None
    """Directory it runs in."""
    stderr: Annotated[
        Literal["null", "inherit", "pipe"] | StderrFile | None,
        BeforeValidator(_stderr),
    ] = None
    """Where its error output goes: `"null"`, `"inherit"`, `"pipe"` or `{ file = "path" }`; if unset, failed starts show it."""


class StdioServer(ChildServer):
    """A server started as a child process."""

    cmd: Annotated[tuple[str, ...], BeforeValidator(_command)]
    """The executable and its arguments."""


class BuiltinServer(ChildServer):
    """A server that comes with Nexus, started as a child process."""

    builtin: Literal["agents"]
    """Which one: `"agents"` is the server of `nexus-agents`, with this gateway as its way to models."""
    inherit_env: Flag = False
    """Whether it inherits our whole environment, keys of providers included; if not, only what finds paths, language and us."""

    @property
    def cmd(self) -> tuple[str, ...]:
        """Give the executable and its arguments."""
        return (sys.executable, "-m", f"nexus_{self.builtin}", "--mode=server")


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


class ApiAuth(Section):
    """What is sent to an API as its bearer token."""

    token: SecretStr
    """A fixed token."""


class ApiServer(McpServer):
    """An HTTP API whose operations become tools."""

    openapi: str
    """Its OpenAPI 3 document as JSON: a file, or a URL of the same origin as `base_url`."""
    base_url: HttpUrl
    """Where it is; what the document says of that is not believed."""
    tls: McpTls | None = None
    """TLS to the API."""
    auth: ApiAuth | None = None
    """Bearer token sent to it."""
    headers: tuple[InsertRule, ...] = ()
    """Headers set on every request to it."""


_KINDS = (
    ("builtin", BuiltinServer, "builtin"),
    ("cmd", StdioServer, "stdio"),
    ("openapi", ApiServer, "api"),
    ("url", HttpServer, "http"),
)
"""The key that only one kind of server has, its model and its tag."""


def _kind(value: object) -> str:
    found = (
        tag
        for key, model, tag in _KINDS
        if isinstance(value, model) or (isinstance(value, dict) and key in value)
    )
    return next(found, "http")


def _one_kind(value: object) -> object:
    if isinstance(value, dict):
        keys = cast("dict[str, object]", value).keys()
        if sum(key in keys for key, *_ in _KINDS) > 1:
            raise ValueError(
                "did not match any variant: a server has one of `builtin`, `cmd`, `url` and `openapi`"
            )
    return cast("object", value)


Server = Annotated[
    Annotated[StdioServer, Tag("stdio")]
    | Annotated[BuiltinServer, Tag("builtin")]
    | Annotated[HttpServer, Tag("http")]
    | Annotated[ApiServer, Tag("api")],
    Discriminator(_kind),
    BeforeValidator(_one_kind),
]


Mode = Literal["search", "direct", "both"]
"""How tools are shown to clients."""


class McpView(Section):
    """A choice of the servers, at a path of its own."""

    servers: tuple[str, ...]
    """Names of the servers in it."""
    mode: Mode | None = None
    """How its tools are shown; as the endpoint's are if unset."""
    prefix: Flag = True
    """Whether tools shown directly carry the name of their server; may be false for a view of one server."""


def _names(value: object) -> object:
    for name in cast("dict[object, object]", value) if isinstance(value, dict) else ():
        if not isinstance(name, str) or not name or "__" in name:
            raise ValueError(
                "the name of a server cannot be empty or hold two underscores in a row: tools are server__tool"
            )
    return cast("object", value)


def _view_names(value: object) -> object:
    for name in cast("dict[object, object]", value) if isinstance(value, dict) else ():
        if not isinstance(name, str) or not _VIEW.fullmatch(name):
            raise ValueError("the name of a view is a part of its path: letters, digits, - and _ only")
    return cast("object", value)


_VIEW = re.compile(r"[A-Za-z0-9_-]+")


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
    mode: Mode = "search"
    """How tools are shown: found by `search` and run by `execute`, listed directly, or both."""
    prefix: Flag = True
    """Whether tools shown directly carry the name of their server; may be false where there is one server."""
    sessions: Flag = False
    """Whether clients get sessions of their own, so that servers can ask them (elicitation, sampling); else all are alike."""
    session_timeout: Interval = 1800.0
    """Time after which an unused session ends."""
    allowed_origins: tuple[str, ...] | None = None
    """Origins whose pages may call the endpoint; any if unset."""
    allowed_hosts: tuple[str, ...] | None = None
    """Values of the `Host` header that are answered, `name:*` for any port; any if unset."""
    views: Annotated[dict[str, McpView], BeforeValidator(_view_names)] = Field(default={})
    """Choices of servers, each at the endpoint's path and its name."""
    servers: Annotated[dict[str, Server], BeforeValidator(_names)] = Field(default={})
    """MCP servers by name."""

    def view_path(self, name: str) -> str:
        """Give the path a view is served at."""
        return f"{self.path.rstrip('/')}/{name}"

    @model_validator(mode="after")
    def _views_fit(self) -> "McpConfig":
        for name, view in self.views.items():
            for server in view.servers:
                if server not in self.servers:
                    raise ValueError(
                        f"the view '{name}' names the server '{server}', which is not configured"
                    )
            if not view.prefix and len(view.servers) != 1:
                raise ValueError(f"the view '{name}' has several servers, their tools need the prefix")
        if not self.prefix and len(self.servers) > 1:
            raise ValueError("with several servers their tools need the prefix")
        return self
