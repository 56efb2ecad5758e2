"""Arguments that a tool also wants to see in headers, since version 2026-07-28."""

from collections.abc import Mapping
from typing import Any, cast

from mcp.shared.inbound import find_invalid_x_mcp_header, mcp_param_headers, x_mcp_header_map

from nexus.mcp.link import Raw, encode


def repeated(tool: Raw, arguments: object) -> Mapping[str, str]:
    """Repeat the arguments in headers that a tool wants to see there."""
    if not isinstance(arguments, dict) or b"x-mcp-header" not in encode(tool):
        return {}
    schema: Any = tool.get("inputSchema")
    if find_invalid_x_mcp_header(schema) is not None:
        return {}
    declared = x_mcp_header_map(schema)
    return {
        name.lower(): value for name, value in mcp_param_headers(declared, cast("Raw", arguments)).items()
    }
