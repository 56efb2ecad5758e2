"""Two users and one gateway: real tokens of a real issuer, models and MCP servers; what is one's is never the other's."""

import asyncio
import base64
import logging
import sys
from collections import defaultdict
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

import msgspec
import pytest
import pytest_asyncio

from gateway import Answer, Running, gateway, provider
from integration.mcp_gateway import ACCEPT, SERVERS, answer
from integration.mcp_servers.web import WebServer, encode, reply, running
from nexus.server.asgi import Send
from upstreams.oidc import Issuer, issuer
from upstreams.scripted import Asked, Told, Upstream, upstream

pytestmark = pytest.mark.asyncio(loop_scope="module")

CHAT, MESSAGES = "/llm/v1/chat/completions", "/llm/anthropic/v1/messages"
UNKNOWN = {"code": -32601, "message": "tools/call"}
FORBIDDEN = {"basic": "local__fail", "premium": "local__refuse"}
CONFIG = """
llm.protocols.anthropic.enabled = true

[server.client_identification]
enabled = true
client_id.jwt_claim = "sub"
group_id.jwt_claim = "group"

[server.client_identification.validation]
group_values = ["basic", "premium"]

[llm.providers.up.rate_limits.per_user]
input_token_limit = 24
interval = "60s"

[llm.providers.up.rate_limits.per_user.groups]
premium = {{ input_token_limit = 40, output_token_limit = 20_000, interval = "60s" }}

[mcp]
sessions = true

[mcp.views.all]
servers = ["local", "personal"]
mode = "direct"

[mcp.servers.local]
cmd = {local}

[mcp.servers.local.tools.fail]
allow = ["premium"]

[mcp.servers.local.tools.refuse]
deny = ["premium"]

[mcp.servers.personal]
url = "{personal}/mcp"
auth.type = "forward"
"""


class Personal(WebServer):
    """An MCP server whose tools, and what they say, are those of the user whose token it is shown."""

    async def _streamable(self, method: str, headers: dict[str, str], body: Any, send: Send) -> None:
        asked = body.get("method") if body else None
        owner = subject(headers["authorization"])
        result: dict[str, Any]
        if asked == "tools/list":
            tool = {"name": f"notes_of_{owner}", "description": "Notes", "inputSchema": {"type": "object"}}
            result = {"tools": [tool]}
        elif asked == "tools/call":
            result = {"content": [{"type": "text", "text": f"{owner} {body['params']['arguments']}"}]}
        else:
            await super()._streamable(method, headers, body, send)
            return
        await reply(
            send, 200, b"application/json", encode({"jsonrpc": "2.0", "id": body["id"], "result": result})
        )

    def users_of_sessions(self) -> dict[str, set[str]]:
        """Tell which tokens were shown in each session."""
        found = defaultdict[str, set[str]](set)
        for _, headers, _ in self.seen:
            if (session := headers.get("mcp-session-id")) is not None:
                found[session].add(headers["authorization"])
        return dict(found)


def subject(authorization: str) -> str:
    """Read whose token it is."""
    payload = authorization.split(".")[1]
    return msgspec.json.decode(base64.urlsafe_b64decode(payload + "=="))["sub"]


@dataclass
class User:
    """Somebody with a token."""

    name: str
    group: str
    token: str = field(repr=False)
    nexus: Running

    async def ask(self, method: str, path: str, body: bytes = b"", **headers: str) -> Answer:
        return await self.nexus.ask(method, path, body, authorization=f"Bearer {self.token}", **headers)

    async def chat(self, path: str = CHAT, **headers: str) -> Answer:
        """Send a chat of 8 tokens; who asks stands in it as well, for the upstream to see."""
        messages = [{"role": "user", "content": "Hello"}]
        said = {"model": "up/gpt-4o", "max_tokens": 4096, "messages": messages}
        said |= {"metadata": {"user_id": self.name}} if path == MESSAGES else {"user": self.name}
        return await self.ask("POST", path, msgspec.json.encode(said), **headers)

    async def limits(self) -> dict[str, Any]:
        return msgspec.json.decode((await self.ask("GET", "/v1/limits")).body)

    async def mcp(self, method: str, params: Any = None, path: str = "/mcp", **headers: str) -> Any:
        """Send one request to the MCP endpoint; gives the result, or the error under `error`."""
        message: dict[str, Any] = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params or {}}
        told = answer((await self.ask("POST", path, encode(message), **ACCEPT, **headers)).body)
        return told.get("result") or {"error": told["error"]}

    async def execute(self, name: str, **arguments: object) -> Any:
        return await self.mcp(
            "tools/call", {"name": "execute", "arguments": {"name": name, "arguments": arguments}}
        )

    async def search(self, *keywords: str) -> set[str]:
        params = {"name": "search", "arguments": {"keywords": keywords}}
        found = (await self.mcp("tools/call", params))["structuredContent"]["results"]
        return {one["name"] for one in found}


