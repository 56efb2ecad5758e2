"""What the endpoint says of itself: the two tools, the greeting, the instructions."""

from collections.abc import Sequence
from typing import Any

from nexus import __version__
from nexus.mcp.link import Raw

SEARCH: Raw = {
    "name": "search",
    "description": (
        "Find tools by what they do. Gives the best matches with a score, their descriptions and the fields of their input;"
        " run one with `execute`. Names have the form `server__tool`."
    ),
    "inputSchema": {
        "title": "SearchParameters",
        "type": "object",
        "required": ["keywords"],
        "properties": {
            "keywords": {
                "type": "array",
                "items": {"type": "string"},
                "description": "Words for what you want to do, such as an action, a thing and a service",
            },
            "limit": {
                "type": "integer",
                "minimum": 1,
                "maximum": 50,
                "description": "How many tools to give at most; 10 if unset",
            },
        },
    },
    "outputSchema": {
        "title": "SearchResponse",
        "type": "object",
        "required": ["results"],
        "properties": {
            "results": {
                "type": "array",
                "items": {"$ref": "#/$defs/SearchResult"},
                "description": "The tools found, the best first",
            }
        },
        "$defs": {
            "SearchResult": {
                "type": "object",
                "required": ["name", "description", "input_schema", "score"],
                "properties": {
                    "name": {"type": "string", "description": "Name to give to `execute`"},
                    "description": {"type": "string", "description": "What the tool does"},
                    "input_schema": {"description": "JSON Schema of its arguments"},
                    "score": {"type": "number", "description": "How well it fits; higher is better"},
                },
            }
        },
    },
    "annotations": {"readOnlyHint": True},
}

EXECUTE: Raw = {
    "name": "execute",
    "description": (
        "Run a tool. Use `search` first: it gives the exact name and the arguments the tool takes. `name` is that name,"
        " `arguments` an object with the tool's own fields."
    ),
    "inputSchema": {
        "type": "object",
        "description": "Which tool to run, and with what",
        "required": ["name", "arguments"],
        "properties": {
            "name": {
                "type": "string",
                "description": "Exact name of the tool as `search` gave it, such as `github__create_issue` or `files__read`",
            },
            "arguments": {
                "type": "object",
                "additionalProperties": True,
                "description": (
                    'The tool\'s own arguments, such as {"title": "Bug", "labels": ["urgent"]} or {"path": "/tmp/notes.txt"};'
                    " {} for none"
                ),
            },
        },
    },
    "annotations": {"destructiveHint": True, "openWorldHint": True},
}

MISSING_DESCRIPTION = "No description available"


def info(servers: Sequence[str]) -> Raw:
    """Name the endpoint."""
    names = f" ({', '.join(servers)})" if servers else ""
    return {"name": f"Tool Aggregator{names}", "version": __version__}


def instructions(servers: Sequence[str], mode: str) -> str:
    """Tell a model how to use the endpoint; Markdown."""
    if mode == "direct":
        return f"Tools of several MCP servers, each under the name of its server.\n\n{_servers(servers, 'direct')}"
    return (
        "This server brings the tools of many MCP servers together behind two: `search` and `execute`.\n\n"
        "**Instructions**\n\n"
        "1. `search`: describe what you want to do in a few keywords. Each result has the exact `name` of a tool and the"
        " parameters it requires.\n"
        "2. `execute`: run the tool with that `name`, and with `arguments` that fit its schema, exactly as found.\n\n"
        "Always search first. Names cannot be guessed, and which tools there are may change.\n\n"
        f"{_servers(servers, mode)}"
    )


def _servers(servers: Sequence[str], mode: str) -> str:
    if not servers:
        return "**No servers are configured.**"
    bullets = "\n".join(f"- **{name}**" for name in servers)
    hint = "" if mode == "direct" else "\n\n**Use `search` to see what each of them provides.**"
    return f"**Available Servers**\n\n{bullets}{hint}"


def result_item(name: str, raw: Raw, score: float) -> Raw:
    """Describe one hit of the search."""
    description: Any = raw.get("description")
    return {
        "name": name,
        "description": description if isinstance(description, str) and description else MISSING_DESCRIPTION,
        "input_schema": raw.get("inputSchema", {}),
        "score": score,
    }
