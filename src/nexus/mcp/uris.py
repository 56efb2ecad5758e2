"""Does a URI come from a URI template? https://www.rfc-editor.org/rfc/rfc6570, as far as MCP servers use it."""

import re
from functools import lru_cache

_MAX_URI = 8192
"""Characters of a URI; a longer one comes from no template."""
_EXPRESSION = re.compile(r"\{([+#./;?&]?)[^{}]*\}")
_KINDS = {
    "": ("", "/?#"),
    "+": ("", ""),
    "#": ("#", ""),
    ".": (".", "/?#"),
    "/": ("/", "?#"),
    ";": (";", "/?#"),
    "?": ("?", ""),
    "&": ("&", ""),
}
"""By the operator of an expression: what its value begins with, and the characters that end it."""

Part = tuple[str, str | None]
"""Text as it stands, or the operator of an expression."""


def matches(template: str, uri: str) -> bool:
    """Tell whether a template can make a URI."""
    if len(uri) > _MAX_URI:
        return False
    reached = {0}
    for literal, operator in _parts(template):
        reached = {at + len(literal) for at in reached if uri.startswith(literal, at)}
        if operator is not None:
            reached = _expanded(uri, reached, operator)
    return len(uri) in reached


def _expanded(uri: str, reached: set[int], operator: str) -> set[int]:
    """Give every place where an expression may end, in one go: a regular expression would try them one by one."""
    begin, ends = _KINDS[operator]
    optional = begin in ("?", "&")
    found = set(reached) if optional else set[int]()
    high = done = -1
    for start in sorted(reached):
        if not uri.startswith(begin, start):
            continue
        low = start + len(begin)
        if low > high:
            high = next((at for at in range(low, len(uri)) if uri[at] in ends), len(uri))
        found.update(range(max(low if optional else low + 1, done), high + 1))
        done = high + 1
    return found


@lru_cache(1024)
def _parts(template: str) -> tuple[Part, ...]:
    parts: list[Part] = []
    at = 0
    for expression in _EXPRESSION.finditer(template):
        parts.append((template[at : expression.start()], expression[1]))
        at = expression.end()
    return (*parts, (template[at:], None))
