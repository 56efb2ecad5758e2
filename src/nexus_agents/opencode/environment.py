"""What of the environment an OpenCode process gets to see: what it needs, and what its configuration names."""

from collections.abc import Iterable, Mapping
from pathlib import Path

import msgspec

DEPTH = "NEXUS_SUBPROCESS_DEPTH"
EXTRA = "NEXUS_SUBPROCESS_EXTRA_ENV"

_NAMES = {
    "PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "TERM", "TZ", "TMPDIR", "TEMP", "TMP",
    "USERPROFILE", "APPDATA", "LOCALAPPDATA", "SYSTEMROOT", "COMSPEC", "PATHEXT", "PROGRAMDATA",
    "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "no_proxy",
    "all_proxy", "NODE_OPTIONS", "NODE_PATH", "NODE_ENV", "NODE_EXTRA_CA_CERTS", "SSL_CERT_FILE",
    "SSL_CERT_DIR", "ANTHROPIC_API_KEY", "OPENAI_API_KEY", "GOOGLE_AI_API_KEY", "GOOGLE_API_KEY",
    "GOOGLE_GENERATIVE_AI_API_KEY", "GEMINI_API_KEY", "OPENROUTER_API_KEY", "NEXUS_DATA_DIR",
    "NEXUS_AGENTS_CONFIG",
}  # fmt: skip
_PREFIXES = ("LC_", "XDG_", "OPENCODE_")
READ_ONLY = msgspec.json.encode(
    {
        "*": "deny",
        "read": {"*": "allow", "*.env": "deny", "*.env.*": "deny", "*.env.example": "allow"},
        "grep": "allow",
        "glob": "allow",
        "list": "allow",
    }
).decode()
"""Everything denied but looking: the tools of MCP servers too. https://opencode.ai/docs/permissions"""


def depth(environ: Mapping[str, str]) -> int:
    """Tell how many agents are above this process; what is no number counts as deep."""
    text = environ.get(DEPTH, "").strip()
    return int(text) if text.isdecimal() else (99 if text else 0)


def child(
    environ: Mapping[str, str], named: Iterable[str], directory: Path, *, allow_edits: bool
) -> dict[str, str]:
    """Make the environment of one run.

    Args:
        environ: ours.
        named: variables the configuration refers to.
        directory: where it works; OpenCode believes PWD more than its working directory.
        allow_edits: whether it may do more than look.
    """
    extra = (name.strip() for name in environ.get(EXTRA, "").split(","))
    names = {*_NAMES, *named, *extra}
    made = {name: value for name, value in environ.items() if name in names or name.startswith(_PREFIXES)}
    made["PWD"] = str(directory)
    made[DEPTH] = str(depth(environ) + 1)
    if not allow_edits:
        made["OPENCODE_PERMISSION"] = READ_ONLY
    return made
