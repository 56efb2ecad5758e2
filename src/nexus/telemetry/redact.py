"""The one function every log line, and every text of a client in a signal, passes: what looks like a key is taken out."""

import re
from functools import lru_cache
from urllib.parse import quote, unquote_to_bytes

HIDDEN = "[redacted]"
_SHORT = 256
"""Characters of a text that is kept, so that it is looked at once only."""

_KEYS = (
    # what vendors begin their keys with, so that leaks can be found
    r"(?<![A-Za-z0-9])(?:sk|rk|pk|xai|gsk|csk|nvapi|pplx|fw|tgp|r8|hf|lin|ghp|gho|ghu|ghs|ghr|glpat|xox[abeprs]|dop_v1|shpat|sq0[a-z]{3}|npm"
    r"|pypi|AGE-SECRET-KEY|v1\.0|sntryu|dapi|figd|ATATT|ABSK)[-_][A-Za-z0-9_\-./+=]{8,}",
    r"(?<![A-Za-z0-9])(?:github_pat|sess|key|whsec|SG\.[\w-]+\.)_?[A-Za-z0-9_\-]{20,}",
    r"(?<![A-Za-z0-9])dapi[0-9a-f]{32}\b",
    r"(?<![A-Za-z0-9])ABSK[A-Za-z0-9+/=]{20,}",  # Bedrock API keys
    r"(?<![A-Za-z0-9])bedrock-api-key-[A-Za-z0-9+/=]{8,}",
    r"(?<![A-Za-z0-9])AIza[A-Za-z0-9_\-]{20,}",  # Google
    r"(?<![A-Za-z0-9])AQ\.[A-Za-z0-9_\-]{20,}",
    r"(?<![A-Za-z0-9])ya29\.[A-Za-z0-9_\-.]{10,}",
    r"(?<![A-Za-z0-9])(?:AKIA|ASIA|AIDA|AROA)[A-Z0-9]{12,}",  # AWS
    r"(?<![A-Za-z0-9])SG\.[A-Za-z0-9_\-]{10,}\.[A-Za-z0-9_\-]{10,}",
    r"(?<![A-Za-z0-9])eyJ[A-Za-z0-9_\-]{6,}(?:\.[A-Za-z0-9_\-]*){1,4}",  # JWT
    r"-----BEGIN [A-Z ]*PRIVATE KEY-----(?:.|\n)*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)",
)
_NAMES = (
    # from the begin of a word only: from each of its dashes it would take the square of its length
    r"(?:(?<![\w-])[\"']?[\w-]*(?:api[_-]?key|access[_-]?key(?:[_-]?id)?|secret(?:[_-]?access[_-]?key)?|token|password"
    r"|passwd|pwd|credentials?|signature|session[_-]?id)|(?<![A-Za-z0-9])[\"']?(?:key|sig|auth))[\"']?"
)
_HEADERS = r"(?<![A-Za-z0-9])[\"']?(?:proxy-)?(?:authorization|(?:set-)?cookie)[\"']?\s*[:=]\s*"
_WORD = r"[^\s\"'&,;}\])]"
_QUOTED = r"\"[^\"]{6,}\"|'[^']{6,}'"
_VALUE = rf"(?:(?:Bearer|Basic|Token|Digest|Negotiate|AWS4-HMAC-SHA256)\s+)?{_WORD}{{6,}}|{_QUOTED}"
_NAMED = (
    rf"(?P<header>{_HEADERS})(?:{_VALUE})",
    rf"(?P<set>{_NAMES}\s*=\s*)(?![\"']?not-used)(?:{_VALUE})",
    # without quotes a word follows a colon in prose as well: no word of prose has a digit in it
    rf"(?P<told>{_NAMES}\s*:\s*)(?:{_QUOTED}|(?={_WORD}*\d){_WORD}{{6,}})",
)
_SCHEME = r"(?P<scheme>(?<![A-Za-z0-9])(?:Bearer|Basic|Token)\s+)[A-Za-z0-9_\-.~+/=:]{8,}"
_IN_URL = r"(?P<url>(?<![A-Za-z0-9])[a-z][a-z0-9+.-]{0,30}://)[^\s/@]+@"

_PATTERN = re.compile("|".join((*_NAMED, _SCHEME, _IN_URL, *_KEYS)), re.IGNORECASE)
_PARAMETERS = frozenset((b"alt", b"beta", b"limit", b"after_id", b"before_id", b"order", b"stream"))
"""Of a query, what is no secret; every other value is hidden, whatever its name."""


def redact(text: str) -> str:
    """Take out what looks like a secret: keys of known vendors, tokens, credentials in URLs, values of telling names."""
    return _PATTERN.sub(_hide, text)


def _hide(match: re.Match[str]) -> str:
    before = match.group(match.lastgroup) if match.lastgroup is not None else ""
    return f"{before}{HIDDEN}@" if match.lastgroup == "url" else f"{before}{HIDDEN}"


def redact_name(name: str) -> str:
    """Redact a short text that comes again and again, such as the name of a model, and bound its length."""
    return _redact_short(name[:_SHORT])


@lru_cache(2048)
def _redact_short(name: str) -> str:
    return visible(redact(name))


_UNSEEN = {
    **{code: f"\\x{code:02x}" for code in (*range(0x20), *range(0x7F, 0xA0))},
    **{code: f"\\u{code:04x}" for code in (*range(0x2028, 0x202F), *range(0x2066, 0x206A))},
}
"""What commands a terminal, begins a new line or turns text round."""


def visible(text: str) -> str:
    """Write what would begin a new line, turn text round or command a terminal so that it is seen instead."""
    return text if text.isprintable() else text.translate(_UNSEEN)


def redact_target(path: str, query: bytes) -> str:
    """Write the target of a request: values of its query are hidden but for a few that say nothing."""
    shown = _again(path) if len(path) <= _SHORT else _shown(path)
    if not query:
        return shown
    parts = [part.partition(b"=") for part in query.split(b"&")]
    written = [
        f"{_name(name)}={_name(value) if name in _PARAMETERS else HIDDEN}" if equals else _name(name)
        for name, equals, value in parts
    ]
    return f"{shown}?{'&'.join(written)}"


def _name(part: bytes) -> str:
    """Write a part of a query, unless there is something to hide in what it stands for."""
    text = unquote_to_bytes(part).decode("latin-1")
    return quote(part) if redact(text) == text else HIDDEN


def _shown(path: str) -> str:
    """Write a path; what is escaped before a key must not look like a part of it."""
    return quote(redact(path), safe="/%:@!$&'()*+,;=~-._[]")


_again = lru_cache(2048)(_shown)
"""Nearly all requests are for a path that was asked for before."""
