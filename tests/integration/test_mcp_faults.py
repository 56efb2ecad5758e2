"""Servers at their worst, and at the worst moment: clear errors, no harm to others, nothing left behind."""

import asyncio
import gc
import os
from pathlib import Path
from typing import Any

import msgspec
import pytest
from mcp.shared.exceptions import MCPError

from integration.mcp_gateway import Mounted, http, mounted, stdio, until
from integration.mcp_servers.web import WebServer, running
from nexus.mcp import exchange, link, upstream, view
from nexus.mcp.calls import Calls
from nexus.server.asgi import Send

GOOD = stdio("good", "plain")
NUMBERS = {"a": 1, "b": 2}


async def _works(gateway: Mounted, server: str = "good") -> None:
    assert (await gateway.execute(f"{server}__adder", NUMBERS))["structuredContent"] == {"sum": 3}


# coming up


async def test_a_call_waits_a_little_for_a_server_that_is_starting() -> None:
    async with mounted(stdio("slow", "plain", "slow=0.5"), settle=False) as gateway:
        await _works(gateway, "slow")


async def test_a_call_of_a_server_that_is_still_starting_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(view, "_PATIENCE", 0.05)
    async with mounted(GOOD + stdio("slow", "plain", "slow=1"), settle=False) as gateway:
        error = (await gateway.execute("slow__adder", NUMBERS))["error"]
        assert error == {
            "code": -32603,
            "message": "MCP server 'slow' is still starting, try again in a moment",
        }
        found = await gateway.call("search", {"keywords": ["adder"]})
        assert "Still starting: " in found["structuredContent"]["note"]
        assert "slow" in found["structuredContent"]["note"]
        assert (await gateway.execute("nowhere__adder"))["error"] == {"code": -32601, "message": "tools/call"}


async def test_a_call_of_a_server_that_never_came_up_has_the_code_of_the_contract_and_says_why() -> None:
    async with mounted(GOOD + '[mcp.servers.bad]\ncmd = ["no-such-program"]\n') as gateway:
        error = (await gateway.execute("bad__anything"))["error"]
    why = "MCP server 'bad' is not available: it could not be started: No such file or directory"
    assert error == {"code": -32601, "message": "tools/call", "data": why}


async def test_who_may_not_use_a_server_is_not_told_of_its_troubles() -> None:
    bad = '[mcp.servers.bad]\ncmd = ["no-such-program"]\nallow = []\n'
    async with mounted(GOOD + bad) as gateway:
        assert (await gateway.execute("bad__x"))["error"] == {"code": -32601, "message": "tools/call"}


@pytest.mark.parametrize("server", [stdio("deaf", "plain", "deaf"), stdio("slow", "plain", "slow=9")])
async def test_a_gateway_that_closes_while_a_server_starts_leaves_nothing_behind(server: str) -> None:
    before, others = asyncio.all_tasks(), _children()
    async with mounted(server, settle=False) as gateway:
        call = asyncio.create_task(gateway.execute("deaf__adder", NUMBERS))
        await until(lambda: bool(_children() - others))
        call.cancel()
    gc.collect()  # what was never awaited warns now, and warnings are errors
    await asyncio.wait({call})
    assert _children() <= others
    assert {one for one in asyncio.all_tasks() - before if not one.done()} == set()


# dying


_SHELL = """
while read -r line; do
  id=${line#*'"id":'}; id=${id%%,*}
  case $line in
    *'"method":"initialize"'*) r='{"protocolVersion":"2025-11-25","capabilities":{"tools":{}},"serverInfo":{}}';;
    *'"method":"tools/list"'*) r='{"tools":[{"name":"ok","inputSchema":{}},{"name":"die","inputSchema":{}}]}';;
    *'"name":"die"'*) kill -9 $$;;
    *'"method":"tools/call"'*) r='{"content":[]}';;
    *) continue;;
  esac
  echo "{\\"jsonrpc\\":\\"2.0\\",\\"id\\":$id,\\"result\\":$r}"
done
"""
"""A server that starts in no time."""


def _children() -> set[int]:
    """List the processes we have started that are there, ended and not reaped ones included."""
    found: set[int] = set()
    for one in Path("/proc").glob("[0-9]*/stat"):
        try:
            state = one.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(state[1]) == os.getpid():
            found.add(int(one.parent.name))
    return found


def _open() -> tuple[int, int, int]:
    return len(asyncio.all_tasks()), len(os.listdir("/proc/self/fd")), len(_children())


