"""A server that says and asks things in the middle of a call: progress, log messages, questions."""

import asyncio
import sys
from typing import Any

import msgspec

TOOLS = ("steps", "hang", "told", "elicit", "sample", "roots", "say")
PENDING: dict[str, asyncio.Future[Any]] = {}
CALLS: dict[Any, asyncio.Task[None]] = {}
CAPABILITIES: dict[str, Any] = {}
CANCELLED: list[Any] = []


def send(message: dict[str, Any]) -> None:
    sys.stdout.write(msgspec.json.encode({"jsonrpc": "2.0", **message}).decode() + "\n")
    sys.stdout.flush()


async def ask(method: str, params: dict[str, Any]) -> dict[str, Any]:
    number = f"q{len(PENDING)}"
    PENDING[number] = asyncio.get_running_loop().create_future()
    send({"id": number, "method": method, "params": params})
    return await PENDING[number]


async def call(number: Any, params: dict[str, Any]) -> None:
    name: str = params["name"]
    arguments: dict[str, Any] = params.get("arguments") or {}
    said: Any = None
    if name == "steps":
        for at in range(1, arguments["count"] + 1):
            token = params["_meta"]["progressToken"]
            progress = {"progressToken": token, "progress": at, "total": arguments["count"]}
            send({"method": "notifications/progress", "params": progress})
            await asyncio.sleep(float(arguments.get("every", 0)))
    elif name == "hang":
        await asyncio.sleep(600)
    elif name == "elicit":
        schema = {"type": "object", "properties": {"name": {"type": "string"}}}
        said = await ask("elicitation/create", {"message": "Who?", "requestedSchema": schema})
    elif name == "sample":
        message = {"role": "user", "content": {"type": "text", "text": "Hi"}}
        said = await ask("sampling/createMessage", {"messages": [message], "maxTokens": 5})
    elif name == "roots":
        said = await ask("roots/list", {})
    elif name == "say":
        send({"method": "notifications/message", "params": {"level": "info", "data": "hello"}})
    result: dict[str, Any] = {
        "content": [],
        "structuredContent": {"cancelled": len(CANCELLED), "said": said, "capabilities": CAPABILITIES},
    }
    send({"id": number, "result": result})


def take(message: dict[str, Any]) -> None:
    method, number = message.get("method"), message.get("id")
    params: dict[str, Any] = message.get("params") or {}
    if method is None:
        PENDING[str(number)].set_result(message.get("result") or {"error": message.get("error")})
    elif method == "initialize":
        CAPABILITIES.update(params["capabilities"])
        capabilities: dict[str, Any] = {"tools": {}, "logging": {}}
        greeting: dict[str, Any] = {
            "protocolVersion": params["protocolVersion"],
            "capabilities": capabilities,
        }
        send({"id": number, "result": {**greeting, "serverInfo": {"name": "asking", "version": "1"}}})
    elif method == "tools/list":
        send(
            {
                "id": number,
                "result": {"tools": [{"name": name, "inputSchema": {"type": "object"}} for name in TOOLS]},
            }
        )
    elif method == "tools/call":
        CALLS[number] = asyncio.ensure_future(call(number, params))
    elif method == "notifications/cancelled":
        CANCELLED.append(params)
        CALLS[params["requestId"]].cancel()
    elif number is not None:
        send({"id": number, "result": {}})


async def main() -> None:
    reader = asyncio.StreamReader(limit=2**24)
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
    )
    while line := await reader.readline():
        take(msgspec.json.decode(line))


if __name__ == "__main__":
    asyncio.run(main())
