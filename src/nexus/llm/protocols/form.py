"""The `model` field of a multipart form, read and replaced; files and all other parts keep their bytes.

Strict where two readers could differ: what is a part to us must be the same part to the provider, or it would see another model
than the one that was chosen. https://www.rfc-editor.org/rfc/rfc7578
"""

import re

from nexus.errors import InvalidRequest

_BOUNDARY = re.compile(rb'boundary=(?:"([^"\r\n]{1,200})"|([^\s;"]{1,200}))', re.IGNORECASE)
_HEADER = re.compile(rb"([\w-]+):([^\r\n]*)")
_DISPOSITION = re.compile(
    rb'[ \t]*form-data(?:[ \t]*;[ \t]*[\w*-]+=(?:"(?:[^"\\]|\\.)*"|[^\s;"]*))*[ \t]*;?[ \t]*', re.IGNORECASE
)
_PARAMETER = re.compile(rb';[ \t]*([\w*-]+)=(?:"((?:[^"\\]|\\.)*)"|([^\s;"]*))')
_ESCAPED = re.compile(rb"\\(.)")
_MAX_PART_HEAD = 16 * 1024
_PARSE = "Failed to parse request body: "


def locate(body: bytes, content_type: bytes, name: str) -> tuple[int, int] | None:
    """Find the value of the one form field called `name`: its begin and end in the body.

    Raises:
        InvalidRequest: no boundary, the parts do not end, the field is there twice, or it can be read in two ways.
    """
    delimiter = b"--" + _boundary(content_type)
    found: tuple[int, int] | None = None
    position = 0 if body.startswith(delimiter) else body.find(b"\r\n" + delimiter) + 2
    if position == 1:
        raise InvalidRequest(_PARSE + "the form does not contain its boundary")
    delimiters = 1
    while not body.startswith(b"--", position + len(delimiter)):
        head = position + len(delimiter)
        begin = body.find(b"\r\n\r\n", head, head + _MAX_PART_HEAD) + 4
        end = body.find(b"\r\n" + delimiter, begin - 2)
        if begin == 3 or end < 0:
            raise InvalidRequest(_PARSE + "the form ends in the middle of a part")
        if _field(body[head : begin - 4]) == name.encode():
            if found is not None:
                raise InvalidRequest(f"{_PARSE}the form field `{name}` is there twice")
            found = (min(begin, end), end)
        position = end + 2
        delimiters += 1
    if body.count(delimiter) != delimiters:
        raise InvalidRequest(_PARSE + "the boundary of the form is also within or outside of its parts")
    return found


def _boundary(content_type: bytes) -> bytes:
    match = _BOUNDARY.search(content_type)
    if match is None:
        raise InvalidRequest(_PARSE + "multipart/form-data without a boundary")
    if content_type.lower().count(b"boundary") != 1:
        raise InvalidRequest(_PARSE + "multipart/form-data with more than one boundary")
    return match[1] or match[2]


def _field(head: bytes) -> bytes:
    """Read the name of a part.

    Raises:
        InvalidRequest: it has none, or more than one.
    """
    blank, *lines = head.split(b"\r\n")
    headers = [_HEADER.fullmatch(line) for line in lines]
    named = [one[2] for one in headers if one is not None and one[1].lower() == b"content-disposition"]
    if blank.strip(b" \t") or None in headers or len(named) != 1 or not _DISPOSITION.fullmatch(named[0]):
        raise InvalidRequest(_PARSE + "a part of the form has a head that is not of form data")
    names = [
        (key.lower(), _ESCAPED.sub(rb"\1", quoted or bare))
        for key, quoted, bare in _PARAMETER.findall(named[0])
        if key.lower().partition(b"*")[0] == b"name"
    ]
    if (
        len(names) != 1 or names[0][0] != b"name"
    ):  # one in pieces or with a charset is another one to whoever knows that
        raise InvalidRequest(_PARSE + "a part of the form must have one plain name")
    return names[0][1]
