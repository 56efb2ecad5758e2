"""Which key goes to a provider, and in which header."""

import pytest

from nexus.config.llm import ProviderConfig
from nexus.errors import Unauthenticated
from nexus.llm.providers.keys import BEARER, BROUGHT, Keys, Scheme, scheme

OTHERS = b"accept: */*\r\n"
CLIENT = [
    (b"authorization", b"Bearer of-the-gateway"),
    (b"x-api-key", b"not this"),
    (b"x-provider-api-key", b"brought"),
]
NOTHING_BROUGHT = CLIENT[:2]


def provider(**more: object) -> ProviderConfig:
    return ProviderConfig.model_validate({"type": "openai", **more})


@pytest.mark.parametrize(
    ("type", "own_header", "line"),
    [
        ("openai", None, b"authorization: Bearer k\r\n"),
        ("anthropic", None, b"x-api-key: k\r\n"),
        ("google", None, b"x-goog-api-key: k\r\n"),
        ("openai", "Api-Key", b"Api-Key: k\r\n"),
        ("anthropic", "X-Corp", b"X-Corp: k\r\n"),
    ],
)
def test_each_vendor_wants_its_key_in_a_header_of_its_own(
    type: str, own_header: str | None, line: bytes
) -> None:
    config = provider(type=type, api_key="k", api_key_header=own_header)
    assert Keys(config, scheme(config), OTHERS).lines(CLIENT) == line + OTHERS
    brings = provider(type=type, forward_token=True, api_key_header=own_header)
    assert Keys(brings, scheme(brings), OTHERS).lines([(BROUGHT, b"k")]) == line + OTHERS


@pytest.mark.parametrize(
    ("settings", "client", "expected"),
    [
        ({"api_key": "own"}, NOTHING_BROUGHT, b"own"),
        ({"api_key": "own"}, CLIENT, b"own"),
        ({"api_key": "own", "forward_token": True}, NOTHING_BROUGHT, b"own"),
        ({"api_key": "own", "forward_token": True}, CLIENT, b"brought"),
        ({"forward_token": True}, CLIENT, b"brought"),
        ({"api_key": "own", "forward_token": True}, [(BROUGHT, b"")], b""),
        ({"forward_token": True}, [(BROUGHT, b"first"), (BROUGHT, b"second")], b"first"),
    ],
)
def test_the_key_is_chosen(
    settings: dict[str, object], client: list[tuple[bytes, bytes]], expected: bytes
) -> None:
    for optional in (False, True):
        keys = Keys(provider(**settings), BEARER, OTHERS, optional=optional)
        assert keys.lines(client) == b"authorization: Bearer " + expected + b"\r\n" + OTHERS


FORWARDED = "Authentication failed: Token forwarding is enabled but no API key was provided"
NONE = "Authentication failed: No API key configured"


@pytest.mark.parametrize(
    ("forwards", "optional", "client", "text"),
    [
        (True, False, NOTHING_BROUGHT, FORWARDED),
        (True, True, NOTHING_BROUGHT, FORWARDED),
        (False, False, NOTHING_BROUGHT, NONE),
        (False, False, CLIENT, NONE),
    ],
)
def test_without_a_key_nothing_is_sent(
    forwards: bool, optional: bool, client: list[tuple[bytes, bytes]], text: str
) -> None:
    keys = Keys(provider(forward_token=forwards), BEARER, OTHERS, optional=optional)
    assert keys.own is None
    with pytest.raises(Unauthenticated) as caught:
        keys.lines(client)
    assert (caught.value.status, str(caught.value)) == (401, text)


def test_a_server_of_ones_own_may_need_no_key() -> None:
    assert Keys(provider(), BEARER, OTHERS, optional=True).lines(CLIENT) == OTHERS


def test_headers_with_the_key_of_the_file_are_written_once() -> None:
    keys = Keys(provider(api_key="own"), BEARER, OTHERS)
    assert keys.lines(CLIENT) is keys.own


@pytest.mark.parametrize("key", [b"a\r\nx: y", b"a\nb", b"a\0"])
def test_a_brought_key_becomes_no_other_header(key: bytes) -> None:
    keys = Keys(provider(forward_token=True), Scheme("x-api-key"), OTHERS)
    with pytest.raises(Unauthenticated) as caught:
        keys.lines([(BROUGHT, key)])
    assert key.decode() not in str(caught.value)
