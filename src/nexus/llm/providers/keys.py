"""The key a request carries to its provider: the one of the file, or the one its client brings where the file lets it."""

from collections.abc import Sequence
from typing import NamedTuple

from nexus.config.llm import ProviderConfig
from nexus.errors import Unauthenticated

BROUGHT = b"x-provider-api-key"
"""Where a client puts a key of its own."""


class Scheme(NamedTuple):
    """How a key becomes a header."""

    header: str
    prefix: str = ""

    def line(self, key: bytes) -> bytes:
        """Write the header line of a key."""
        return f"{self.header}: {self.prefix}".encode() + key + b"\r\n"


BEARER = Scheme("authorization", "Bearer ")
SCHEMES = {
    "openai": BEARER,
    "anthropic": Scheme("x-api-key"),
    "google": Scheme("x-goog-api-key"),
}


def scheme(config: ProviderConfig) -> Scheme:
    """Find how a provider wants its key: as its type says, unless `api_key_header` says otherwise."""
    return Scheme(config.api_key_header) if config.api_key_header else SCHEMES[config.type]


class Keys:
    """The headers that sign requests to one provider. Those with the key of the file are written once."""

    __slots__ = ("_forwards", "_others", "_scheme", "own")

    def __init__(
        self, config: ProviderConfig, scheme: Scheme, others: bytes = b"", *, optional: bool = False
    ) -> None:
        """`others` are header lines every request gets too; with `optional`, the provider may do without a key."""
        self._scheme = scheme
        self._others = others
        self._forwards = config.forward_token
        self.own: bytes | None = None
        """Header lines of a request the gateway makes on its own account; `None` if it has no key for that."""
        if config.api_key is not None:
            self.own = scheme.line(config.api_key.get_secret_value().encode()) + others
        elif optional and not self._forwards:
            self.own = others

    def lines(self, client: Sequence[tuple[bytes, bytes]]) -> bytes:
        """Give the header lines for a request of a client, by its headers.

        Raises:
            Unauthenticated: there is no key to send.
        """
        if self._forwards:
            for name, value in client:
                if name == BROUGHT:
                    return self._signed(value)
        if self.own is not None:
            return self.own
        if self._forwards:
            raise Unauthenticated(
                "Authentication failed: Token forwarding is enabled but no API key was provided"
            )
        raise Unauthenticated("Authentication failed: No API key configured")

    def _signed(self, key: bytes) -> bytes:
        if (
            b"\r" in key or b"\n" in key or b"\0" in key
        ):  # no HTTP parser lets it in; it would become another header
            raise Unauthenticated("Authentication failed: The provided API key is not a header value")
        return self._scheme.line(key) + self._others
