"""Reach an upstream: where it is, through which proxy, and the TLS on top. No exchange happens here."""

import asyncio
import base64
import ipaddress
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar
from urllib.parse import SplitResult, unquote, urlsplit

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
        host = parts.hostname.encode("idna").decode()  # xn--…, as DNS, certificates and headers have it
        return cls(secure, host, _port(parts) or (443 if secure else 80))

    @property
    def host_header(self) -> bytes:
        """The authority as the `host` header has it."""
        default = 443 if self.secure else 80
        return self.authority.removesuffix(f":{default}").encode()

    @property
    def authority(self) -> str:
        """Host and port, always both."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def url(self) -> str:
        """The origin without a path."""
        return f"{'https' if self.secure else 'http'}://{self.host_header.decode()}"


@dataclass(frozen=True, slots=True)
class Proxy:
    """An HTTP proxy; https origins are reached through it by CONNECT."""

    host: str
    port: int
    authorization: bytes = field(default=b"", repr=False)
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
        return cls(parts.hostname, _port(parts) or 80, line)


def proxy_for(origin: Origin, environ: Mapping[str, str]) -> Proxy | None:
    """Find the proxy the environment names for an origin (`HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY`, `NO_PROXY`)."""

    def named(name: str) -> str:
        return environ.get(f"{name}_proxy") or environ.get(f"{name.upper()}_PROXY") or ""

    if _bypassed(origin, named("no")):
        return None
    url = named("https" if origin.secure else "http") or named("all")
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
        context.load_cert_chain(certificate, key, password="")  # one that is locked is an error, not a prompt
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
        UnicodeError: the host cannot be a name.
    """
    name = server_name or origin.host
    context = tls if origin.secure else None
    if origin.secure and context is None:
        raise ValueError(
            "an https origin needs TLS settings"
        )  # never in the clear what was meant to be secret
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
        await tunnel.open(transport, origin, proxy)
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
        self._heard: asyncio.Future[None] = loop.create_future()
        self._received = b""

    def data_received(self, data: bytes) -> None:
        self._received += data
        if b"\r\n\r\n" in self._received or len(self._received) > _MAX_PROXY_ANSWER:
            self._wake()

    def connection_lost(self, exc: Exception | None) -> None:
        self._wake()

    async def open(self, transport: asyncio.WriteTransport, origin: Origin, proxy: Proxy) -> None:
        """Send CONNECT and wait for the proxy's yes."""
        request = f"CONNECT {origin.authority} HTTP/1.1\r\nhost: {origin.authority}\r\n".encode()
        transport.write(request + proxy.authorization + b"\r\n")
        await self._heard
        head, end, more = self._received.partition(b"\r\n\r\n")
        if len(head) > _MAX_PROXY_ANSWER:
            raise ConnectionError("the proxy sent too much before its answer ended")
        version, _, rest = head.partition(b" ")
        code = rest[:3].decode("ascii", "replace")
        if end and not (version.startswith(b"HTTP/1.") and code.isdigit()):
            raise ConnectionError("the proxy did not answer CONNECT in HTTP")
        if end and not code.startswith("2"):
            raise ConnectionRefusedError(0, f"the proxy answered {code} to CONNECT")
        if more:
            raise ConnectionError("the proxy sent more than its answer to CONNECT")
        if not end or transport.is_closing():
            raise ConnectionResetError("the proxy closed the connection")

    def _wake(self) -> None:
        if not self._heard.done():
            self._heard.set_result(None)


def _bypassed(origin: Origin, entries: str) -> bool:
    """Whether `NO_PROXY` names the origin: `*`, a name and all under it, an address, a network; a port narrows it."""
    for entry in entries.lower().split(","):
        name = entry.strip().removeprefix("*.").removeprefix(".")
        if name == "*" or (name and _named(origin, name)):
            return True
    return False


def _named(origin: Origin, name: str) -> bool:
    if f".{origin.host}".endswith(f".{name}") or f".{origin.authority}".endswith(f".{name}"):
        return True
    try:
        return ipaddress.ip_address(origin.host) in ipaddress.ip_network(name.strip("[]"), strict=False)
    except ValueError:
        return False


def _port(parts: SplitResult) -> int | None:
    try:
        return parts.port
    except ValueError:  # its text shows what it took for a port: with a slash in it, a piece of the password
        raise ValueError("the port of the URL is not a number up to 65535") from None
