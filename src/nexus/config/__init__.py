"""The configuration: a TOML file in, frozen models out, or all its mistakes at once.

Read once, handed on by section, never whole. The only room with pydantic models.
"""

from nexus.config.base import Address
from nexus.config.environment import from_environment
from nexus.config.llm import LlmConfig, ModelConfig, ProviderConfig
from nexus.config.loader import Loaded, load, loads
from nexus.config.mcp import McpConfig
from nexus.config.root import Config
from nexus.config.server import ServerConfig
from nexus.config.telemetry import TelemetryConfig

__all__ = [
    "Address",
    "Config",
    "LlmConfig",
    "Loaded",
    "McpConfig",
    "ModelConfig",
    "ProviderConfig",
    "ServerConfig",
    "TelemetryConfig",
    "from_environment",
    "load",
    "loads",
    "schema",
]


def schema() -> dict[str, object]:
    """Describe the file as JSON Schema, draft 2020-12."""
    from nexus.config import describe  # only the reference and editors need it

    return describe.schema()
