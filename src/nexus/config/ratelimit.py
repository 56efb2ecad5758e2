"""Limits: of requests over HTTP, of calls to MCP servers, of tokens to models; and where they are counted."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, SecretStr

from nexus.config.base import Count, Flag, Lenient, Positive, Section, url
from nexus.config.duration import Duration, Interval


class RequestLimit(Section):
    """So many requests in so much time."""

    limit: Positive
    """Requests allowed in one interval."""
    interval: Interval
    """Time the limit spans."""


class MemoryStorage(Lenient):
    """Counters in this process."""

    type: Literal["memory"]
    """Count in the memory of this process; replicas do not share."""


class RedisPool(Section):
    """Connections to Redis."""

    max_size: Positive = 16
    """Connections held at most."""
    min_idle: Count = 0
    """Idle connections kept open."""
    timeout_create: Duration | None = 5.0
    """Longest time to open a connection."""
    timeout_wait: Duration | None = 5.0
    """Longest time to wait for a free connection."""
    timeout_recycle: Duration | None = 300.0
    """Longest time to check a connection before it is used again."""


class RedisTls(Section):
    """TLS to Redis."""

    enabled: Flag
    """Whether to speak TLS."""
    insecure: Flag = False
    """Accept any certificate; for tests only."""
    ca_cert_path: Path | None = None
    """PEM file of the authority that signed the server's certificate."""
    client_cert_path: Path | None = None
    """PEM file of our certificate, for mutual TLS."""
    client_key_path: Path | None = None
    """PEM file of our certificate's key."""


def _redis_url(value: SecretStr) -> SecretStr:
    url(value.get_secret_value(), "redis", "rediss")
    return value


class RedisStorage(Section):
    """Counters shared by all replicas."""

    type: Literal["redis"]
    """Count in Redis, shared by all replicas."""
    url: Annotated[SecretStr, AfterValidator(_redis_url)]
    """Where Redis listens, `redis://` or `rediss://`; it may hold a password."""
    key_prefix: str = "nexus:rate_limit:"
    """Put before every key."""
    response_timeout: Interval = 1.0
    """Longest wait for an answer."""
    connection_timeout: Interval = 5.0
    """Longest wait for a connection."""
    pool: RedisPool = RedisPool()
    """Connections to Redis."""
    tls: RedisTls | None = None
    """TLS to Redis."""


Storage = Annotated[MemoryStorage | RedisStorage, Field(discriminator="type")]


class RateLimits(Section):
    """Limits on HTTP requests."""

    enabled: Flag
    """Whether request limits are enforced; must be said when the table is there."""
    global_: RequestLimit | None = Field(default=None, alias="global")
    """Limit on all requests together."""
    per_ip: RequestLimit | None = None
    """Limit on the requests of one client address."""
    storage: Storage = MemoryStorage(type="memory")
    """Where limits are counted."""
    headers: Flag = False
    """Tell clients how they stand with their strictest limit: `x-ratelimit-resource`, `-limit`, `-remaining` and `-reset`."""
    on_store_error: Literal["allow", "deny"] | None = None
    """What becomes of requests while the storage is away; if unset, tokens are allowed and everything else is denied."""


class McpRateLimits(Section):
    """Limits on the calls to one MCP server."""

    limit: Positive
    """Calls allowed in one interval."""
    interval: Interval
    """Time the limit spans."""
    tools: dict[str, RequestLimit] = Field(default={})
    """Limits of single tools, instead of the server's."""


class TokenLimit(Section):
    """So many input tokens in so much time."""

    input_token_limit: Positive
    """Input tokens allowed in one interval."""
    output_token_limit: Positive | None = None
    """Tokens the model may write in one interval; as many as it likes if unset."""
    interval: Interval
    """Time the limit spans."""


class UserTokenLimit(TokenLimit):
    """The limit of each client, and of groups of clients."""

    groups: dict[str, TokenLimit] = Field(default={})
    """Limits of single groups, instead of the default one."""


class TokenRateLimits(Section):
    """Limits on tokens."""

    per_user: UserTokenLimit | None = None
    """Limit of each client."""
