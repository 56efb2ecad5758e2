"""TLS and proxies, for real: who is trusted, through whom, and what an error says."""

import asyncio
import base64
import datetime
import socket
import ssl
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trustme
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from nexus.http.client import HIGH_WATER, Failed, Limits, Pool, TimedOut, Truncated
from nexus.http.connect import Origin, Proxy, dial, proxy_for, tls_context
from upstreams.misbehaving import (
    CHUNKED,
    UNFRAMED,
    ConnectProxy,
    Script,
    Upstream,
    Wire,
    answer,
    chunk,
    echo,
    on_both_loops,
    saying,
    serving,
    silence,
)

MUCH = 1 << 20
LIMITS = Limits(connect=2.0, first_byte=5.0, idle=5.0)
PASSWORD = "p:ss w/rd"
CREDENTIALS = b"Basic " + base64.b64encode(f"user:{PASSWORD}".encode())


class Authority:
    """A private CA and what it has issued, as files."""

    def __init__(self, folder: Path) -> None:
        self.ca = trustme.CA()
        self.file = folder / "ca.pem"
        self.ca.cert_pem.write_to_path(str(self.file))
        self.own = folder / "server.pem"
        self.client = folder / "client.pem"
        self.ca.issue_cert("client@nexus.test").private_key_and_cert_chain_pem.write_to_path(str(self.client))
        self.trusting = tls_context(self.file)

    def server(self, name: str = "127.0.0.1", expires: datetime.datetime | None = None) -> ssl.SSLContext:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.set_alpn_protocols(["h2", "http/1.1"])
        self.ca.issue_cert(name, not_after=expires).private_key_and_cert_chain_pem.write_to_path(
            str(self.own)
        )
        context.load_cert_chain(self.own)
        return context


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("tls"))


@asynccontextmanager
async def pooling(
    upstream: Upstream,
    tls: ssl.SSLContext | None = None,
    proxy: Proxy | None = None,
    server_name: str | None = None,
    limits: Limits = LIMITS,
) -> AsyncGenerator[Pool]:
    pool = Pool(upstream.origin, limits, tls, server_name, proxy)
    yield pool
    pool.close()
    assert pool.open == 0


@asynccontextmanager
async def securely(authority: Authority, *scripts: Script) -> AsyncGenerator[tuple[Pool, Upstream]]:
    """Serve with a certificate, and trust it."""
    async with (
        serving(*scripts, tls=authority.server()) as upstream,
        pooling(upstream, authority.trusting) as pool,
    ):
        yield pool, upstream


async def ask(pool: Pool, body: bytes = b"{}") -> bytes:
    return await (await pool.request(b"POST", b"/v1/chat", b"x-key: sk-secret\r\n", body)).read(MUCH)


async def failure(pool: Pool, kind: type[Failed] = Failed) -> str:
    with pytest.raises(Failed) as caught:
        await ask(pool)
    assert type(caught.value) is kind
    for secret in ("sk-secret", PASSWORD, CREDENTIALS[6:].decode()):
        assert secret not in f"{caught.value!r}{caught.value.__cause__!r}{pool!r}"
    return str(caught.value)


# TLS


@on_both_loops
async def test_a_private_authority_is_trusted_when_named(authority: Authority) -> None:
    async with securely(authority, echo) as (pool, upstream):
        assert await ask(pool, b"one") == b"one"
        assert await ask(pool, b"two") == b"two"
        assert upstream.connections == 1


@on_both_loops
async def test_a_private_authority_is_not_trusted_by_itself(authority: Authority) -> None:
    async with serving(echo, tls=authority.server()) as upstream, pooling(upstream) as pool:
        assert (
            await failure(pool)
            == "could not connect to 127.0.0.1: certificate not accepted: unable to get local issuer certificate"
        )


@on_both_loops
async def test_a_certificate_for_another_name_is_refused(authority: Authority) -> None:
    async with (
        serving(echo, tls=authority.server("other.test")) as upstream,
        pooling(upstream, authority.trusting) as pool,
    ):
        assert "certificate not accepted: IP address mismatch" in await failure(pool)


@on_both_loops
async def test_an_expired_certificate_is_refused(authority: Authority) -> None:
    yesterday = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=1)
    async with (
        serving(echo, tls=authority.server(expires=yesterday)) as upstream,
        pooling(upstream, authority.trusting) as pool,
    ):
        assert "certificate not accepted: certificate has expired" in await failure(pool)


