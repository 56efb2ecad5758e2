"""The older HTTP transport: one endless event stream to us, one POST per message to the server.

https://modelcontextprotocol.io/specification/2024-11-05/basic/transports#http-with-sse
"""

import asyncio
from collections.abc import Callable
from urllib.parse import urljoin

from nexus.http.client import Failed, Response
from nexus.http.frames import Cutter, events, payload
from nexus.mcp.link import MAX_MESSAGE, Lost
from nexus.mcp.web import Web, field, refusal


class Events:
    """A carrier over an event stream."""

    def __init__(self, web: Web, message_url: str | None) -> None:
        self._web = web
        self._endpoint: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._stream: Response | None = None
        if message_url is not None:
            self._endpoint.set_result(message_url)

    async def connect(self) -> None:
        """Open the stream.

        Raises:
            Lost: there is none.
        """
        answer = await self._web.ask(b"GET", self._web.url, [("accept", "text/event-stream")])
        if answer.status != 200 or not (answer.header(b"content-type") or b"").startswith(
            b"text/event-stream"
        ):
            answer.close()
            raise (
                refusal(answer, session=False)
                if answer.status >= 400
                else Lost("it sends no events", sent=False)
            )
        self._stream = answer

    async def send(self, message: bytes) -> None:
        """POST one message."""
        url = await asyncio.shield(self._endpoint)
        headers = [("content-type", "application/json"), ("accept", "application/json, text/event-stream")]
        answer = await self._web.ask(b"POST", url, headers, message)
        status = answer.status
        try:
            await answer.read(MAX_MESSAGE)
        except Failed as error:
            raise Lost(str(error), sent=True) from error
        if status >= 400:
            raise refusal(answer, session=True)

    async def listen(self, take: Callable[[bytes], None]) -> None:
        """Hand on what the events bring."""
        assert self._stream is not None
        cutter = Cutter(MAX_MESSAGE)
        try:
            while data := await self._stream.next():
                for event in events(cutter.feed(data)):
                    self._event(event, take)
        except (Failed, OverflowError) as error:
            raise Lost(str(error), sent=True) from error
        finally:
            if not self._endpoint.done():
                self._endpoint.set_exception(Lost("its event stream ended", sent=False))
                self._endpoint.exception()  # nobody may be waiting for it
        raise Lost("its event stream ended", sent=True)

    async def close(self) -> None:
        """Close the stream and every connection."""
        if self._stream is not None:
            self._stream.close()
        self._web.close()

    def _event(self, event: bytes, take: Callable[[bytes], None]) -> None:
        data = payload(event)
        if field(event, b"event") == b"endpoint":
            url = urljoin(self._web.url, data.decode("latin-1"))
            if not self._endpoint.done():
                if self._web.owns(url):
                    self._endpoint.set_result(url)
                else:
                    self._endpoint.set_exception(
                        Lost("its message endpoint is of another origin", sent=False)
                    )
        elif data:
            take(data)
