"""List the tools of the endpoint and of a view, and call one of each."""

import asyncio
import sys

from mcp import Client

URL = sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8000"
CALLS = {
    "/mcp": ("notes__write_note", {"text": "Water the plants"}),
    "/mcp/sums": ("multiply_numbers", {"a": 6, "b": 7}),
}


async def main() -> None:
    for path, (name, arguments) in CALLS.items():
        async with Client(URL + path) as client:
            print(path, *(tool.name for tool in (await client.list_tools()).tools))
            result = await client.call_tool(name, arguments)
            for part in result.content:
                print(" ", part.text if part.type == "text" else part.type)


asyncio.run(main())
