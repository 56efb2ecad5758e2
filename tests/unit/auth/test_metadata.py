"""The metadata document: its two members, its URLs, its paths."""

import pytest

from nexus.auth import metadata
from nexus.config.auth import ProtectedResource


def resource(url: str, *servers: str) -> ProtectedResource:
    return ProtectedResource(resource=url, authorization_servers=servers)


def test_the_document_has_two_members() -> None:
    assert metadata.document(
        resource("http://127.0.0.1:8080", "http://127.0.0.1:4444", "https://b.test/x")
    ) == (
        b'{"resource":"http://127.0.0.1:8080/",'
        b'"authorization_servers":["http://127.0.0.1:4444/","https://b.test/x"]}'
    )


@pytest.mark.parametrize(
    ("written", "normal"),
    [
        ("HTTPS://Nexus.Test", "https://nexus.test/"),
        ("https://nexus.test:443/mcp", "https://nexus.test/mcp"),
        ("http://nexus.test:80", "http://nexus.test/"),
        ("http://nexus.test:443", "http://nexus.test:443/"),
        ("https://nexus.test/Mcp/", "https://nexus.test/Mcp/"),
        ("https://[::1]:8000", "https://[::1]:8000/"),
    ],
)
def test_urls_are_written_one_way(written: str, normal: str) -> None:
    assert f'"resource":"{normal}"'.encode() in metadata.document(resource(written))


@pytest.mark.parametrize(
    "url", ["http://localhost/api", "http://localhost", "http://localhost/", "http://localhost/a/b"]
)
def test_a_challenge_names_the_document_at_the_root(url: str) -> None:
    assert metadata.address(resource(url)) == "http://localhost/.well-known/oauth-protected-resource"


@pytest.mark.parametrize(
    ("url", "suffixes"),
    [
        ("http://localhost", {"", "/mcp"}),
        ("http://localhost/", {"", "/mcp"}),
        ("http://localhost/mcp", {"", "/mcp"}),
        ("http://localhost/mcp/", {"", "/mcp"}),
        ("http://localhost/api", {"", "/mcp", "/api"}),
    ],
)
def test_the_document_is_where_clients_look(url: str, suffixes: set[str]) -> None:
    well_known = "/.well-known/oauth-protected-resource"
    assert metadata.paths(resource(url), "/mcp") == {well_known + suffix for suffix in suffixes}
