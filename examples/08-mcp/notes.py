"""An MCP server that keeps notes until it ends."""

from mcp.server import MCPServer

server = MCPServer("notes")
kept: list[str] = []


@server.tool()
def write_note(text: str) -> str:
    """Keep a note, a reminder or a thought for later."""
    kept.append(text)
    return f"Note {len(kept)} is kept."


@server.tool()
def list_notes() -> list[str]:
    """Give all notes, the oldest first."""
    return kept


if __name__ == "__main__":
    server.run()
