"""Does a URI come from a URI template? https://www.rfc-editor.org/rfc/rfc6570, as far as MCP servers use it."""

import re
from functools import lru_cache

_EXPRESSION = re.compile(r"\{([+#./;?&]?)[^{}]*\}")
_FITS = {
    "": r"[^/?#]+",
    "+": r".+",
    "#": r"#.+",
    ".": r"\.[^/?#]+",
    "/": r"/[^?#]+",
    ";": r";[^/?#]+",
    "?": r"(\?.*)?",
    "&": r"(&.*)?",
}


def matches(template: str, uri: str) -> bool:
    """Tell whether a template can make a URI."""
    return _pattern(template).fullmatch(uri) is not None


@lru_cache(1024)
def _pattern(template: str) -> re.Pattern[str]:
    parts: list[str] = []
    at = 0
    for expression in _EXPRESSION.finditer(template):
        parts += (re.escape(template[at : expression.start()]), _FITS[expression[1]])
        at = expression.end()
    return re.compile("".join((*parts, re.escape(template[at:]))))