@on_both_loops
async def test_a_certificate_of_nobody_we_trust_is_refused(authority: Authority, tmp_path: Path) -> None:
    async with (
        serving(echo, tls=Authority(tmp_path).server()) as upstream,
        pooling(upstream, authority.trusting) as pool,
    ):
        assert "certificate not accepted" in await failure(pool)


@on_both_loops
async def test_the_name_to_expect_can_be_given(authority: Authority) -> None:
    async with (
        serving(echo, tls=authority.server("other.test")) as upstream,
        pooling(upstream, authority.trusting, server_name="other.test") as pool,
    ):
        assert await ask(pool) == b"{}"
        async with pooling(upstream, authority.trusting, server_name="third.test") as pool:
            assert "Hostname mismatch" in await failure(pool)


@on_both_loops
async def test_insecure_accepts_any_certificate(authority: Authority) -> None:
    async with (
        serving(echo, tls=authority.server("other.test")) as upstream,
        pooling(upstream, tls_context(insecure=True)) as pool,
    ):
        assert await ask(pool) == b"{}"


@on_both_loops
async def test_a_client_certificate_is_shown_to_who_wants_one(authority: Authority) -> None:
    strict = authority.server()
    strict.verify_mode = ssl.CERT_REQUIRED
    strict.load_verify_locations(authority.file)
    async with (
        serving(echo, tls=strict) as upstream,
        pooling(upstream, tls_context(authority.file, authority.client)) as pool,
    ):
        assert await ask(pool) == b"{}"
        async with pooling(upstream, authority.trusting) as pool:
            await failure(pool)


@on_both_loops
async def test_tls_to_a_server_without_it_is_a_failure(authority: Authority) -> None:
    async with serving(no_tls, mumble, hang_up) as upstream:
        upstream.secure = True
        for _ in range(3):
            async with pooling(upstream, authority.trusting) as pool:
                assert (await failure(pool)).startswith("could not connect to 127.0.0.1: ")


async def no_tls(wire: Wire) -> None:
    await wire.reader.read(100)
    await wire.say(answer(b"", status=b"400 The plain HTTP request was sent to..."))


async def mumble(wire: Wire) -> None:
    await wire.say(b"220 mail.test ESMTP\r\n")
    await wire.gone()


async def hang_up(wire: Wire) -> None:
    wire.reset()


@on_both_loops
async def test_a_handshake_that_never_comes_times_out(authority: Authority) -> None:
    async with serving(silence) as upstream:
        upstream.secure = True
        async with pooling(upstream, authority.trusting, limits=Limits(connect=0.1)) as pool:
            assert await failure(pool, TimedOut) == "could not connect to 127.0.0.1 within 0.1 seconds"


@on_both_loops
@pytest.mark.parametrize("cut", [Wire.hang_up, Wire.reset])
@pytest.mark.parametrize("said", [CHUNKED + chunk(b"so"), UNFRAMED + b"so", answer(b"so far")[:-4]])
async def test_a_tls_connection_cut_without_a_goodbye_is_truncated(
    authority: Authority, said: bytes, cut: Callable[[Wire], None]
) -> None:
    async def cutting(wire: Wire) -> None:
        await heard.wait()
        cut(wire)

    heard = asyncio.Event()
    async with securely(authority, saying(said, then=cutting)) as (pool, _):
        response = await pool.request(b"POST", b"/", b"", b"")
        assert await response.next() == b"so"
        heard.set()
        with pytest.raises(Truncated):
            await response.next()


@on_both_loops
async def test_a_tls_connection_closed_with_a_goodbye_ends_a_body_without_length(
    authority: Authority,
) -> None:
    async with securely(authority, saying(UNFRAMED + b"all of it")) as (pool, _):
        assert await ask(pool) == b"all of it"


@on_both_loops
async def test_a_stale_tls_connection_is_replaced(authority: Authority) -> None:
    async def rude(wire: Wire) -> None:
        await wire.request()
        wire.reset()

    async with securely(authority, saying(answer(b"one")), saying(answer(b"two"), then=rude), echo) as (
        pool,
        upstream,
    ):
        assert await ask(pool) == b"one"
        assert await ask(pool) == b"two"
        assert await ask(pool, b"three") == b"three"
        assert upstream.connections == 3


