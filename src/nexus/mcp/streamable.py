"""Streamable HTTP: every request is a POST of its own, answered by JSON or by a stream of events that ends with the answer.

What the server says or asks on the stream of a call belongs to that call, so it reaches the client that made it and no other.
https://modelcontextprotocol.io/specification/2025-11-25/basic/transports#streamable-http
"""

import asyncio
import logging
from collections.abc import AsyncGenerator
from typing import Any, cast

import msgspec
from mcp.shared.exceptions import MCPError
from mcp.shared.inbound import NAME_BEARING_METHODS, encode_header_value
from mcp_types import (
    CLIENT_CAPABILITIES_META_KEY,
    CLIENT_INFO_META_KEY,
    METHOD_NOT_FOUND,
    PROTOCOL_VERSION_META_KEY,
    UNSUPPORTED_PROTOCOL_VERSION,
)

from nexus.http.client import Failed, Response
from nexus.http.frames import Cutter, events, payload
from nexus.mcp.calls import Call, Calls
from nexus.mcp.link import (
    MAX_MESSAGE,
    Envelope,
    Expired,
    Lost,
    Message,
    OnNotice,
    Peer,
    Raw,
    Slow,
    check_version,
    decode,
    introduction,
    notification,
    request,
)
from nexus.mcp.web import Web, field, refusal

log = logging.getLogger(__name__)

MODERN = "2026-07-28"
"""The version without handshake."""
_OWN = Envelope(
    {
        PROTOCOL_VERSION_META_KEY: MODERN,
        CLIENT_INFO_META_KEY: introduction({})["clientInfo"],
        CLIENT_CAPABILITIES_META_KEY: {},
    }
)
_NO_HANDSHAKE = (METHOD_NOT_FOUND, UNSUPPORTED_PROTOCOL_VERSION)
_RESUMPTIONS = 5
_RETRY = 1.0
_MAX_RETRY = 30.0
_BYE = 2.0
_LASTING = 5.0
"""Seconds a stream has to last; one that is over sooner is opened again more slowly each time."""
_LISTEN = "subscriptions/listen"
_NEWS = {"toolsListChanged": True, "promptsListChanged": True, "resourcesListChanged": True}


