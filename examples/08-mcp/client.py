"""Find a tool through Nexus with the official MCP client, and run it."""

import asyncio
import sys

from mcp import Client

URL = sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8000"


async def main() -> None:
    async with Client(f"{URL}/mcp") as client:
        print("shown:", *(tool.name for tool in (await client.list_tools()).tools))
        found = await client.call_tool("search", {"keywords": ["sum", "numbers"]})
        assert found.structured_content is not None
        for tool in found.structured_content["results"]:
            print(f"{tool['score']:.1f}  {tool['name']}")
        best = found.structured_content["results"][0]["name"]
        result = await client.call_tool("execute", {"name": best, "arguments": {"a": 2, "b": 3}})
        for part in result.content:
            print(part.text if part.type == "text" else part.type)


asyncio.run(main())