async def test_a_hundred_deaths_leave_no_process_no_task_and_no_file(tmp_path: Path) -> None:
    script = tmp_path / "server.sh"
    script.write_text(_SHELL)
    toml = f'[mcp.servers.s]\ncmd = ["sh", "{script}"]\nstderr = "pipe"\n'
    async with mounted(toml) as gateway:
        assert "error" not in await gateway.execute("s__ok")
        before = _open()
        for _ in range(100):
            assert "signal 9" in (await gateway.execute("s__die"))["error"]["message"]
            assert "error" not in await gateway.execute("s__ok")
        await until(lambda: all(now <= then for now, then in zip(_open(), before, strict=True)))


async def test_a_hundred_servers_that_come_and_go_over_http_leave_no_task_and_no_file() -> None:
    async with running(WebServer(sessions=True)) as first:
        port = first.port
        context = mounted(http("web", f"{first.url}/mcp") + GOOD)
        gateway = await context.__aenter__()
        await until(lambda: "s1" in first.streams)
        before = _open()
    try:
        for _ in range(50):
            async with running(WebServer(sessions=True), port) as web:
                assert (await gateway.execute("web__greet"))["content"][0]["text"] == "web"
                await until(lambda web=web: "s1" in web.streams)
                web.known.clear()
                web.streams.clear()
                assert (await gateway.execute("web__greet"))["content"][0]["text"] == "web"
                await until(lambda web=web: "s2" in web.streams)
        async with running(WebServer(sessions=True), port):
            assert (await gateway.execute("web__greet"))["content"][0]["text"] == "web"
            await until(lambda: all(now <= then for now, then in zip(_open(), before, strict=True)))
    finally:
        await context.__aexit__(None, None, None)


async def test_a_server_that_dies_at_once_is_started_more_slowly_each_time(tmp_path: Path) -> None:
    script, starts = tmp_path / "server.sh", tmp_path / "starts"
    script.write_text(
        f"echo >> {starts}\nn=0\n"
        + _SHELL.replace("  esac", "  esac\n  n=$((n+1))").replace("\ndone", "\n  [ $n = 2 ] && exit 1\ndone")
    )
    async with mounted(f'[mcp.servers.s]\ncmd = ["sh", "{script}"]\n' + GOOD) as gateway:
        await asyncio.sleep(1.6)
        assert 1 <= len(starts.read_text()) <= 3
        assert "s__ok" in await gateway.search("ok"), "what it has is remembered"
        await _works(gateway)


async def test_a_server_that_does_not_want_to_end_is_killed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from nexus.mcp import stdio as module

    monkeypatch.setattr(module, "_GRACE", 0.1)
    others = _children()
    script = tmp_path / "server.sh"
    script.write_text("trap '' TERM\n" + _SHELL + "while :; do sleep 1; done\n")
    async with mounted(f'[mcp.servers.s]\ncmd = ["sh", "{script}"]\ncwd = "{tmp_path}"\n') as gateway:
        assert "error" not in await gateway.execute("s__ok")
        (child,) = _children() - others
        assert Path(f"/proc/{child}/cwd").readlink() == tmp_path
    assert _children() <= others


# answering late, or wrong


async def test_an_answer_that_comes_too_late_is_dropped_and_disturbs_nobody() -> None:
    late = stdio("late", "asking", more="request_timeout = 0.4\n")
    async with mounted(late + GOOD) as gateway:
        call = asyncio.create_task(gateway.execute("late__roots"))
        progress = {"count": 1, "every": 0.8}
        params = {"name": "execute", "arguments": {"name": "late__steps", "arguments": progress}}
        asked = asyncio.create_task(gateway.post("tools/call", {**params, "_meta": {"progressToken": 1}}))
        assert "error" not in await call
        await _works(gateway)
        assert (await asked)["error"]["message"] == "MCP server 'late': no answer within 0.4 seconds"
        await asyncio.sleep(0.5)
        assert (await gateway.execute("late__roots"))["structuredContent"]["said"] == {"roots": []}
        assert gateway.mcp.troubles == {}


