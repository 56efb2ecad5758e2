"""Who may see what: groups, tokens that are passed on, sessions. The identity is a stand-in: two headers."""

import asyncio
import time
from collections.abc import Mapping
from typing import Any

import msgspec
import pytest
from mcp.client.session import ClientRequestContext
from mcp_types import (
    CreateMessageRequestParams,
    CreateMessageResult,
    ElicitRequestParams,
    ElicitResult,
    ListRootsResult,
    LoggingMessageNotificationParams,
    Root,
    TextContent,
)
from pydantic import FileUrl

from integration.mcp_gateway import Mounted, http, mounted, stdio, until
from integration.mcp_servers.web import WebServer, running
from nexus.mcp.caller import Caller
from nexus.server.asgi import Scope

IDENTIFIED = """
[server.client_identification]
enabled = true
client_id.http_header = "x-client"
group_id.http_header = "x-group"
validation.group_values = ["basic", "premium"]
"""


def _identify(scope: Scope) -> Caller:
    headers = {name.decode(): value.decode() for name, value in scope["headers"]}
    expires = headers.get("x-expires")
    return Caller(
        headers.get("x-group"),
        headers.get("x-token"),
        float(expires) if expires else None,
        headers.get("x-client"),
    )


async def _tools(gateway: Mounted, **headers: str) -> set[str]:
    return {
        name.removeprefix("a__")
        for name in await gateway.search("adder", "environment", "fail", "object", **headers)
    }


async def test_groups_decide_and_a_tool_may_have_its_own_rules() -> None:
    rules = (
        'allow = ["basic"]\n[mcp.servers.a.tools.adder]\nallow = ["premium"]\n'
        '[mcp.servers.a.tools.fail]\nallow = []\n[mcp.servers.a.tools.wait]\ndeny = ["basic"]\n'
    )
    async with mounted(IDENTIFIED + stdio("a", "plain", more=rules), identify=_identify) as gateway:
        basic, premium = await _tools(gateway, x_group="basic"), await _tools(gateway, x_group="premium")
        assert basic == {"environment", "die", "refuse", "grow", "calls"}
        assert premium == {"adder", "wait"}
        assert await _tools(gateway) == set(), "no group sees nothing where groups exist"
        assert await _tools(gateway, x_group="other") == set()
        numbers = {"a": 1, "b": 2}
        assert "result" not in (await gateway.execute("a__adder", numbers, x_group="basic"))
        forbidden = await gateway.execute("a__adder", numbers, x_group="basic")
        unknown = await gateway.execute("a__no_such", numbers, x_group="basic")
        assert forbidden == unknown == {"error": {"code": -32601, "message": "tools/call"}}
        assert (await gateway.execute("a__adder", numbers, x_group="premium"))["structuredContent"] == {
            "sum": 3
        }


async def test_prompts_and_resources_obey_the_rules_of_their_server() -> None:
    toml = IDENTIFIED + stdio("a", "plain", more='allow = ["premium"]\n')
    async with mounted(toml, identify=_identify) as gateway:
        for method, key in (("prompts/list", "prompts"), ("resources/list", "resources")):
            assert (await gateway.post(method, x_group="basic"))["result"][key] == []
            assert len((await gateway.post(method, x_group="premium"))["result"][key]) == 1
        for method, params in (
            ("prompts/get", {"name": "a__hello"}),
            ("resources/read", {"uri": "plain://one"}),
        ):
            assert (await gateway.post(method, params, x_group="basic"))["error"]["code"] == -32601
            assert "result" in await gateway.post(method, params, x_group="premium")


async def test_limits_refuse_before_the_server_is_asked() -> None:
    asked: list[tuple[str | None, str, str]] = []

    async def limit(caller: Caller, server: str, tool: str) -> bool:
        asked.append((caller.client, server, tool))
        return len(asked) < 2

    async with mounted(stdio("a", "plain"), identify=_identify, limit=limit) as gateway:
        await gateway.execute("a__fail", x_client="me")
        refused = await gateway.execute("a__fail", x_client="me")
        assert refused == {"error": {"code": -32000, "message": "Rate limit exceeded"}}
        assert (await gateway.execute("a__nothing"))["error"]["code"] == -32601
        assert await gateway.search("fail") != []
        seen = (await gateway.call("search", {"keywords": ["fail"]}))["content"]
        assert seen
    assert asked == [("me", "a", "fail")] * 2


async def test_rules_for_tools_that_are_not_there_are_told(caplog: pytest.LogCaptureFixture) -> None:
    rules = (
        "rate_limits = { limit = 1, interval = 1, tools = { slow = { limit = 1, interval = 1 } } }\n"
        "[mcp.servers.a.tools.ader]\nallow = []\n[mcp.servers.a.tools.adder]\ndeny = []\n"
    )
    async with mounted(stdio("a", "plain", more=rules)):
        pass
    told = [record.getMessage() for record in caplog.records if "no such tool" in record.getMessage()]
    assert told == [
        "mcp.servers.a.tools.ader: the server has no such tool",
        "mcp.servers.a.rate_limits.tools.slow: the server has no such tool",
    ]


