"""The one place that takes secrets out of text before anybody sees it."""

import re
from collections.abc import Iterable, Mapping

_SECRET_NAME = re.compile(r"(KEY|TOKEN|SECRET|PASSWORD|PASSWD|CREDENTIAL)S?$", re.I)
_USERINFO = re.compile(r"(?<=://)[^/\s@]+@")
_BEARER = re.compile(r"(?i)\b(bearer|basic)\s+[\w.~+/=-]{6,}")
_KEYLIKE = re.compile(r"\b(sk|pk|rk|ghp|gho|ghs|xoxb|xoxp|AIza)[-_][\w-]{8,}|\bAIza[\w-]{20,}")
HIDDEN = "[redacted]"


def secrets(environ: Mapping[str, str]) -> tuple[str, ...]:
    """Collect the values of variables whose names say that they are secret, the longest first."""
    found = {
        value for name, value in environ.items() if _SECRET_NAME.search(name) and len(value.strip()) >= 6
    }
    return tuple(sorted(found, key=len, reverse=True))


def redact(text: str, known: Iterable[str] = ()) -> str:
    """Replace known secrets, bearer tokens, key-shaped words and user names in URLs."""
    for secret in known:
        text = text.replace(secret, HIDDEN)
    text = _USERINFO.sub(f"{HIDDEN}@", text)
    text = _BEARER.sub(rf"\1 {HIDDEN}", text)
    return _KEYLIKE.sub(HIDDEN, text)
