"""Servers that misbehave, come and go: the others must not notice, and nothing may be left behind."""

import asyncio
import os
import ssl
from pathlib import Path

import msgspec
import pytest
import trustme
from mcp.shared.exceptions import MCPError

from integration.mcp_gateway import Mounted, http, mounted, stdio, until
from integration.mcp_servers.web import WebServer, running

GOOD = stdio("good", "plain")
FAST = "startup_timeout = 2\n"


async def _works(gateway: Mounted) -> None:
    assert (await gateway.execute("good__adder", {"a": 1, "b": 2}))["structuredContent"] == {"sum": 3}


@pytest.mark.parametrize(
    "command",
    [["cat"], ["echo", "hello"], ["false"], ["/etc/passwd"], ["no-such-program"], ["sleep", "60"]],
    ids=lambda command: command[0],
)
async def test_what_is_no_server_stops_nobody(command: list[str]) -> None:
    bad = f"[mcp.servers.bad]\ncmd = {msgspec.json.encode(command).decode()}\n{FAST}"
    async with mounted(GOOD + bad) as gateway:
        assert gateway.mcp.troubles.keys() == {"bad"}
        await _works(gateway)
        assert (await gateway.execute("bad__anything"))["error"]["code"] == -32601


async def test_a_folder_that_is_not_there_stops_nobody() -> None:
    async with mounted(GOOD + stdio("bad", "plain", more=f'cwd = "/no/such/folder"\n{FAST}')) as gateway:
        assert gateway.mcp.troubles.keys() == {"bad"}
        await _works(gateway)


async def test_the_gateway_answers_before_its_servers_are_up() -> None:
    slow = stdio("slow", "plain", "slow=2")
    async with mounted(GOOD + slow, settle=False) as gateway:
        assert (await gateway.post("tools/list"))["result"]["tools"]
        await until(lambda: gateway.mcp.pool.shared["good"].trouble is None)
        await _works(gateway)
        assert gateway.mcp.troubles == {"slow": "starting"}
        await until(lambda: not gateway.mcp.troubles)
        assert "slow__adder" in await gateway.search("adder")


async def test_a_deaf_server_is_given_up_in_time() -> None:
    async with mounted(GOOD + stdio("deaf", "plain", "deaf", more="startup_timeout = 1\n")) as gateway:
        assert "within 1 seconds" in gateway.mcp.troubles["deaf"]
        await _works(gateway)


async def test_stray_lines_and_floods_of_errors_disturb_nothing() -> None:
    for option in ("stray", "flood"):
        async with mounted(stdio("good", "plain", option, more='stderr = "pipe"\n')) as gateway:
            await _works(gateway)


async def test_a_server_that_dies_in_a_call_fails_the_call_and_comes_back() -> None:
    async with mounted(GOOD) as gateway:
        error = (await gateway.execute("good__die"))["error"]
        assert error["code"] == -32603
        assert error["message"] == "MCP server 'good': the process ended with status 3"
        await _works(gateway)  # waits until it is back


