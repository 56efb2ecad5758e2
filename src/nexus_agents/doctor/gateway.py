"""The Nexus gateway: whether it answers, what it offers, and which of the servers behind it are up."""

import asyncio
import re
from collections.abc import Callable, Iterable, Mapping
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

import httpx2
import msgspec

from nexus_agents import guard
from nexus_agents.adapters.nexus import llm_base
from nexus_agents.doctor.check import Check
from nexus_agents.errors import AgentsError

if TYPE_CHECKING:
    from mcp import Client

SKEW = 60.0
"""Seconds two clocks may differ before signed tokens and retry times go wrong."""
TIMEOUT = 10.0
MOST = 50
"""Tools a search gives at most."""
_SERVER = re.compile(r"^- \*\*(.+)\*\*$", re.M)
"""A server, as the gateway's greeting names those behind it."""
_UPSTREAM = "mcp.servers."

Place = tuple[str, guard.Policy, dict[str, str]]
"""The MCP endpoint, what guards it, and the headers to send."""


async def examine(place: Place | None, clock: Callable[[], float]) -> list[Check]:
    """Look at the gateway, if there is one."""
    if place is None:
        return [Check(name="Gateway", state="off", detail="no Nexus gateway is configured or found here")]
    url, policy, headers = place
    base = url.removesuffix("/mcp")
    async with guard.client(policy, timeout=TIMEOUT) as client:
        client.headers.update(headers)
        checks = [
            await _endpoint(client, "Gateway health", f"{base}/health", clock),
            await _endpoint(client, "Gateway models", f"{llm_base(base)}/models", clock),
        ]
        troubles = await _troubles(client, f"{base}/ready")
    return [*checks, *await _tools(place, troubles)]


class _Models(msgspec.Struct):
    data: list[msgspec.Raw]


class _Ready(msgspec.Struct):
    parts: dict[str, str]


async def _endpoint(client: httpx2.AsyncClient, name: str, url: str, clock: Callable[[], float]) -> Check:
    try:
        answer = await client.get(url)
    except (httpx2.HTTPError, guard.Refused) as error:
        detail = str(error) or type(error).__name__
        return Check(name=name, state="failed", detail=detail, fix="Check NEXUS_GATEWAY_URL.")
    if answer.status_code != 200:
        fix = "Check NEXUS_GATEWAY_KEY." if answer.status_code in (401, 403) else None
        return Check(name=name, state="failed", detail=f"{url} answers {answer.status_code}", fix=fix)
    skew = _skew(answer.headers.get("date", ""), clock())
    if skew is not None and skew > SKEW:
        detail = f"its clock and ours differ by {skew:.0f} seconds"
        return Check(name=name, state="warning", detail=detail, fix="Set the clocks by NTP.")
    return Check(name=name, state="ok", detail=_models(answer.content) or _answers(skew))


def _models(content: bytes) -> str:
    try:
        return _count(len(msgspec.json.decode(content, type=_Models).data), "model")
    except msgspec.DecodeError:
        return ""


def _answers(skew: float | None) -> str:
    return "answers" if skew is None else "answers, and its clock is right"


def _skew(date: str, now: float) -> float | None:
    try:
        return abs(parsedate_to_datetime(date).timestamp() - now)
    except (ValueError, TypeError):
        return None


async def _troubles(client: httpx2.AsyncClient, url: str) -> Mapping[str, str]:
    """Give what keeps servers behind the gateway from working, by their names."""
    try:
        parts = msgspec.json.decode((await client.get(url)).content, type=_Ready).parts
    except (httpx2.HTTPError, guard.Refused, msgspec.DecodeError, UnicodeDecodeError):
        return {}
    return {
        name.removeprefix(_UPSTREAM): trouble for name, trouble in parts.items() if name.startswith(_UPSTREAM)
    }


async def _tools(place: Place, troubles: Mapping[str, str]) -> list[Check]:
    from mcp import Client, MCPError
    from mcp.client.streamable_http import streamable_http_client

    url, policy, headers = place
    http = guard.client(policy, timeout=TIMEOUT)
    http.headers.update(headers)
    try:
        async with asyncio.timeout(TIMEOUT):
            async with http, Client(streamable_http_client(url, http_client=http)) as client:
                names = [tool.name for tool in (await client.list_tools()).tools]
                servers = dict.fromkeys([*_SERVER.findall(client.instructions or ""), *troubles])
                checks = [await _upstream(client, name, names, troubles.get(name)) for name in servers]
    except (MCPError, httpx2.HTTPError, OSError, AgentsError, ExceptionGroup):
        detail = "no MCP server answers there"
        fix = "Switch [mcp] on in its configuration."
        return [Check(name="Gateway tools", state="warning", detail=detail, fix=fix)]
    shown = ", ".join(names[:4]) + (", ..." if len(names) > 4 else "")
    return [Check(name="Gateway tools", state="ok", detail=f"{len(names)}: {shown}"), *checks]


async def _upstream(client: "Client", server: str, listed: Iterable[str], trouble: str | None) -> Check:
    """Tell whether a server behind the gateway is up, and how many of its tools the search knows."""
    name = f"Gateway upstream {server}"
    if trouble is not None:
        fix = f"See [mcp.servers.{server}] in the gateway's configuration, and its log."
        return Check(name=name, state="warning", detail=trouble, fix=fix)
    prefix = f"{server}__"
    if "search" in listed:
        found = await client.call_tool("search", {"keywords": [server], "limit": MOST})
        listed = _names(found.structured_content)
    count = sum(each.startswith(prefix) for each in listed)
    many = f"{MOST} tools or more" if count >= MOST else _count(count, "tool")
    return Check(name=name, state="ok", detail=f"up, {many}")


def _names(content: Any) -> list[str]:
    try:
        rows = msgspec.convert(content, type=_Found).results
    except msgspec.ValidationError:
        return []
    return [row.name for row in rows]


class _Hit(msgspec.Struct):
    name: str


class _Found(msgspec.Struct):
    results: list[_Hit]


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
