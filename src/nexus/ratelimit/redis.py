"""Limits counted in Redis or Valkey, shared by every process and replica: one script, one round trip, one decision."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from importlib import resources
from typing import Any, ParamSpec, TypeVar, cast

import redis.asyncio as client
from redis.asyncio.connection import SSLConnection, parse_url
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as Disconnected
from redis.exceptions import NoScriptError, RedisError
from redis.exceptions import TimeoutError as TimedOut

from nexus.config.ratelimit import RedisStorage
from nexus.ratelimit import Charge, Decision, StoreFailed

log = logging.getLogger(__name__)

_SCRIPT = resources.files("nexus.ratelimit").joinpath("window.lua").read_text("utf-8")
_REST = 1.0
"""Seconds between two attempts while Redis is away; in between everybody is told at once."""
_CHECK_AFTER = 30.0
"""Seconds unused after which a connection is checked before it is used again."""
_FRESH = 5.0
"""Seconds for which an answer shows that it is there."""
_PING = 0.5
"""Seconds it is given to show that again; who asks does not wait for long."""
_P = ParamSpec("_P")
_T = TypeVar("_T")


class RedisStore:
    """Counters in Redis. A key is a hash of slots, gone by itself when nothing in it counts any more."""

    def __init__(self, config: RedisStorage, clock: Callable[[], int] | None = None) -> None:
        self._prefix = config.key_prefix
        self._clock = clock
        """In place of the server's own clock; for tests, and only together for all who share the keys."""
        self._idle = min(config.pool.min_idle, config.pool.max_size)
        self._pool = client.ConnectionPool(**_options(config))
        # the client's own blocking pool lets whoever comes late go first, and others wait until they give up
        self._turns = asyncio.Semaphore(config.pool.max_size)
        self._most, self._working = config.pool.max_size, 0
        self._wait = config.pool.timeout_wait or None
        self._redis: Any = client.Redis(connection_pool=self._pool)
        self._sha = ""
        self._rests_until = 0.0
        self._answered = 0.0
        """When it last answered anybody."""
        self.failures = 0
        """Questions without an answer, in all."""
        self.trouble: str | None = None
        """Why Redis is away; None while it is there."""

    @property
    def size(self) -> int:
        """How many connections there may be."""
        return self._most

    @property
    def in_use(self) -> int:
        """How many of them are working."""
        return self._working

    async def start(self) -> None:
        """Connect, and keep as many connections as are wanted idle.

        Raises:
            StoreFailed: it cannot be reached.
        """
        try:
            await self._redis.ping()
            pool: Any = self._pool
            idle = [await pool.get_connection() for _ in range(self._idle)]
            for connection in idle:
                await pool.release(connection)
            self._sha = await self._redis.script_load(_SCRIPT)
        except (Disconnected, TimedOut, OSError) as error:
            await self.close()
            raise StoreFailed(f"Failed to get Redis connection from pool: {error}") from error
        except RedisError as error:
            await self.close()
            raise StoreFailed(f"Failed to ping Redis server: {error}") from error

    async def charge(self, charges: Sequence[Charge]) -> Decision:
        """Book all charges, or none of them.

        Raises:
            StoreFailed: Redis is away; what was sent may have been booked.
        """
        arguments: list[str | int] = [f"{self._prefix}{charge.key}" for charge in charges]
        arguments.append("" if self._clock is None else self._clock())
        for charge in charges:
            window, at = charge.window, "" if charge.at is None else charge.at
            arguments += (window.slot, window.span, charge.limit, charge.amount, at)
        answer = await self._ask(self._run, len(charges), arguments)
        refused, now, *used = (int(value) for value in answer)
        return Decision(refused - 1 if refused else None, now, used)

    async def check(self) -> None:
        """Make sure that it is there; where it has just answered anybody it is.

        Raises:
            StoreFailed: it is not.
        """
        if self.trouble is None and time.monotonic() - self._answered < _FRESH:
            return
        try:
            async with asyncio.timeout(_PING):
                await self._ask(self._redis.ping)
        except TimeoutError:
            raise StoreFailed(f"no answer within {_PING:g} seconds") from None

    async def close(self) -> None:
        """Close all connections."""
        await self._redis.aclose()
        await self._pool.disconnect()

    async def _ask(self, question: Callable[_P, Awaitable[_T]], *arguments: _P.args, **more: _P.kwargs) -> _T:
        """Ask in turn, and learn from the answer whether it is there."""
        await self._turn()
        self._working += 1
        try:
            if self.trouble is not None and time.monotonic() < self._rests_until:
                self.failures += 1
                raise StoreFailed(self.trouble)
            begun = time.monotonic()
            try:
                answer = await question(*arguments, **more)
            except (RedisError, OSError) as error:
                raise self._failed(error, begun) from error
            self._answered = time.monotonic()
        finally:
            self._working -= 1
            self._turns.release()
        if self.trouble is not None:
            log.warning("Redis is back, limits are counted again")
            self.trouble = None
        return answer

    async def _turn(self) -> None:
        """Wait for a connection, in the order of coming."""
        try:
            async with asyncio.timeout(self._wait if self._turns.locked() else None):
                await self._turns.acquire()
        except TimeoutError:
            self.failures += 1
            raise StoreFailed("all connections to Redis are in use") from None

    async def _run(self, count: int, arguments: list[str | int]) -> list[bytes]:
        run = cast("Callable[..., Awaitable[list[bytes]]]", self._redis.evalsha)
        try:
            return await run(self._sha, count, *arguments)
        except NoScriptError:  # it was restarted, or is another one
            self._sha = await self._redis.script_load(_SCRIPT)
            return await run(self._sha, count, *arguments)

    def _failed(self, error: Exception, begun: float) -> StoreFailed:
        self.failures += 1
        if (
            isinstance(error, TimedOut) and self._answered > begun
        ):  # it is slow with one, and there for others
            return StoreFailed(str(error))
        self._rests_until = time.monotonic() + _REST
        if self.trouble is None:  # one line per outage
            log.error("Redis cannot be reached, limits are not counted: %s", error)
        self.trouble = str(error) or type(error).__name__
        return StoreFailed(self.trouble)


