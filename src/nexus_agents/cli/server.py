"""`nexus-agents server`, and `nexus-agents` with nothing after it."""

import os
import sys
from typing import Annotated, Literal

import typer


def command(
    transport: Annotated[
        Literal["stdio", "http"], typer.Option(help="stdio, or streamable HTTP under /mcp.")
    ] = "stdio",
    host: Annotated[
        str, typer.Option(help="Where HTTP listens; beyond this machine only with a token.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="The port HTTP listens on.")] = 8765,
) -> None:
    """Serve the 24 tools over MCP."""
    if transport == "stdio":
        from nexus_agents.server.stdio import serve as serve_stdio

        sys.exit(serve_stdio(os.environ))
    import asyncio

    from nexus_agents.server.http import serve

    sys.exit(asyncio.run(serve(os.environ, host, port)))