async def test_a_call_is_never_sent_twice(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    async with mounted(stdio("good", "plain", f"pid={pids}")) as gateway:
        await gateway.execute("good__die")
        await _works(gateway)
    assert len(pids.read_text().splitlines()) == 2


async def test_calls_are_bounded_in_time() -> None:
    async with mounted(stdio("good", "plain", more="request_timeout = 1\n")) as gateway:
        error = (await gateway.execute("good__wait", {"seconds": 3}))["error"]
        assert error == {"code": -32603, "message": "MCP server 'good': no answer within 1 seconds"}


async def test_progress_keeps_a_long_call_alive() -> None:
    async with mounted(stdio("long", "asking", more="request_timeout = 1\n")) as gateway:
        params = {
            "name": "execute",
            "arguments": {"name": "long__steps", "arguments": {"count": 4, "every": 0.5}},
        }
        reply = await gateway.post("tools/call", {**params, "_meta": {"progressToken": "t"}})
    assert "result" in reply


async def test_a_server_that_goes_is_remembered_and_marked_until_it_comes_back() -> None:
    async with running(WebServer()) as web:
        port, toml = web.port, http("web", f"{web.url}/mcp") + GOOD
        context = mounted(toml)
        gateway = await context.__aenter__()
        await gateway.execute("web__greet")
    try:
        error = (await gateway.execute("web__greet"))["error"]
        assert error["code"] == -32603
        assert "web" in gateway.mcp.troubles
        found = await gateway.call("search", {"keywords": ["greet"]})
        assert found["structuredContent"]["results"][0]["name"] == "web__greet"
        assert "web" in found["structuredContent"]["note"]
        assert "web" in found["content"][-1]["text"]
        await _works(gateway)
        async with running(WebServer(), port):
            await until(lambda: "web" not in gateway.mcp.troubles)
            assert (await gateway.execute("web__greet"))["content"][0]["text"] == "web"
    finally:
        await context.__aexit__(None, None, None)


@pytest.mark.parametrize("events", [False, True])
async def test_an_expired_session_is_begun_anew_and_the_call_sent_again(events: bool) -> None:
    async with running(WebServer(sessions=True, events=events)) as web:
        async with mounted(http("web", f"{web.url}/mcp")) as gateway:
            await gateway.execute("web__greet")
            web.known.clear()
            assert (await gateway.execute("web__greet"))["content"][0]["text"] == "web"
            assert web.methods().count("initialize") == 2
        assert web.known == set(), "a session is ended when its connection is"


async def test_the_version_is_told_with_every_later_request() -> None:
    async with running(WebServer(sessions=True)) as web, mounted(http("web", f"{web.url}/mcp")) as gateway:
        await gateway.execute("web__greet")
        first, *others = web.seen
        assert "mcp-protocol-version" not in first[1]
        assert {headers["mcp-protocol-version"] for _, headers, _ in others} == {"2025-11-25"}
        assert {headers["mcp-session-id"] for _, headers, _ in others} == {"s1"}


async def test_a_cut_answer_is_picked_up_where_the_server_allows_it() -> None:
    async with running(WebServer(resume=True)) as web, mounted(http("web", f"{web.url}/mcp")) as gateway:
        assert (await gateway.execute("web__greet"))["content"][0]["text"] == "web"
        assert any("last-event-id" in headers for _, headers, _ in web.seen)


@pytest.mark.parametrize("protocol", ["", 'protocol = "sse"\n'])
async def test_the_older_transport_is_found_or_chosen(protocol: str) -> None:
    async with running(WebServer(sse=True, streamable=False)) as web:
        async with mounted(http("web", f"{web.url}/sse", protocol)) as gateway:
            assert (await gateway.execute("web__greet"))["content"][0]["text"] == "web"
            web.streams["n=1"].put_nowait(b"")
            await until(lambda: "n=2" in web.streams)
            assert (await gateway.execute("web__greet"))["content"][0]["text"] == "web"


async def test_messages_go_where_the_configuration_says() -> None:
    async with running(WebServer(sse=True, streamable=False)) as web:
        message_url = f'message_url = "{web.url}/messages?n=1"\n'
        async with mounted(http("web", f"{web.url}/sse", message_url)) as gateway:
            assert (await gateway.execute("web__greet"))["content"][0]["text"] == "web"


async def test_streamable_http_only_means_only() -> None:
    async with running(WebServer(sse=True, streamable=False)) as web:
        async with mounted(http("web", f"{web.url}/sse", 'protocol = "streamable-http"\n')) as gateway:
            assert "404" in gateway.mcp.troubles["web"]


async def test_headers_are_ours_alone() -> None:
    rules = '[[mcp.headers]]\nrule = "insert"\nname = "X-All"\nvalue = "1"\n'
    more = (
        'auth.token = "secret"\n[[mcp.servers.web.headers]]\nrule = "insert"\nname = "X-One"\nvalue = "2"\n'
    )
    async with running(WebServer()) as web, mounted(rules + http("web", f"{web.url}/mcp", more)) as gateway:
        await gateway.execute("web__greet", authorization="Bearer client", x_client_id="me", cookie="a=b")
        for _, headers, _ in web.seen:
            assert headers["authorization"] == "Bearer secret"
            assert (headers["x-all"], headers["x-one"]) == ("1", "2")
            assert not {"cookie", "x-client-id"} & headers.keys()


async def test_an_inserted_header_replaces_the_token() -> None:
    more = 'auth.token = "secret"\n[[mcp.servers.web.headers]]\nrule = "insert"\nname = "Authorization"\nvalue = "Mine"\n'
    async with running(WebServer()) as web, mounted(http("web", f"{web.url}/mcp", more)) as gateway:
        await gateway.execute("web__greet")
        assert {headers["authorization"] for _, headers, _ in web.seen} == {"Mine"}


async def test_tls_with_an_authority_and_a_certificate_of_our_own(tmp_path: Path) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    ours = authority.issue_cert("gateway")
    ours.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    ours.private_key_pem.write_to_path(tmp_path / "key.pem")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)  # pyright: ignore[reportUnknownMemberType]  # trustme's type
    authority.configure_trust(context)  # pyright: ignore[reportUnknownMemberType]
    context.verify_mode = ssl.CERT_REQUIRED
    tls = (
        f'tls.root_ca_cert_path = "{tmp_path}/ca.pem"\ntls.client_cert_path = "{tmp_path}/cert.pem"\n'
        f'tls.client_key_path = "{tmp_path}/key.pem"\n'
    )
    async with running(WebServer(), tls=context) as web:
        async with mounted(http("web", f"{web.url}/mcp", tls)) as gateway:
            assert (await gateway.execute("web__greet"))["content"][0]["text"] == "web"
        async with mounted(http("web", f"{web.url}/mcp", FAST)) as gateway:
            assert "certificate" in gateway.mcp.troubles["web"]


