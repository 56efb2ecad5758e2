"""Nexus: one endpoint in front of every LLM provider and every MCP server."""

__version__ = "0.1.0"
