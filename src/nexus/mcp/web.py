"""HTTP to an MCP server: its origin, our headers, its TLS; redirects within the origin, errors in our words."""

import os
import ssl
from collections.abc import Sequence
from urllib.parse import urljoin, urlsplit

from nexus import __version__
from nexus.config.llm import InsertRule
from nexus.config.mcp import McpTls
from nexus.http import client, connect
from nexus.mcp.link import Expired, Lost, Refused, Slow

_REDIRECTS = (307, 308)
_FOREVER = 24 * 3600.0
"""Calls have deadlines of their own, and a stream of notices may be silent for hours."""


class Web:
    """The connections to one server."""

    def __init__(
        self,
        url: str,
        rules: Sequence[InsertRule],
        token: str | None,
        tls: McpTls | None,
        connect_timeout: float,
    ) -> None:
        self.url = url
        self._origin = connect.Origin.of(url)
        self._pool = client.Pool(
            self._origin,
            client.Limits(connect=connect_timeout, first_byte=_FOREVER, idle=_FOREVER),
            _context(tls) if self._origin.secure else None,
            proxy=connect.proxy_for(self._origin, os.environ),
        )
        self._headers = _headers(token, rules)

    async def ask(
        self, method: bytes, url: str, headers: Sequence[tuple[str, str]] = (), body: bytes = b""
    ) -> client.Response:
        """Send one request; follow a redirect that stays within the origin and keeps the method.

        Raises:
            Lost: no answer; `sent` says whether the server may have got the request.
        """
        block = self._headers + client.header_block(headers)
        for _ in range(3):
            answer = await self._send(method, url, block, body)
            location = answer.header(b"location")
            if answer.status not in _REDIRECTS or location is None:
                return answer
            answer.close()
            url = urljoin(url, location.decode("latin-1"))
            if not self.owns(url):
                raise Lost("it redirects to another origin", sent=False)
        raise Lost("it redirects in circles", sent=False)

    def owns(self, url: str) -> bool:
        """Tell whether a URL is of this server's origin."""
        try:
            return connect.Origin.of(url) == self._origin
        except ValueError:
            return False

    def close(self) -> None:
        """Close every connection."""
        self._pool.close()

    async def _send(self, method: bytes, url: str, headers: bytes, body: bytes) -> client.Response:
        parts = urlsplit(url)
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        try:
            return await self._pool.request(method, target.encode(), headers, body)
        except client.TimedOut as error:
            raise Slow(str(error)) from error
        except client.Failed as error:
            raise Lost(str(error), sent=error.received) from error


def refusal(answer: client.Response, *, session: bool) -> Exception:
    """Say what a status of 400 or more means."""
    if answer.status in (401, 403):
        return Refused(f"it answered {answer.status}: the token is missing, wrong or not allowed here")
    if answer.status == 404 and session:
        return Expired()
    return Lost(f"it answered with HTTP status {answer.status}", sent=True)


def field(event: bytes, name: bytes) -> bytes:
    """Read a field of a server-sent event; `b""` without it, and for one with a NUL, which could be no header."""
    for line in event.splitlines():
        if line.startswith(name + b":") and b"\0" not in line:
            return line[len(name) + 1 :].strip()
    return b""


def _headers(token: str | None, rules: Sequence[InsertRule]) -> bytes:
    """Write what is sent with every request; a rule replaces what stood there under its name."""
    lines = {"user-agent": f"nexus/{__version__}", "accept-encoding": "identity"}
    if token is not None:
        lines["authorization"] = f"Bearer {token}"
    for rule in rules:
        value = rule.value
        lines[rule.name.lower()] = value if isinstance(value, str) else value.get_secret_value()
    return client.header_block(list(lines.items()))


def _context(tls: McpTls | None) -> ssl.SSLContext:
    if tls is None:
        return connect.tls_context()
    pair = (
        (tls.client_cert_path, tls.client_key_path)
        if tls.client_cert_path and tls.client_key_path
        else (None, None)
    )
    context = connect.tls_context(None, *pair, insecure=not tls.verify_certs)
    if tls.root_ca_cert_path is not None:  # besides the system's, not instead
        context.load_verify_locations(tls.root_ca_cert_path)
    if tls.accept_invalid_hostnames:
        context.check_hostname = False
    return context
