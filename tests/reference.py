"""Writes what the documents tell of the command lines, of the HTTP API and, in the README, of the performance (`make docs`)."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer
import typer.main

import nexus.cli
import nexus_agents.cli
from nexus import config
from nexus.server import openapi

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "docs" / "reference"
README = ROOT / "README.md"
_WRITTEN = "<!-- written by tests/reference.py (`make docs`); not by hand -->"
EVERYTHING = """
[server.openapi]
enabled = true

[server.client_identification]
enabled = true
client_id.http_header = "X-Client-ID"

[server.oauth]
url = "https://login.example.com/jwks"
protected_resource = { resource = "https://nexus.example.com", authorization_servers = ["https://login.example.com"] }

[llm.protocols.anthropic]
enabled = true

[llm.proxy.anthropic]
enabled = true

[llm.providers."{provider}"]
type = "openai"
api_key = "k"
passthrough = true
rate_limits.per_user = { input_token_limit = 1000, interval = "60s" }

[mcp]
sessions = true

[mcp.views."{view}"]
servers = ["files"]

[mcp.servers.files]
url = "http://127.0.0.1:9/mcp"

[telemetry.prometheus]
enabled = true
""".replace('"{provider}"', "provider").replace('"{view}"', "view")
"""A gateway that serves all there is, where it is unless it is told otherwise."""
_PLACES = {
    "health": ("Health", "`server.health`, on unless switched off. For everybody."),
    "ready": ("Readiness", "Always there, for everybody."),
    "metrics": ("Metrics", "`telemetry.prometheus.enabled = true`, without `listen`. For everybody."),
    "openapi": (
        "This description",
        "`server.openapi.enabled = true`: all of this as an OpenAPI 3.1 document.",
    ),
    "metadata": (
        "OAuth metadata",
        "`[server.oauth]`. For everybody, and below this path for the MCP endpoint as well.",
    ),
    "limits": ("Limits", "`server.client_identification` and a limit on tokens."),
    "openai": (
        "OpenAI",
        "`llm.protocols.openai`, on unless switched off. While its path is not changed, what is below `/llm/openai/v1` is "
        "also below `/llm/openai`, `/llm/v1` and `/llm`. Only files and kept responses need the provider in the path. The "
        "bodies are those of [the API of OpenAI](https://platform.openai.com/docs/api-reference).",
    ),
    "anthropic": (
        "Anthropic",
        "`llm.protocols.anthropic.enabled = true`. The bodies are those of "
        "[the API of Anthropic](https://platform.claude.com/docs/en/api/overview).",
    ),
    "proxy": ("Proxy for Anthropic", "`llm.proxy.anthropic.enabled = true`."),
    "passthrough": ("Passthrough", "`passthrough = true` at a provider, whose name is in the path."),
    "mcp": ("MCP", "`[mcp.servers]`; each view has a path below."),
    "sessions": ("Sessions of MCP", "`mcp.sessions = true`."),
}


def http() -> str:
    """Write what the gateway answers to."""
    document = openapi.document(config.loads(EVERYTHING, {}).config)
    lines = [
        "# HTTP API",
        "",
        _WRITTEN,
        "",
        "What a gateway answers to, with the paths it has unless the file moves them. `server.openapi.enabled = true` serves",
        "the same for your configuration, schemas included, at `/openapi.json`.",
        "",
        "HEAD works where GET does, but for files and responses that a provider keeps and sessions of MCP. Every `OPTIONS` is",
        "a preflight. With `[server.oauth]` everything wants a token that is not said to be for everybody.",
    ]
    for tag, (title, why) in _PLACES.items():
        lines += ["", f"## {title}", "", why, "", "| | |", "|---|---|"]
        for path, methods in document["paths"].items():
            lines += [_row(path, name, told) for name, told in methods.items() if tag in _tags(told)]
    return "\n".join(lines) + "\n"


def _tags(told: Any) -> list[str]:
    return told["tags"] if isinstance(told, dict) else []  # pyright: ignore[reportUnknownVariableType]


def _row(path: str, method: str, told: dict[str, Any]) -> str:
    shown = path.replace("/passthrough/provider/", "/passthrough/{provider}/").replace(
        "/mcp/view", "/mcp/{view}"
    )
    return f"| `{method.upper()} {shown}` | {told['summary']} |"


def commands() -> Iterator[tuple[str, Any]]:
    """Give every command of both programs, by what is typed."""
    for name, app in (("nexus", nexus.cli.app), ("nexus-agents", nexus_agents.cli.app)):
        yield from _below(name, typer.main.get_command(app))


def _below(name: str, command: Any) -> Iterator[tuple[str, Any]]:
    yield name, command
    if hasattr(command, "list_commands"):
        for sub in command.list_commands(None):
            yield from _below(f"{name} {sub}", command.get_command(None, sub))


def cli() -> str:
    """Write both command lines."""
    lines = ["# Command line", "", _WRITTEN, ""]
    lines += ["Two programs. Each command tells the same with `--help`."]
    for name, command in commands():
        lines += ["", f"{'##' if ' ' not in name else '###'} `{name}`", ""]
        lines += [re.sub(r"\s+", " ", command.help or "").strip()]
        rows = [_parameter(one) for one in command.params if not one.hidden]
        if rows:
            lines += ["", "| | | |", "|---|---|---|", *rows]
        if name == "nexus-agents":
            lines += ["", *_EXITS]
    return "\n".join(lines) + "\n"


_EXITS = [
    "| exit | |",
    "|---|---|",
    "| 0 | good |",
    "| 1 | the task, the vote or a check failed |",
    "| 2 | the call was wrong |",
    "| 3 | nothing is configured that could answer |",
    "| 4 | the budget is used up |",
    "| 130 | interrupted |",
]


def _parameter(one: Any) -> str:
    if one.param_type_name == "argument":
        return f"| `{one.name.upper()}` | {_default(one)} | {_cell(one.help)} |"
    names = " ".join(f"`{name}`" for name in (*one.opts, *one.secondary_opts))
    told = _cell(one.help) + (f" Also `{one.envvar}`." if one.envvar else "")
    return f"| {names} | {_default(one)} | {told} |"


def _default(one: Any) -> str:
    value = getattr(one.default, "value", one.default)
    shown = value not in (None, "", False) and not callable(value)
    return f"`{value}`" if shown else ""


def _cell(text: str | None) -> str:
    return (
        (text or "").replace("|", "\\|").replace("[default: ", "Default: ").replace("]", ".") if text else ""
    )


def readme() -> str:
    """Write the README with the figures there are."""
    text = README.read_text(encoding="utf-8")
    head, mark, rest = text.partition(_FIGURES)
    return head + mark + "\n".join(["", "", *figures(), "", ""]) + _END + rest.partition(_END)[2]


_FIGURES = "<!-- written by tests/reference.py from docs/performance.md (`make docs`); not by hand -->"
_END = "<!-- /performance -->"
_SHOWN = ("nginx", "nexus", "nexus translating", "litellm")
_ROW = re.compile(
    r"^\| ([^|]+?) \| (\d+) \| ([^|]+?) \| ([^|]*) \| ([^|]*) \| [^|]* \| ([^|]*) \| [^|]* \|$", re.MULTILINE
)


def figures() -> Iterator[str]:
    """Give the rows of the README's table: each workload at 16 connections, with the latency added at one."""
    page = (ROOT / "docs" / "performance.md").read_text(encoding="utf-8")
    found = {
        (work, count, who): (cpu.strip(), added.strip())
        for work, count, who, _, cpu, added in _ROW.findall(page)
    }
    contenders = [who for who in _SHOWN if ("1 KB request", "16", who) in found]
    yield "| CPU µs each | " + " | ".join(contenders) + " | Nexus adds, p50 |"
    yield "|---|" + "--:|" * len(contenders) + "--:|"
    for work in dict.fromkeys(work for work, *_ in found):
        cells = [found.get((work, "16", who), ("",))[0] for who in contenders]
        added = found.get((work, "1", "nexus"), ("", ""))[1]
        yield f"| {work} | {' | '.join(cells)} | {added + ' ms' if added else ''} |"


if __name__ == "__main__":
    README.write_text(readme(), encoding="utf-8")
    (FOLDER / "http.md").write_text(http(), encoding="utf-8")
    (FOLDER / "cli.md").write_text(cli(), encoding="utf-8")
