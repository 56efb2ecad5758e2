"""The task that looks after a server: back-off, patience, and what is sent once more."""

import asyncio

import pytest
from mcp.shared.exceptions import MCPError

from nexus.mcp import upstream as module
from nexus.mcp.connect import For
from nexus.mcp.link import Envelope, Expired, Lost, Peer, Raw, Slow
from nexus.mcp.upstream import Upstream


class Fake:
    """A link that does what it is told."""

    def __init__(self, *outcomes: Raw | Exception) -> None:
        self.greeting: Raw = {"capabilities": {"tools": {}}}
        self.gone = asyncio.Event()
        self.outcomes = list(outcomes)
        self.calls = 0
        self.closed = False

    async def request(
        self,
        method: str,
        params: Raw,
        timeout: float,
        peer: Peer | None = None,
        envelope: Envelope | None = None,
    ) -> Raw:
        if method == "tools/list":
            return {"tools": []}
        self.calls += 1
        outcome = self.outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    async def notify(self, method: str, params: Raw) -> None: ...

    async def close(self) -> None:
        self.closed = True


class Dialer:
    """Gives one link after another."""

    name = "s"

    def __init__(self, *links: Fake | Exception) -> None:
        self.links = list(links)
        self.given: list[Fake] = []

    async def connect(self, made_for: For, timeout: float) -> Fake:
        link = self.links.pop(0)
        if isinstance(link, Exception):
            raise link
        self.given.append(link)
        return link


async def _ask(dialer: Dialer) -> Raw:
    upstream = Upstream(dialer, 1, 1)
    upstream.start()
    try:
        await upstream.settled.wait()
        return await upstream.call("tools/call", {})
    finally:
        await upstream.close()
        assert all(link.closed for link in dialer.given)


@pytest.mark.parametrize("error", [Expired(), Lost("refused", sent=False)])
async def test_what_did_not_arrive_is_sent_once_more_on_a_new_connection(error: Exception) -> None:
    dialer = Dialer(Fake(error), Fake({"ok": 1}))
    assert await _ask(dialer) == {"ok": 1}
    assert [link.calls for link in dialer.given] == [1, 1]


@pytest.mark.parametrize("error", [Lost("gone", sent=True), Slow("late")])
async def test_what_may_have_arrived_is_not(error: Exception) -> None:
    dialer = Dialer(Fake(error), Fake({"ok": 1}))
    with pytest.raises(MCPError, match=f"MCP server 's': {error}"):
        await _ask(dialer)
    assert sum(link.calls for link in dialer.given) == 1


async def test_nothing_is_sent_a_third_time() -> None:
    dialer = Dialer(Fake(Expired()), Fake(Expired()), Fake({"ok": 1}))
    with pytest.raises(MCPError, match="expired"):
        await _ask(dialer)


async def test_errors_of_the_server_pass_as_they_are() -> None:
    with pytest.raises(MCPError) as caught:
        await _ask(Dialer(Fake(MCPError(-32000, "no", {"a": 1}))))
    assert (caught.value.code, caught.value.data) == (-32000, {"a": 1})


async def test_who_is_not_there_is_waited_for_a_little(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_PATIENCE", 0.05)
    upstream = Upstream(Dialer(*(Lost("refused", sent=False) for _ in range(99))), 1, 1)
    upstream.start()
    await upstream.settled.wait()
    assert upstream.trouble == "refused"
    with pytest.raises(MCPError, match="not available: refused"):
        await upstream.call("tools/call", {})
    await upstream.close()


async def test_a_call_wakes_a_server_that_rests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_FIRST_DELAY", 4.0)
    dialer = Dialer(Lost("refused", sent=False), Fake({"ok": 1}))
    async with asyncio.timeout(2):
        assert await _ask(dialer) == {"ok": 1}
