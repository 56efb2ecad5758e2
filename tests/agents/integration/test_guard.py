"""The guard on the wire: a name server that changes its mind, a server that redirects, a server that proves its name."""

import asyncio
import ssl
import struct
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from ipaddress import IPv4Address
from typing import cast

import httpx2
import pytest
import trustme

from nexus_agents.errors import Refused
from nexus_agents.guard import STRICT, Guarded, Policy, addresses, client

LENIENT = Policy(allow_private=True)
PUBLIC = "93.184.216.34"


class NameServer(asyncio.DatagramProtocol):
    """Answers each question for an IPv4 address with the next answer, and keeps the last one; nothing may be cached."""

    def __init__(self, *answers: str) -> None:
        self.answers = list(answers)
        self.asked = 0
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        assert self._transport is not None
        answer = self.answers[min(self.asked, len(self.answers) - 1)]
        self.asked += 1
        header = data[:2] + struct.pack(">HHHHH", 0x8180, 1, 1, 0, 0)
        record = struct.pack(">HHHIH", 0xC00C, 1, 1, 0, 4) + IPv4Address(answer).packed
        self._transport.sendto(header + data[12:] + record, addr)


class Question(asyncio.DatagramProtocol):
    def __init__(self, answer: asyncio.Future[bytes]) -> None:
        self.answer = answer

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self.answer.set_result(data)


@asynccontextmanager
async def name_server(*answers: str) -> AsyncGenerator[tuple[NameServer, "Asking"]]:
    loop = asyncio.get_running_loop()
    transport, server = await loop.create_datagram_endpoint(
        lambda: NameServer(*answers), local_addr=("127.0.0.1", 0)
    )
    try:
        yield server, Asking(transport.get_extra_info("sockname"))
    finally:
        transport.close()


class Asking:
    """A resolver that asks one name server by UDP."""

    def __init__(self, server: tuple[str, int]) -> None:
        self._server = server

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[bytes] = loop.create_future()
        transport, _ = await loop.create_datagram_endpoint(lambda: Question(answer), remote_addr=self._server)
        name = b"".join(bytes([len(label)]) + label.encode() for label in host.split(".")) + b"\0"
        transport.sendto(struct.pack(">HHHHHH", 1, 0x0100, 1, 0, 0, 0) + name + struct.pack(">HH", 1, 1))
        try:
            return [str(IPv4Address((await answer)[-4:]))]
        finally:
            transport.close()


class Web:
    """An HTTP server that counts who came, under which Host."""

    def __init__(self, answer: bytes) -> None:
        self.answer = answer
        self.hosts: list[str] = []
        self.port = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        self.hosts += [line[6:] for line in head.split("\r\n") if line.lower().startswith("host: ")]
        writer.write(self.answer)
        await writer.drain()
        writer.close()


OK = b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\nconnection: close\r\n\r\nsecret"


@asynccontextmanager
async def web(answer: bytes = OK, tls: ssl.SSLContext | None = None) -> AsyncGenerator[Web]:
    site = Web(answer)
    server = await asyncio.start_server(site.serve, "127.0.0.1", 0, ssl=tls)
    site.port = server.sockets[0].getsockname()[1]
    async with server:
        yield site


async def test_a_name_that_turns_to_loopback_after_it_was_judged_does_not_get_through() -> None:
    async with web() as victim, name_server(PUBLIC, "127.0.0.1") as (server, resolver):
        assert await addresses("rebind.example.com", victim.port, STRICT, resolver) == [PUBLIC]
        async with client(resolver=resolver) as http:
            with pytest.raises(Refused) as caught:
                await http.get(f"http://rebind.example.com:{victim.port}/")
    assert caught.value.reason == "loopback"
    assert server.asked == 2
    assert victim.hosts == []


