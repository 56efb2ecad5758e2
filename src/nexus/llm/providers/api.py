"""An HTTP API below a base URL: the connections to it, and the parts that providers of any protocol share."""

import os
from collections.abc import Callable, Sequence
from urllib.parse import quote, urlsplit

import msgspec

from nexus import __version__
from nexus.config.llm import ProviderConfig
from nexus.errors import (
    NexusError,
    UpstreamBroken,
    UpstreamError,
    UpstreamGarbage,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from nexus.http import client, connect
from nexus.http.headers import Rules, merge
from nexus.llm.canonical import Model
from nexus.llm.providers.base import Answer, Call, Connections
from nexus.llm.providers.discreet import Discreet

OUR_HEADERS = (("user-agent", f"nexus/{__version__}"), ("accept", "*/*"), ("accept-encoding", "identity"))
_MAX_LIST = 16 * 1024 * 1024
_MAX_PAGES = 100
_MAX_MODELS = 20_000

ReadPage = Callable[[bytes], tuple[list[Model], str | None]]


class Api:
    """What is reached below one base URL."""

    def __init__(self, label: str, base_url: str, config: ProviderConfig) -> None:
        self.label = label
        self._prefix = urlsplit(base_url).path.rstrip("/")
        self._query = "&".join(f"{quote(key)}={quote(value)}" for key, value in config.query.items()).encode()
        self._pool = _pool(base_url, config)
        self._rules = Rules.of(config)

    async def send(self, call: Call, headers: bytes) -> Answer:
        """Send a request with these header lines and those of the call; what a rule sets takes their place."""
        target = (self._prefix + call.path).encode()
        if self._query or call.query:
            target += b"?" + b"&".join(part for part in (self._query, call.query) if part)
        headers += call.headers
        if self._rules is not None and call.asked is not None:
            headers = merge(headers, self._rules.apply(call.asked.headers, call.asked.model))
        if call.content_type:
            headers += b"content-type: " + call.content_type + b"\r\n"
        try:
            answer = await self._pool.request(call.method, target, headers, call.body)
        except client.Failed as error:
            raise self.failure(error, stream=call.stream) from error
        return answer if answer.status < 400 else Discreet(answer, headers)

    def failure(self, error: client.Failed, *, stream: bool = False) -> NexusError:
        """Say that the connection broke."""
        if error.received:
            return UpstreamBroken(self.label, str(error))
        kind = UpstreamTimeout if isinstance(error, client.TimedOut) else UpstreamUnreachable
        return kind(self.label, str(error), stream=stream)

    async def models(self, protocol: str, headers: bytes, read: ReadPage, after: str) -> Sequence[Model]:
        """Ask `GET /models`, with `after` set to the last id while a page says that there is more."""
        found: list[Model] = []
        last: str | None = None
        for _ in range(_MAX_PAGES):
            query = f"{after}={quote(last, safe='')}".encode() if last else b""
            answer = await self.send(Call(protocol, b"GET", "/models", query=query), headers)
            try:
                body = await answer.read(_MAX_LIST)
            except client.Failed as error:
                raise self.failure(error) from error
            if answer.status != 200:
                raise UpstreamError(answer.status, (), body, answer.header(b"content-type") or b"")
            try:
                page, following = read(body)
            except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
                raise UpstreamGarbage(
                    f"{self.label} answered GET /models with something that is no model list"
                ) from None
            found += page
            if len(found) > _MAX_MODELS:
                raise UpstreamGarbage(f"{self.label} lists more than {_MAX_MODELS} models")
            if following is None or following == last:
                break
            last = following
        return found

    @property
    def connections(self) -> Connections:
        """Count the connections there are."""
        return Connections(self._pool.open - self._pool.idle, self._pool.idle)

    def close(self) -> None:
        """Close all connections."""
        self._pool.close()


def _pool(base_url: str, config: ProviderConfig) -> client.Pool:
    origin = connect.Origin.of(base_url)
    limits = client.Limits(
        connect=config.timeouts.connect,
        first_byte=config.timeouts.first_byte,
        idle=config.timeouts.idle,
        max_connections=config.max_connections,
    )
    tls = config.tls
    context = (
        connect.tls_context(tls.ca, tls.client_cert, tls.client_key, insecure=tls.insecure)
        if origin.secure
        else None
    )
    return client.Pool(origin, limits, context, tls.server_name, _proxy(origin, config.proxy))


def _proxy(origin: connect.Origin, proxy: str | None) -> connect.Proxy | None:
    if proxy == "none":
        return None
    return connect.Proxy.of(proxy) if proxy else connect.proxy_for(origin, os.environ)
