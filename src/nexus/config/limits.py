"""Limits and access by group: who is counted must be known, and every group named must exist."""

from collections.abc import Collection, Iterator
from typing import Literal

from nexus.config.finding import Finding
from nexus.config.llm import ProviderConfig
from nexus.config.mcp import McpServer, ToolAccess
from nexus.config.path import Path
from nexus.config.ratelimit import RedisStorage, TokenRateLimits
from nexus.config.root import Config

_IDENTIFICATION: Path = ("server", "client_identification")
_NEEDS: tuple[Path, ...] = (_IDENTIFICATION, ("llm", "providers"))
_MCP_NEEDS: tuple[Path, ...] = (_IDENTIFICATION, ("mcp",))
_ENABLE = "Enable client identification in [server.client_identification]"
_EXISTS = "add it to server.client_identification.validation.group_values, or correct the name"
_SAMPLE = """say where the group is read from:

        [server.client_identification]
        enabled = true
        client_id = { http_header = "X-Client-ID" }
        group_id = { http_header = "X-Group-ID" }

        [server.client_identification.validation]
        group_values = ["free", "pro"]"""


def problems(config: Config) -> Iterator[Finding]:
    """Find limits and access lists that could not work."""
    yield from _tokens(config)
    if config.mcp.enabled:
        yield from _access(config)


def warnings(config: Config) -> Iterator[Finding]:
    """Tell which limit applies where a group has none, which limits do not hold, and which are of no tool there can be."""
    if any(_groups(limits) for _, _, limits in _tables(config)):
        for name, provider in config.llm.providers.items():
            for group in sorted(config.server.client_identification.validation.group_values):
                yield from _fallbacks(name, provider, group)
    yield from _passed_by(config)
    yield from _unchecked(config)
    for name, server in config.mcp.servers.items():
        yield from _prefixed(name, server)
        if server.rate_limits is not None and not config.server.rate_limits.enabled:
            message = "these limits are not enforced: server.rate_limits.enabled is false"
            yield Finding(("mcp", "servers", name, "rate_limits"), message)


def _passed_by(config: Config) -> Iterator[Finding]:
    """Find limits on tokens that a client can go around."""
    limited = {path[2] for path, _, table in _tables(config) if table.per_user is not None}
    for name, provider in config.llm.providers.items():
        if name in limited and provider.passthrough:
            message = "what goes through /passthrough is not counted by the limits on tokens of this provider"
            yield Finding(("llm", "providers", name, "passthrough"), message)


def _unchecked(config: Config) -> Iterator[Finding]:
    """Find counters that are asked for in a place that could be anybody's."""
    storage = config.server.rate_limits.storage
    if not isinstance(storage, RedisStorage):
        return
    if storage.tls is not None and storage.tls.insecure:
        path = ("server", "rate_limits", "storage", "tls", "insecure")
        yield Finding(path, "certificates are not checked")
    elif storage.url.get_secret_value().endswith("#insecure"):
        yield Finding(("server", "rate_limits", "storage", "url"), "certificates are not checked")


def _prefixed(name: str, server: McpServer) -> Iterator[Finding]:
    """Find rules for tools by the name clients see; whether a server has a tool it says itself, once it is asked."""
    limited = server.rate_limits.tools if server.rate_limits is not None else {}
    tables: tuple[tuple[Path, Collection[str]], ...] = (
        (("tools",), server.tools),
        (("rate_limits", "tools"), limited),
    )
    for path, tools in tables:
        for tool in tools:
            if tool.startswith(f"{name}__"):
                message = (
                    f"tools are named here as their server names them: '{tool.removeprefix(f'{name}__')}'"
                )
                yield Finding(("mcp", "servers", name, *path, tool), message)


def limits_tokens(config: Config) -> bool:
    """Tell whether any client is limited in its tokens."""
    return config.llm.enabled and any(table.per_user is not None for _, _, table in _tables(config))


def _tables(config: Config) -> Iterator[tuple[Path, str, TokenRateLimits]]:
    """Every token limit, with the words the contract names its owner by."""
    for name, provider in config.llm.providers.items():
        path = ("llm", "providers", name)
        if provider.rate_limits is not None:
            yield (*path, "rate_limits"), f"provider '{name}'", provider.rate_limits
        for model, entry in provider.models.items():
            if entry.rate_limits is not None:
                yield (*path, "models", model, "rate_limits"), f"model '{name}/{model}'", entry.rate_limits


