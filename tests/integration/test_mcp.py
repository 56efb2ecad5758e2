"""What a client of the endpoint sees, with servers that run for real."""

import asyncio
from typing import Any

import msgspec
import pytest
from mcp import Client

from integration.mcp_gateway import answer, http, mounted, stdio, until
from integration.mcp_servers.web import WebServer, running

PLAIN = stdio("math", "plain")


async def test_two_tools_are_shown_whatever_is_configured() -> None:
    async with mounted(PLAIN) as gateway:
        tools = (await gateway.post("tools/list"))["result"]["tools"]
    assert [one["name"] for one in tools] == ["search", "execute"]
    search, execute = tools
    assert search["inputSchema"]["required"] == ["keywords"]
    assert search["inputSchema"]["title"] == "SearchParameters"
    assert search["outputSchema"]["type"] == "object"
    assert search["annotations"] == {"readOnlyHint": True}
    assert execute["inputSchema"]["required"] == ["name", "arguments"]
    assert "title" not in execute["inputSchema"]
    assert "outputSchema" not in execute
    assert execute["annotations"] == {"destructiveHint": True, "openWorldHint": True}
    assert not {"$schema", "format"} & _keys(tools)


def _keys(node: Any) -> set[str]:
    if isinstance(node, dict):
        return {key for name, value in node.items() for key in (name, *_keys(value))}  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
    return {key for value in node for key in _keys(value)} if isinstance(node, list) else set()  # pyright: ignore[reportUnknownVariableType]


@pytest.mark.parametrize(
    ("asked", "given"),
    [(version, version) for version in ("2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25")]
    + [("1999-01-01", "2025-11-25")],
)
async def test_the_version_asked_for_is_spoken_where_it_is_known(asked: str, given: str) -> None:
    async with mounted(PLAIN) as gateway:
        greeting = (await gateway.post("initialize", _hello(asked)))["result"]
    assert greeting["protocolVersion"] == given
    assert greeting["capabilities"] == {"prompts": {}, "resources": {}, "tools": {}}
    assert greeting["serverInfo"]["name"] == "Tool Aggregator (math)"
    assert "**Available Servers**" in greeting["instructions"]
    assert "- **math**" in greeting["instructions"]


