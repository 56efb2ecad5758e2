"""Signatures that pass through the hands of a client of another protocol.

A vendor takes back only its own. So what is not of the client's protocol is handed out sealed, with the name of its origin,
and is opened only for that origin; to any other it is no signature at all.
"""

_SEAL = "nexus~"
MARK = _SEAL.encode()
"""Occurs in every body that carries a sealed signature."""


def seal(signature: str, origin: str, protocol: str) -> str:
    """Write a signature for a client of `protocol`."""
    return signature if not signature or origin in ("", protocol) else f"{_SEAL}{origin}~{signature}"


def unseal(signature: str, protocol: str) -> tuple[str, str]:
    """Read a signature that a client of `protocol` gave back: the signature and its origin."""
    if not signature.startswith(_SEAL):
        return signature, protocol if signature else ""
    origin, _, bare = signature[len(_SEAL) :].partition("~")
    return bare, origin
