"""The one judge of URLs: which a user, a file or a model may make us call, and which address the call then goes to.

A URL is judged twice: as it is written (`check`) and, at every request, by each address its name stands for (`Guarded`). The
connection is made to the very address judged, so a name that changes its mind in between gains nothing. Proxies named by the
environment are not used: a proxy would look the name up itself.
"""

import asyncio
import re
import socket
import unicodedata
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import SplitResult, urlsplit

import httpx2

from nexus_agents.addresses import Address, Range, literal, standing
from nexus_agents.errors import Refused

Reason = (
    Range | Literal["empty", "not_a_url", "not_http_https", "credentials", "query_or_fragment", "redirect"]
)
Resolver = Callable[[str, int], Awaitable[Sequence[str]]]

ALLOW_PRIVATE = "NEXUS_CUSTOM_API_ALLOW_PRIVATE"
_LOOK_UP_SECONDS = 10
_LIFTED: frozenset[Reason] = frozenset({"loopback", "link_local", "private_range", "shared_range"})
_METADATA_NAMES = frozenset(
    {"metadata", "metadata.google.internal", "metadata.goog", "instance-data", "instance-data.ec2.internal"}
)
_DOTS = str.maketrans("\u3002\uff0e\uff61", "...")
_NAME = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?)*")
_AUTHORITY = re.compile(r"(\[[^\[\]]+\]|[^:\[\]]+)(:[0-9]*)?")
_UNPRINTABLE = re.compile(r"[\x00-\x20\x7f-\xa0\\]")
_LABELS = {
    "empty": "no URL was given",
    "not_a_url": "this is not a valid URL",
    "not_http_https": "only http and https are called",
    "credentials": "the URL carries a user name or password",
    "query_or_fragment": "a base URL ends before any ? or #",
    "loopback": "an address of this machine",
    "link_local": "a link-local address",
    "private_range": "an address of a private network",
    "shared_range": "a carrier-grade NAT address",
    "reserved": "a reserved address",
    "multicast": "a multicast address",
    "metadata": "a cloud metadata address, refused always",
    "redirect": "the answer redirects",
}


@dataclass(frozen=True, slots=True)
class Policy:
    """What a caller of the guard allows."""

    allow_private: bool = False
    """Loopback, private, link-local and carrier-grade NAT addresses; never those of cloud metadata."""
    lifted_by: str = ALLOW_PRIVATE
    """The variable to name in a refusal; empty where nothing lifts it."""

    @classmethod
    def of(cls, environ: Mapping[str, str]) -> "Policy":
        """Read `NEXUS_CUSTOM_API_ALLOW_PRIVATE`: exactly `1` or `true` allows, anything else does not."""
        return cls(environ.get(ALLOW_PRIVATE) in ("1", "true"))


STRICT = Policy(lifted_by="")
"""For places nobody should have to point at a private host: research fetches, catalogues, redirects."""


@dataclass(frozen=True, slots=True)
class Target:
    """A URL that passed `check`."""

    scheme: str
    host: str
    """ASCII, lower case, without brackets or a last dot."""
    port: int
    path: str
    address: Address | None = field(default=None)
    """Where the host is an address and not a name."""

    @property
    def cleartext(self) -> bool:
        """Whether a key sent there could be read on the way."""
        return self.scheme == "http" and (self.address is None or standing(self.address) is None)


def check(url: str, policy: Policy = STRICT, *, query: bool = False) -> Target:
    """Judge a URL as it is written; asks no name server.

    Args:
        url: what to judge.
        policy: what is allowed.
        query: whether it may have a query; a base URL may not, a page to fetch may.

    Raises:
        Refused: with its reason and host.
    """
    if not url.strip():
        raise _refused("empty", "")
    if _UNPRINTABLE.search(url):
        raise _refused("not_a_url", "")
    parts, port = _split(url)
    if parts.scheme not in ("http", "https"):
        raise _refused("not_http_https", f"{parts.scheme}:" if parts.scheme else "")
    if "@" in parts.netloc:
        raise _refused("credentials", "", "Put the key into its own variable, NEXUS_CUSTOM_API_KEY.")
    if "#" in url or ("?" in url and not query):
        raise _refused("query_or_fragment", "")
    host = _host(parts.netloc, parts.hostname or "")
    address = literal(host)
    reason = _named(host) if address is None else standing(address)
    _allow(reason, host, policy)
    try:
        httpx2.URL(url)  # what the client reads otherwise than we do, or not at all, it does not get
    except httpx2.InvalidURL:
        raise _refused("not_a_url", "") from None
    return Target(parts.scheme, host, port, parts.path, address)


def refusal(address: str, policy: Policy) -> Reason | None:
    """Tell why an address a name server gave may not be connected to; None if it may."""
    parsed = literal(address)
    if parsed is None:
        return "reserved"
    reason = standing(parsed)
    return None if reason is None or (policy.allow_private and reason in _LIFTED) else reason


async def system_resolver(host: str, port: int) -> Sequence[str]:
    """Ask the system for every address of a name.

    Raises:
        OSError: it has none, or nobody answered.
    """
    async with asyncio.timeout(_LOOK_UP_SECONDS):
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


async def addresses(
    host: str, port: int, policy: Policy, resolver: Resolver = system_resolver
) -> Sequence[str]:
    """Find the addresses a connection may be made to. One bad address among them refuses the name.

    Raises:
        Refused: with the reason of the address.
        OSError: the name has no address.
    """
    name = host.strip("[]").lower().removesuffix(".")
    if (address := literal(name)) is not None:
        _allow(standing(address), name, policy)
        return [str(address)]
    _allow(_named(name), name, policy)
    found = await resolver(name, port)
    for each in found:
        if (reason := refusal(each, policy)) is not None:
            raise _refused(reason, f"{name} resolves to {each}", _cure(reason, policy))
    if not found:
        raise OSError(f"{name} has no address")
    return found