async def test_a_client_that_waits_hears_that_work_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exchange, "KEEP_ALIVE", 0.1)
    call = {"name": "execute", "arguments": {"name": "good__wait", "arguments": {"seconds": 0.5}}}
    body = msgspec.json.encode({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": call})
    async with mounted(GOOD) as gateway:
        reply = await gateway.raw("POST", "/mcp", body)
    assert reply.content.count(b": still working") >= 3


class Wrong(WebServer):
    """A server whose lists are none."""

    lists: Any = 5

    async def _answer(self, body: dict[str, Any]) -> dict[str, Any]:
        answer = await super()._answer(body)
        if body["method"] == "tools/list":
            answer["result"] = {"tools": self.lists}
        elif body["method"] == "initialize":
            answer["result"]["capabilities"] = 7
        return answer


@pytest.mark.parametrize("lists", [5, "x", {"name": "y"}, [5, {"name": 3}, {"x": 1}], None])
async def test_lists_that_are_none_are_empty(lists: Any) -> None:
    server = Wrong()
    server.lists = lists
    async with running(server) as web, mounted(http("web", f"{web.url}/mcp") + GOOD) as gateway:
        assert gateway.mcp.troubles == {}
        assert all("web__" not in name for name in await gateway.search("greet", "x", "y"))
        await _works(gateway)


async def test_what_nobody_has_thought_of_does_not_stop_the_task_of_a_server(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    read, failures = upstream.listing.read, [KeyError("x"), RecursionError()]

    async def fail(*arguments: Any) -> Any:
        if failures:
            raise failures.pop()
        return await read(*arguments)

    monkeypatch.setattr(upstream, "_FIRST_DELAY", 0.01)
    monkeypatch.setattr(upstream.listing, "read", fail)
    async with mounted(GOOD) as gateway:
        assert gateway.mcp.troubles in ({"good": "what it answers cannot be read"}, {})
        await until(lambda: not gateway.mcp.troubles)
        await _works(gateway)


class Two(WebServer):
    """A server that keeps one call waiting and fails another."""

    free: asyncio.Event

    async def _ask(self, body: Any, send: Send) -> None:
        if body["method"] == "tools/call" and body["params"]["arguments"].get("wait"):
            await self.free.wait()
        elif body["method"] == "tools/call":
            self.forced = (500, b"text/plain", b"oops")
        await super()._ask(body, send)
        self.forced = None


async def test_a_call_that_fails_does_not_take_another_with_it() -> None:
    web = Two(sessions=True)
    web.free = asyncio.Event()
    async with running(web), mounted(http("web", f"{web.url}/mcp")) as gateway:
        waiting = asyncio.create_task(gateway.execute("web__greet", {"wait": True}))
        await until(lambda: "tools/call" in web.methods())
        assert "HTTP status 500" in (await gateway.execute("web__greet"))["error"]["message"]
        web.free.set()
        assert (await waiting)["content"][0]["text"] == "web"
        assert web.methods().count("initialize") == 1


async def test_a_text_that_looks_like_an_endpoint_is_a_text() -> None:
    name = "event: endpoint\ndata: /elsewhere"
    async with running(WebServer(name=name, sse=True, streamable=False)) as web:
        async with mounted(http("web", f"{web.url}/sse", 'protocol = "sse"\n')) as gateway:
            assert (await gateway.execute("web__greet"))["content"][0]["text"] == name
            assert (await gateway.execute("web__greet"))["content"][0]["text"] == name


async def test_a_server_that_does_not_read_is_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    from nexus.mcp import stdio as module

    monkeypatch.setattr(module, "MAX_MESSAGE", 300_000)
    blocked = stdio("good", "plain", more="request_timeout = 0.3\n")
    async with mounted(blocked) as gateway:
        await _works(gateway)
        long = {"seconds": 5, "text": "x" * 400_000}
        for _ in range(2):
            assert "no answer" in (await gateway.execute("good__wait", long))["error"]["message"]
        await _works(gateway)


# more than anybody can take


async def test_what_a_client_is_told_on_the_way_is_bounded() -> None:
    stream = exchange._Stream()  # pyright: ignore[reportPrivateUsage]
    for _ in range(100):
        await stream.notify("notifications/message", {"data": "x" * 100_000})
    stream.end()
    held = 0
    while (piece := await stream.next()) is not None:
        held += len(piece)
    assert 1_000_000 < held < 1_300_000


async def test_what_a_server_says_and_asks_is_bounded() -> None:
    class Stuck:
        async def notify(self, method: str, params: link.Raw) -> None:
            await asyncio.sleep(60)

        async def ask(self, method: str, params: link.Raw) -> link.Raw:
            raise RuntimeError("a transport of a client that breaks in its own way")

    async def send(data: bytes) -> None:
        sent.append(data)

    sent: list[bytes] = []
    calls = Calls(lambda method, params: None, {"roots": {}})
    call, _ = calls.begin(Stuck(), {"_meta": {"progressToken": "t"}})
    calls.receive(link.decode(b'{"id":"q","method":"roots/list"}'), send, call)
    await until(lambda: sent)
    assert msgspec.json.decode(sent[0])["error"] == {
        "code": -32603,
        "message": "The client could not be asked",
    }
    before = len(asyncio.all_tasks())
    for _ in range(3000):
        calls.receive(link.decode(b'{"method":"notifications/progress","params":{"progressToken":1}}'), send)
    assert len(asyncio.all_tasks()) - before == 1000
    calls.close()
    await asyncio.sleep(0)
    await until(lambda: len(asyncio.all_tasks()) == before)
    with pytest.raises(MCPError):
        await Calls(lambda method, params: None)._asked("sampling/createMessage", {}, None)  # pyright: ignore[reportPrivateUsage]