class Streamable:
    """A link over streamable HTTP."""

    def __init__(
        self, name: str, web: Web, on_notice: OnNotice, capabilities: Raw, peer: Peer | None
    ) -> None:
        self.greeting: Raw = {}
        self.gone = asyncio.Event()
        self._name = name
        self._web = web
        self._calls = Calls(on_notice, capabilities, peer)
        self._session: str | None = None
        self._version: str | None = None
        self._listener: asyncio.Task[None] | None = None
        self._modern: bool | None = None
        """Whether the server can do without handshake; unknown until a client wants to."""
        self._own: Envelope | None = None
        """Ours, for a server that knows no handshake."""

    async def greet(self, timeout: float) -> None:
        """Do the handshake; a server that has none is asked what it can do."""
        try:
            self.greeting = await self.request("initialize", introduction(self._calls.capabilities), timeout)
        except MCPError as error:
            if error.code not in _NO_HANDSHAKE:
                raise
            self._own = _OWN
            self._modern = True
            self.greeting = await self.request("server/discover", {}, timeout)
        else:
            self._version = check_version(self.greeting)
            await self.notify("notifications/initialized", {})
        if self._session is not None or _announces(self.greeting):
            self._listener = asyncio.create_task(self._listen(), name=f"mcp {self._name}")

    async def request(
        self,
        method: str,
        params: Raw,
        timeout: float,
        peer: Peer | None = None,
        envelope: Envelope | None = None,
    ) -> Raw:
        """Ask the server; without handshake if both the client and the server can."""
        call, params = self._calls.begin(peer, params)
        try:
            async with asyncio.timeout(timeout) as clock:
                call.clock, call.seconds = clock, timeout
                enveloped = await self._enveloped(envelope)
                if enveloped is not None:
                    params = {**params, "_meta": {**params.get("_meta", {}), **enveloped.meta}}
                return await self._exchange(call, method, params, enveloped)
        except TimeoutError:
            self._give_up(call.number, method, f"no answer within {timeout:g} seconds")
            raise Slow(f"no answer within {timeout:g} seconds") from None
        except asyncio.CancelledError:
            self._give_up(call.number, method, "the client has gone")
            raise
        finally:
            self._calls.end(call)

    async def notify(self, method: str, params: Raw) -> None:
        """Tell the server something."""
        await self._post(notification(method, params))

    async def close(self) -> None:
        """End the session and every connection."""
        self._calls.close()
        if self._listener is not None:
            self._listener.cancel()
            await asyncio.wait((self._listener,))
        if self._session is not None and not self.gone.is_set():
            try:
                async with asyncio.timeout(_BYE):
                    (await self._web.ask(b"DELETE", self._web.url, self._headers())).close()
            except (TimeoutError, Lost, Slow):
                log.debug("MCP server %s was not told of the end of its session", self._name)
        self._web.close()

    def _headers(self) -> list[tuple[str, str]]:
        headers = [("accept", "application/json, text/event-stream"), ("content-type", "application/json")]
        if self._session is not None:
            headers.append(("mcp-session-id", self._session))
        if self._version is not None:
            headers.append(("mcp-protocol-version", self._version))
        return headers

    async def _exchange(self, call: Call, method: str, params: Raw, envelope: Envelope | None) -> Raw:
        headers = self._headers() if envelope is None else _modern_headers(method, params, envelope)
        answer = await self._web.ask(b"POST", self._web.url, headers, request(call.number, method, params))
        try:
            if method == "initialize" and (session := answer.header(b"mcp-session-id")) is not None:
                self._session = session.decode("latin-1")
            kind = (answer.header(b"content-type") or b"").lower()
            if kind.startswith(b"text/event-stream") and answer.status < 400:
                await self._stream(answer, call)
            else:
                in_session = self._session is not None and envelope is None
                await self._whole(answer, kind, call, in_session=in_session)
            return await call.outcome()
        finally:
            answer.close()

    async def _enveloped(self, envelope: Envelope | None) -> Envelope | None:
        """Choose how to speak: as the client does where the server can, so that nothing has to be translated."""
        if envelope is not None and self._modern is None:
            self._modern = False  # for what is asked meanwhile
            self._modern = await self._discover()
        return (envelope or self._own) if self._modern else None

    async def _discover(self) -> bool:
        call, params = self._calls.begin(None, {"_meta": _OWN.meta})
        try:
            found = await self._exchange(call, "server/discover", params, _OWN)
        except (MCPError, Lost, Slow):
            return False
        finally:
            self._calls.end(call)
        return MODERN in found.get("supportedVersions", ())

    async def _whole(self, answer: Response, kind: bytes, call: Call, *, in_session: bool) -> None:
        """Take an answer that is one JSON message; errors may come with any status."""
        try:
            body = await answer.read(MAX_MESSAGE)
        except Failed as error:
            raise Lost(str(error), sent=True) from error
        message = _message(body) if kind.startswith(b"application/json") else None
        if answer.status == 404 and in_session:
            raise self._expired()
        if message is None or (message.result is None and message.error is None):
            if answer.status >= 400:
                raise refusal(answer, session=False)
            raise Lost("it answered a request with something that is no JSON-RPC message", sent=True)
        if answer.status in (401, 403):
            raise refusal(answer, session=False)
        message.id = call.number  # some servers give none with an error
        self._calls.receive(message, self._post, call)

    async def _stream(self, answer: Response, call: Call) -> None:
        """Take what comes until the answer is there; pick a cut stream up where it can be."""
        last, retry = b"", _RETRY
        for _ in range(_RESUMPTIONS):
            async for event in _events(answer):
                last = field(event, b"id") or last
                retry = _seconds(field(event, b"retry"), retry)
                self._event(event, call)
                if call.answer.done():
                    return
            if not last:
                break
            await asyncio.sleep(retry)
            headers = [*self._headers(), ("last-event-id", last.decode("latin-1"))]
            answer.close()
            answer = await self._web.ask(b"GET", self._web.url, headers)
            if answer.status != 200:
                break
        answer.close()
        raise Lost("its answer was cut off", sent=True)

    def _event(self, event: bytes, call: Call | None) -> None:
        if not (data := payload(event)):
            return
        if (message := _message(data)) is None:
            log.warning("MCP server %s sent an event that is no JSON-RPC message; skipped", self._name)
        else:
            self._calls.receive(message, self._post, call)

    async def _post(self, message: bytes) -> None:
        """Send what wants no answer."""
        answer = await self._web.ask(b"POST", self._web.url, self._headers(), message)
        try:
            await answer.read(MAX_MESSAGE)
        except Failed as error:
            raise Lost(str(error), sent=True) from error
        if answer.status == 404 and self._session is not None:
            raise self._expired()
        if answer.status >= 400:
            raise refusal(answer, session=False)

    def _expired(self) -> Lost:
        self.gone.set()
        return Expired()

    def _give_up(self, number: int, method: str, reason: str) -> None:
        if method != "initialize" and self._version is not None and not self.gone.is_set():
            cancelled = {"requestId": number, "reason": reason}
            self._calls.side(self.notify, "notifications/cancelled", cancelled)

    async def _listen(self) -> None:
        """Hear what belongs to no call, for as long as the connection lasts."""
        last, retry, quick, unreachable = b"", _RETRY, 0, 0
        clock = asyncio.get_running_loop().time
        while unreachable < _RESUMPTIONS:
            since = clock()
            try:
                answer = await self._news(last)
            except (Lost, Slow):
                unreachable += 1
                await asyncio.sleep(retry)
                continue
            unreachable = 0
            if answer.status < 500 and not _streams(answer):
                answer.close()
                if answer.status == 404 and self._session is not None:
                    self.gone.set()
                return
            async for event in _events(answer):
                last = field(event, b"id") or last
                retry = _seconds(field(event, b"retry"), retry)
                self._event(event, None)
            quick = 0 if clock() - since > _LASTING else quick + 1
            await asyncio.sleep(min(retry * 2**quick, _MAX_RETRY))
            if not last:  # what was said meanwhile is not repeated
                self._calls.on_notice("notifications/tools/list_changed", {})
        self.gone.set()

    async def _news(self, last: bytes) -> Response:
        """Open the stream of what belongs to no call."""
        if self._own is None:
            headers = [("accept", "text/event-stream"), *self._headers()[2:]]
            if last:
                headers.append(("last-event-id", last.decode("latin-1")))
            return await self._web.ask(b"GET", self._web.url, headers)
        call, params = self._calls.begin(None, {"notifications": _NEWS, "_meta": self._own.meta})
        self._calls.end(call)  # its answer is the end of the stream
        headers = _modern_headers(_LISTEN, params, self._own)
        return await self._web.ask(b"POST", self._web.url, headers, request(call.number, _LISTEN, params))


