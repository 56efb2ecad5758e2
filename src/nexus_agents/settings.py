"""What the user configured: environment variables first, then `nexus-agents.toml`; read once, no I/O after."""

import difflib
import os
from collections.abc import Mapping
from pathlib import Path

import msgspec

from nexus_agents.errors import Misuse
from nexus_agents.options import Billing

KNOWN = frozenset(
    {
        "NEXUS_AGENTS_CONFIG",
        "NEXUS_AGENTS_MODEL",
        "NEXUS_ALLOW_MOCK_ORCHESTRATION",
        "NEXUS_ALLOW_SIMULATE",
        "NEXUS_BILLING_MODE",
        "NEXUS_BUDGET_COST_USD",
        "NEXUS_BUDGET_TOKENS",
        "NEXUS_CUSTOM_API_ALLOW_PRIVATE",
        "NEXUS_CUSTOM_API_BASE_URL",
        "NEXUS_CUSTOM_API_KEY",
        "NEXUS_CUSTOM_MODEL",
        "NEXUS_DATA_DIR",
        "NEXUS_EXPERT_TIMEOUT_MS",
        "NEXUS_GATEWAY_KEY",
        "NEXUS_GATEWAY_URL",
        "NEXUS_MAX_CONCURRENT_EXPERTS",
        "NEXUS_OPENAI_COMPAT_KEY",
        "NEXUS_OPENAI_COMPAT_URL",
        "NEXUS_OPENROUTER_ALLOW_PAID",
        "NEXUS_OPENROUTER_MODEL",
        "NEXUS_SUBPROCESS_DEPTH",
        "NEXUS_SUBPROCESS_EXTRA_ENV",
        "NEXUS_VOTE_TIMEOUT_MS",
        "NEXUS_WORKER_MAX_CALLS",
    }
)
"""The variables read here and by the OpenCode transport; `NEXUS_` names far from all of them belong to the gateway."""

MAX_DEPTH = 2
"""Agents that call agents that call agents are a loop."""


