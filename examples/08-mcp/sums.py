"""An MCP server that calculates."""

from mcp.server import MCPServer

server = MCPServer("sums")


@server.tool()
def add_numbers(a: float, b: float) -> float:
    """Give the sum of two numbers."""
    return a + b


@server.tool()
def multiply_numbers(a: float, b: float) -> float:
    """Give the product of two numbers."""
    return a * b


if __name__ == "__main__":
    server.run()