def _hello(version: str = "2025-11-25") -> dict[str, Any]:
    return {"protocolVersion": version, "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}


async def test_search_gives_both_contents_and_execute_runs_what_it_found() -> None:
    async with mounted(PLAIN) as gateway:
        found = await gateway.call("search", {"keywords": ["adder"]})
        first = found["structuredContent"]["results"][0]
        assert msgspec.json.decode(found["content"][0]["text"]) == first
        assert first["name"] == "math__adder"
        assert first["input_schema"]["properties"].keys() == {"a", "b"}
        assert "isError" not in found
        assert len(found["content"]) == len(found["structuredContent"]["results"])
        result = await gateway.execute(first["name"], {"a": 1, "b": 2})
    assert result == {
        "content": [{"type": "text", "text": "done"}],
        "structuredContent": {"sum": 3},
        "_meta": {"k": 1},
        "x-own": [1.0],
    }


async def test_a_limit_bounds_the_results() -> None:
    async with mounted(PLAIN) as gateway:
        found = await gateway.call("search", {"keywords": ["object"], "limit": 3})
        assert len(found["content"]) == 3
        assert len((await gateway.call("search", {"keywords": ["object"]}))["content"]) == 8


async def test_without_structured_content_only_text_is_sent() -> None:
    async with mounted(f"[mcp]\nenable_structured_content = false\n{PLAIN}") as gateway:
        found = await gateway.call("search", {"keywords": ["adder"]})
        assert found.keys() == {"content"}
        assert "structuredContent" in await gateway.execute("math__adder", {"a": 1, "b": 2})


@pytest.mark.parametrize(
    ("tool", "arguments", "code", "message"),
    [
        ("search", {}, -32602, "keywords"),
        ("search", {"keywords": "adder"}, -32602, "keywords"),
        ("search", {"keywords": [1]}, -32602, "keywords"),
        ("execute", {"arguments": {}}, -32602, "name"),
        ("execute", {"name": "math__adder"}, -32602, "arguments"),
        ("execute", {"name": "math__adder", "arguments": None}, -32602, "arguments"),
        ("execute", {"name": "math__nothing", "arguments": {}}, -32601, "tools/call"),
        ("execute", {"name": "nowhere__adder", "arguments": {}}, -32601, "tools/call"),
        ("execute", {"name": "adder", "arguments": {}}, -32601, "tools/call"),
        ("execute", {"name": "math__refuse", "arguments": {}}, -32042, "Missing or invalid parameter 'a'"),
        ("math__adder", {"a": 1, "b": 2}, -32601, "tools/call"),
    ],
)
async def test_errors_have_the_codes_of_the_contract(
    tool: str, arguments: dict[str, Any], code: int, message: str
) -> None:
    async with mounted(PLAIN) as gateway:
        error = (await gateway.call(tool, arguments))["error"]
    assert error["code"] == code
    assert message in error["message"]
    assert error.get("data") == ({"reason": [1]} if code == -32042 else None)


async def test_errors_and_flags_of_servers_pass_as_they_are() -> None:
    async with mounted(PLAIN) as gateway:
        failed = await gateway.execute("math__fail")
        assert failed["isError"] is True
        assert (await gateway.execute("math__environment", {"name": "NOPE"}))["isError"] is False


async def test_prompts_are_prefixed_and_resources_are_not() -> None:
    async with mounted(stdio("b", "plain", "uri=b://x") + stdio("a", "plain", "uri=a://x")) as gateway:
        prompts = (await gateway.post("prompts/list"))["result"]["prompts"]
        assert prompts == [
            {"name": "a__hello", "description": "Says it", "x-kept": 1},
            {"name": "b__hello", "description": "Says it", "x-kept": 1},
        ]
        prompt = (await gateway.post("prompts/get", {"name": "b__hello"}))["result"]
        assert prompt["messages"][0]["content"]["text"] == "hello"
        resources = (await gateway.post("resources/list"))["result"]["resources"]
        assert [one["uri"] for one in resources] == ["a://x", "b://x"]
        read = (await gateway.post("resources/read", {"uri": "b://x"}))["result"]
        assert read["contents"][0]["text"] == "b://x"
        templates = (await gateway.post("resources/templates/list"))["result"]["resourceTemplates"]
        assert [one["uriTemplate"] for one in templates] == ["plain://items/{id}"] * 2
        made = (await gateway.post("resources/read", {"uri": "plain://items/7"}))["result"]
        assert made["contents"][0] == {"uri": "plain://items/7", "text": "a://x"}
        for method, params, text in (
            ("prompts/get", {"name": "hello"}, "Prompt not found"),
            ("resources/read", {"uri": "c://x"}, "Resource not found"),
        ):
            assert (await gateway.post(method, params))["error"] == {"code": -32601, "message": text}


async def test_of_two_servers_with_one_uri_the_first_by_name_has_it() -> None:
    async with mounted(stdio("b", "plain", "uri=x://x") + stdio("a", "plain", "uri=x://x")) as gateway:
        assert len((await gateway.post("resources/list"))["result"]["resources"]) == 1
        assert gateway.mcp.pool.shared["b"].listing is not None
        read = await gateway.post("resources/read", {"uri": "x://x"})
        assert read["result"]["contents"][0]["text"] == "x://x"


async def test_without_any_server_lists_are_empty() -> None:
    async with mounted('[llm.providers.echo]\ntype = "echo"\n') as gateway:
        assert (await gateway.post("prompts/list"))["result"] == {"prompts": []}
        assert (await gateway.post("resources/list"))["result"] == {"resources": []}
        assert (await gateway.call("search", {"keywords": ["x"]})) == {
            "content": [],
            "structuredContent": {"results": []},
        }
        greeting = (await gateway.post("initialize", _hello()))["result"]
        assert greeting["serverInfo"]["name"] == "Tool Aggregator"
        assert "**No servers are configured.**" in greeting["instructions"]


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"{", 400, -32700),
        (b"[]", 400, -32600),
        (b'[{"jsonrpc":"2.0","id":1,"method":"ping"}]', 400, -32600),
        (b'{"jsonrpc":"2.0","id":1,"method":"no/such"}', 200, -32601),
        (b'{"jsonrpc":"2.0","id":1,"method":"logging/setLevel","params":{"level":"info"}}', 200, -32601),
        (b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":1}}', 200, -32602),
    ],
)
async def test_what_is_wrong_gets_a_json_rpc_error(body: bytes, status: int, code: int) -> None:
    async with mounted(PLAIN) as gateway:
        reply = await gateway.raw("POST", "/mcp", body)
    assert reply.status_code == status
    assert answer(reply.content)["error"]["code"] == code


async def test_only_post_is_allowed_and_notifications_are_taken() -> None:
    async with mounted(PLAIN) as gateway:
        for method in ("GET", "DELETE", "PUT"):
            reply = await gateway.raw(method, "/mcp")
            assert (reply.status_code, reply.headers["allow"]) == (405, "POST")
        taken = await gateway.raw("POST", "/mcp", b'{"jsonrpc":"2.0","method":"notifications/initialized"}')
        assert (taken.status_code, taken.content) == (202, b"")


