"""Signatures that pass through the hands of a client of another protocol.

A vendor takes back only its own. So what is not of the client's protocol is handed out sealed, with the name of its origin,
and is opened only for that origin; to any other it is no signature at all.
"""

_SEAL = "nexus~"
_MARK, _END = _SEAL[:-1].encode(), _SEAL[-1:].encode()
_LOOKS = 256


def seal(signature: str, origin: str, protocol: str) -> str:
    """Write a signature for a client of `protocol`."""
    return signature if not signature or origin in ("", protocol) else f"{_SEAL}{origin}~{signature}"


def is_sealed_in(body: bytes) -> bool:
    """Tell whether a body may carry a sealed signature: by its rarest character, the search for which costs next to nothing."""
    at = body.find(_END)
    for _ in range(_LOOKS):
        if at < 0:
            return False
        if body.endswith(_MARK, 0, at):
            return True
        at = body.find(_END, at + 1)
    return _MARK + _END in body


def unseal(signature: str, protocol: str) -> tuple[str, str]:
    """Read a signature that a client of `protocol` gave back: the signature and its origin."""
    if not signature.startswith(_SEAL):
        return signature, protocol if signature else ""
    origin, _, bare = signature[len(_SEAL) :].partition("~")
    return bare, origin