def _options(config: RedisStorage) -> dict[str, Any]:
    url = config.url.get_secret_value()
    pool = config.pool
    opening = [seconds for seconds in (config.connection_timeout, pool.timeout_create) if seconds]
    options: dict[str, Any] = {
        **parse_url(url.partition("#")[0]),
        "max_connections": pool.max_size,
        "socket_connect_timeout": min(opening),
        "socket_timeout": config.response_timeout,
        "health_check_interval": _CHECK_AFTER if pool.timeout_recycle else 0,
        # a kept connection may have died in the meantime: once more on another one; never after a time-out
        "retry": Retry(NoBackoff(), 1, supported_errors=(Disconnected,)),
    }
    return {**options, **_tls(config, secure=url.startswith("rediss://"), insecure=url.endswith("#insecure"))}


def _tls(config: RedisStorage, *, secure: bool, insecure: bool) -> dict[str, Any]:
    tls = config.tls if config.tls is not None and config.tls.enabled else None
    if tls is not None and not secure:
        raise ValueError(
            "server.rate_limits.storage.tls is enabled, but the URL does not begin with rediss://"
        )
    if not secure:
        return {}
    options: dict[str, Any] = {"connection_class": SSLConnection}
    if insecure or (tls is not None and tls.insecure):
        options |= {"ssl_cert_reqs": "none", "ssl_check_hostname": False}
    if tls is not None:
        files = {
            "ssl_ca_certs": tls.ca_cert_path,
            "ssl_certfile": tls.client_cert_path,
            "ssl_keyfile": tls.client_key_path,
        }
        options |= {name: str(path) for name, path in files.items() if path is not None}
    return options
