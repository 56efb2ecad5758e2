"""A server in a hundred lines of nothing but JSON: it says what it is told to say, well-behaved or not.

Its behaviour is named by its arguments: `stray` lines on standard output, `flood` on standard error, `deaf` (never answers),
`slow` lists, `pages=N`, `circle` (a cursor that comes back), `pid=FILE`, `child` (starts a grandchild).
"""

import os
import subprocess
import sys
import time
from typing import Any

import msgspec

OPTIONS: dict[str, str] = {one.partition("=")[0]: one.partition("=")[2] for one in sys.argv[1:]}
TOOLS: list[dict[str, Any]] = [
    {
        "name": "adder",
        "description": "Adds two numbers together",
        "inputSchema": {"type": "object", "properties": {"a": {"type": "number"}, "b": {"type": "number"}}},
        "annotations": {"title": "Adder"},
        "x-kept": {"b": 1, "a": [1.0, 2]},
    },
    {"name": "environment", "description": "Gives a variable", "inputSchema": {"type": "object"}},
    {"name": "wait", "description": "Takes its time", "inputSchema": {"type": "object"}},
    {"name": "die", "description": "Ends the process", "inputSchema": {"type": "object"}},
    {"name": "refuse", "description": "Answers with an error", "inputSchema": {"type": "object"}},
    {"name": "fail", "description": "Fails", "inputSchema": {"type": "object"}},
    {"name": "grow", "description": "Makes a new tool", "inputSchema": {"type": "object"}},
    {"name": "calls", "description": "Tells what it was asked", "inputSchema": {"type": "object"}},
]
SEEN: list[Any] = []


def send(message: dict[str, Any]) -> None:
    sys.stdout.write(msgspec.json.encode(message).decode() + "\n")
    sys.stdout.flush()


def call(params: dict[str, Any]) -> dict[str, Any]:
    name: str = params["name"]
    arguments: dict[str, Any] = params.get("arguments") or {}
    text = {"content": [{"type": "text", "text": "done"}]}
    if name == "adder":
        total = arguments["a"] + arguments["b"]
        return {**text, "structuredContent": {"sum": total}, "_meta": {"k": 1}, "x-own": [1.0]}
    if name == "environment":
        return {
            "content": [{"type": "text", "text": os.environ.get(arguments["name"], "")}],
            "isError": False,
        }
    if name == "wait":
        time.sleep(float(arguments.get("seconds", 60)))  # noqa: TID251
    if name == "die":
        os._exit(3)
    if name == "fail":
        return {"content": [{"type": "text", "text": "no"}], "isError": True}
    if name == "grow":
        TOOLS.append({"name": "grown", "description": "Came later", "inputSchema": {"type": "object"}})
        send({"jsonrpc": "2.0", "method": "notifications/tools/list_changed"})
    if name == "calls":
        return {"content": [], "structuredContent": {"seen": SEEN}}
    return text


def answer(message: dict[str, Any]) -> dict[str, Any] | None:
    method: str = message["method"]
    params: dict[str, Any] = message.get("params") or {}
    SEEN.append({"method": method, "params": params})
    if method == "initialize":
        version = OPTIONS.get("version", params["protocolVersion"])
        capabilities = {"tools": {"listChanged": True}, "prompts": {}, "resources": {}}
        return {
            "protocolVersion": version,
            "capabilities": capabilities,
            "serverInfo": {"name": "plain", "version": "1"},
        }
    if method == "tools/list":
        return listed(params)
    if method == "prompts/list":
        return {"prompts": [{"name": "hello", "description": "Says it", "x-kept": 1}]}
    if method == "prompts/get":
        return {"messages": [{"role": "user", "content": {"type": "text", "text": params["name"]}}]}
    if method == "resources/list":
        return {"resources": [{"uri": OPTIONS.get("uri", "plain://one"), "name": "one"}]}
    if method == "resources/templates/list":
        return {"resourceTemplates": [{"uriTemplate": "plain://items/{id}", "name": "item"}]}
    if method == "resources/read":
        return {"contents": [{"uri": params["uri"], "text": OPTIONS.get("uri", "")}]}
    if method == "tools/call":
        return call(params)
    return None


def listed(params: dict[str, Any]) -> dict[str, Any]:
    if "slow" in OPTIONS:
        time.sleep(float(OPTIONS["slow"]))  # noqa: TID251
    page, pages = int(params.get("cursor", 0)), int(OPTIONS.get("pages", 1))
    found: dict[str, Any] = {"tools": TOOLS if page == 0 else [{**TOOLS[0], "name": f"adder{page}"}]}
    if "circle" in OPTIONS:
        found["nextCursor"] = "1"
    elif page + 1 < pages:
        found["nextCursor"] = str(page + 1)
    return found


def main() -> None:
    if "pid" in OPTIONS:
        with open(OPTIONS["pid"], "a") as file:
            file.write(f"{os.getpid()}\n")
    if "child" in OPTIONS:
        grandchild = subprocess.Popen(["sleep", "600"])
        with open(OPTIONS["child"], "a") as file:
            file.write(f"{grandchild.pid}\n")
    if "say" in OPTIONS:
        sys.stderr.write(OPTIONS["say"] + "\n")
        sys.stderr.flush()
    for line in sys.stdin:
        if "stray" in OPTIONS:
            print("Listening on port 3000\n{not json\n[1]\n", flush=True)
        if "flood" in OPTIONS:
            sys.stderr.write(("x" * 199 + "\n") * 5000)
        message = msgspec.json.decode(line)
        if "id" not in message or "method" not in message or "deaf" in OPTIONS:
            continue
        if message["method"] == "tools/call" and message["params"]["name"] == "refuse":
            error = {"code": -32042, "message": "Missing or invalid parameter 'a'", "data": {"reason": [1]}}
            send({"jsonrpc": "2.0", "id": message["id"], "error": error})
            continue
        result = answer(message)
        if result is None:
            send({"jsonrpc": "2.0", "id": message["id"], "error": {"code": -32601, "message": "no"}})
        else:
            send({"jsonrpc": "2.0", "id": message["id"], "result": result})


if __name__ == "__main__":
    main()
