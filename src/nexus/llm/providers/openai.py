"""OpenAI and everything that is compatible with it: a base URL, a key in a header."""

import os
from collections.abc import Sequence
from urllib.parse import quote, urlsplit

import msgspec

from nexus import __version__
from nexus.config.llm import ProviderConfig
from nexus.errors import (
    NexusError,
    Unauthenticated,
    UpstreamBroken,
    UpstreamError,
    UpstreamGarbage,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from nexus.http import client, connect
from nexus.llm.canonical import Model
from nexus.llm.protocols.openai import models as model_list
from nexus.llm.providers.base import Answer, Call

DEFAULT_BASE_URL = "https://api.openai.com/v1"
_MAX_LIST = 16 * 1024 * 1024
_MAX_PAGES = 100


class OpenAI:
    """A provider that speaks the OpenAI API below its base URL."""

    kind = "openai"
    label = "OpenAI"
    trouble: str | None = None

    def __init__(self, name: str, config: ProviderConfig) -> None:
        self.name = name
        base_url = (config.base_url or DEFAULT_BASE_URL).rstrip("/")
        self._has_key = config.api_key is not None
        # without a key the vendor refuses everything; a compatible server of one's own may well need none
        self.discovers = self._has_key or base_url != DEFAULT_BASE_URL
        self._prefix = urlsplit(base_url).path
        self._query = "&".join(f"{quote(key)}={quote(value)}" for key, value in config.query.items())
        self._pool = _pool(base_url, config)
        self._headers = client.header_block(
            [
                *_authorization(config),
                ("user-agent", f"nexus/{__version__}"),
                ("accept", "*/*"),
                ("accept-encoding", "identity"),
            ]
        )

    async def start(self) -> None:
        """Nothing to bring up: connections open as they are needed."""

    async def models(self) -> Sequence[Model]:
        """Ask `GET /models`, following `last_id` while the list says that there is more."""
        found: list[Model] = []
        after: str | None = None
        for _ in range(_MAX_PAGES):
            query = f"after={quote(after, safe='')}".encode() if after else b""
            answer = await self.send(Call(b"GET", "/models", query=query))
            body = await self._read(answer)
            if answer.status != 200:
                raise UpstreamError(answer.status, (), body, answer.header(b"content-type") or b"")
            try:
                page, following = model_list.read_page(body)
            except (msgspec.MsgspecError, UnicodeDecodeError):
                raise UpstreamGarbage(
                    f"{self.label} answered GET /models with something that is no model list"
                ) from None
            found += page
            if following is None or following == after:
                break
            after = following
        return found

    async def send(self, call: Call) -> Answer:
        """Send a request below the base URL."""
        if not self.discovers:
            raise Unauthenticated("Authentication failed: No API key configured")
        target = (self._prefix + call.path).encode()
        query = b"&".join(part for part in (self._query.encode(), call.query) if part)
        if query:
            target += b"?" + query
        headers = self._headers
        if call.content_type:
            headers += b"content-type: " + call.content_type + b"\r\n"
        try:
            return await self._pool.request(call.method, target, headers, call.body)
        except client.Failed as error:
            raise self.failure(error, stream=call.stream) from error

    def failure(self, error: client.Failed, *, stream: bool = False) -> NexusError:
        """Say that the connection broke."""
        if error.received:
            return UpstreamBroken(self.label, str(error))
        kind = UpstreamTimeout if isinstance(error, client.TimedOut) else UpstreamUnreachable
        return kind(self.label, str(error), stream=stream)

    async def close(self) -> None:
        """Close all connections."""
        self._pool.close()

    async def _read(self, answer: Answer) -> bytes:
        try:
            return await answer.read(_MAX_LIST)
        except client.Failed as error:
            raise self.failure(error) from error


def _authorization(config: ProviderConfig) -> list[tuple[str, str]]:
    if config.api_key is None:
        return []
    key = config.api_key.get_secret_value()
    return [(config.api_key_header, key)] if config.api_key_header else [("authorization", f"Bearer {key}")]


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
