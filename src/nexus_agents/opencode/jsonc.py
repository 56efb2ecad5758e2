"""JSON with comments and trailing commas: read it, and change one value without touching the rest of the text.

Our own because the libraries that edit it want Node.js at run time or a newer Python, and the others write everything anew.
"""

import re
from collections.abc import Sequence
from typing import Any, NoReturn, cast

import msgspec

from nexus_agents.errors import Misuse

_GAP = re.compile(r"(?:[ \t\r\n]+|//[^\n]*|/\*.*?\*/)*", re.S)
_SAME_LINE = re.compile(r"(?:[ \t]+|/\*[^\n]*?\*/)*(?://[^\r\n]*)?")
_STRING = re.compile(r'"(?:[^"\\\x00-\x1f]|\\.)*"')
_SCALAR = re.compile(r"[^\s,:\[\]{}\"/]+")
_MAX_DEPTH = 100


class Broken(Misuse):
    """The text is not JSON with comments; says where, never what is there."""

    def __init__(self, what: str, text: str, at: int) -> None:
        self.line = text.count("\n", 0, at) + 1
        self.column = at - text.rfind("\n", 0, at)
        super().__init__(f"{what} at line {self.line}, column {self.column}")


class Value(msgspec.Struct, frozen=True):
    """A value and where it stands in the text."""

    start: int
    end: int
    value: Any
    members: "tuple[Member, ...] | None" = None
    """Of an object."""


class Member(msgspec.Struct, frozen=True):
    key: str
    start: int
    value: Value
    comma: int | None
    """Where the comma after it stands."""


def parse(text: str) -> Value:
    """Read a whole text.

    Raises:
        Broken: with line and column.
    """
    start = _skip(text, 1 if text.startswith("\ufeff") else 0)
    root = _value(text, start, 0)
    end = _skip(text, root.end)
    if end < len(text):
        raise Broken("something after the end", text, end)
    return root


def loads(text: str) -> Any:
    """Read a whole text as plain data."""
    return parse(text).value


def put(text: str, path: Sequence[str], value: Any) -> str:
    """Set one value, making the objects on the way. Everything else keeps its bytes; an equal value changes nothing.

    Raises:
        Broken: the text is not JSON with comments, or what is on the way is no object.
    """
    node = parse(text)
    for depth, key in enumerate(path):
        if node.members is None:
            raise Broken(f"{'.'.join(path[:depth]) or 'the file'} is not an object", text, node.start)
        found = next((member for member in reversed(node.members) if member.key == key), None)
        if found is None:
            for missing in reversed(path[depth + 1 :]):
                value = {missing: value}
            return _insert(text, node, key, value)
        node = found.value
    if node.value == value and type(node.value) is type(value):
        return text
    return text[: node.start] + _render(text, value, _indent_at(text, node.start)) + text[node.end :]


def dumps(value: Any) -> str:
    """Write a new file."""
    return _render("", value, "") + "\n"


def _skip(text: str, at: int) -> int:
    match = _GAP.match(text, at)
    end = match.end() if match else at
    if text.startswith("/*", end):
        raise Broken("a comment that does not end", text, end)
    return end


def _value(text: str, at: int, depth: int) -> Value:
    if depth > _MAX_DEPTH:
        raise Broken("nested too deep", text, at)
    opening = text[at : at + 1]
    if opening == "{":
        return _object(text, at, depth)
    if opening == "[":
        return _array(text, at, depth)
    match = (_STRING if opening == '"' else _SCALAR).match(text, at)
    if match is None:
        raise Broken("a value is missing", text, at)
    try:
        return Value(at, match.end(), msgspec.json.decode(match.group().encode()))
    except (msgspec.DecodeError, UnicodeEncodeError):
        raise Broken("not a JSON value", text, at) from None


def _object(text: str, start: int, depth: int) -> Value:
    members: list[Member] = []
    at = _skip(text, start + 1)
    while text[at : at + 1] != "}":
        if members and members[-1].comma is None:
            _expected("a comma or }", text, at)
        if text[at : at + 1] != '"':
            _expected("a name in double quotes", text, at)
        name = _value(text, at, depth + 1)
        colon = _skip(text, name.end)
        if text[colon : colon + 1] != ":":
            _expected("a colon", text, colon)
        value = _value(text, _skip(text, colon + 1), depth + 1)
        after = _skip(text, value.end)
        comma = after if text[after : after + 1] == "," else None
        members.append(Member(name.value, at, value, comma))
        at = after if comma is None else _skip(text, comma + 1)
    return Value(start, at + 1, {each.key: each.value.value for each in members}, tuple(members))


