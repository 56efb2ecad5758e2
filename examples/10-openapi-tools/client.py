"""Find an operation of the API, and call it like any tool."""

import asyncio
import sys

from mcp import Client

URL = sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8000"


async def main() -> None:
    async with Client(f"{URL}/mcp") as client:
        found = await client.call_tool("search", {"keywords": ["find", "pet"]})
        assert found.structured_content is not None
        best = found.structured_content["results"][0]["name"]
        for name in ("Rex", "Nobody"):
            result = await client.call_tool("execute", {"name": best, "arguments": {"name": name}})
            for part in result.content:
                print(best, result.is_error, part.text if part.type == "text" else part.type)


asyncio.run(main())
