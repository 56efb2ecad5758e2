"""Clients that want to know when the lists they see change, in both eras; and the end of the streams they wait on."""

import asyncio
import contextlib
import signal
import time
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import httpx2
import msgspec
from mcp.client.subscriptions import Subscription
from mcp_types import (
    EmptyResult,
    ResourceUpdatedNotification,
    SubscribeRequest,
    SubscribeRequestParams,
    ToolListChangedNotification,
)

from gateway import process
from integration.mcp_gateway import ACCEPT, NO_TLS, Mounted, http, mounted, stdio, until
from integration.mcp_servers.web import WebServer, event, reply, running, start
from nexus.mcp.caller import Caller
from nexus.server.asgi import Scope, Send

DIRECT = '[mcp]\nmode = "direct"\n'
SESSIONS = '[mcp]\nmode = "both"\nsessions = true\n'
GROUPS = """
[server.client_identification]
enabled = true
client_id.http_header = "x-client"
group_id.http_header = "x-group"
validation.group_values = ["in", "out"]
"""


def _identify(scope: Scope) -> Caller:
    headers = {name.decode(): value.decode() for name, value in scope["headers"]}
    ends = headers.get("x-expires")
    return Caller(headers.get("x-group"), headers.get("x-token"), float(ends) if ends else None)


@contextlib.asynccontextmanager
async def _listening(gateway: Mounted) -> AsyncGenerator[Subscription]:
    async with (
        gateway.client(mode="2026-07-28") as client,
        client.listen(tools_list_changed=True) as subscription,
    ):
        yield subscription


async def test_a_client_without_session_is_told_what_it_asked_for() -> None:
    async with mounted(DIRECT + stdio("a", "plain")) as gateway:
        async with _listening(gateway) as told:
            assert told.honored.tools_list_changed
            await gateway.call("a__grow", {})
            assert type(await anext(told)).__name__ == "ToolsListChanged"
            assert "a__grown" in [
                one["name"] for one in (await gateway.post("tools/list"))["result"]["tools"]
            ]


async def test_only_what_may_change_is_promised() -> None:
    async with mounted(stdio("a", "plain")) as gateway, gateway.client(mode="auto") as client:
        assert client.server_capabilities.tools is not None
        assert not client.server_capabilities.tools.list_changed, "search and execute stay what they are"
        wanted: dict[str, Any] = {"tools_list_changed": True, "prompts_list_changed": True}
        async with client.listen(**wanted, resource_subscriptions=["a://b"]) as told:
            assert told.honored.model_dump(exclude_none=True) == {"prompts_list_changed": True}


async def test_a_session_is_told_on_its_stream() -> None:
    heard: asyncio.Queue[Any] = asyncio.Queue()

    async def hear(message: Any) -> None:
        heard.put_nowait(message)

    async with mounted(SESSIONS + stdio("a", "plain")) as gateway:
        async with gateway.client(mode="legacy", message_handler=hear) as client:
            assert client.server_capabilities.tools is not None
            assert client.server_capabilities.tools.list_changed
            await _opened(gateway)
            await gateway.call("a__grow", {})
            assert isinstance(await heard.get(), ToolListChangedNotification)


async def _opened(gateway: Mounted) -> None:
    """Wait until somebody waits for changes."""
    await until(lambda: bool(gateway.mcp.pool.signal.next._waiters))  # pyright: ignore  # nothing public tells  # noqa: PGH003


async def test_a_server_that_comes_up_or_goes_is_a_change() -> None:
    async with mounted(DIRECT + stdio("a", "plain", "slow=0.5"), settle=False) as gateway:
        async with _listening(gateway) as told:
            await anext(told)
            assert gateway.mcp.troubles == {}


async def test_nobody_is_told_of_what_it_may_not_see() -> None:
    toml = GROUPS + DIRECT + stdio("a", "plain", more='allow = ["in"]\n') + stdio("b", "plain")
    async with mounted(toml, identify=_identify) as gateway:
        async with _stream(gateway, x_group="in") as inside, _stream(gateway, x_group="out") as outside:
            await gateway.call("a__grow", {}, x_group="in")
            assert "tools/list_changed" in await inside.get()
            await gateway.call("b__grow", {}, x_group="out")
            assert "tools/list_changed" in await outside.get()
            assert outside.empty(), "told of one change, not of two"


async def test_a_stream_ends_with_the_token_of_its_client() -> None:
    async with mounted(DIRECT + stdio("a", "plain"), identify=_identify) as gateway:
        async with _stream(gateway, x_token="A", x_expires=str(time.time() + 0.3)) as told:
            assert '"result"' in await told.get()


async def test_streams_do_not_hold_up_the_end() -> None:
    async with mounted(SESSIONS + stdio("a", "plain")) as gateway:
        async with gateway.client(mode="legacy"), _stream(gateway) as told:
            await _opened(gateway)
            began = time.monotonic()
            drained = asyncio.create_task(gateway.drain())
            assert '"result"' in await told.get(), "the client is told that the stream has ended"
            assert await drained == 0
            assert time.monotonic() - began < 5


def test_a_process_that_stops_waits_for_no_stream_of_news(tmp_path: Path) -> None:
    file = tmp_path / "nexus.toml"
    file.write_text('[llm.providers.try]\ntype = "echo"\n' + SESSIONS + stdio("a", "plain"))
    with process("--config", str(file)) as nexus, httpx2.Client(timeout=30, verify=NO_TLS) as client:
        url, version = f"{nexus.url}/mcp", {"mcp-protocol-version": "2025-11-25"}
        about = {"name": "test", "version": "1"}
        params = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": about}
        message = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": params}
        session = client.post(url, json=message, headers=ACCEPT).headers["mcp-session-id"]
        lines = {**ACCEPT, **version, "mcp-session-id": session}
        with client.stream("GET", url, headers=lines) as answer:
            assert answer.status_code == 200
            nexus.popen.send_signal(signal.SIGTERM)
            answer.read()
        assert nexus.popen.wait(10) == 0
        nexus.read_until("Server shut down gracefully")
        assert "were cut" not in "".join(nexus.log)