async def test_pages_are_followed_and_circles_are_left() -> None:
    toml = (
        stdio("many", "plain", "pages=30")
        + stdio("round", "plain", "circle")
        + stdio("endless", "plain", "pages=1000")
    )
    async with mounted(toml) as gateway:
        listings = {name: one.listing for name, one in gateway.mcp.pool.shared.items()}
        counts = {name: len(one.tools) for name, one in listings.items() if one is not None}
    assert counts == {"many": 8 + 29, "round": 8 + 1, "endless": 8 + 99}


async def test_standard_error_goes_where_it_is_sent(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "nexus")
    log = tmp_path / "err.log"
    toml = stdio("good", "plain", "say=to the file", more=f'stderr = {{ file = "{log}" }}\n')
    toml += stdio("piped", "plain", "say=to the log", more='stderr = "pipe"\n')
    async with mounted(toml):
        await until(lambda: log.exists() and log.read_text())
        await until(lambda: "to the log" in caplog.text)
    assert log.read_text() == "to the file\n"
    assert "MCP server piped: to the log" in caplog.messages


_FAILS = (
    "for n in 1 2 3 4 5 6 7 8 9 10 11 12; do echo line $n; done >&2; echo token=s3cr3t-of-ours >&2; exit 4"
)


async def test_a_program_that_fails_is_told_of_with_its_last_lines(caplog: pytest.LogCaptureFixture) -> None:
    toml = f"[mcp.servers.bad]\ncmd = {msgspec.json.encode(['sh', '-c', _FAILS]).decode()}\n"
    async with mounted(toml) as gateway:
        assert gateway.mcp.troubles == {"bad": "the process ended with status 4"}, "clients see no more"
    lines = "".join(f"\n    line {number}" for number in range(4, 13))
    assert caplog.messages == [
        f"MCP server bad does not work: the process ended with status 4{lines}\n    token=[redacted]"
    ]


