"""Which adapters the settings ask for, and which this machine offers besides, in the order of preference."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nexus_agents.adapters.base import Adapter
from nexus_agents.settings import Settings

if TYPE_CHECKING:
    from nexus_agents.guard import Policy

EXPLICIT, AMBIENT = 0, 1
"""A gateway configured for these agents goes before keys that happen to be set and programs that happen to be installed."""

_LOOPBACK = ("http://127.0.0.1:", "http://localhost:", "http://[::1]:")
_DIRECT = (
    ("openai", "OpenAI", ("OPENAI_API_KEY",), "OPENAI_BASE_URL", "https://api.openai.com/v1"),
    ("anthropic", "Anthropic", ("ANTHROPIC_API_KEY",), "", "https://api.anthropic.com/v1"),
    (
        "google",
        "Google Gemini",
        ("GOOGLE_AI_API_KEY", "GEMINI_API_KEY"),
        "",
        "https://generativelanguage.googleapis.com/v1beta/openai",
    ),
)
"""Providers that speak the OpenAI protocol themselves: name, title, keys, variable and default of the base URL."""


@dataclass(frozen=True, slots=True)
class Configured:
    """An adapter with where it comes from."""

    adapter: Adapter
    source: str
    tier: int
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Half:
    """Something the user began to configure and that cannot be used."""

    name: str
    title: str
    source: str
    error: str
    fix: str


@dataclass(frozen=True, slots=True)
class Found:
    """Everything there is."""

    adapters: tuple[Configured, ...]
    halves: tuple[Half, ...]


def build(settings: Settings) -> Found:
    """Make every configured adapter. No I/O but the look for programs on the PATH."""
    adapters, halves = list[Configured](), list[Half]()
    for found in (_custom(settings), _openrouter(settings), _gateway(settings)):
        if isinstance(found, Half):
            halves.append(found)
        elif found is not None:
            adapters.append(found)
    adapters += _direct(settings)
    if (opencode := _opencode(settings)) is not None:
        adapters.append(opencode)
    return Found(tuple(adapters), tuple(halves))


async def found(settings: Settings) -> Found:
    """Make every configured adapter; where there is none, look for a gateway on this machine."""
    built = build(settings)
    if any(one.tier == EXPLICIT for one in built.adapters):
        return built
    from nexus_agents.adapters.nexus import LOCAL, here, look

    address = settings["NEXUS_LISTEN_ADDRESS"]
    listening = here(f"http://{address}")
    url = listening if listening.startswith(_LOOPBACK) else LOCAL
    if not await look(url):
        return built
    local = Configured(_nexus(settings, url), "found on this machine", AMBIENT)
    return Found((local, *built.adapters), built.halves)


def tools_at(settings: Settings, found: Found | None) -> "tuple[str, Policy, dict[str, str]] | None":
    """Give the gateway's MCP endpoint with its policy and headers."""
    from nexus_agents.adapters.compatible import Compatible
    from nexus_agents.adapters.nexus import mcp_url

    own = [one.adapter for one in found.adapters if one.adapter.name == "nexus"] if found else []
    if not own or not isinstance(own[0], Compatible):
        return None
    gateway = own[0]
    key = settings["NEXUS_GATEWAY_KEY"]
    headers = _depth(settings) | ({"Authorization": f"Bearer {key}"} if key else {})
    return mcp_url(gateway.base_url), gateway.policy, headers


def _policy(settings: Settings) -> "Policy":
    from nexus_agents.guard import Policy

    return Policy.of(settings.environ)


def _secrets(settings: Settings) -> Sequence[str]:
    from nexus_agents.redact import secrets

    return secrets(settings.environ)


