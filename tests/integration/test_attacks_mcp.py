"""What hostile MCP clients and servers send."""

import asyncio
import os
import stat
import time
from pathlib import Path

import msgspec
import pytest

from integration.mcp_gateway import ACCEPT, http, mounted, stdio
from integration.mcp_servers.web import WebServer, running
from nexus.mcp import openapi, web
from nexus.mcp.caller import Caller
from nexus.mcp.link import Lost
from upstreams.misbehaving import Wire, serving
from upstreams.misbehaving import answer as reply

DEEP = b'{"jsonrpc":"2.0","id":1,"result":' + b"[" * 100_000


@pytest.mark.parametrize(
    ("kind", "body"), [(b"application/json", DEEP), (b"text/event-stream", b"data: %s\n\n" % DEEP)]
)
async def test_an_answer_nested_without_end_fails_its_call_alone(kind: bytes, body: bytes) -> None:
    server = WebServer(forced=(200, kind, body))
    async with running(server), mounted(http("web", f"{server.url}/mcp")) as gateway:
        (tool,) = await gateway.search("web")
        assert "MCP server 'web': it" in (await gateway.execute(tool))["error"]["message"]


async def test_a_request_whose_end_never_came_is_not_carried_out() -> None:
    counted: list[str] = []

    async def count(caller: Caller, server: str, tool: str) -> bool:
        counted.append(tool)
        return True

    call = msgspec.json.encode(
        {
            "jsonrpc": "2.0",
            "id": 1,
            "method": "tools/call",
            "params": {
                "name": "execute",
                "arguments": {"name": "plain__adder", "arguments": {"a": 1, "b": 2}},
            },
        }
    )
    lines = "".join(f"{name}: {value}\r\n" for name, value in ACCEPT.items())
    head = f"POST /mcp HTTP/1.1\r\nhost: x\r\n{lines}transfer-encoding: chunked\r\n\r\n".encode()
    async with mounted(stdio("plain", "plain"), limit=count) as gateway:
        _, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
        writer.write(head + b"%x\r\n%s\r\n" % (len(call), call))
        await writer.drain()
        writer.close()
        await writer.wait_closed()
        assert await gateway.execute("plain__adder", {"a": 1, "b": 2})
        assert counted == ["adder"]


@pytest.mark.parametrize("name", ["host", "origin", "mcp-session-id", "mcp-protocol-version"])
async def test_a_header_that_decides_is_said_once(name: str) -> None:
    async with mounted(stdio("plain", "plain")) as gateway:
        reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
        writer.write(f"POST /mcp HTTP/1.1\r\n{name}: a\r\n{name}: b\r\ncontent-length: 0\r\n\r\n".encode())
        assert (await reader.readline()).startswith(b"HTTP/1.1 400")
        assert b"is there twice" in await reader.readuntil(b"}}")
        writer.close()


def test_a_small_document_does_not_become_gigabytes_of_tools() -> None:
    schemas = {
        f"S{at}": {
            "properties": {
                "x": {"$ref": f"#/components/schemas/S{(at + 1) % 1000}"},
                "y": {"title": "y" * 99},
            }
        }
        for at in range(1000)
    }
    body = {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/S0"}}}}
    paths = {f"/p{at}": {"post": {"requestBody": body}} for at in range(1000)}
    began = time.monotonic()
    with pytest.raises(Lost, match="would take more than"):
        list(openapi.operations({"openapi": "3.0.0", "paths": paths, "components": {"schemas": schemas}}))
    assert time.monotonic() - began < 5


def test_an_event_id_that_could_be_no_header_is_none() -> None:
    assert web.field(b"id: a\0b\ndata: x\n\n", b"id") == b""
    assert web.field(b"id: ab\ndata: x\n\n", b"id") == b"ab"


async def test_what_a_server_says_aside_is_for_nobody_elses_eyes(tmp_path: Path) -> None:
    log, before = tmp_path / "log", os.umask(0)
    try:
        async with mounted(stdio("plain", "plain", more=f'stderr = {{ file = "{log}" }}\n')):
            assert stat.S_IMODE(log.stat().st_mode) == 0o600
    finally:
        os.umask(before)


async def test_the_words_of_a_server_begin_no_line_and_command_no_terminal(
    caplog: pytest.LogCaptureFixture,
) -> None:
    said = {"code": -1, "message": "no\n2026-01-01 ERROR all is lost\x1b[2J" + "!" * 1000}
    refused = reply(
        msgspec.json.encode({"jsonrpc": "2.0", "id": 1, "error": said}), b"content-type: application/json"
    )

    async def refuse(wire: Wire) -> None:
        while await wire.request():
            await wire.say(refused)

    async with serving(refuse) as server:
        toml = http("web", f"http://127.0.0.1:{server.port}/mcp", 'protocol = "streamable-http"')
        async with mounted(toml) as gateway:
            trouble = gateway.mcp.troubles["web"]
    assert trouble.startswith("no 2026-01-01 ERROR all is lost\N{REPLACEMENT CHARACTER}[2J!")
    assert len(trouble) <= 300
    assert "\x1b" not in caplog.text
    assert "\n2026-01-01 ERROR" not in caplog.text
