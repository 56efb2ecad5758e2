"""Where a client learns whom to ask for a token. https://www.rfc-editor.org/rfc/rfc9728."""

from urllib.parse import urlsplit

import msgspec

from nexus.config.auth import ProtectedResource
from nexus.config.checks import WELL_KNOWN


def document(resource: ProtectedResource) -> bytes:
    """Write the metadata document."""
    servers = [_normal(server) for server in resource.authorization_servers]
    return msgspec.json.encode({"resource": _normal(resource.resource), "authorization_servers": servers})


def address(resource: ProtectedResource) -> str:
    """Give the URL of the document, as a challenge names it."""
    parts = urlsplit(_normal(resource.resource))
    return f"{parts.scheme}://{parts.netloc}{WELL_KNOWN}"


def paths(resource: ProtectedResource, *routes: str) -> frozenset[str]:
    """Give every path clients look for the document at: the bare one, and it followed by what is protected."""
    suffixes = {urlsplit(resource.resource).path, *routes}
    return frozenset(WELL_KNOWN + suffix.rstrip("/") for suffix in ("", *suffixes))


def _normal(url: str) -> str:
    """Write a URL the way every URL library does: lower-case scheme and host, no default port, a path."""
    parts = urlsplit(url)
    scheme, host = parts.scheme.lower(), parts.netloc.lower()
    host = host.removesuffix(":443" if scheme == "https" else ":80")
    return parts._replace(scheme=scheme, netloc=host, path=parts.path or "/").geturl()