class Guarded(httpx2.AsyncBaseTransport):
    """A transport that connects to judged addresses only, and follows no redirect."""

    def __init__(
        self,
        policy: Policy = STRICT,
        *,
        resolver: Resolver = system_resolver,
        transport: Callable[[], httpx2.AsyncBaseTransport] = httpx2.AsyncHTTPTransport,
    ) -> None:
        self._policy = policy
        self._resolver = resolver
        self._transport = transport
        # one pool for each host: connections are kept by address, and two hosts of one address are not one server
        self._pools: dict[str, httpx2.AsyncBaseTransport] = {}

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        if request.url.scheme not in ("http", "https"):
            raise _refused("not_http_https", f"{request.url.scheme}:")
        host = request.url.raw_host.decode("ascii")
        port = request.url.port or (443 if request.url.scheme == "https" else 80)
        try:
            found = await addresses(host, port, self._policy, self._resolver)
        except OSError as error:
            raise httpx2.ConnectError(f"cannot resolve {host}", request=request) from error
        if host not in self._pools:
            self._pools[host] = self._transport()
        response = await self._first(self._pools[host], request, host, found)
        if 300 <= response.status_code < 400 and response.status_code != 304:
            await response.aclose()
            raise _redirected(request.url, response.headers.get("location", ""))
        return response

    async def _first(
        self, pool: httpx2.AsyncBaseTransport, request: httpx2.Request, host: str, found: Sequence[str]
    ) -> httpx2.Response:
        """Ask the first address that accepts a connection."""
        for at, address in enumerate(found):
            try:
                return await pool.handle_async_request(_pinned(request, host, address))
            except (httpx2.ConnectError, httpx2.ConnectTimeout):
                if at + 1 == len(found):
                    raise
        raise AssertionError("addresses() never gives none")

    async def aclose(self) -> None:
        for pool in self._pools.values():
            await pool.aclose()


def client(
    policy: Policy = STRICT, *, timeout: httpx2.Timeout | float = 60.0, resolver: Resolver = system_resolver
) -> httpx2.AsyncClient:
    """Make the only kind of HTTP client these agents use. The caller closes it."""
    return httpx2.AsyncClient(
        transport=Guarded(policy, resolver=resolver), timeout=timeout, follow_redirects=False, trust_env=False
    )


def _split(url: str) -> tuple[SplitResult, int]:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise _refused("not_a_url", "") from None
    written = _AUTHORITY.fullmatch(parts.netloc.rpartition("@")[2])
    if port == 0 or (parts.scheme in ("http", "https") and not written):
        raise _refused("not_a_url", "")
    return parts, port or (443 if parts.scheme == "https" else 80)


def _host(netloc: str, hostname: str) -> str:
    """Spell a host as resolvers will: NFKC, ASCII, lower case, one last dot taken off."""
    folded = unicodedata.normalize("NFKC", hostname).translate(_DOTS).lower().removesuffix(".")
    if netloc.startswith("["):
        if literal(folded) is None:
            raise _refused("not_a_url", "")
        return folded
    try:
        ascii_host = folded.encode("idna").decode("ascii") if not folded.isascii() else folded
    except UnicodeError:
        raise _refused("not_a_url", "") from None
    if literal(ascii_host) is None and not _NAME.fullmatch(ascii_host):
        raise _refused("not_a_url", "")
    # a last label of digits is an address or nonsense, never a name: https://url.spec.whatwg.org/#ends-in-a-number-checker
    if literal(ascii_host) is None and re.fullmatch(r"[0-9]+|0x[0-9a-f]*", ascii_host.rpartition(".")[2]):
        raise _refused("not_a_url", "")
    return ascii_host


def _named(host: str) -> Reason | None:
    if host in _METADATA_NAMES:
        return "metadata"
    if host == "localhost" or host.endswith((".localhost", ".local", ".localdomain")):
        return "loopback"
    return None


def _allow(reason: Reason | None, host: str, policy: Policy) -> None:
    if reason is None or (policy.allow_private and reason in _LIFTED):
        return
    raise _refused(reason, host, _cure(reason, policy))


def _cure(reason: Reason, policy: Policy) -> str:
    if reason not in _LIFTED or not policy.lifted_by:
        return ""
    return f"Set {policy.lifted_by}=1 if the host is trusted."


def _refused(reason: Reason, host: str, cure: str = "") -> Refused:
    shown = f": {host}" if host else ""
    return Refused(
        f'URL refused (SSRF guard, reason="{reason}"){shown}: {_LABELS[reason]}.',
        cure,
        reason=reason,
        host=host,
    )


def _pinned(request: httpx2.Request, host: str, address: str) -> httpx2.Request:
    """Send the request to an address; the Host header and the name TLS proves stay those of the URL."""
    return httpx2.Request(
        request.method,
        request.url.copy_with(host=address),
        headers=request.headers,
        stream=request.stream,
        extensions={**request.extensions, "sni_hostname": host},
    )


def _redirected(url: httpx2.URL, location: str) -> Refused:
    try:
        to = httpx2.URL(url).join(location).host
    except (httpx2.InvalidURL, ValueError):
        to = ""
    return _refused(
        "redirect",
        f"{url.host} to {to or 'nowhere'}",
        "Configure the address it redirects to, if that is meant.",
    )
