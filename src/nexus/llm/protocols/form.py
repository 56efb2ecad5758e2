"""The `model` field of a multipart form, read and replaced; files and all other parts keep their bytes."""

import re

from nexus.errors import InvalidRequest

_BOUNDARY = re.compile(rb'boundary=(?:"([^"\r\n]{1,200})"|([^\s;"]{1,200}))', re.IGNORECASE)
_NAME = re.compile(rb'(?:^|[;\s])name="([^"\r\n]*)"', re.IGNORECASE)
_MAX_PART_HEAD = 16 * 1024


def locate(body: bytes, content_type: bytes, name: str) -> tuple[int, int] | None:
    """Find the value of the one form field called `name`: its begin and end in the body.

    Raises:
        InvalidRequest: no boundary, the parts do not end, or the field is there twice.
    """
    match = _BOUNDARY.search(content_type)
    if match is None:
        raise InvalidRequest("Failed to parse request body: multipart/form-data without a boundary")
    delimiter = b"--" + (match[1] or match[2])
    found: tuple[int, int] | None = None
    position = 0 if body.startswith(delimiter) else body.find(b"\r\n" + delimiter) + 2
    if position == 1:
        raise InvalidRequest("Failed to parse request body: the form does not contain its boundary")
    while not body.startswith(b"--", position + len(delimiter)):
        head = position + len(delimiter)
        begin = body.find(b"\r\n\r\n", head, head + _MAX_PART_HEAD) + 4
        end = body.find(b"\r\n" + delimiter, begin - 2)
        if begin == 3 or end < 0:
            raise InvalidRequest("Failed to parse request body: the form ends in the middle of a part")
        label = _NAME.search(body, head, begin)
        if label is not None and label[1] == name.encode():
            if found is not None:
                raise InvalidRequest(f"Failed to parse request body: the form field `{name}` is there twice")
            found = (min(begin, end), end)
        position = end + 2
    return found