@on_both_loops
async def test_a_tls_upstream_faster_than_the_reader_has_to_wait(authority: Authority) -> None:
    piece, sent = b"0123456789abcdef" * 4096, 0

    async def pushing(wire: Wire) -> None:
        nonlocal sent
        for _ in range(800):
            await wire.say(chunk(piece))
            sent += len(piece)
        await wire.say(b"0\r\n\r\n")

    async with securely(authority, saying(CHUNKED, then=pushing)) as (pool, _):
        response = await pool.request(b"POST", b"/", b"", b"")
        before = -1
        while before != sent:
            before = sent
            await asyncio.sleep(0.3)
        assert sent < 20 * MUCH
        got = 0
        while data := await response.next():
            assert data == (piece * 9)[got % len(piece) :][: len(data)]
            assert len(data) <= HIGH_WATER * 3
            got += len(data)
        assert got == 800 * len(piece)


@on_both_loops
async def test_an_upstream_learns_at_once_that_we_gave_up_under_tls(authority: Authority) -> None:
    async def watching(wire: Wire) -> None:
        await wire.gone()
        gone.set()

    gone = asyncio.Event()
    async with securely(authority, saying(CHUNKED, then=watching)) as (pool, _):
        response = await pool.request(b"POST", b"/", b"", b"")
        response.close()
        async with asyncio.timeout(0.1):
            await gone.wait()


@on_both_loops
async def test_cancelling_at_any_turn_of_a_handshake_leaves_nothing_open(authority: Authority) -> None:
    """What is left open warns as it is collected, and a warning is an error here."""
    proxy = ConnectProxy()
    async with serving(proxy.script) as relay, serving(echo, tls=authority.server()) as upstream:
        for through in (None, Proxy("127.0.0.1", relay.port)):
            limits = Limits(connect=2.0, max_connections=1)
            async with pooling(upstream, authority.trusting, through, limits=limits) as pool:
                for turns in range(0, 60, 2):
                    asking = asyncio.ensure_future(ask(pool))
                    for _ in range(turns):
                        await asyncio.sleep(0)
                    asking.cancel()
                    await asyncio.gather(asking, return_exceptions=True)
                assert await ask(pool, b"still") == b"still"


async def test_an_https_origin_is_never_spoken_to_in_the_clear() -> None:
    loop = asyncio.get_running_loop()
    with pytest.raises(ValueError, match="needs TLS settings"):
        await dial(loop, asyncio.Protocol, Origin(True, "127.0.0.1", 1), None, None, None)
    assert Pool(Origin(True, "127.0.0.1", 1)).tls is not None


def test_a_locked_key_is_an_error_and_no_question(authority: Authority, tmp_path: Path) -> None:
    issued = authority.ca.issue_cert("client@nexus.test")
    key = load_pem_private_key(issued.private_key_pem.bytes(), None)
    locked = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret"))
    (tmp_path / "key.pem").write_bytes(locked)
    issued.cert_chain_pems[0].write_to_path(str(tmp_path / "cert.pem"))
    with pytest.raises(OSError, match=r"PEM|SSL"):
        tls_context(None, tmp_path / "cert.pem", tmp_path / "key.pem")


# proxies


@on_both_loops
@pytest.mark.parametrize("user", ["", f"user:{PASSWORD}@".replace(" ", "%20").replace("/", "%2F")])
async def test_https_goes_through_a_tunnel(authority: Authority, user: str) -> None:
    proxy = ConnectProxy(b"proxy-authorization: " + CREDENTIALS + b"\r\n" if user else b"")
    async with serving(proxy.script) as relay, serving(echo, tls=authority.server()) as upstream:
        through = Proxy.of(f"http://{user}127.0.0.1:{relay.port}")
        async with pooling(upstream, authority.trusting, through) as pool:
            assert await ask(pool, b"one") == b"one"
            assert await ask(pool, b"two" * 100_000) == b"two" * 100_000
            assert proxy.asked == [b"CONNECT 127.0.0.1:%d HTTP/1.1" % upstream.port]


@on_both_loops
async def test_certificates_are_checked_through_a_tunnel(authority: Authority) -> None:
    proxy = ConnectProxy()
    async with serving(proxy.script) as relay, serving(echo, tls=authority.server("other.test")) as upstream:
        through = Proxy("127.0.0.1", relay.port)
        async with pooling(upstream, authority.trusting, through) as pool:
            assert "certificate not accepted" in await failure(pool)
        async with pooling(upstream, authority.trusting, through, "other.test") as pool:
            assert await ask(pool) == b"{}"


async def no_tls_after_yes(wire: Wire) -> None:
    await wire.request()
    await wire.say(b"HTTP/1.1 200 Fine\r\n\r\n")
    wire.hang_up()


async def reset_after_yes(wire: Wire) -> None:
    await wire.request()
    await wire.say(b"HTTP/1.1 200 Fine\r\n\r\n")
    await wire.reader.read(100)
    wire.reset()


