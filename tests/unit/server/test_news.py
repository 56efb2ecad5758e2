"""What a stream of news does between its beginning and its end."""

import asyncio

from nexus.server.asgi import Message
from nexus.server.news import News

GONE = {"type": "http.disconnect"}


async def _never() -> Message:
    await asyncio.Event().wait()
    raise AssertionError


async def _ignored(message: Message) -> None:
    assert message


async def test_a_stream_hears_at_once_that_the_gateway_leaves() -> None:
    leaving = asyncio.Event()
    waiting = asyncio.create_task(News(_never, _ignored, leaving, ends=False).receive())
    await asyncio.sleep(0.01)
    assert not waiting.done()
    leaving.set()
    async with asyncio.timeout(0.1):
        assert await waiting == GONE


async def test_what_a_client_says_comes_first() -> None:
    async def gone() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    leaving = asyncio.Event()
    leaving.set()
    assert (await News(gone, _ignored, leaving, ends=False).receive())["type"] == "http.request"


async def test_a_stream_that_ends_by_itself_waits_for_its_client_alone() -> None:
    leaving = asyncio.Event()
    leaving.set()
    waiting = asyncio.create_task(News(_never, _ignored, leaving, ends=True).receive())
    await asyncio.sleep(0.01)
    assert not waiting.done()
    waiting.cancel()
