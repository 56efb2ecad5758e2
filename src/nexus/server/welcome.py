"""Which requests the MCP half looks at: of known hosts and pages, and such as say each thing once."""

from collections.abc import Sequence

from mcp_types import HEADER_MISMATCH, INVALID_REQUEST

from nexus.config.mcp import McpConfig

SESSION = b"mcp-session-id"
_ONCE = frozenset((SESSION, b"host", b"mcp-method", b"mcp-name", b"mcp-protocol-version", b"origin"))
"""Headers that decide. Of two the SDK takes the first and others the last: one session would be checked, another one used."""


def unwelcome(headers: Sequence[tuple[bytes, bytes]], config: McpConfig) -> tuple[int, int, str] | None:
    """Say with which status, code and text a request is turned away, if it is.

    That are those of web pages and host names which the configuration does not name (DNS rebinding), too.
    """
    said: dict[bytes, bytes] = {}
    for name, value in headers:
        if name in _ONCE and said.setdefault(name, value) != value:
            return 400, INVALID_REQUEST, f"The header {name.decode()} is there twice"
    if config.allowed_hosts is not None and not _listed(said.get(b"host", b""), config.allowed_hosts):
        return 403, HEADER_MISMATCH, "This Host is not allowed"
    origin = said.get(b"origin")
    if (
        config.allowed_origins is not None
        and origin is not None
        and not _listed(origin, config.allowed_origins)
    ):
        return 403, HEADER_MISMATCH, "This Origin is not allowed"
    return None


def _listed(value: bytes, allowed: Sequence[str]) -> bool:
    text = value.decode("latin-1")
    return any(text == one or (one.endswith(":*") and _without_port(text) == one[:-2]) for one in allowed)


def _without_port(value: str) -> str:
    head, colon, port = value.rpartition(":")
    return head if colon and port.isdigit() else value