async def test_streams_end_when_another_configuration_takes_over_and_work_goes_on() -> None:
    async with mounted(SESSIONS + stdio("a", "plain")) as gateway:
        async with gateway.client(mode="legacy"), _stream(gateway) as told:
            await _opened(gateway)
            call = asyncio.create_task(gateway.execute("a__wait", {"seconds": 1}))
            await until(lambda: bool(gateway.mcp.pool.shared["a"].busy))
            gateway.mcp.leave()
            assert '"result"' in await told.get()
            assert (await call)["content"][0]["text"] == "done"


@contextlib.asynccontextmanager
async def _stream(gateway: Mounted, **headers: str) -> AsyncGenerator["asyncio.Queue[str]"]:
    """Listen for changed tools; gives the messages after the first."""
    meta: dict[str, Any] = {
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {},
    }
    message: dict[str, Any] = {
        "jsonrpc": "2.0",
        "id": 7,
        "method": "subscriptions/listen",
        "params": {"notifications": {"toolsListChanged": True}, "_meta": meta},
    }
    lines = {**ACCEPT, "mcp-protocol-version": "2026-07-28", "mcp-method": "subscriptions/listen"}
    lines |= {name.replace("_", "-"): value for name, value in headers.items()}
    told: asyncio.Queue[str] = asyncio.Queue()
    async with (
        httpx2.AsyncClient(timeout=30) as client,
        client.stream(
            "POST", f"{gateway.url}/mcp", content=msgspec.json.encode(message), headers=lines
        ) as answer,
    ):
        task = asyncio.create_task(_pass(answer, told))
        assert "acknowledged" in await told.get()
        try:
            yield told
        finally:
            task.cancel()


async def _pass(answer: httpx2.Response, told: "asyncio.Queue[str]") -> None:
    async for line in answer.aiter_lines():
        if line.startswith("data:"):
            told.put_nowait(line)


class Subscribed(WebServer):
    """A server whose resource can be subscribed to."""

    async def _answer(self, body: dict[str, Any]) -> dict[str, Any]:
        method, number = body["method"], body["id"]
        if method == "resources/list":
            return {"jsonrpc": "2.0", "id": number, "result": {"resources": [{"uri": "x://a", "name": "a"}]}}
        if method == "resources/subscribe":
            return {"jsonrpc": "2.0", "id": number, "result": {}}
        answer = await super()._answer(body)
        if method == "initialize":
            answer["result"]["capabilities"] = {"tools": {}, "resources": {"subscribe": True}}
        return answer


async def test_what_a_session_has_subscribed_to_reaches_it_and_no_other() -> None:
    heard: list[list[Any]] = [[], []]
    async with running(Subscribed(sessions=True)) as web:
        async with (
            mounted(SESSIONS + http("web", f"{web.url}/mcp")) as gateway,
            contextlib.AsyncExitStack() as stack,
        ):
            clients = [
                await stack.enter_async_context(gateway.client(mode="legacy", message_handler=_into(one)))
                for one in heard
            ]
            for client in clients:
                await client.call_tool("execute", {"name": "web__greet", "arguments": {}})
            await clients[1].session.send_request(
                SubscribeRequest(params=SubscribeRequestParams(uri="x://a")), EmptyResult
            )
            await until(lambda: {"s1", "s2", "s3"} <= web.streams.keys())
            updated = {
                "jsonrpc": "2.0",
                "method": "notifications/resources/updated",
                "params": {"uri": "x://a"},
            }
            web.streams["s3"].put_nowait(event(updated))
            await until(lambda: heard[1])
            assert isinstance(heard[1][0], ResourceUpdatedNotification)
            assert heard[0] == []


def _into(heard: list[Any]) -> Any:
    async def hear(message: Any) -> None:
        heard.append(message)

    return hear


class News(WebServer):
    """A server without handshake that tells of its changed tools to who asks."""

    async def _streamable(self, method: str, headers: dict[str, str], body: Any, send: Send) -> None:
        if body and body["method"] == "subscriptions/listen":
            self.streams["news"] = asyncio.Queue[bytes]()
            await start(send, 200, b"text/event-stream")
            while True:
                piece = await self.streams["news"].get()
                await send({"type": "http.response.body", "body": piece, "more_body": True})
        if body and body["method"] == "server/discover":
            found = {"supportedVersions": ["2026-07-28"], "capabilities": {"tools": {"listChanged": True}}}
            answer = {"jsonrpc": "2.0", "id": body["id"], "result": found}
            await reply(send, 200, b"application/json", msgspec.json.encode(answer))
            return
        await super()._streamable(method, headers, body, send)


async def test_a_server_without_handshake_is_listened_to() -> None:
    async with running(News(modern=True, handshake=False)) as web:
        async with mounted(http("web", f"{web.url}/mcp")) as gateway:
            await until(lambda: "news" in web.streams)
            web.tools = 2
            web.streams["news"].put_nowait(
                event({"jsonrpc": "2.0", "method": "notifications/tools/list_changed"})
            )
            upstream = gateway.mcp.pool.shared["web"]
            await until(lambda: upstream.listing is not None and len(upstream.listing.tools) == 2)
