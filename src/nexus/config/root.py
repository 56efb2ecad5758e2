"""The file as a whole."""

from nexus.config.base import Section
from nexus.config.llm import LlmConfig
from nexus.config.mcp import McpConfig
from nexus.config.server import ServerConfig
from nexus.config.telemetry import TelemetryConfig


class Config(Section):
    """The configuration of Nexus."""

    server: ServerConfig = ServerConfig()
    """The HTTP server."""
    llm: LlmConfig = LlmConfig()
    """Language models."""
    mcp: McpConfig = McpConfig()
    """MCP servers behind one endpoint."""
    telemetry: TelemetryConfig | None = None
    """What is measured and where it is sent."""