def _custom(settings: Settings) -> Configured | Half | None:
    url, key = settings["NEXUS_CUSTOM_API_BASE_URL"], settings["NEXUS_CUSTOM_API_KEY"]
    title = "Custom OpenAI"
    if not url and not key:
        return None
    if not url or not key:
        missing, other = ("BASE_URL", "KEY") if not url else ("KEY", "BASE_URL")
        fix = f"Set NEXUS_CUSTOM_API_{missing}."
        if missing == "KEY":
            fix = "Set NEXUS_CUSTOM_API_KEY; any word does for a gateway that wants none."
        error = f"NEXUS_CUSTOM_API_{other} is set and NEXUS_CUSTOM_API_{missing} is not."
        return Half("custom-openai", title, "environment", error, fix)
    from nexus_agents import guard
    from nexus_agents.adapters.compatible import Compatible
    from nexus_agents.errors import Refused

    policy = _policy(settings)
    adapter = Compatible(
        name="custom-openai",
        title=title,
        base_url=url,
        key=key,
        policy=policy,
        pinned=settings["NEXUS_CUSTOM_MODEL"],
        headers=_depth(settings),
        secrets=_secrets(settings),
    )
    warnings = ()
    try:
        if guard.check(url, policy).cleartext:
            warnings = ("The key travels unencrypted: the base URL is http and the host is public.",)
    except Refused:
        pass  # said when it is used, with its reason
    return Configured(adapter, "environment", EXPLICIT, warnings)


def _openrouter(settings: Settings) -> Configured | Half | None:
    key = settings["OPENROUTER_API_KEY"]
    if not key:
        if not settings["NEXUS_OPENROUTER_MODEL"]:
            return None
        error = "NEXUS_OPENROUTER_MODEL is set and OPENROUTER_API_KEY is not."
        return Half("openrouter", "OpenRouter", "environment", error, "Set OPENROUTER_API_KEY.")
    from nexus_agents.adapters.openrouter import BASE_URL, OpenRouter

    adapter = OpenRouter(
        key=key,
        pinned=settings["NEXUS_OPENROUTER_MODEL"],
        policy=_policy(settings),
        cache=settings.data_dir / "cache" / "openrouter.json",
        base_url=settings["OPENROUTER_BASE_URL"] or BASE_URL,
        allow_paid=settings["NEXUS_OPENROUTER_ALLOW_PAID"] not in ("0", "false"),
        secrets=_secrets(settings),
    )
    return Configured(adapter, "environment", EXPLICIT)


def _gateway(settings: Settings) -> Configured | None:
    url = settings["NEXUS_GATEWAY_URL"]
    return Configured(_nexus(settings, url), "environment", EXPLICIT) if url else None


def _nexus(settings: Settings, url: str) -> Adapter:
    """Make the adapter of a Nexus gateway; its own machine is a usual place for it."""
    from nexus_agents.adapters.compatible import Compatible
    from nexus_agents.adapters.nexus import llm_base
    from nexus_agents.guard import Policy

    base = llm_base(url)
    private = _policy(settings).allow_private or base.startswith(_LOOPBACK)
    return Compatible(
        name="nexus",
        title="Nexus",
        base_url=base,
        key=settings["NEXUS_GATEWAY_KEY"],
        policy=Policy(allow_private=private),
        headers=_depth(settings),
        secrets=_secrets(settings),
    )


def _direct(settings: Settings) -> list[Configured]:
    made = list[Configured]()
    for name, title, keys, base_variable, base in _DIRECT:
        key = next((settings[one] for one in keys if settings[one]), "")
        if not key:
            continue
        from nexus_agents.adapters.compatible import Compatible

        adapter = Compatible(
            name=name,
            title=title,
            base_url=(settings[base_variable] if base_variable else "") or base,
            key=key,
            policy=_policy(settings),
            secrets=_secrets(settings),
        )
        made.append(Configured(adapter, "environment", AMBIENT))
    return made


def _opencode(settings: Settings) -> Configured | None:
    if shutil.which("opencode", path=settings.environ.get("PATH", "")) is None:
        return None
    from nexus_agents.opencode import OpenCode

    return Configured(OpenCode(settings.environ, settings.cwd), "PATH", AMBIENT)


def _depth(settings: Settings) -> dict[str, str]:
    return {"X-Nexus-Depth": str(settings.depth + 1)}
