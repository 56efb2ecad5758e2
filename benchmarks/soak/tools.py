"""A small MCP server with one tool, over standard input or, where a port is given, over HTTP. It is there to be killed."""

import asyncio
import sys
from typing import Any

import msgspec

_ADD = {
    "name": "add",
    "description": "Adds two whole numbers together",
    "inputSchema": {"type": "object", "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}}},
}


def answer(line: bytes) -> bytes:
    """Answer a message; nothing where it wants no answer."""
    message: dict[str, Any] = msgspec.json.decode(line)
    if "id" not in message or "method" not in message:
        return b""
    result = _result(message["method"], message.get("params") or {})
    return msgspec.json.encode({"jsonrpc": "2.0", "id": message["id"], **result})


def _result(method: str, params: dict[str, Any]) -> dict[str, Any]:
    match method:
        case "initialize":
            greeting: dict[str, Any] = {
                "protocolVersion": params["protocolVersion"],
                "capabilities": {"tools": {}},
                "serverInfo": {"name": "soak", "version": "1"},
            }
            return {"result": greeting}
        case "tools/list":
            return {"result": {"tools": [_ADD]}}
        case "tools/call":
            total = params["arguments"]["a"] + params["arguments"]["b"]
            return {"result": {"content": [{"type": "text", "text": str(total)}]}}
        case "ping":
            return {"result": {}}
        case _:
            return {"error": {"code": -32601, "message": "Method not found"}}


def by_pipe() -> None:
    """Answer line by line."""
    for line in sys.stdin.buffer:
        if said := answer(line):
            sys.stdout.buffer.write(said + b"\n")
            sys.stdout.buffer.flush()


async def _converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            length = int(head.partition(b"content-length: ")[2].partition(b"\r")[0] or b"0")
            said = answer(await reader.readexactly(length)) if head.startswith(b"post") else b""
            status = b"200 OK" if said else b"202 Accepted" if length else b"405 No"
            kind = b"content-type: application/json\r\n"
            writer.write(b"HTTP/1.1 %s\r\n%scontent-length: %d\r\n\r\n%s" % (status, kind, len(said), said))
            await writer.drain()
    except (OSError, EOFError):
        writer.close()


async def by_http(port: int) -> None:
    """Serve until killed."""
    server = await asyncio.start_server(_converse, "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    by_pipe() if len(sys.argv) == 1 else asyncio.run(by_http(int(sys.argv[1])))
