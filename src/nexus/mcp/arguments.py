"""What a client gives to `search` and `execute`, as models write it."""

from typing import Any, cast

from mcp.shared.exceptions import MCPError
from mcp_types import INVALID_PARAMS

from nexus.mcp.index import LIMIT
from nexus.mcp.link import Raw

_MAX_LIMIT = 50


def read_object(value: object, name: str) -> Raw:
    """Insist on an object.

    Raises:
        MCPError: it is missing, or of another type.
    """
    if value is None:
        raise MCPError(INVALID_PARAMS, f"missing field `{name}`")
    if not isinstance(value, dict):
        raise MCPError(INVALID_PARAMS, f"invalid type: `{name}` must be an object")
    return cast("Raw", value)


def read_name(arguments: Raw) -> str:
    """Read which tool is meant.

    Raises:
        MCPError: it is missing, or of another type.
    """
    name = arguments.get("name")
    if name is None:
        raise MCPError(INVALID_PARAMS, "missing field `name`")
    if not isinstance(name, str):
        raise MCPError(INVALID_PARAMS, "invalid type: `name` must be a string")
    return name


def read_keywords(arguments: Raw) -> list[str]:
    """Read what is searched for.

    Raises:
        MCPError: it is missing, or of another type.
    """
    value: Any = arguments.get("keywords")
    if value is None:
        raise MCPError(INVALID_PARAMS, "missing field `keywords`")
    if not isinstance(value, list) or not all(isinstance(one, str) for one in cast("list[object]", value)):
        raise MCPError(INVALID_PARAMS, "invalid type: `keywords` must be an array of strings")
    return cast("list[str]", value)


def read_limit(arguments: Raw) -> int:
    """Read how many are wanted; what makes no sense is not worth a refusal."""
    value = arguments.get("limit")
    if not isinstance(value, int) or isinstance(value, bool):
        return LIMIT
    return min(max(value, 1), _MAX_LIMIT)