async def test_a_connection_goes_to_the_address_judged_and_asks_no_second_time() -> None:
    """The name would mean loopback by the time of the connect; the connect is made to what was judged."""
    called: list[tuple[str, str]] = []

    def transport() -> httpx2.AsyncBaseTransport:
        def answer(request: httpx2.Request) -> httpx2.Response:
            called.append((request.url.host, request.headers["host"]))
            return httpx2.Response(200)

        return httpx2.MockTransport(answer)

    async with name_server(PUBLIC, "127.0.0.1") as (server, resolver):
        guarded = Guarded(resolver=resolver, transport=transport)
        async with httpx2.AsyncClient(transport=guarded) as http:
            await http.get("http://rebind.example.com/")
            with pytest.raises(Refused):
                await http.get("http://rebind.example.com/")
    assert called == [(PUBLIC, "rebind.example.com")]
    assert server.asked == 2


async def test_the_victim_of_these_tests_would_answer_if_it_were_called() -> None:
    async with web() as victim, name_server("127.0.0.1") as (_, resolver):
        async with client(LENIENT, resolver=resolver) as http:
            answer = await http.get(f"http://rebind.example.com:{victim.port}/")
    assert answer.text == "secret"
    assert victim.hosts == [f"rebind.example.com:{victim.port}"]


LOCATIONS = ["http://127.0.0.1:1/", "http://169.254.169.254/latest", "/elsewhere", "//[::1]/", "http://[", ""]


@pytest.mark.parametrize("location", LOCATIONS)
async def test_a_redirect_is_refused_wherever_it_leads(location: str) -> None:
    answer = f"HTTP/1.1 307 x\r\nlocation: {location}\r\ncontent-length: 0\r\n\r\n".encode()
    async with web(answer) as site, client(LENIENT) as http:
        with pytest.raises(Refused) as caught:
            await http.post(f"http://127.0.0.1:{site.port}/v1", content=b"x")
    assert caught.value.reason == "redirect"


async def test_the_next_address_is_tried_when_one_does_not_answer() -> None:
    async def resolver(host: str, port: int) -> Sequence[str]:
        return ["127.0.0.2" if host == "a.example.com" else "::1", "127.0.0.1"]

    async with web() as site, client(LENIENT, resolver=resolver) as http:
        answer = await http.post(f"http://a.example.com:{site.port}/", content=b"body")
        assert answer.status_code == 200
        with pytest.raises(httpx2.ConnectError):
            await http.get("http://b.example.com:1/")


async def test_tls_proves_the_name_of_the_url_and_not_the_address() -> None:
    authority = trustme.CA()
    ours, theirs = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH), ssl.create_default_context()
    authority.issue_cert("gateway.example.com").configure_cert(ours)  # pyright: ignore[reportUnknownMemberType] no types for OpenSSL
    authority.configure_trust(theirs)  # pyright: ignore[reportUnknownMemberType] as above

    async def resolver(host: str, port: int) -> Sequence[str]:
        return ["127.0.0.1"]

    def transport() -> httpx2.AsyncBaseTransport:
        return httpx2.AsyncHTTPTransport(verify=theirs)

    async with web(tls=ours) as site:
        guarded = Guarded(LENIENT, resolver=resolver, transport=transport)
        async with httpx2.AsyncClient(transport=guarded) as http:
            answer = await http.get(f"https://gateway.example.com:{site.port}/")
            assert answer.text == "secret"
            with pytest.raises(httpx2.ConnectError, match="certificate"):
                await http.get(f"https://other.example.com:{site.port}/")


@pytest.mark.parametrize("spelling", ["127.0.0.1", "localhost", "127.1", "[::ffff:127.0.0.1]"])
async def test_proxies_of_the_environment_are_not_used(
    spelling: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with web() as proxy, web() as site:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        async with client(LENIENT) as http:
            assert (await http.get(f"http://{spelling}:{site.port}/")).status_code == 200
    assert proxy.hosts == []
    assert len(site.hosts) == 1