class ModelOverlay(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[models.<id>]`: what to change of a registry row, or a new row."""

    adapter: str | None = None
    model: str | None = None
    context: int | None = None
    output: int | None = None
    input_per_million: float | None = None
    output_per_million: float | None = None
    reasoning: int | None = None
    code: int | None = None
    speed: int | None = None
    cost: int | None = None
    aliases: tuple[str, ...] | None = None
    names: tuple[str, ...] | None = None


class ExpertOverlay(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[experts.<name>]`: an expert of the user's own."""

    prompt: str
    description: str = ""
    capabilities: tuple[str, ...] = ()
    category: str = ""
    model: str | None = None
    temperature: float | None = None
    tools: tuple[str, ...] = ()


class BudgetFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    tokens: int | None = None
    cost_usd: float | None = None


class File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`nexus-agents.toml`."""

    default_model: str | None = None
    billing: Billing | None = None
    budget: BudgetFile = BudgetFile()
    models: dict[str, ModelOverlay] = {}
    chains: dict[str, tuple[str, ...]] = {}
    experts: dict[str, ExpertOverlay] = {}


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    environ: dict[str, str]
    cwd: Path
    data_dir: Path
    file: File = File()
    file_path: Path | None = None
    default_model: str | None = None
    billing: Billing = "plan"
    budget_tokens: int = 100_000
    budget_cost_usd: float = 10.0
    max_calls: int = 24
    concurrency: int = 6
    expert_timeout: float = 300.0
    vote_timeout: float = 300.0
    mock_allowed: bool = False
    simulate_allowed: bool = False
    depth: int = 0
    warnings: tuple[str, ...] = ()

    def __getitem__(self, name: str) -> str:
        """Read a variable; an empty one counts as unset."""
        return self.environ.get(name, "").strip()

    @classmethod
    def read(cls, environ: Mapping[str, str], cwd: Path) -> "Settings":
        """Read everything.

        Raises:
            Misuse: a number is none, or the file is broken.
        """
        path = _find(environ, cwd)
        file = _load(path)
        custom = dict(environ)
        for name, alias in (
            ("NEXUS_CUSTOM_API_BASE_URL", "NEXUS_OPENAI_COMPAT_URL"),
            ("NEXUS_CUSTOM_API_KEY", "NEXUS_OPENAI_COMPAT_KEY"),
        ):
            if not custom.get(name) and custom.get(alias):
                custom[name] = custom[alias]
        billing = environ.get("NEXUS_BILLING_MODE") or file.billing or "plan"
        if billing != "plan" and billing != "api":  # narrows the type
            raise Misuse(f'NEXUS_BILLING_MODE is "{billing}".', 'It is "plan" or "api".')
        budget = file.budget
        return cls(
            environ=custom,
            cwd=cwd,
            data_dir=data_dir(environ),
            file=file,
            file_path=path,
            default_model=environ.get("NEXUS_AGENTS_MODEL") or file.default_model,
            billing=billing,
            budget_tokens=int(_number(environ, "NEXUS_BUDGET_TOKENS", budget.tokens or 100_000)),
            budget_cost_usd=_number(
                environ, "NEXUS_BUDGET_COST_USD", 10.0 if budget.cost_usd is None else budget.cost_usd
            ),
            max_calls=int(_number(environ, "NEXUS_WORKER_MAX_CALLS", 24)),
            concurrency=max(1, int(_number(environ, "NEXUS_MAX_CONCURRENT_EXPERTS", 6))),
            expert_timeout=_number(environ, "NEXUS_EXPERT_TIMEOUT_MS", 300_000) / 1000,
            vote_timeout=_number(environ, "NEXUS_VOTE_TIMEOUT_MS", 300_000) / 1000,
            mock_allowed=environ.get("NEXUS_ALLOW_MOCK_ORCHESTRATION") == "true",
            simulate_allowed=environ.get("NEXUS_ALLOW_SIMULATE") in ("1", "true"),
            depth=int(_number(environ, "NEXUS_SUBPROCESS_DEPTH", 0)),
            warnings=tuple(_misspelt(environ)),
        )


def data_dir(environ: Mapping[str, str]) -> Path:
    """Tell where everything that lasts is kept: `NEXUS_DATA_DIR`, else `~/.nexus-agents`."""
    if chosen := environ.get("NEXUS_DATA_DIR"):
        return Path(chosen).expanduser()
    home = environ.get("HOME") or environ.get("USERPROFILE") or os.path.expanduser("~")
    return Path(home) / ".nexus-agents"


def _find(environ: Mapping[str, str], cwd: Path) -> Path | None:
    if named := environ.get("NEXUS_AGENTS_CONFIG"):
        path = Path(named).expanduser()
        if not path.is_file():
            raise Misuse(f"NEXUS_AGENTS_CONFIG names {path}, which is not a file.")
        return path
    places = (cwd / "nexus-agents.toml", data_dir(environ) / "nexus-agents.toml")
    return next((place for place in places if place.is_file()), None)


def _load(path: Path | None) -> File:
    if path is None:
        return File()
    try:
        return msgspec.toml.decode(path.read_bytes(), type=File)
    except (msgspec.DecodeError, OSError, UnicodeDecodeError) as error:
        raise Misuse(f"{path}: {error}") from error


def _number(environ: Mapping[str, str], name: str, default: float) -> float:
    text = environ.get(name, "").strip()
    if not text:
        return default
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not 0 <= number < float("inf"):
        raise Misuse(f"{name} is not a number of 0 or more.")
    return number


def _misspelt(environ: Mapping[str, str]) -> list[str]:
    unknown = sorted(name for name in environ if name.startswith("NEXUS_") and name not in KNOWN)
    near = ((name, difflib.get_close_matches(name, KNOWN, 1, 0.9)) for name in unknown)
    return [f"{name} is not read by anything; did you mean {match[0]}?" for name, match in near if match]
