"""What a client may send, and for how long it may let it stop."""

import pytest

import gateway
from nexus.errors import BodyTooLarge, InvalidRequest
from nexus.server import body
from nexus.server.asgi import Message, Receive
from nexus.server.body import read_body

ECHO = '[llm.providers.try]\ntype = "echo"\n\n[mcp.servers.none]\ncmd = ["false"]\n'


def client(*messages: Message) -> Receive:
    """A client that sends these and nothing more."""
    left = list(messages)

    async def receive() -> Message:
        return left.pop(0)

    return receive


def piece(data: bytes, *, more: bool = True) -> Message:
    return {"type": "http.request", "body": data, "more_body": more}


async def test_pieces_are_one_body() -> None:
    received = client(piece(b"ab"), piece(b""), piece(b"c", more=False))
    assert await read_body({"headers": []}, received, 3) == b"abc"


@pytest.mark.parametrize("headers", [[], [(b"content-length", b"4")]], ids=["unannounced", "announced"])
async def test_a_body_larger_than_the_limit_is_refused(headers: list[tuple[bytes, bytes]]) -> None:
    with pytest.raises(BodyTooLarge):
        await read_body({"headers": headers}, client(piece(b"ab"), piece(b"cd", more=False)), 3)


async def test_a_client_that_leaves_amid_its_body_has_sent_none() -> None:
    with pytest.raises(InvalidRequest, match="ended early"):
        await read_body({"headers": []}, client(piece(b"ab"), {"type": "http.disconnect"}), 3)


@pytest.mark.parametrize("path", ["/llm/v1/chat/completions", "/mcp"])
@pytest.mark.parametrize("begun", [b"", b"{"], ids=["nothing", "a piece"])
async def test_a_body_that_stops_is_given_up(
    monkeypatch: pytest.MonkeyPatch, path: str, begun: bytes
) -> None:
    monkeypatch.setattr(body, "_IDLE", 0.05)
    async with gateway.gateway(ECHO) as running:
        head = f"POST {path} HTTP/1.1\r\nhost: test\r\ncontent-type: application/json\r\ncontent-length: 9\r\n\r\n"
        answer = await running.send(head.encode() + begun)
    assert (answer.status, b"stopped for 0.05 seconds" in answer.body) == (400, True)