def _groups(limits: TokenRateLimits | None) -> list[str]:
    return list(limits.per_user.groups) if limits is not None and limits.per_user is not None else []


def _tokens(config: Config) -> Iterator[Finding]:
    tables = list(_tables(config))
    identification = config.server.client_identification
    if not tables:
        return
    if not identification.enabled:
        message = f"LLM rate limits are configured but client identification is not enabled. {_ENABLE}"
        yield Finding(tables[0][0], message, "", _NEEDS)
    values = identification.validation.group_values
    if identification.group_id is not None and not values:
        message = (
            "group_id is configured for client identification but validation.group_values is empty. "
            "Define group_values in [server.client_identification.validation]"
        )
        yield Finding((*_IDENTIFICATION, "group_id"), message, "", _NEEDS)
        return
    grouped = [(path, owner, group) for path, owner, limits in tables for group in _groups(limits)]
    if grouped and identification.group_id is None:
        message = "Group-based rate limits are configured but group_id is not set in client identification."
        yield Finding((*grouped[0][0], "per_user", "groups"), message, _SAMPLE, _NEEDS)
        return
    for path, owner, group in grouped:
        if group not in values:
            message = f"Group '{group}' in {owner} rate limits not found in group_values"
            yield Finding((*path, "per_user", "groups", group), message, _EXISTS, _NEEDS)


def _fallbacks(name: str, provider: ProviderConfig, group: str) -> Iterator[Finding]:
    path: Path = ("llm", "providers", name)
    provider_has_group = group in _groups(provider.rate_limits)
    for model, entry in provider.models.items():
        if group in _groups(entry.rate_limits):
            continue
        if entry.rate_limits is not None:
            what = "will use model default rate limit"
        elif provider_has_group:
            what = "will use provider group rate limit"
        elif provider.rate_limits is not None:
            what = "will fall back to provider default rate limit"
        else:
            what = "has no rate limit configured"
        yield Finding((*path, "models", model), f"Group '{group}' for model '{name}/{model}' {what}")
    if provider.rate_limits is None and all(entry.rate_limits is None for entry in provider.models.values()):
        yield Finding(path, f"Group '{group}' has no rate limits configured for provider '{name}'")


def _access(config: Config) -> Iterator[Finding]:
    named = [(path, where, groups) for path, where, groups in _lists(config) if groups]
    if not named:
        return
    identification = config.server.client_identification
    if not identification.enabled:
        message = "MCP server access control is configured but client identification is not enabled."
        yield Finding(named[0][0], message, _ENABLE, _MCP_NEEDS)
        return
    if identification.group_id is None:
        message = (
            "MCP server access control uses groups but group_id is not configured in client identification."
        )
        yield Finding(named[0][0], message, _SAMPLE, _MCP_NEEDS)
        return
    for path, where, groups in named:
        for group in sorted(groups - identification.validation.group_values):
            message = (
                f"Group '{group}' in {where} is not defined in "
                "server.client_identification.validation.group_values"
            )
            yield Finding(path, message, _EXISTS, _MCP_NEEDS)


def _lists(config: Config) -> Iterator[tuple[Path, str, frozenset[str]]]:
    """Every access list, with the words the contract names it by."""
    for name, server in config.mcp.servers.items():
        path = ("mcp", "servers", name)
        yield from _allow_and_deny(path, f"MCP server '{name}'", server)
        for tool, access in server.tools.items():
            yield from _allow_and_deny((*path, "tools", tool), f"MCP server '{name}' tool '{tool}'", access)


def _allow_and_deny(
    path: Path, where: str, holder: McpServer | ToolAccess
) -> Iterator[tuple[Path, str, frozenset[str]]]:
    keys: tuple[Literal["allow", "deny"], ...] = ("allow", "deny")
    for key in keys:
        groups = holder.allow if key == "allow" else holder.deny
        if groups is not None:
            yield (*path, key), f"{where} {key}", groups
