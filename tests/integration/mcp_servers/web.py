"""An MCP server over HTTP for tests, in the loop of the test: streamable HTTP and the older SSE, well-behaved or not."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from typing import Any

import msgspec

from nexus.server.asgi import Receive, Scope, Send
from nexus.server.listener import Listener, bind

encode = msgspec.json.encode


@dataclass
class WebServer:
    """What it does, and what it has seen."""

    name: str = "web"
    sessions: bool = False
    events: bool = False
    """Answer by events."""
    streamable: bool = True
    sse: bool = False
    tokens: frozenset[str] | None = None
    """Tokens it takes; any if `None`."""
    delay: float = 0.0
    """Seconds before it lists its tools."""
    handshake: bool = True
    """Know `initialize`; else only the version without handshake is spoken."""
    modern: bool = False
    """Speak the version without handshake as well."""
    forced: tuple[int, bytes, bytes] | None = None
    """Status, content type and body of the answer to every call."""
    redirect: str = ""
    """Where requests to `/old` are sent."""
    asks: Any = None
    """A question put to the client in the middle of a call; its answer is the result."""
    tools: int = 1
    resume: bool = False
    """Cut the event stream of a call and give the rest to who comes back."""
    seen: list[tuple[str, dict[str, str], Any]] = field(default_factory=list[tuple[str, dict[str, str], Any]])
    """Method, headers and body of every request."""
    known: set[str] = field(default_factory=set[str])
    """Sessions that are open."""
    streams: dict[str, "asyncio.Queue[bytes]"] = field(default_factory=dict[str, "asyncio.Queue[bytes]"])
    answered: "asyncio.Queue[Any]" = field(default_factory=lambda: asyncio.Queue[Any]())
    count: int = 0
    port: int = 0
    secure: bool = False

    @property
    def url(self) -> str:
        return f"http{'s' if self.secure else ''}://localhost:{self.port}"

    def methods(self) -> list[str]:
        """List the JSON-RPC methods that came in."""
        return [body["method"] for _, _, body in self.seen if isinstance(body, dict) and "method" in body]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        raw = b""
        if scope["method"] == "POST":
            while True:
                message = await receive()
                raw += message.get("body", b"")
                if not message.get("more_body"):
                    break
        body: Any = msgspec.json.decode(raw) if raw else None
        self.seen.append((scope["method"], headers, body))
        if (
            self.tokens is not None
            and headers.get("authorization", "").removeprefix("Bearer ") not in self.tokens
        ):
            await reply(send, 401)
        elif scope["path"] == "/old":
            await reply(send, 307, extra=[(b"location", self.redirect.encode())])
        elif self.sse and scope["path"] == "/sse" and scope["method"] == "GET":
            await self._sse(send)
        elif self.sse and scope["path"] == "/messages":
            await reply(send, 202)
            number = scope["query_string"].decode()
            if "id" in body and "method" in body:
                self.streams[number].put_nowait(event(await self._answer(body)))
        elif not self.streamable:
            await reply(send, 404)
        else:
            await self._streamable(scope["method"], headers, body, send)

    async def _streamable(self, method: str, headers: dict[str, str], body: Any, send: Send) -> None:
        session = headers.get("mcp-session-id")
        if method == "DELETE":
            self.known.discard(session or "")
            await reply(send, 200)
        elif (
            self.sessions
            and (method == "GET" or body.get("method") != "initialize")
            and session not in self.known
        ):
            await reply(send, 404)
        elif method == "GET" and (last := headers.get("last-event-id")) is not None:
            await reply(send, 200, b"text/event-stream", event(self._called(int(last))))
        elif method == "GET":
            await self._notices(session or "", send)
        elif "id" not in body or "method" not in body:
            await reply(send, 202)
            if "method" not in body:
                self.answered.put_nowait(body)
        else:
            await self._ask(body, send)

    async def _ask(self, body: Any, send: Send) -> None:
        answer, extra = await self._answer(body), []
        if self.sessions and body["method"] == "initialize":
            self.count += 1
            self.known.add(f"s{self.count}")
            extra = [(b"mcp-session-id", f"s{self.count}".encode())]
        if self.forced is not None and body["method"] == "tools/call":
            await reply(send, *self.forced)
        elif self.asks is not None and body["method"] == "tools/call":
            await self._question(body["id"], send)
        elif self.resume and body["method"] == "tools/call":
            await reply(send, 200, b"text/event-stream", b"id: %d\nretry: 10\ndata:\n\n" % body["id"])
        elif self.events:
            await reply(send, 200, b"text/event-stream", b": hello\n\n" + event(answer), extra)
        else:
            await reply(send, 200, b"application/json", encode(answer), extra)

    async def _question(self, number: int, send: Send) -> None:
        await start(send, 200, b"text/event-stream")
        log = {
            "jsonrpc": "2.0",
            "method": "notifications/message",
            "params": {"level": "info", "data": "asking"},
        }
        question = {"jsonrpc": "2.0", "id": "q", **self.asks}
        piece = event(log) + b"data: not json\n\n" + event(question)
        await send({"type": "http.response.body", "body": piece, "more_body": True})
        said = await self.answered.get()
        result: dict[str, Any] = {"content": [], "structuredContent": {"said": said}}
        await send(
            {"type": "http.response.body", "body": event({"jsonrpc": "2.0", "id": number, "result": result})}
        )

    async def _notices(self, session: str, send: Send) -> None:
        queue = self.streams[session] = asyncio.Queue[bytes]()
        await start(send, 200, b"text/event-stream")
        while True:
            await send({"type": "http.response.body", "body": await queue.get(), "more_body": True})

    async def _sse(self, send: Send) -> None:
        self.count += 1
        queue = self.streams[f"n={self.count}"] = asyncio.Queue[bytes]()
        await start(send, 200, b"text/event-stream")
        endpoint = f"event: endpoint\ndata: /messages?n={self.count}\n\n".encode()
        await send({"type": "http.response.body", "body": endpoint, "more_body": True})
        while piece := await queue.get():
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    async def _answer(self, body: Any) -> dict[str, Any]:
        method, number = body["method"], body["id"]
        result: dict[str, Any]
        if method == "initialize" and not self.handshake:
            return {"jsonrpc": "2.0", "id": number, "error": {"code": -32601, "message": "no handshake here"}}
        if method == "server/discover" and self.modern:
            found: dict[str, Any] = {
                "supportedVersions": ["2026-07-28"],
                "capabilities": {"tools": {}},
                "resultType": "complete",
            }
            return {"jsonrpc": "2.0", "id": number, "result": found}
        if method == "tools/call" and self.modern and "inputResponses" not in body["params"]:
            asked = {"who": {"method": "elicitation/create", "params": {"message": "Who?"}}}
            result = {
                "resultType": "input_required",
                "inputRequests": asked,
                "requestState": "s",
            }
            return {"jsonrpc": "2.0", "id": number, "result": result}
        if method == "initialize":
            info = {"name": self.name, "version": "1"}
            version = body["params"]["protocolVersion"]
            result = {
                "protocolVersion": version,
                "capabilities": {"tools": {}},
                "serverInfo": info,
                "extra": 1,
            }
        elif method == "tools/list":
            await asyncio.sleep(self.delay)
            tool = {"description": "Says who it is", "inputSchema": {"type": "object"}}
            result = {"tools": [{**tool, "name": f"greet{at or ''}"} for at in range(self.tools)]}
        elif method == "tools/call":
            return self._called(number)
        else:
            return {"jsonrpc": "2.0", "id": number, "error": {"code": -32601, "message": method}}
        return {"jsonrpc": "2.0", "id": number, "result": result}

    def _called(self, number: int) -> dict[str, Any]:
        return {"jsonrpc": "2.0", "id": number, "result": {"content": [{"type": "text", "text": self.name}]}}


def event(message: dict[str, Any]) -> bytes:
    """Write an event."""
    return b"event: message\ndata: " + encode(message) + b"\n\n"


async def start(send: Send, status: int, kind: bytes = b"text/plain", extra: Any = ()) -> None:
    """Send status and headers."""
    await send(
        {"type": "http.response.start", "status": status, "headers": [(b"content-type", kind), *extra]}
    )


async def reply(
    send: Send, status: int, kind: bytes = b"text/plain", body: bytes = b"", extra: Any = ()
) -> None:
    """Send a whole answer."""
    await start(send, status, kind, extra)
    await send({"type": "http.response.body", "body": body})


@contextlib.asynccontextmanager
async def running(
    server: WebServer, port: int = 0, tls: ssl.SSLContext | None = None
) -> AsyncGenerator[WebServer]:
    """Serve until the end of the block."""
    bound = bind("127.0.0.1", port)
    listener = Listener(bound, server, tls, 65536)
    await listener.start()
    server.port, server.secure = bound.getsockname()[1], tls is not None
    try:
        yield server
    finally:
        hurry = asyncio.Event()
        hurry.set()
        await listener.drain(0, hurry)
