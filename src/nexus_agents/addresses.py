"""What an IP address stands for. An explicit table: what `ipaddress` calls private changes between patch releases of Python."""

import socket
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Literal

Address = IPv4Address | IPv6Address
Range = Literal[
    "loopback", "link_local", "private_range", "shared_range", "reserved", "multicast", "metadata"
]

# https://www.iana.org/assignments/iana-ipv4-special-registry
_IPV4: dict[IPv4Network, Range] = {
    IPv4Network("0.0.0.0/8"): "reserved",
    IPv4Network("10.0.0.0/8"): "private_range",
    IPv4Network("100.64.0.0/10"): "shared_range",
    IPv4Network("127.0.0.0/8"): "loopback",
    IPv4Network("169.254.0.0/16"): "link_local",
    IPv4Network("172.16.0.0/12"): "private_range",
    IPv4Network("192.0.0.0/24"): "reserved",
    IPv4Network("192.0.2.0/24"): "reserved",
    IPv4Network("192.88.99.0/24"): "reserved",
    IPv4Network("192.168.0.0/16"): "private_range",
    IPv4Network("198.18.0.0/15"): "reserved",
    IPv4Network("198.51.100.0/24"): "reserved",
    IPv4Network("203.0.113.0/24"): "reserved",
    IPv4Network("224.0.0.0/4"): "multicast",
    IPv4Network("240.0.0.0/4"): "reserved",
}
# https://www.iana.org/assignments/iana-ipv6-special-registry; only 2000::/3 is handed out, the rest is reserved
_IPV6: dict[IPv6Network, Range] = {
    IPv6Network("::1/128"): "loopback",
    IPv6Network("fc00::/7"): "private_range",
    IPv6Network("fe80::/10"): "link_local",
    IPv6Network("fec0::/10"): "private_range",
    IPv6Network("ff00::/8"): "multicast",
    IPv6Network("2001::/23"): "reserved",  # Teredo, ORCHID, benchmarking
    IPv6Network("2001:db8::/32"): "reserved",
    IPv6Network("2002::/16"): "reserved",  # 6to4
    IPv6Network("3fff::/20"): "reserved",
    IPv6Network("5f00::/16"): "reserved",
}
_GLOBAL = IPv6Network("2000::/3")
_MAPPED = IPv6Network("::ffff:0:0/96")
_NAT64 = IPv6Network("64:ff9b::/96")
_METADATA: frozenset[Address] = frozenset(
    {
        *map(
            IPv4Address,
            (
                "169.254.169.254",  # AWS, Google, Azure, Oracle, DigitalOcean
                "169.254.170.2",  # AWS container credentials
                "169.254.170.23",  # AWS pod identity
                "100.100.100.200",  # Alibaba
                "168.63.129.16",  # Azure's host agent
                "192.0.0.192",  # Oracle
            ),
        ),
        *map(IPv6Address, ("fd00:ec2::254", "fd00:ec2::23", "fd20:ce::254")),
    }
)


def literal(host: str) -> Address | None:
    """Read a host that is an address in any spelling a resolver accepts: `127.1`, `0x7f000001`, `017700000001`, `::1`."""
    if ":" in host:
        try:
            return IPv6Address(host.partition("%")[0])
        except ValueError:
            return None
    if not host or not host.isascii() or any(char.isspace() for char in host):
        return None
    try:
        return IPv4Address(socket.inet_aton(host))
    except (OSError, ValueError):  # the latter for a zero byte
        return None


def standing(address: Address) -> Range | None:
    """Tell what range an address is of; None for one of the open internet."""
    if address in _METADATA:
        return "metadata"
    if isinstance(address, IPv4Address):
        return next((reason for network, reason in _IPV4.items() if address in network), None)
    if address in _MAPPED or address in _NAT64:
        return standing(IPv4Address(address.packed[-4:]))
    for network, reason in _IPV6.items():
        if address in network:
            return reason
    return None if address in _GLOBAL else "reserved"
