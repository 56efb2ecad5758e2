"""Several processes as one service: what docs/operations/scale-out.md promises, with nginx and Redis for real."""

import asyncio
from collections import Counter
from pathlib import Path

import msgspec

from deploy.rolling import ASKED, BOTH, CHAT, EXECUTE, config, load, roll, script
from deploy.topology import Replica, ask, topology
from gateway import gateway
from upstreams.redis import redis
from upstreams.scripted import upstream

HELLO = msgspec.json.encode(
    {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "initialize",
        "params": {
            "protocolVersion": "2025-06-18",
            "capabilities": {},
            "clientInfo": {"name": "test", "version": "1"},
        },
    }
)
LIST = b'{"jsonrpc":"2.0","id":2,"method":"tools/list","params":{}}'


async def test_a_rolling_restart_fails_no_request_and_breaks_no_stream(tmp_path: Path) -> None:
    async with upstream(script) as up, topology(config(up.url, "1s"), tmp_path) as run:
        async with load(run.port, each=4) as clients:
            assert await roll(run) == [0, 0, 0]
        assert not clients.failed, (clients.failed[:3], run.troubles[:3])
        assert min(clients.done[kind] for kind in ("whole", "streams", "tool calls")) > 10


async def test_replicas_keep_one_limit_and_take_any_request(tmp_path: Path) -> None:
    async with redis() as store, upstream(script) as up:
        limited = (
            '[server.rate_limits]\nenabled = true\nglobal = { limit = 43, interval = "600s" }\n'
            f'[server.rate_limits.storage]\ntype = "redis"\nurl = "{store.url}"\n'
        )
        async with topology(config(up.url, "0s") + limited, tmp_path) as run:
            await _mcp_goes_to_any([replica.port for replica in run.replicas])
            asked = [ask(run.port, "POST", CHAT, ASKED % b"") for _ in range(120)]
            statuses = Counter(answer.status for answer in await asyncio.gather(*asked))
            assert statuses == {200: 40, 429: 80}


async def _mcp_goes_to_any(ports: list[int]) -> None:
    """One client, three replicas: begin at one, list at another, call at the third."""
    answers = [
        await ask(port, "POST", "/mcp", body, accept=BOTH)
        for port, body in zip(ports, (HELLO, LIST, EXECUTE), strict=True)
    ]
    assert [answer.status for answer in answers] == [200, 200, 200]
    assert "mcp-session-id" not in answers[0].headers
    assert b'"execute"' in answers[1].body
    assert b'"sum":5' in answers[2].body.replace(b" ", b"")


async def test_a_session_is_known_to_the_replica_it_began_at_and_ended_with_a_404_elsewhere() -> None:
    toml = '[mcp]\nsessions = true\n[mcp.servers.none]\ncmd = ["false"]\n'
    async with gateway(toml) as first, gateway(toml) as second:
        session = (await first.ask("POST", "/mcp", HELLO, accept=BOTH)).headers["mcp-session-id"]
        told = {"accept": BOTH, "mcp_session_id": session, "mcp_protocol_version": "2025-06-18"}
        assert (await first.ask("POST", "/mcp", LIST, **told)).status == 200
        assert (await second.ask("POST", "/mcp", LIST, **told)).status == 404  # a client begins a new one


async def test_a_replica_that_leaves_says_so_before_it_closes_its_port(tmp_path: Path) -> None:
    file = tmp_path / "nexus.toml"
    file.write_text('[server]\nshutdown_delay = "60s"\n[llm.providers.try]\ntype = "echo"\n')
    replica = Replica(file)
    try:
        await replica.start()
        assert (await ask(replica.port, "GET", "/ready")).status == 200
        _, idle = await asyncio.open_connection("127.0.0.1", replica.port)
        replica.terminate()
        async with asyncio.timeout(10):
            while (ready := await ask(replica.port, "GET", "/ready")).status == 200:
                pass
        assert msgspec.json.decode(ready.body)["parts"]["server"] == "shutting down"
        assert (await ask(replica.port, "GET", "/health")).status == 200
        body = ASKED.replace(b"gpt-4o", b"try/echo") % b""
        answer = await ask(replica.port, "POST", CHAT, body, connection="keep-alive")
        assert (answer.status, answer.headers["connection"]) == (200, "close")
        assert not idle.transport.is_closing()
        idle.close()
        replica.terminate()  # a second word: at once
        assert await replica.ended() == 0
    finally:
        await replica.kill()


async def test_a_stream_that_outlives_the_delay_leaves_its_connection_to_the_client(tmp_path: Path) -> None:
    """Its head promised to keep the connection: a proxy may be sending the next request on it already."""
    async with upstream(script) as up:
        file = tmp_path / "nexus.toml"
        file.write_text(config(up.url, "900ms"))
        replica = Replica(file)
        try:
            await replica.start()
            reader, writer = await asyncio.open_connection("127.0.0.1", replica.port)
            writer.write(_keeping(ASKED % b',"stream":true'))
            await reader.readuntil(b"data:")
            replica.terminate()
            await reader.readuntil(b"0\r\n\r\n")
            writer.write(_keeping(ASKED % b""))
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200")
            assert b"connection: close" in head
            assert await replica.ended() == 0
            writer.close()
        finally:
            await replica.kill()


def _keeping(body: bytes) -> bytes:
    head = f"POST {CHAT} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    return head.encode() + body
