"""Names across servers: `server__tool`, and short ones for clients that allow no more than 64 characters."""

from hashlib import sha256

SEPARATOR = "__"
MAX_NAME = 64
"""What the APIs of language models allow a tool's name to have."""


def join(server: str, name: str) -> str:
    """Name something of a server."""
    return f"{server}{SEPARATOR}{name}"


def shorten(name: str) -> str:
    """Give a name that is not too long: its beginning and a digest of the whole, so the same each time and nearly unique."""
    if len(name) <= MAX_NAME:
        return name
    digest = sha256(name.encode()).hexdigest()[:8]
    return f"{name[: MAX_NAME - len(digest) - 1]}_{digest}"