async def parrot(wire: Wire) -> None:
    await wire.say(b"HTTP/1.1 " + (await wire.request()).split(b"Basic ")[1] + b"\r\n\r\n")


@on_both_loops
@pytest.mark.parametrize(
    ("script", "told"),
    [
        pytest.param(ConnectProxy(b"other").script, "the proxy answered 407 to CONNECT", id="407"),
        pytest.param(saying(answer(b"", status=b"502 No")), "the proxy answered 502 to CONNECT", id="502"),
        pytest.param(saying(b""), "the proxy closed the connection", id="closes"),
        pytest.param(saying(b"HTTP/1.1 200"), "the proxy closed the connection", id="closes in its answer"),
        pytest.param(saying(b"nonsense\r\n\r\n"), "the proxy did not answer CONNECT in HTTP", id="garbage"),
        pytest.param(parrot, "the proxy did not answer CONNECT in HTTP", id="our credentials"),
        pytest.param(saying(b"x" * 20_000), "the proxy sent too much before its answer ended", id="endless"),
        pytest.param(
            saying(b"HTTP/1.1 200 Fine\r\n\r\nhello"), "the proxy sent more than its answer", id="more"
        ),
        pytest.param(no_tls_after_yes, "", id="closes after yes"),
        pytest.param(reset_after_yes, "", id="resets in the handshake"),
    ],
)
async def test_a_proxy_that_lets_us_down_is_a_failure(
    authority: Authority, script: Script, told: str
) -> None:
    async with serving(script) as relay:
        pool = Pool(
            Origin(True, "127.0.0.1", 9),
            LIMITS,
            authority.trusting,
            proxy=Proxy("127.0.0.1", relay.port, b"proxy-authorization: " + CREDENTIALS + b"\r\n"),
        )
        async with asyncio.timeout(1):
            assert told in await failure(pool)


@on_both_loops
async def test_a_silent_proxy_times_out(authority: Authority) -> None:
    async with serving(silence) as relay:
        proxy = Proxy("127.0.0.1", relay.port)
        pool = Pool(Origin(True, "127.0.0.1", 9), Limits(connect=0.1), authority.trusting, proxy=proxy)
        await failure(pool, TimedOut)


@on_both_loops
async def test_a_proxy_that_is_not_there_is_a_failure(authority: Authority) -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        proxy = Proxy("127.0.0.1", bound.getsockname()[1])
        for secure in (True, False):
            pool = Pool(Origin(secure, "127.0.0.1", 9), LIMITS, authority.trusting, proxy=proxy)
            assert (await failure(pool)).startswith("could not connect to 127.0.0.1: ")


@on_both_loops
async def test_bytes_right_behind_the_handshake_cost_the_connection_and_nothing_else(
    authority: Authority,
) -> None:
    proxy = ConnectProxy()
    tls = authority.server()
    async with serving(proxy.script) as relay, serving(mumble, echo, tls=tls) as upstream:
        for through in (None, Proxy("127.0.0.1", relay.port)):
            upstream.connections = 0
            async with pooling(upstream, authority.trusting, through) as pool:
                await failure(pool)
                assert pool.open == 0
                assert await ask(pool, b"next") == b"next"


@on_both_loops
async def test_plain_http_asks_a_proxy_for_the_full_url() -> None:
    async def script(wire: Wire) -> None:
        while True:
            await wire.say(answer(await wire.request()))

    async with serving(script) as relay:
        proxy = Proxy.of(f"http://user:secret@127.0.0.1:{relay.port}")
        pool = Pool(Origin.of("http://upstream.test:8080"), LIMITS, proxy=proxy)
        assert await ask(pool) == (
            b"POST http://upstream.test:8080/v1/chat HTTP/1.1\r\nhost: upstream.test:8080\r\n"
            b"proxy-authorization: Basic dXNlcjpzZWNyZXQ=\r\nx-key: sk-secret\r\ncontent-length: 2\r\n\r\n{}"
        )
        pool.close()


# names and addresses