FORWARD = 'auth.type = "forward"\n'


async def test_a_token_is_passed_on_and_opens_only_its_own_servers() -> None:
    async with running(WebServer("mine", tokens=frozenset({"A"}))) as web:
        toml = stdio("local", "plain") + http("web", f"{web.url}/mcp", FORWARD)
        async with mounted(toml, identify=_identify) as gateway:
            assert await gateway.search("greet") == []
            assert (await gateway.execute("web__greet"))["error"] == {"code": -32601, "message": "tools/call"}
            assert await gateway.search("greet", x_token="A") == ["web__greet"]
            assert (await gateway.execute("web__greet", x_token="A"))["content"][0]["text"] == "mine"
            assert "local__adder" in await gateway.search("adder", x_token="A"), "shared servers stay visible"
            assert (await gateway.execute("web__greet", x_token="B"))["error"]["code"] == -32601
            assert (await gateway.execute("local__adder", {"a": 1, "b": 1}, x_token="B"))["structuredContent"]
        sent = {headers["authorization"] for _, headers, _ in web.seen}
        assert sent == {"Bearer A", "Bearer B"}


async def test_a_token_in_a_header_that_nobody_checked_is_not_passed_on() -> None:
    async with running(WebServer()) as web:
        async with mounted(http("web", f"{web.url}/mcp", FORWARD)) as gateway:
            assert await gateway.search("greet", authorization="Bearer A") == []
        assert web.seen == []


async def test_callers_with_one_token_share_one_connection_made_once() -> None:
    async with running(WebServer(sessions=True, delay=0.2)) as web:
        async with mounted(http("web", f"{web.url}/mcp", FORWARD), identify=_identify) as gateway:
            found = await asyncio.gather(*(gateway.search("greet", x_token="A") for _ in range(5)))
            assert found == [["web__greet"]] * 5
            assert web.methods().count("initialize") == 1
            await gateway.search("greet", x_token="B")
            assert web.methods().count("initialize") == 2
            assert web.known == {"s1", "s2"}
        assert web.known == set()


async def test_a_slow_server_of_one_caller_does_not_hold_up_another() -> None:
    async with running(WebServer(delay=1.0)) as web:
        toml = http("web", f"{web.url}/mcp", FORWARD) + stdio("a", "plain")
        async with mounted(toml, identify=_identify) as gateway:
            slow = asyncio.create_task(gateway.search("greet", x_token="A"))
            await until(lambda: web.seen)
            assert await gateway.search("adder") == ["a__adder"]
            assert not slow.done()
            assert await slow == ["web__greet"]


async def test_connections_end_with_their_token_and_when_there_are_too_many() -> None:
    cache = "[mcp.downstream_cache]\nmax_size = 2\n"
    async with running(WebServer(sessions=True)) as web:
        async with mounted(cache + http("web", f"{web.url}/mcp", FORWARD), identify=_identify) as gateway:
            for token in "ABC":
                await gateway.search("greet", x_token=token)
            assert gateway.mcp.pool.open_leases == 2
            await until(lambda: web.known == {"s2", "s3"})
            await gateway.search("greet", x_token="D", x_expires=str(time.time() - 1))
            gateway.mcp.pool.sweep()
            await until(lambda: web.known == {"s3"})
            gateway.mcp.pool.clock = lambda: time.monotonic() + 601
            gateway.mcp.pool.sweep()
            await until(lambda: web.known == set())
            assert gateway.mcp.pool.open_leases == 0


SESSIONS = "[mcp]\nsessions = true\n"


