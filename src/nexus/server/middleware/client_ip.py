"""Where a request comes from: its peer, or what the proxies in front are believed to say. First of the layers of a route."""

import functools
from collections.abc import Callable, Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

from nexus.config.server import ClientIpConfig
from nexus.context import RequestContext, put
from nexus.server.asgi import App, Receive, Scope, Send

Headers = Iterable[tuple[bytes, bytes]]
Networks = tuple[IPv4Network | IPv6Network, ...]
_LONGEST = 64
"""Characters of an address, its zone and spaces around it; what is longer is none, and is not kept."""


def client_ip(app: App, config: ClientIpConfig, trusted: Networks = ()) -> App:
    """Leave the client's address in the context of every request."""
    find = finder(config, trusted)

    async def layer(scope: Scope, receive: Receive, send: Send) -> None:
        peer = scope.get("client")
        address = find(peer[0] if peer else "", scope["headers"])
        put(scope, RequestContext(address))
        await app(scope, receive, send)

    return layer


def finder(config: ClientIpConfig, trusted: Networks = ()) -> Callable[[str, Headers], str]:
    """Build what finds the address of a client: of its peer and its headers.

    Headers are believed where the configuration says so and, if there are `trusted` networks, only of peers in them.
    """
    real, hops = config.x_real_ip, config.x_forwarded_for_trusted_hops
    if not real and hops is None:
        return lambda peer, _: _normal(peer) or peer

    def find(peer: str, headers: Headers) -> str:
        nearest = _normal(peer) or peer
        if trusted and not _within(nearest, trusted):
            return nearest
        lines: list[bytes] = []
        for name, value in headers:
            if name == b"x-real-ip" and real and (address := _normal(value.decode("latin-1"))) is not None:
                return address
            if name == b"x-forwarded-for":
                lines.append(value)
        said = _forwarded(lines, hops) if hops is not None and lines else None
        return said or nearest

    return find


def _forwarded(lines: Iterable[bytes], hops: int) -> str | None:
    """Take the entry so many from the right; repeated lines are one list."""
    entries = b",".join(lines).decode("latin-1").split(",")
    return _normal(entries[-1 - hops]) if hops < len(entries) else None


def _normal(text: str) -> str | None:
    """Write an address the one way there is, IPv4 within IPv6 as IPv4; None where it is none."""
    return _written(text) if len(text) <= _LONGEST else None


@functools.lru_cache(4096)
def _written(text: str) -> str | None:
    try:
        address = ip_address(text.strip())
    except ValueError:
        return None
    if isinstance(address, IPv6Address):
        return str(address.ipv4_mapped or address)
    return str(address)


def _within(text: str, networks: Networks) -> bool:
    try:
        address: IPv4Address | IPv6Address = ip_address(text)
    except ValueError:
        return False
    return any(address in network for network in networks)
