"""On which line of a TOML text each key and element stands. The text must have been accepted by `tomllib`.

`tomllib` tells no positions, so the text is walked again, for names and nesting only: values are skipped.
"""

import re
from bisect import bisect_right

from nexus.config.path import Path

_BLANK = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_SPACE = re.compile(r"[ \t]*")
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_SCALAR = re.compile(r"[^,\]}#\r\n]+")
_ESCAPE = re.compile(r"\\(?:u([0-9A-Fa-f]{4})|U([0-9A-Fa-f]{8})|(.))")
_STRINGS = (
    re.compile(r'"""(?:[^\\]|\\.)*?""""{0,2}', re.DOTALL),
    re.compile(r"'''.*?''''{0,2}", re.DOTALL),
    re.compile(r'"((?:[^"\\\n]|\\.)*)"'),
    re.compile(r"'([^'\n]*)'"),
)
_ESCAPED = {"b": "\b", "t": "\t", "n": "\n", "f": "\f", "r": "\r", '"': '"', "\\": "\\"}


def index(text: str) -> dict[Path, int]:
    """Map every path of a TOML text to its line, from 1: of a table the header, of anything else the key."""
    try:
        return _Walk(text).run()
    except (_Lost, RecursionError):
        return {}  # no line is better than a wrong one


class _Lost(Exception):
    """The text is not what `tomllib` would have accepted."""


class _Walk:
    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.found: dict[Path, int] = {}
        self._starts = [0, *(match.end() for match in re.finditer("\n", text))]
        self._arrays: dict[Path, int] = {}
        """Last element of each array of tables."""

    def run(self) -> dict[Path, int]:
        table: Path = ()
        while True:
            self._skip(_BLANK)
            if self.at >= len(self.text):
                return self.found
            if self.text.startswith("[", self.at):
                table = self._header()
            else:
                self._pair(table)

    def _header(self) -> Path:
        start = self.at
        double = self.text.startswith("[[", self.at)
        self.at += 2 if double else 1
        names = self._key()
        self._take("]]" if double else "]")
        path: Path = ()
        for name in names[:-1]:
            path = self._note((*path, name), start)
            if path in self._arrays:
                path = (*path, self._arrays[path])
        path = self._note((*path, names[-1]), start)
        if double:
            self._arrays[path] = self._arrays.get(path, -1) + 1
            path = self._note((*path, self._arrays[path]), start)
        return path

    def _pair(self, table: Path) -> None:
        start = self.at
        path = table
        for name in self._key():
            path = self._note((*path, name), start)
        self._take("=")
        self._skip(_SPACE)
        self._value(path)

    def _key(self) -> list[str]:
        names: list[str] = []
        while True:
            self._skip(_SPACE)
            names.append(self._name())
            self._skip(_SPACE)
            if not self.text.startswith(".", self.at):
                return names
            self.at += 1

    def _name(self) -> str:
        if bare := _BARE_KEY.match(self.text, self.at):
            self.at = bare.end()
            return bare[0]
        for form in _STRINGS[2:]:
            if quoted := form.match(self.text, self.at):
                self.at = quoted.end()
                return quoted[1] if quoted[0].startswith("'") else _ESCAPE.sub(_unescape, quoted[1])
        raise _Lost

    def _value(self, path: Path) -> None:
        opening = self.text[self.at : self.at + 1]
        if opening == "[":
            self._array(path)
        elif opening == "{":
            self._inline(path)
        elif opening in ('"', "'"):
            self._string()
        else:
            self._skip(_SCALAR)

    def _string(self) -> None:
        for form in _STRINGS:
            if match := form.match(self.text, self.at):
                self.at = match.end()
                return
        raise _Lost

    def _array(self, path: Path) -> None:
        self.at += 1
        count = 0
        while True:
            self._skip(_BLANK)
            if self._closes("]"):
                return
            self._value(self._note((*path, count), self.at))
            count += 1
            self._skip(_BLANK)
            if self._closes("]"):
                return
            self._take(",")

    def _inline(self, path: Path) -> None:
        self.at += 1
        while True:
            self._skip(_BLANK)
            if self._closes("}"):
                return
            self._pair(path)
            self._skip(_BLANK)
            if self._closes("}"):
                return
            self._take(",")

    def _note(self, path: Path, start: int) -> Path:
        self.found.setdefault(path, bisect_right(self._starts, start))
        return path

    def _skip(self, what: re.Pattern[str]) -> None:
        if match := what.match(self.text, self.at):
            self.at = match.end()

    def _closes(self, bracket: str) -> bool:
        if not self.text.startswith(bracket, self.at):
            return False
        self.at += 1
        return True

    def _take(self, expected: str) -> None:
        self._skip(_SPACE)
        if not self.text.startswith(expected, self.at):
            raise _Lost
        self.at += len(expected)


def _unescape(match: re.Match[str]) -> str:
    code = match[1] or match[2]
    return chr(int(code, 16)) if code else _ESCAPED.get(match[3], match[3])
