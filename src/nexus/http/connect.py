"""Reach an upstream: where it is, through which proxy, and the TLS on top. No exchange happens here."""

import asyncio
import base64
import ipaddress
import ssl
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar
from urllib.parse import unquote, urlsplit

_P = TypeVar("_P", bound=asyncio.Protocol)
_MAX_PROXY_ANSWER = 16 * 1024


@dataclass(frozen=True, slots=True)
class Origin:
    """Scheme, host and port of an upstream."""

    secure: bool
    host: str
    port: int

    @classmethod
    def of(cls, url: str) -> "Origin":
        """Read the origin of a URL.

        Raises:
            ValueError: it is not an absolute http or https URL, or holds credentials.
        """
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("expected an absolute http:// or https:// URL")
        if parts.username or parts.password:
            raise ValueError("credentials do not belong into a URL")
        secure = parts.scheme == "https"
        return cls(secure, parts.hostname, parts.port or (443 if secure else 80))

    @property
    def host_header(self) -> bytes:
        """The authority as the `host` header has it."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        default = 443 if self.secure else 80
        return (host if self.port == default else f"{host}:{self.port}").encode(
            "idna" if _is_wide(host) else "ascii"
        )

    @property
    def url(self) -> str:
        """The origin without a path."""
        return f"{'https' if self.secure else 'http'}://{self.host_header.decode()}"


@dataclass(frozen=True, slots=True)
class Proxy:
    """An HTTP proxy; https origins are reached through it by CONNECT."""

    host: str
    port: int
    authorization: bytes = b""
    """A `proxy-authorization` header line, or nothing."""

    @classmethod
    def of(cls, url: str) -> "Proxy":
        """Read a proxy URL such as `http://user:password@proxy:3128`.

        Raises:
            ValueError: not an http URL.
        """
        parts = urlsplit(url if "://" in url else f"http://{url}")
        if parts.scheme != "http" or not parts.hostname:
            raise ValueError("only http:// proxies can be used")
        line = b""
        if parts.username is not None:
            user = f"{unquote(parts.username)}:{unquote(parts.password or '')}".encode()
            line = b"proxy-authorization: Basic " + base64.b64encode(user) + b"\r\n"
        return cls(parts.hostname, parts.port or 80, line)


def proxy_for(origin: Origin, environ: Mapping[str, str]) -> Proxy | None:
    """Find the proxy the environment names for an origin (`HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY`, `NO_PROXY`)."""
    variables = {
        name.lower(): value for name, value in environ.items() if name.lower().endswith("_proxy") and value
    }
    bypass = {"no": variables.get("no_proxy", "")}
    if urllib.request.proxy_bypass_environment(f"{origin.host}:{origin.port}", bypass) or _in_networks(
        origin.host, bypass["no"]
    ):
        return None
    url = variables.get("https_proxy" if origin.secure else "http_proxy") or variables.get("all_proxy")
    return Proxy.of(url) if url else None


def tls_context(
    ca: Path | None = None,
    certificate: Path | None = None,
    key: Path | None = None,
    *,
    insecure: bool = False,
) -> ssl.SSLContext:
    """Build the TLS settings of a client: system roots or a private CA, and a client certificate where wanted.

    Raises:
        OSError: a file cannot be read or is not PEM.
    """
    context = ssl.create_default_context(cafile=str(ca) if ca else None)
    context.set_alpn_protocols(["http/1.1"])
    if certificate is not None:
        context.load_cert_chain(certificate, key)
    if insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


async def dial(
    loop: asyncio.AbstractEventLoop,
    make: Callable[[], _P],
    origin: Origin,
    tls: ssl.SSLContext | None,
    server_name: str | None,
    proxy: Proxy | None,
) -> _P:
    """Open a connection to `origin` and put the protocol that `make` gives on it.

    Raises:
        OSError: refused, reset, unknown host, certificate not accepted, or the proxy said no.
    """
    name = server_name or origin.host
    context = tls if origin.secure else None
    if proxy is None:
        _, protocol = await loop.create_connection(
            make, origin.host, origin.port, ssl=context, server_hostname=name if context else None
        )
        return protocol
    if context is None:
        _, protocol = await loop.create_connection(make, proxy.host, proxy.port)
        return protocol
    transport, tunnel = await loop.create_connection(lambda: _Tunnel(loop), proxy.host, proxy.port)
    try:
        await tunnel.open(origin, proxy)
        protocol = make()
        secured = await loop.start_tls(transport, protocol, context, server_hostname=name)
    except BaseException:
        transport.abort()
        raise
    if secured is None:
        raise ConnectionResetError("the connection was closed during the TLS handshake")
    protocol.connection_made(secured)
    return protocol


class _Tunnel(asyncio.Protocol):
    """Ask a proxy for a tunnel and hear its answer."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._answer: asyncio.Future[bytes] = loop.create_future()
        self._received = b""
        self._transport: asyncio.BaseTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        if self._answer.done():
            return
        if b"\r\n\r\n" in self._received:
            self._answer.set_result(self._received)
        elif len(self._received) > _MAX_PROXY_ANSWER:
            self._answer.set_exception(ConnectionError("the proxy sent too much before its answer ended"))

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._answer.done():
            self._answer.set_exception(ConnectionResetError("the proxy closed the connection"))

    async def open(self, origin: Origin, proxy: Proxy) -> None:
        """Send CONNECT and wait for the proxy's yes."""
        host = f"[{origin.host}]" if ":" in origin.host else origin.host
        authority = f"{host}:{origin.port}".encode()
        lines = (
            b"CONNECT "
            + authority
            + b" HTTP/1.1\r\nhost: "
            + authority
            + b"\r\n"
            + proxy.authorization
            + b"\r\n"
        )
        self._transport.write(lines)  # type: ignore[union-attr]  # connection_made came first
        status = (await self._answer).split(b"\r\n", 1)[0].split(b" ", 2)
        if len(status) < 2 or status[1] != b"200":
            code = status[1].decode("ascii", "replace") if len(status) > 1 else "?"
            raise ConnectionRefusedError(0, f"the proxy answered {code} to CONNECT")


def _in_networks(host: str, entries: str) -> bool:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    for entry in entries.split(","):
        try:
            if address in ipaddress.ip_network(entry.strip(), strict=False):
                return True
        except ValueError:
            continue
    return False


def _is_wide(host: str) -> bool:
    return not host.isascii()
