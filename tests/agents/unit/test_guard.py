"""What the guard refuses: URLs as written in every odd spelling, and addresses as name servers give them."""

import ipaddress
import re
import socket
import tomllib
from collections.abc import Sequence
from pathlib import Path

import httpx2
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import nexus_agents
from nexus_agents.addresses import literal, standing
from nexus_agents.errors import Refused
from nexus_agents.guard import STRICT, Guarded, Policy, addresses, check, refusal

LENIENT = Policy(allow_private=True)

URLS = tomllib.loads((Path(__file__).parent / "urls.toml").read_text(encoding="utf-8"))
OPEN = URLS["open"]["urls"]


def spelled() -> list[tuple[str, str]]:
    hosts = [
        (reason, f"http://{host}{rest}")
        for reason, each in URLS["hosts"].items()
        for host in each
        for rest in ("", ":8443/v1")
    ]
    return hosts + [(reason, url) for reason, urls in URLS["urls"].items() for url in urls]


def reason_of(url: str, policy: Policy = STRICT) -> str | None:
    try:
        check(url, policy)
    except Refused as refused:
        return refused.reason
    return None


def test_the_list_holds_more_than_two_hundred_urls() -> None:
    assert len(set(spelled())) > 200


@pytest.mark.parametrize(("reason", "url"), spelled())
def test_a_bad_url_is_refused_for_its_reason(reason: str, url: str) -> None:
    assert reason_of(url) == reason


@pytest.mark.parametrize("url", OPEN)
def test_an_open_url_passes(url: str) -> None:
    assert reason_of(url) is None


@pytest.mark.parametrize(("reason", "url"), spelled())
def test_allowing_private_hosts_allows_those_and_nothing_else(reason: str, url: str) -> None:
    lifted = reason in ("loopback", "private_range", "link_local", "shared_range")
    # odd spellings that pass the judge stop at the client, which cannot read them
    assert reason_of(url, LENIENT) in ((None, "not_a_url") if lifted else (reason,))


LIFTED = [
    "localhost:4000",
    "127.0.0.1:4000",
    "[::1]:4000",
    "10.1.2.3",
    "192.168.0.9",
    "printer.local",
    "100.64.0.7",
    "[fd00::7]",
]


@pytest.mark.parametrize("host", LIFTED)
def test_a_private_host_is_called_where_it_is_allowed(host: str) -> None:
    assert reason_of(f"http://{host}/v1") is not None
    assert reason_of(f"http://{host}/v1", LENIENT) is None


@pytest.mark.parametrize("value", ["TRUE", "True", "yes", "on", "01", " 1", "1 ", "", "0", "false"])
def test_only_1_or_true_allows_private_hosts(value: str) -> None:
    assert not Policy.of({"NEXUS_CUSTOM_API_ALLOW_PRIVATE": value}).allow_private


@pytest.mark.parametrize("value", ["1", "true"])
def test_1_and_true_allow_private_hosts(value: str) -> None:
    assert Policy.of({"NEXUS_CUSTOM_API_ALLOW_PRIVATE": value}).allow_private


def test_a_refusal_names_host_reason_and_the_variable_that_lifts_it() -> None:
    with pytest.raises(Refused) as caught:
        check("http://localhost:4000/v1", Policy.of({}))
    text = str(caught.value)
    assert "localhost" in text
    assert 'reason="loopback"' in text
    assert "NEXUS_CUSTOM_API_ALLOW_PRIVATE=1" in text


def test_a_refusal_never_offers_what_would_not_help() -> None:
    with pytest.raises(Refused) as caught:
        check("http://169.254.169.254/latest/meta-data", Policy.of({}))
    assert "ALLOW_PRIVATE" not in str(caught.value)


def test_a_refusal_shows_no_password() -> None:
    with pytest.raises(Refused) as caught:
        check("https://user:hunter2@example.com/v1")
    assert "hunter2" not in str(caught.value)


def test_a_target_is_spelled_as_it_will_be_called() -> None:
    target = check("HTTPS://Example.COM.:8443/v1")
    assert (target.scheme, target.host, target.port, target.path) == ("https", "example.com", 8443, "/v1")


@pytest.mark.parametrize(
    ("url", "cleartext"),
    [("http://example.com", True), ("https://example.com", False), ("http://127.0.0.1", False), ("http://8.8.8.8", True)],
)  # fmt: skip
def test_a_key_in_clear_is_told(url: str, cleartext: bool) -> None:
    assert check(url, LENIENT).cleartext is cleartext


IPV4 = st.integers(0, 2**32 - 1).map(ipaddress.IPv4Address)
IPV6 = st.integers(0, 2**128 - 1).map(ipaddress.IPv6Address)


def spellings(address: ipaddress.IPv4Address) -> list[str]:
    value = int(address)
    a, b, c, d = address.packed
    return [
        str(address),
        f"{value}",
        f"{value:#x}",
        f"0{value:o}",
        f"{a}.{value & 0xFFFFFF}",
        f"{a:#x}.{b:#X}.{value & 0xFFFF:#x}",
        f"0{a:o}.0{b:o}.0{c:o}.0{d:o}",
        f"[::ffff:{address}]",
        f"[::ffff:{value >> 16:x}:{value & 0xFFFF:x}]",
        f"[64:ff9b::{address}]",
        str(address).replace(".", "。"),
        "".join(chr(ord(char) + 0xFEE0) if char.isdigit() else char for char in str(address)) + ".",
    ]