class Human:
    """A client that can be asked."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.logged: list[Any] = []

    async def elicit(self, context: ClientRequestContext, params: ElicitRequestParams) -> ElicitResult:
        return ElicitResult(action="accept", content={"name": self.name})

    async def sample(
        self, context: ClientRequestContext, params: CreateMessageRequestParams
    ) -> CreateMessageResult:
        return CreateMessageResult(
            role="assistant", content=TextContent(type="text", text=self.name), model="m"
        )

    async def roots(self, context: ClientRequestContext) -> ListRootsResult:
        return ListRootsResult(roots=[Root(uri=FileUrl(f"file:///{self.name}"))])

    async def log(self, params: LoggingMessageNotificationParams) -> None:
        self.logged.append(params.data)

    @property
    def options(self) -> Mapping[str, Any]:
        return {
            "mode": "legacy",
            "elicitation_callback": self.elicit,
            "sampling_callback": self.sample,
            "list_roots_callback": self.roots,
            "logging_callback": self.log,
        }


async def _ask(client: Any, tool: str) -> Any:
    result = await client.call_tool("execute", {"name": f"asking__{tool}", "arguments": {}})
    return result.structured_content


@pytest.mark.parametrize("count", [3])
async def test_what_a_server_asks_reaches_the_client_that_called_and_no_other(count: int) -> None:
    humans = [Human(f"h{at}") for at in range(count)]
    async with mounted(SESSIONS + stdio("asking", "asking")) as gateway:

        async def talk(human: Human) -> None:
            async with gateway.client(**human.options) as client:
                assert (await _ask(client, "elicit"))["said"] == {
                    "action": "accept",
                    "content": {"name": human.name},
                }
                assert (await _ask(client, "sample"))["said"]["content"]["text"] == human.name
                assert (await _ask(client, "roots"))["said"]["roots"] == [{"uri": f"file:///{human.name}"}]
                await _ask(client, "say")

        await asyncio.gather(*map(talk, humans))
        await until(lambda: gateway.mcp.pool.open_leases == 0)
    assert [human.logged for human in humans] == [["hello"]] * count


async def test_without_sessions_a_server_is_told_that_nobody_can_be_asked() -> None:
    async with mounted(stdio("asking", "asking")) as gateway:
        assert (await gateway.execute("asking__elicit"))["structuredContent"]["capabilities"] == {}
        assert (await gateway.execute("asking__elicit"))["structuredContent"]["said"] == {"action": "decline"}
        assert (await gateway.execute("asking__roots"))["structuredContent"]["said"] == {"roots": []}
        said = (await gateway.execute("asking__sample"))["structuredContent"]["said"]
        assert said["error"]["code"] == -32601


async def test_with_sessions_requests_without_one_are_still_answered() -> None:
    async with mounted(SESSIONS + stdio("a", "plain")) as gateway:
        assert await gateway.search("adder") == ["a__adder"]
        assert (await gateway.raw("GET", "/mcp")).status_code == 405
        forged = await gateway.raw(
            "POST", "/mcp", b'{"jsonrpc":"2.0","id":1,"method":"tools/list"}', mcp_session_id="forged"
        )
        assert forged.status_code == 404


async def test_a_session_is_only_for_who_began_it() -> None:
    hello = (
        b'{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},'
        b'"clientInfo":{"name":"t","version":"1"}}}'
    )
    async with mounted(SESSIONS + stdio("a", "plain"), identify=_identify) as gateway:
        begun = await gateway.raw("POST", "/mcp", hello, x_token="A", x_client="me")
        session = begun.headers["mcp-session-id"]
        ping = b'{"jsonrpc":"2.0","id":2,"method":"ping"}'
        own = await gateway.raw("POST", "/mcp", ping, mcp_session_id=session, x_token="A", x_client="me")
        assert own.status_code == 200
        for other in ({"x_token": "B", "x_client": "me"}, {"x_token": "A", "x_client": "you"}, {}):
            reply = await gateway.raw("POST", "/mcp", ping, mcp_session_id=session, **other)
            assert reply.status_code == 404


async def test_nobody_else_can_end_a_session() -> None:
    hello = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}
    execute: dict[str, Any] = {"name": "execute", "arguments": {"name": "a__calls", "arguments": {}}}
    body = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": hello}
    call = msgspec.json.encode({"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": execute})
    async with mounted(SESSIONS + stdio("a", "plain"), identify=_identify) as gateway:
        begun = await gateway.raw("POST", "/mcp", msgspec.json.encode(body), x_token="A")
        session = begun.headers["mcp-session-id"]
        assert (
            await gateway.raw("POST", "/mcp", call, mcp_session_id=session, x_token="A")
        ).status_code == 200
        assert gateway.mcp.pool.open_leases == 1
        for token, status, left in (("B", 404, 1), ("A", 200, 0)):
            ended = await gateway.raw("DELETE", "/mcp", mcp_session_id=session, x_token=token)
            assert (ended.status_code, gateway.mcp.pool.open_leases) == (status, left)


async def test_a_question_on_the_stream_of_a_call_reaches_its_client_over_http() -> None:
    wanted = {"type": "object", "properties": {"name": {"type": "string"}}}
    asks = {"method": "elicitation/create", "params": {"message": "Who?", "requestedSchema": wanted}}
    human = Human("me")
    async with running(WebServer(asks=asks, sessions=True)) as web:
        async with mounted(SESSIONS + http("web", f"{web.url}/mcp")) as gateway:
            async with gateway.client(**human.options) as client:
                result = await client.call_tool("execute", {"name": "web__greet", "arguments": {}})
    assert result.structured_content is not None
    assert result.structured_content["said"]["result"] == {"action": "accept", "content": {"name": "me"}}
    assert human.logged == ["asking"]
    declared = [
        body["params"]["capabilities"]
        for _, _, body in web.seen
        if body and body.get("method") == "initialize"
    ]
    assert declared[0] == {}
    assert declared[1].keys() == {"elicitation", "sampling", "roots"}