async def test_bodies_are_bounded() -> None:
    async with mounted(f"[server]\nmax_body_size = 1000\n{PLAIN}") as gateway:
        assert (await gateway.raw("POST", "/mcp", b" " * 1001)).status_code == 413


async def test_pages_and_names_of_strangers_are_turned_away() -> None:
    rules = '[mcp]\nallowed_origins = ["https://ok.example"]\nallowed_hosts = ["127.0.0.1:*"]\n'
    async with mounted(rules + PLAIN) as gateway:
        ping = b'{"jsonrpc":"2.0","id":1,"method":"ping"}'
        assert (await gateway.raw("POST", "/mcp", ping)).status_code == 200
        assert (await gateway.raw("POST", "/mcp", ping, origin="https://ok.example")).status_code == 200
        assert (await gateway.raw("POST", "/mcp", ping, origin="https://evil.example")).status_code == 403
        assert (await gateway.raw("POST", "/mcp", ping, host="evil.example")).status_code == 403


async def test_direct_mode_lists_tools_as_they_are_under_prefixed_names() -> None:
    async with mounted(f'[mcp]\nmode = "direct"\n{PLAIN}') as gateway:
        tools = (await gateway.post("tools/list"))["result"]["tools"]
        assert tools[0]["name"] == "math__adder"
        assert tools[0]["x-kept"] == {"b": 1, "a": [1.0, 2]}
        assert (await gateway.call("math__adder", {"a": 2, "b": 3}))["structuredContent"] == {"sum": 5}
        assert (await gateway.call("search", {"keywords": []}))["error"]["code"] == -32601


async def test_a_single_server_may_go_without_prefix() -> None:
    async with mounted(f'[mcp]\nmode = "both"\nprefix = false\n{PLAIN}') as gateway:
        names = [one["name"] for one in (await gateway.post("tools/list"))["result"]["tools"]]
        assert names[:3] == ["search", "execute", "adder"]
        assert (await gateway.call("adder", {"a": 2, "b": 3}))["structuredContent"] == {"sum": 5}
        assert (await gateway.execute("math__adder", {"a": 2, "b": 3}))["structuredContent"] == {"sum": 5}


async def test_long_names_are_shortened_and_found_again() -> None:
    server = "s" * 70
    async with mounted(f'[mcp]\nmode = "direct"\n{stdio(server, "plain")}') as gateway:
        names = [one["name"] for one in (await gateway.post("tools/list"))["result"]["tools"]]
        assert len(set(names)) == 8
        assert all(len(name) <= 64 for name in names)
        assert (await gateway.call(names[0], {"a": 2, "b": 3}))["structuredContent"] == {"sum": 5}


async def test_views_have_their_own_servers_and_mode() -> None:
    views = '[mcp.views.one]\nservers = ["a"]\nmode = "direct"\nprefix = false\n[mcp.views.two]\nservers = ["a", "b"]\n'
    async with mounted(stdio("a", "plain") + stdio("b", "plain") + views) as gateway:
        names = [
            one["name"] for one in (await gateway.post("tools/list", path="/mcp/one"))["result"]["tools"]
        ]
        assert names[0] == "adder"
        assert set(await gateway.search("adder")) == {"a__adder", "b__adder"}
        greeting = (await gateway.post("initialize", _hello(), path="/mcp/two"))["result"]
        assert greeting["serverInfo"]["name"] == "Tool Aggregator (a, b)"
        assert (await gateway.raw("POST", "/mcp/three", b"{}")).status_code == 404


async def test_changed_lists_are_followed() -> None:
    async with mounted(PLAIN) as gateway:
        assert "math__grown" not in await gateway.search("grown")
        await gateway.execute("math__grow")
        upstream = gateway.mcp.pool.shared["math"]
        before = upstream.listing
        await until(lambda: upstream.listing is not before)
        assert (await gateway.search("grown"))[0] == "math__grown"


async def test_progress_reaches_the_client_that_asked() -> None:
    seen: list[tuple[float, float | None]] = []

    async def on_progress(progress: float, total: float | None, message: str | None) -> None:
        seen.append((progress, total))

    async with mounted(stdio("long", "asking")) as gateway, gateway.client() as client:
        result = await client.call_tool(
            "execute", {"name": "long__steps", "arguments": {"count": 3}}, progress_callback=on_progress
        )
    assert result.structured_content is not None
    assert seen == [(1, 3), (2, 3), (3, 3)]