def judged(address: ipaddress.IPv4Address) -> tuple[str | None, ...]:
    """What may be said of it; the client reads no odd spelling of an address, so those of open ones stop there."""
    expected = standing(address)
    return (expected,) if expected is not None else (None, "not_a_url")


@given(IPV4)
@example(ipaddress.IPv4Address("127.0.0.1"))
@example(ipaddress.IPv4Address("169.254.169.254"))
def test_every_spelling_of_an_address_is_judged_alike(address: ipaddress.IPv4Address) -> None:
    for spelling in spellings(address):
        assert reason_of(f"http://{spelling}/v1") in judged(address), spelling


@given(st.one_of(IPV4, IPV6))
def test_what_python_calls_not_global_is_refused(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address,
) -> None:
    if not address.is_global:
        mapped = isinstance(address, ipaddress.IPv6Address) and (address.ipv4_mapped or address in NAT64)
        assert mapped or standing(address) is not None


NAT64 = ipaddress.IPv6Network("64:ff9b::/96")


@given(st.from_regex(r"[0-9a-fx.]{1,18}", fullmatch=True))
def test_what_the_system_reads_as_an_address_is_judged_as_that_address(text: str) -> None:
    try:
        packed = socket.inet_aton(text)
    except OSError:
        return
    assert reason_of(f"http://{text}/") in judged(ipaddress.IPv4Address(packed))


@given(st.text(max_size=40))
@example("\0")
def test_no_text_is_more_than_refused(text: str) -> None:
    reason_of(text)
    reason_of(f"http://{text}/")
    literal(text)


@given(st.text(max_size=20), st.sampled_from(["127.0.0.1", "[::1]", "169.254.169.254", "10.0.0.1"]))
def test_no_text_around_a_bad_host_lets_it_pass(text: str, host: str) -> None:
    """Whatever passes must be called at a host that is not the bad one: read by the client that would call it."""
    around = ("http://{0}{1}/", "http://{0}@{1}/", "http://{1}{0}", "http://{1}:{0}/")
    for url in (each.format(text, host) for each in around):
        if reason_of(url) is None:
            assert httpx2.URL(url).host != host.strip("[]")


async def names(*found: str) -> Sequence[str]:
    async def resolver(host: str, port: int) -> Sequence[str]:
        return found

    return await addresses("gateway.example.com", 443, STRICT, resolver)


BAD = [
    "127.0.0.1",
    "10.0.0.1",
    "::1",
    "fd00::1",
    "::ffff:10.0.0.1",
    "169.254.169.254",
    "0.0.0.0",
    "fe80::1%2",
]


@pytest.mark.parametrize("bad", BAD)
async def test_one_bad_address_among_good_ones_refuses_the_name(bad: str) -> None:
    with pytest.raises(Refused) as caught:
        await names("8.8.8.8", bad)
    assert "gateway.example.com" in str(caught.value)


async def test_a_name_of_good_addresses_is_called_at_them() -> None:
    assert await names("8.8.8.8", "2606:4700::1111") == ("8.8.8.8", "2606:4700::1111")


async def test_a_name_without_addresses_is_not_called() -> None:
    with pytest.raises(OSError, match="no address"):
        await names()


def test_what_is_no_address_is_refused() -> None:
    assert refusal("not an address", LENIENT) == "reserved"


async def test_names_that_are_private_by_their_name_are_not_looked_up() -> None:
    asked: list[str] = []

    async def resolver(host: str, port: int) -> Sequence[str]:
        asked.append(host)
        return ["8.8.8.8"]

    async with httpx2.AsyncClient(transport=Guarded(resolver=resolver)) as client:
        for host in ("metadata.google.internal", "localhost", "127.1", "[::1]"):
            with pytest.raises(Refused):
                await client.get(f"http://{host}/")
    assert asked == []


async def test_a_failed_look_up_is_a_connection_that_failed() -> None:
    async def resolver(host: str, port: int) -> Sequence[str]:
        raise socket.gaierror(-2, "Name or service not known")

    async with httpx2.AsyncClient(transport=Guarded(resolver=resolver)) as client:
        with pytest.raises(httpx2.ConnectError, match=r"cannot resolve gateway\.example\.com"):
            await client.get("https://gateway.example.com/v1")


SOURCE = Path(nexus_agents.__file__).parent


def test_every_connection_is_made_through_the_guard() -> None:
    """No other module makes a client of its own or opens a socket."""
    makes = re.compile(
        r"(?:httpx2?\.(?:Async)?Client\(|urllib\.request|aiohttp|open_connection|create_connection|http\.client)"
    )
    offenders = [
        path.name
        for path in SOURCE.rglob("*.py")
        if path.name != "guard.py" and makes.search(path.read_text())
    ]
    assert offenders == []


def test_nothing_is_imported_from_the_gateway() -> None:
    imports = re.compile(r"^\s*(?:from|import) nexus(?:\.|\s)", re.M)
    assert [path.name for path in SOURCE.rglob("*.py") if imports.search(path.read_text())] == []