def _array(text: str, start: int, depth: int) -> Value:
    items: list[Any] = []
    at, separated = _skip(text, start + 1), True
    while text[at : at + 1] != "]":
        if not separated:
            _expected("a comma or ]", text, at)
        item = _value(text, at, depth + 1)
        items.append(item.value)
        at = _skip(text, item.end)
        separated = text[at : at + 1] == ","
        at = _skip(text, at + 1) if separated else at
    return Value(start, at + 1, items)


def _expected(what: str, text: str, at: int) -> NoReturn:
    raise Broken(f"{what} is missing" if at < len(text) else f"the text ends where {what} is due", text, at)


def _insert(text: str, node: Value, key: str, value: Any) -> str:
    """Add a member at the end of an object, in the style of its last one."""
    assert node.members is not None
    close = node.end - 1
    outer = _indent_at(text, node.start)
    if not node.members:
        inner = outer + _unit(text)
        member = f"{_newline(text)}{inner}{_member(text, key, value, inner)}"
        inside = text[node.start + 1 : close]
        kept = inside.rstrip()
        ending = inside[len(kept) :] if kept and "\n" in inside[len(kept) :] else _newline(text) + outer
        return text[: node.start + 1] + kept + member + ending + text[close:]
    last = node.members[-1]
    if "\n" not in text[node.start : close]:
        comma = ", " if last.comma is None else " "
        at = last.value.end if last.comma is None else last.comma + 1
        return f"{text[:at]}{comma}{_quoted(key)}: {_inline(value)}{text[at:]}"
    at = last.value.end if last.comma is None else last.comma + 1
    match = _SAME_LINE.match(text, at)
    line_end = match.end() if match and text[match.end() : match.end() + 1] in ("\r", "\n") else at
    inner = _indent_at(text, last.start) if _first_on_line(text, last.start) else outer + _unit(text)
    member = f"{_newline(text)}{inner}{_member(text, key, value, inner)}"
    trailing = "," if last.comma is not None else ""
    gap = "" if "\n" in text[line_end:close] else _newline(text) + outer
    head = text[:at] + ("," if last.comma is None else "") + text[at:line_end]
    return head + member + trailing + gap + text[line_end:]


def _member(text: str, key: str, value: Any, indent: str) -> str:
    return f"{_quoted(key)}: {_render(text, value, indent)}"


def _render(text: str, value: Any, indent: str) -> str:
    """Write a value: objects over several lines, all else on one."""
    if not isinstance(value, dict) or not value:
        return _inline(value)
    newline, inner = _newline(text), indent + _unit(text)
    fields = cast(dict[str, Any], value)
    lines = [f"{inner}{_member(text, key, each, inner)}" for key, each in fields.items()]
    return f"{{{newline}{f',{newline}'.join(lines)}{newline}{indent}}}"


def _inline(value: Any) -> str:
    if isinstance(value, dict):
        fields = cast(dict[str, Any], value)
        return "{" + ", ".join(f"{_quoted(key)}: {_inline(each)}" for key, each in fields.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_inline, cast(list[Any], value))) + "]"
    return msgspec.json.encode(value).decode()


def _quoted(key: str) -> str:
    return msgspec.json.encode(key).decode()


def _newline(text: str) -> str:
    return "\r\n" if "\r\n" in text else "\n"


def _unit(text: str) -> str:
    """Take the indentation of the first indented line for that of the file."""
    match = re.search(r"\n([ \t]+)[^\s/*]", text)
    return match.group(1) if match else "  "


def _indent_at(text: str, at: int) -> str:
    match = re.match(r"[ \t]*", text[text.rfind("\n", 0, at) + 1 : at])
    return match.group() if match else ""


def _first_on_line(text: str, at: int) -> bool:
    return not text[text.rfind("\n", 0, at) + 1 : at].strip()