def _streams(answer: Response) -> bool:
    kind = answer.header(b"content-type") or b""
    return answer.status == 200 and kind.lower().startswith(b"text/event-stream")


def _announces(greeting: Raw) -> bool:
    """Tell whether a server says that it tells when its lists change."""
    capabilities: Any = greeting.get("capabilities")
    return isinstance(capabilities, dict) and any(
        isinstance(one, dict) and bool(cast("Raw", one).get("listChanged"))
        for one in cast("Raw", capabilities).values()
    )


async def _events(answer: Response) -> AsyncGenerator[bytes]:
    """Cut a stream into events; one that is cut short just ends."""
    cutter = Cutter(MAX_MESSAGE)
    try:
        while data := await answer.next():
            for event in events(cutter.feed(data)):
                yield event
    except (Failed, OverflowError):
        return
    finally:
        answer.close()


def _modern_headers(method: str, params: Raw, envelope: Envelope) -> list[tuple[str, str]]:
    """Write the headers of a request without handshake, which repeat what it is about."""
    headers = [("accept", "application/json, text/event-stream"), ("content-type", "application/json")]
    headers += [("mcp-protocol-version", MODERN), ("mcp-method", method), *envelope.headers.items()]
    name = params.get(NAME_BEARING_METHODS.get(method, ""))
    return [*headers, ("mcp-name", encode_header_value(name))] if isinstance(name, str) else headers


def _message(data: bytes) -> Message | None:
    try:
        return decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None


def _seconds(milliseconds: bytes, otherwise: float) -> float:
    return min(int(milliseconds) / 1000, _MAX_RETRY) if milliseconds.isdigit() else otherwise
