"""An HTTP API below a base URL: the connections to it, and the parts that providers of any protocol share."""

import logging
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

log = logging.getLogger(__name__)

OUR_HEADERS = (("user-agent", f"nexus/{__version__}"), ("accept", "*/*"), ("accept-encoding", "identity"))
_MAX_LIST = 16 * 1024 * 1024
_MAX_PAGES = 100
_MAX_MODELS = 20_000

ReadPage = Callable[[bytes], tuple[list[Model], str | None]]


class Api:
    """What is reached below one base URL."""

    def __init__(self, label: str, base_url: str, config: ProviderConfig, name: str = "") -> None:
        """`label` names it to clients; `name`, what the configuration calls it, to the log, which is told nothing without."""
        self.label = label
        self._name = name
        self._broke = False
        """Whether the last answer to a client broke, or never came: of many in a row the first is told."""
        self._prefix = urlsplit(base_url).path.rstrip("/")
        self._query = "&".join(f"{quote(key)}={quote(value)}" for key, value in config.query.items()).encode()
        self._pool = _pool(base_url, config)
        self._rules = Rules.of(config)

    async def send(self, call: Call, headers: bytes) -> Answer:
        """Send a request with these header lines and those of the call; what a rule sets takes their place."""
        target, lines = self._addressed(call, headers)
        try:
            answer = await self._pool.request(call.method, target, lines, call.body)
        except client.Failed as error:
            if call.asked is None:
                raise _failure(self.label, error, stream=call.stream) from error
            raise self.failure(error, stream=call.stream) from error
        if self._broke:
            self._broke = False
            log.info("provider '%s' answers again", self._name)
        return _discreet(answer, lines)

    def failure(self, error: client.Failed, *, stream: bool = False) -> NexusError:
        """Say that the connection broke: to the client in the words of the contract, to the log by name and host."""
        if self._name and not self._broke:
            self._broke = True
            log.warning("provider '%s' at %s: %s", self._name, self._pool.origin.url, error)
        return _failure(self.label, error, stream=stream)

    def _addressed(self, call: Call, headers: bytes) -> tuple[bytes, bytes]:
        """Write where a request goes, and all of its header lines."""
        target = (self._prefix + call.path).encode()
        if self._query or call.query:
            target += b"?" + b"&".join(part for part in (self._query, call.query) if part)
        headers += call.headers
        if self._rules is not None and call.asked is not None:
            headers = merge(headers, self._rules.apply(call.asked.headers, call.asked.model))
        if call.content_type:
            headers += b"content-type: " + call.content_type + b"\r\n"
        return target, headers

    async def models(self, protocol: str, headers: bytes, read: ReadPage, after: str) -> Sequence[Model]:
        """Ask `GET /models`, with `after` set to the last id while a page says that there is more."""
        found: list[Model] = []
        # no client sees it; unlike the label it tells apart those who speak as one vendor does
        url = self._pool.origin.url
        last: str | None = None
        for _ in range(_MAX_PAGES):
            query = f"{after}={quote(last, safe='')}".encode() if last else b""
            target, lines = self._addressed(Call(protocol, b"GET", "/models", query=query), headers)
            try:
                answer = _discreet(await self._pool.request(b"GET", target, lines, b""), lines)
                body = await answer.read(_MAX_LIST)
            except client.Failed as error:
                raise _failure(url, error) from error
            if answer.status != 200:
                raise UpstreamError(answer.status, (), body, answer.header(b"content-type") or b"")
            try:
                page, following = read(body)
            except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
                raise UpstreamGarbage(f"what {url} answered GET /models with is no model list") from None
            found += page
            if len(found) > _MAX_MODELS:
                raise UpstreamGarbage(f"{url} lists more than {_MAX_MODELS} models")
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


def _discreet(answer: client.Response, sent: bytes) -> Answer:
    return answer if answer.status < 400 else Discreet(answer, sent)


def _failure(name: str, error: client.Failed, *, stream: bool = False) -> NexusError:
    if error.received:
        return UpstreamBroken(name, str(error))
    kind = UpstreamTimeout if isinstance(error, client.TimedOut) else UpstreamUnreachable
    return kind(name, str(error), stream=stream)


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