@dataclass
class Setup:
    """A gateway in front of a model, a server of tools for everybody, and one that knows whose token it gets."""

    issuer: Issuer
    up: Upstream
    personal: Personal
    nexus: Running

    async def user(self, name: str, group: str) -> User:
        token = await self.issuer.token(claims={"sub": name, "group": group})
        return User(name, group, token, self.nexus)


def whole(asked: Asked) -> Told:
    """Answer with the name and the key that came with a request."""
    said = {"asked_by": asked.json.get("user"), "with": asked.headers["authorization"]}
    choice = {"index": 0, "message": {"role": "assistant", "content": "Hi"}, "finish_reason": "stop"}
    usage = {"prompt_tokens": 8, "completion_tokens": 5, "total_tokens": 13}
    return Told(pieces=(encode({"id": "c", "model": "gpt-4o", "choices": [choice], "usage": usage, **said}),))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def served() -> AsyncGenerator[Setup]:
    personal = Personal(sessions=True)
    async with issuer() as made, upstream(whole) as up, running(personal):
        local = msgspec.json.encode([sys.executable, str(SERVERS / "plain.py")]).decode()
        toml = CONFIG.format(personal=personal.url, local=local)
        async with gateway(toml + made.oauth + provider(up.url, "forward_token = true")) as nexus:
            assert nexus.gateway.mcp is not None
            async with asyncio.timeout(30):
                await nexus.gateway.mcp.pool.shared["local"].settled.wait()
            yield Setup(made, up, personal, nexus)


@pytest.fixture
def suffix(request: pytest.FixtureRequest) -> str:
    """Name the users of one test, for none to find limits used up by another."""
    return sha256(request.node.name.encode()).hexdigest()[:12]


@pytest_asyncio.fixture(loop_scope="module")
async def users(served: Setup, suffix: str) -> tuple[User, User]:
    """Give a user of each group."""
    return await served.user(f"alice_{suffix}", "basic"), await served.user(f"bob_{suffix}", "premium")


async def test_one_who_has_used_up_a_limit_stops_nobody_else(users: tuple[User, User]) -> None:
    alice, bob = users
    assert [(await alice.chat()).status for _ in range(4)] == [200, 200, 200, 429]
    assert [(await bob.chat()).status for _ in range(6)] == [200] * 5 + [429]


async def test_limits_are_the_users_in_every_protocol_and_with_every_token(
    served: Setup, users: tuple[User, User]
) -> None:
    alice, bob = users
    again = await served.user(alice.name, alice.group)
    assert again.token != alice.token
    statuses = [(await one.chat(path)).status for one in (alice, again) for path in (CHAT, MESSAGES)]
    assert statuses == [200, 200, 200, 429]
    assert (await bob.chat(MESSAGES)).status == 200


async def test_limits_hold_for_each_of_many_who_ask_at_once(served: Setup, suffix: str) -> None:
    people = [await served.user(f"{name}_{suffix}", "basic") for name in ("carol", "dave", "erin")]
    asked = [one for one in people for _ in range(20)]
    answers = await asyncio.gather(*(one.chat() for one in asked))
    passed = [one.name for one, told in zip(asked, answers, strict=True) if told.status == 200]
    assert sorted(passed) == sorted(one.name for one in people for _ in range(3))
    assert {told.status for told in answers} == {200, 429}


async def test_a_user_is_told_its_own_limits_and_of_nobody_else(users: tuple[User, User]) -> None:
    alice, bob = users
    untouched = await bob.limits()
    assert (await alice.chat()).status == 200
    mine = await alice.limits()
    assert (mine["client"], mine["group"]) == (alice.name, "basic")
    assert [(one["tokens"], one["limit"], one["remaining"]) for one in mine["limits"]] == [("input", 24, 16)]
    assert await bob.limits() == untouched
    theirs = {(one["tokens"], one["limit"], one["remaining"]) for one in untouched["limits"]}
    assert theirs == {("input", 40, 40), ("output", 20_000, 20_000)}
    path = f"/v1/limits?client={bob.name}"
    claimed = await alice.ask("GET", path, x_client_id=bob.name, x_group_id="premium", sub=bob.name)
    assert msgspec.json.decode(claimed.body) == mine


async def test_keys_of_clients_go_only_with_their_own_requests(served: Setup, suffix: str) -> None:
    people = [await served.user(f"{name}_{at}_{suffix}", "basic") for at in range(8) for name in ("f", "g")]
    answers = await asyncio.gather(*(one.chat(x_provider_api_key=f"key-{one.name}") for one in people))
    told = [msgspec.json.decode(one.body) for one in answers]
    assert [(one["asked_by"], one["with"]) for one in told] == [
        (one.name, f"Bearer key-{one.name}") for one in people
    ]
    sent = repr(served.up.asked)
    assert not any(one.token in sent for one in people)