async def test_a_client_that_leaves_cancels_the_call() -> None:
    async with mounted(stdio("long", "asking")) as gateway:
        call = asyncio.create_task(gateway.execute("long__hang"))
        await until(lambda: bool(gateway.mcp.pool.shared["long"].busy))
        call.cancel()
        await until(lambda: not gateway.mcp.pool.shared["long"].busy)
        told = await gateway.execute("long__told")
    assert told["structuredContent"]["cancelled"] == 1


@pytest.mark.parametrize("mode", ["legacy", "2026-07-28", "auto"])
async def test_the_official_client_works_in_both_eras(mode: str) -> None:
    async with mounted(PLAIN) as gateway, gateway.client(mode=mode) as client:
        assert [one.name for one in (await client.list_tools()).tools] == ["search", "execute"]
        result = await client.call_tool("execute", {"name": "math__adder", "arguments": {"a": 1, "b": 2}})
        assert result.structured_content == {"sum": 3}
        assert [one.name for one in (await client.list_prompts()).prompts] == ["math__hello"]
        assert isinstance(client, Client)


def _modern(method: str, params: dict[str, Any], **capabilities: Any) -> tuple[bytes, dict[str, str]]:
    """Write a request of the version without handshake."""
    version = "2026-07-28"
    meta = {
        "io.modelcontextprotocol/protocolVersion": version,
        "io.modelcontextprotocol/clientCapabilities": capabilities,
    }
    message = {"jsonrpc": "2.0", "id": 1, "method": method, "params": {**params, "_meta": meta}}
    headers = {"mcp_protocol_version": version, "mcp_method": method}
    if "name" in params:
        headers["mcp_name"] = params["name"]
    return msgspec.json.encode(message), headers


@pytest.mark.parametrize("handshake", [True, False])
async def test_a_server_without_handshake_is_spoken_to_as_the_client_speaks(handshake: bool) -> None:
    async with running(WebServer(modern=True, handshake=handshake)) as web:
        async with mounted(http("web", f"{web.url}/mcp")) as gateway:
            call: dict[str, Any] = {"name": "execute", "arguments": {"name": "web__greet", "arguments": {}}}
            body, headers = _modern("tools/call", call, elicitation={})
            asked = answer((await gateway.raw("POST", "/mcp", body, **headers)).content)["result"]
            assert asked["resultType"] == "input_required"
            assert asked["inputRequests"]["who"]["method"] == "elicitation/create"
            given = {"inputResponses": {"who": {"action": "accept"}}, "requestState": asked["requestState"]}
            body, headers = _modern("tools/call", {**call, **given}, elicitation={})
            done = answer((await gateway.raw("POST", "/mcp", body, **headers)).content)["result"]
            assert done["resultType"] == "complete"
            assert done["content"][0]["text"] == "web"
            _, sent, last = web.seen[-1]
        assert sent["mcp-protocol-version"] == "2026-07-28"
        assert (sent["mcp-method"], sent["mcp-name"]) == ("tools/call", "greet")
        assert last["params"]["requestState"] == "s"
        capabilities = last["params"]["_meta"]["io.modelcontextprotocol/clientCapabilities"]
        assert capabilities == {"elicitation": {}}, "the server is told what this client can do"


async def test_every_answer_without_handshake_has_its_envelope() -> None:
    async with mounted(PLAIN + stdio("b", "plain")) as gateway:
        for method, key in (
            ("server/discover", "supportedVersions"),
            ("tools/list", "tools"),
            ("prompts/list", "prompts"),
        ):
            body, headers = _modern(method, {})
            result = answer((await gateway.raw("POST", "/mcp", body, **headers)).content)["result"]
            assert result[key]
            assert result["resultType"] == "complete"
            assert (result["ttlMs"], result["cacheScope"]) == (0, "private")
            assert (
                result["_meta"]["io.modelcontextprotocol/serverInfo"]["name"] == "Tool Aggregator (b, math)"
            )
        body, headers = _modern("resources/read", {"uri": "no://where"})
        reply = await gateway.raw("POST", "/mcp", body, **headers, mcp_name="no://where")
        assert answer(reply.content)["error"]["data"] == {"uri": "no://where"}
        body, headers = _modern(
            "tools/call", {"name": "execute", "arguments": {"name": "x", "arguments": {}}}
        )
        assert answer((await gateway.raw("POST", "/mcp", body, **headers)).content)["error"]["code"] == -32601
        wrong = await gateway.raw("POST", "/mcp", body, **{**headers, "mcp_name": "other"})
        assert (wrong.status_code, answer(wrong.content)["error"]["code"]) == (400, -32020)