async def test_a_program_that_does_not_come_up_is_told_of_with_its_last_lines(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with mounted(stdio("deaf", "plain", "deaf", "say=Proceed?", more="startup_timeout = 1\n")):
        assert caplog.messages[0].endswith("within 1 seconds\n    Proceed?")


async def test_what_a_program_said_at_work_is_not_told_when_it_ends(caplog: pytest.LogCaptureFixture) -> None:
    async with mounted(stdio("good", "plain", "say=the client's own words")) as gateway:
        await gateway.execute("good__die")
        await until(lambda: "MCP server good: the connection ended, connecting again" in caplog.messages)
        assert "own words" not in caplog.text


async def test_nobody_hears_what_is_to_be_thrown_away(caplog: pytest.LogCaptureFixture) -> None:
    cmd = msgspec.json.encode(["sh", "-c", _FAILS]).decode()
    async with mounted(f'[mcp.servers.bad]\ncmd = {cmd}\nstderr = "null"\n'):
        assert caplog.messages == ["MCP server bad does not work: the process ended with status 4"]


async def test_the_environment_is_inherited_or_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_OF_OURS", "1")
    toml = stdio("good", "plain", more='env = { OWN = "ünï", EMPTY = "" }\n')
    toml += stdio("closed", "plain", more='inherit_env = false\nenv = { OWN = "2" }\n')
    async with mounted(toml) as gateway:

        async def variable(server: str, name: str) -> str:
            return (await gateway.execute(f"{server}__environment", {"name": name}))["content"][0]["text"]

        assert await variable("good", "SECRET_OF_OURS") == "1"
        assert await variable("good", "OWN") == "ünï"
        assert await variable("closed", "SECRET_OF_OURS") == ""
        assert await variable("closed", "OWN") == "2"
        assert await variable("closed", "PATH") == os.environ["PATH"]


def _alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


async def test_nothing_is_left_of_a_server_and_what_it_started(tmp_path: Path) -> None:
    pids, children = tmp_path / "pids", tmp_path / "children"
    async with mounted(stdio("good", "plain", f"pid={pids}", f"child={children}")) as gateway:
        await _works(gateway)
        started = [int(line) for file in (pids, children) for line in file.read_text().splitlines()]
        assert len(started) == 2
        assert all(map(_alive, started))
    assert not any(map(_alive, started))


@pytest.mark.parametrize(
    ("forced", "message"),
    [
        ((500, b"text/html", b"<h1>oops</h1>"), "HTTP status 500"),
        ((200, b"text/html", b"<h1>hi</h1>"), "no JSON-RPC message"),
        ((200, b"application/json", b"{"), "no JSON-RPC message"),
        ((200, b"application/json", b"{}"), "no JSON-RPC message"),
        ((202, b"text/plain", b""), "no JSON-RPC message"),
        ((401, b"text/plain", b""), "401"),
        ((200, b"text/event-stream", b": nothing\n\n"), "cut off"),
        ((200, b"text/event-stream", b"data: {}\n\n"), "cut off"),
    ],
)
async def test_answers_that_are_none_end_the_call_with_a_clear_error(
    forced: tuple[int, bytes, bytes], message: str
) -> None:
    async with running(WebServer()) as web, mounted(http("web", f"{web.url}/mcp")) as gateway:
        web.forced = forced
        error = (await gateway.execute("web__greet"))["error"]
        assert error["code"] == -32603
        assert message in error["message"]
        web.forced = None
        assert (await gateway.execute("web__greet"))["content"][0]["text"] == "web"
        assert web.methods().count("tools/call") == 2, "what may have been done is not done again"


@pytest.mark.parametrize("status", [200, 400, 404, 500])
async def test_json_rpc_errors_pass_whatever_their_status(status: int) -> None:
    body = b'{"jsonrpc":"2.0","id":null,"error":{"code":-32000,"message":"no","data":{"reason":1}}}'
    async with running(WebServer()) as web, mounted(http("web", f"{web.url}/mcp")) as gateway:
        web.forced = (status, b"application/json", body)
        error = (await gateway.execute("web__greet"))["error"]
        assert error == {"code": -32000, "message": "no", "data": {"reason": 1}}


async def test_redirects_are_followed_within_the_origin_only() -> None:
    async with running(WebServer()) as other, running(WebServer()) as web:
        web.redirect = "/mcp"
        async with mounted(http("web", f"{web.url}/old")) as gateway:
            assert (await gateway.execute("web__greet"))["content"][0]["text"] == "web"
        for target, why in ((f"{other.url}/mcp", "another origin"), ("/old", "circles")):
            web.redirect = target
            async with mounted(http("web", f"{web.url}/old")) as gateway:
                assert why in gateway.mcp.troubles["web"]
        assert other.seen == []


async def test_notices_of_a_session_are_heard() -> None:
    async with running(WebServer(sessions=True)) as web, mounted(http("web", f"{web.url}/mcp")) as gateway:
        await until(lambda: "s1" in web.streams)
        web.tools = 2
        notice = b'data: {"jsonrpc":"2.0","method":"notifications/tools/list_changed"}\n\n'
        web.streams["s1"].put_nowait(b"retry: 10\nid: 7\ndata:\n\n" + notice)
        upstream = gateway.mcp.pool.shared["web"]
        await until(lambda: upstream.listing is not None and len(upstream.listing.tools) == 2)
        assert "web__greet1" in await gateway.search("greet1")


async def test_a_ping_in_the_middle_of_a_call_is_answered() -> None:
    async with running(WebServer(asks={"method": "ping"})) as web:
        async with mounted(http("web", f"{web.url}/mcp")) as gateway:
            result = await gateway.execute("web__greet")
    assert result["structuredContent"]["said"] == {"jsonrpc": "2.0", "id": "q", "result": {}}


async def test_what_a_server_may_not_ask_is_refused() -> None:
    async with running(WebServer(asks={"method": "no/such", "params": {}})) as web:
        async with mounted(http("web", f"{web.url}/mcp")) as gateway:
            result = await gateway.execute("web__greet")
    assert result["structuredContent"]["said"]["error"]["code"] == -32601


async def test_a_server_that_takes_no_token_of_ours_is_marked() -> None:
    async with running(WebServer(tokens=frozenset({"taken"}))) as web:
        async with mounted(http("web", f"{web.url}/mcp", 'auth.token = "sekret"\n')) as gateway:
            assert "401" in gateway.mcp.troubles["web"]
            assert "sekret" not in gateway.mcp.troubles["web"]


async def test_certificate_files_that_are_not_there_fail_one_server() -> None:
    toml = http("web", "https://localhost:1/mcp", 'tls.root_ca_cert_path = "/no/such/file"\n')
    async with mounted(GOOD + toml) as gateway:
        assert "cannot be used" in gateway.mcp.troubles["web"]
        await _works(gateway)


async def test_lists_that_fail_are_empty_but_without_tools_there_is_no_server() -> None:
    from nexus.mcp.link import Envelope, Peer, Raw
    from nexus.mcp.listing import read

    class Lists:
        def __init__(self, tools: int) -> None:
            self.greeting: Raw = {"capabilities": {"prompts": {}, "resources": {}}}
            self.gone = asyncio.Event()
            self.tools = tools

        async def request(
            self,
            method: str,
            params: Raw,
            timeout: float,
            peer: Peer | None = None,
            envelope: Envelope | None = None,
        ) -> Raw:
            if method == "tools/list" and not self.tools:
                return {"tools": [{"name": "a"}, {"noname": 1}, "junk"]}
            raise MCPError(self.tools if method == "tools/list" else -32603, method)

        async def notify(self, method: str, params: Raw) -> None: ...

        async def close(self) -> None: ...

    listing = await read("s", Lists(0), 1)
    assert (len(listing.tools), listing.prompts, listing.resources) == (1, (), ())
    assert (await read("s", Lists(-32601), 1)).tools == ()
    with pytest.raises(MCPError):
        await read("s", Lists(-32603), 1)