async def test_each_group_sees_its_own_tools_and_the_rest_does_not_exist(users: tuple[User, User]) -> None:
    for user, other in (users, reversed(users)):
        hidden, seen = FORBIDDEN[user.group], FORBIDDEN[other.group]
        found = await user.search("fail", "refuse", "adder")
        assert {"local__adder", seen} <= found
        assert hidden not in found
        listed = {one["name"] for one in (await user.mcp("tools/list", path="/mcp/all"))["tools"]}
        assert seen in listed
        assert hidden not in listed
        assert await user.execute(hidden) == await user.execute("local__nothing") == {"error": UNKNOWN}
        assert (await user.execute(seen)) != {"error": UNKNOWN}


async def test_a_server_that_knows_the_token_is_another_one_for_each(users: tuple[User, User]) -> None:
    for user, other in (users, reversed(users)):
        own, foreign = f"personal__notes_of_{user.name}", f"personal__notes_of_{other.name}"
        assert own in await user.search("notes")
        assert foreign not in await user.search("notes", other.name)
        listed = {one["name"] for one in (await user.mcp("tools/list", path="/mcp/all"))["tools"]}
        assert [name for name in listed if name.startswith("personal__")] == [own]
        assert await user.execute(foreign) == {"error": UNKNOWN}
        assert (await user.execute(own))["content"][0]["text"] == f"{user.name} {{}}"


async def test_no_session_is_ever_shown_two_tokens(served: Setup, suffix: str) -> None:
    people = [await served.user(f"{name}_{suffix}", "basic") for name in ("h", "i", "j")]

    async def work(user: User, number: int) -> str:
        said = await user.execute(f"personal__notes_of_{user.name}", number=number)
        return said["content"][0]["text"]

    calls = [(user, number) for number in range(20) for user in people]
    told = await asyncio.gather(*(work(*one) for one in calls))
    assert told == [f"{user.name} {{'number': {number}}}" for user, number in calls]
    sessions = served.personal.users_of_sessions()
    assert {f"Bearer {one.token}" for one in people} <= set[str]().union(*sessions.values())
    assert {len(tokens) for tokens in sessions.values()} == {1}


async def begin(user: User) -> str:
    """Begin a session with the gateway."""
    client = {"name": "t", "version": "1"}
    params = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": client}
    hello = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": params}
    return (await user.ask("POST", "/mcp", encode(hello), **ACCEPT)).headers["mcp-session-id"]


async def test_a_session_with_the_gateway_cannot_be_taken_over(users: tuple[User, User]) -> None:
    alice, bob = users
    session = await begin(alice)
    ping = encode({"jsonrpc": "2.0", "id": 2, "method": "ping"})
    for method, body in (("POST", ping), ("GET", b""), ("DELETE", b"")):
        stolen = await bob.ask(method, "/mcp", body, **ACCEPT, mcp_session_id=session)
        assert stolen.status == 404
    assert (await alice.ask("POST", "/mcp", ping, **ACCEPT, mcp_session_id=session)).status == 200


async def test_a_session_named_beside_ones_own_is_not_entered(users: tuple[User, User]) -> None:
    alice, bob = users
    own, foreign = await begin(bob), await begin(alice)
    own_notes = f"personal__notes_of_{bob.name}"
    tool: dict[str, Any] = {"name": "execute", "arguments": {"name": own_notes, "arguments": {}}}
    call = encode({"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": tool})
    theirs = call.replace(bob.name.encode(), alice.name.encode())
    assert alice.name in repr(await alice.ask("POST", "/mcp", theirs, **ACCEPT, mcp_session_id=foreign))
    for method, body in (("POST", call), ("GET", b""), ("DELETE", b"")):
        lines = {
            "host": "test",
            "authorization": f"Bearer {bob.token}",
            "content-length": str(len(body)),
            **ACCEPT,
        }
        head = [f"{method} /mcp HTTP/1.1", *(f"{name}: {value}" for name, value in lines.items())]
        head += [f"mcp-session-id: {own}", f"mcp-session-id: {foreign}", "connection: close", "", ""]
        told = await bob.nexus.send("\r\n".join(head).encode() + body)
        assert told.status == 400, told
        assert alice.name not in repr(told)
    again = await alice.ask("POST", "/mcp", theirs, **ACCEPT, mcp_session_id=foreign)
    assert f"{alice.name} {{}}" in repr(again)


async def test_tokens_are_written_nowhere(users: tuple[User, User], caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    for user in users:
        await user.chat()
        await user.limits()
        await user.execute(f"personal__notes_of_{user.name}")
        await user.execute("local__die")
    assert caplog.text
    for user in users:
        assert user.token not in caplog.text
        assert user.token.rpartition(".")[2] not in caplog.text
