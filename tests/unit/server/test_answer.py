"""How answers leave."""

from collections.abc import AsyncGenerator

import pytest

from nexus.http.client import Failed
from nexus.llm.reply import Reply
from nexus.server.answer import serve
from nexus.server.asgi import Message


class Stream:
    """A reply that comes piece by piece, and what becomes of it."""

    def __init__(self, *, broken: bool = False) -> None:
        self.closed = False
        self._broken = broken

    async def make(self) -> Reply:
        return Reply(200, [], self._pieces(), self._close)

    async def _pieces(self) -> AsyncGenerator[bytes]:
        yield b"a"
        if self._broken:
            raise Failed("cut")

    def _close(self) -> None:
        self.closed = True


async def test_a_stream_is_sent_and_closed() -> None:
    stream, sent = Stream(), list[Message]()

    async def send(message: Message) -> None:
        sent.append(message)

    await serve({}, send, stream.make())
    assert [message.get("body") for message in sent] == [None, b"a", b""]
    assert stream.closed


async def test_a_stream_that_never_began_is_closed() -> None:
    stream = Stream()

    async def send(message: Message) -> None:
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        await serve({}, send, stream.make())
    assert stream.closed


async def test_an_answer_that_breaks_off_is_not_ended() -> None:
    stream, sent = Stream(broken=True), list[Message]()

    async def send(message: Message) -> None:
        sent.append(message)

    with pytest.raises(Failed):
        await serve({}, send, stream.make())
    assert [message.get("body") for message in sent] == [None, b"a"]
    assert stream.closed