@pytest.mark.parametrize(
    ("url", "host", "header", "full"),
    [
        ("http://a.test", "a.test", b"a.test", "http://a.test"),
        ("HTTP://A.test:80/v1", "a.test", b"a.test", "http://a.test"),
        ("https://a.test:443", "a.test", b"a.test", "https://a.test"),
        ("https://a.test:80", "a.test", b"a.test:80", "https://a.test:80"),
        ("http://a.test:8080", "a.test", b"a.test:8080", "http://a.test:8080"),
        ("http://[::1]", "::1", b"[::1]", "http://[::1]"),
        ("http://[::1]:8080", "::1", b"[::1]:8080", "http://[::1]:8080"),
        ("https://bücher.test:8443", "xn--bcher-kva.test", b"xn--bcher-kva.test:8443", None),
        ("https://a.bücher", "a.xn--bcher-kva", b"a.xn--bcher-kva", "https://a.xn--bcher-kva"),
    ],
)
def test_an_origin_is_read_from_a_url(url: str, host: str, header: bytes, full: str | None) -> None:
    origin = Origin.of(url)
    assert (origin.host, origin.host_header) == (host, header)
    assert origin.url == (full or f"https://{header.decode()}")


@pytest.mark.parametrize(
    "url",
    ["a.test", "ftp://a.test", "http://", "http://user:hush@a.test", "http://a.test:hush", "http://a..test"],
)
def test_what_is_no_origin_is_refused_without_being_shown(url: str) -> None:
    with pytest.raises(ValueError, match=r"expected|belong|port|idna") as caught:
        Origin.of(url)
    assert "hush" not in f"{caught.value!r}{caught.value.__cause__!r}"


@pytest.mark.parametrize("url", ["socks5://a:1", "https://a", "http://", "http://user:hush/hush@a:1"])
def test_what_is_no_proxy_is_refused_without_being_shown(url: str) -> None:
    with pytest.raises(ValueError, match=r"proxies|port") as caught:
        Proxy.of(url)
    assert "hush" not in f"{caught.value!r}"


HERE = {"HTTP_PROXY": "http://plain:1", "HTTPS_PROXY": "secure:2", "ALL_PROXY": "http://any:3"}


@pytest.mark.parametrize(
    ("url", "environ", "host"),
    [
        ("http://a.test", HERE, "plain"),
        ("https://a.test", HERE, "secure"),
        ("https://a.test", {"ALL_PROXY": "http://any:3"}, "any"),
        ("https://a.test", {"https_proxy": "http://small:1", "HTTPS_PROXY": "http://big:1"}, "small"),
        ("https://a.test", {"HTTPS_PROXY": "http://big:1", "https_proxy": "http://small:1"}, "small"),
        ("https://a.test", {"HTTP_PROXY": "http://plain:1"}, None),
        ("https://a.test", {"HTTPS_PROXY": ""}, None),
        ("https://a.test", {}, None),
    ],
)
def test_the_environment_names_the_proxy(url: str, environ: Mapping[str, str], host: str | None) -> None:
    proxy = proxy_for(Origin.of(url), environ)
    assert (proxy and proxy.host) == host


@pytest.mark.parametrize(
    ("url", "entries", "direct"),
    [
        ("https://a.test", "*", True),
        ("https://a.test", "localhost, *", True),
        ("https://a.test", "", False),
        ("https://a.test", " , ,", False),
        ("https://a.test", "b.test,A.Test", True),
        ("https://x.a.test", "a.test", True),
        ("https://x.a.test", ".a.test", True),
        ("https://x.a.test", "*.a.test", True),
        ("https://xa.test", "a.test", False),
        ("https://a.test", "x.a.test", False),
        ("https://a.test", "a.test:443", True),
        ("https://a.test:8443", "a.test:443", False),
        ("https://x.a.test:8443", ".a.test:8443", True),
        ("https://10.1.2.3", "10.0.0.0/8", True),
        ("https://10.1.2.3", "192.168.0.0/16, 10.1.2.3", True),
        ("https://10.1.2.3:8443", "10.1.2.3:8443", True),
        ("https://11.1.2.3", "10.0.0.0/8", False),
        ("https://a.test", "10.0.0.0/8", False),
        ("https://[fd00::1]", "fd00::/8", True),
        ("https://[::1]", "::1", True),
        ("https://[::1]", "[::1]", True),
        ("https://[::1]:8443", "[::1]:8443", True),
        ("https://[::2]", "::1", False),
    ],
)
def test_no_proxy_is_honoured(url: str, entries: str, direct: bool) -> None:
    assert (proxy_for(Origin.of(url), {**HERE, "NO_PROXY": entries}) is None) == direct


def test_credentials_are_not_shown_by_a_proxy() -> None:
    proxy = Proxy.of("http://us%40er:p%3Ass@a.test")
    assert proxy.authorization == b"proxy-authorization: Basic " + base64.b64encode(b"us@er:p:ss") + b"\r\n"
    assert "Basic" not in repr(proxy)
