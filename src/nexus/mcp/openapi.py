"""An HTTP API as an MCP server: every operation of its OpenAPI 3 document is a tool.

The document says what can be asked, the configuration where and with which credentials.
https://spec.openapis.org/oas/v3.1.0
"""

import asyncio
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast
from urllib.parse import quote, urlencode

import msgspec
from mcp.shared.exceptions import MCPError
from mcp_types import INVALID_PARAMS, METHOD_NOT_FOUND

from nexus.http.client import Failed
from nexus.mcp.link import MAX_MESSAGE, Envelope, Lost, Peer, Raw, Slow, encode
from nexus.mcp.web import Web

_METHODS = ("get", "put", "post", "delete", "patch", "head", "options")
_REF = "#/components/schemas/"
_NOT_IN_A_NAME = re.compile(r"[^A-Za-z0-9_-]+")
_YAML = re.compile(rb"""^(["']?)(openapi|swagger)\1\s*:""", re.MULTILINE)
_READING = ("get", "head", "options")


@dataclass(frozen=True, slots=True)
class Operation:
    """One thing the API can do."""

    method: str
    path: str
    places: Mapping[str, str]
    """Where each argument goes: `path`, `query`, or `body` for the whole body."""
    tool: Raw
    """As MCP shows it."""


class Api:
    """A link to an API; there is no connection to lose, every call stands for itself."""

    def __init__(self, web: Web, base_url: str, found: Iterable[Operation]) -> None:
        self.greeting: Raw = {"capabilities": {"tools": {}}}
        self.gone = asyncio.Event()
        self._web = web
        self._base = base_url.rstrip("/")
        self._operations = {one.tool["name"]: one for one in found}

    async def request(
        self,
        method: str,
        params: Raw,
        timeout: float,
        peer: Peer | None = None,
        envelope: Envelope | None = None,
    ) -> Raw:
        """List the tools or call one."""
        if method == "tools/list":
            return {"tools": [one.tool for one in self._operations.values()]}
        if method != "tools/call":
            raise MCPError(METHOD_NOT_FOUND, method)
        operation = self._operations.get(str(params.get("name")))
        if operation is None:
            raise MCPError(INVALID_PARAMS, "There is no such operation")
        try:
            async with asyncio.timeout(timeout):
                return await self._call(operation, cast("Raw", params.get("arguments") or {}))
        except TimeoutError:
            raise Slow(f"no answer within {timeout:g} seconds") from None

    async def notify(self, method: str, params: Raw) -> None:
        """Say nothing: an API does not listen."""

    async def close(self) -> None:
        """Close every connection."""
        self._web.close()

    async def _call(self, operation: Operation, arguments: Raw) -> Raw:
        url = self._base + target(operation, arguments)
        headers, body = [("accept", "application/json, */*;q=0.5")], b""
        if "body" in operation.places.values() and "body" in arguments:
            headers.append(("content-type", "application/json"))
            body = encode(arguments["body"])
        answer = await self._web.ask(operation.method.upper().encode(), url, headers, body)
        try:
            content = await answer.read(MAX_MESSAGE)
        except Failed as error:
            raise Lost(str(error), sent=True) from error
        return result(answer.status, content)


async def read(web: Web, where: str, base_url: str) -> Api:
    """Read the document and make a link of it.

    Raises:
        Lost, Slow: it cannot be read, or is none.
    """
    if where.startswith(("http://", "https://")):
        if not web.owns(where):
            raise Lost("its document is of another origin than base_url", sent=False)
        answer = await web.ask(b"GET", where, [("accept", "application/json")])
        try:
            text = await answer.read(MAX_MESSAGE)
        except Failed as error:
            raise Lost(str(error), sent=False) from error
        if answer.status != 200:
            raise Lost(f"its document answered with HTTP status {answer.status}", sent=False)
    else:
        try:
            text = await asyncio.to_thread(Path(where).read_bytes)
        except OSError as error:
            raise Lost(f"its document cannot be read: {error.strerror}", sent=False) from None
    return Api(web, base_url, await asyncio.to_thread(_read, text))  # a large one would hold everybody up


def _read(text: bytes) -> list[Operation]:
    try:
        document: Any = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        if _YAML.search(text[:4096]):
            raise Lost("its document is YAML, convert it to JSON", sent=False) from None
        raise Lost("its document is not JSON", sent=False) from None
    if not isinstance(document, dict) or not str(cast("Raw", document).get("openapi")).startswith("3."):
        raise Lost("its document is not one of OpenAPI 3", sent=False)
    return list(operations(cast("Raw", document)))


def operations(document: Raw) -> Iterator[Operation]:
    """Read every operation; of two with one name the later gets a number."""
    taken: dict[str, int] = {}
    schemas = _Schemas(document)
    for path, item in _dict(document.get("paths")).items():
        shared = _list(_dict(item).get("parameters"))
        for method in _METHODS:
            if not isinstance(described := _dict(item).get(method), dict):
                continue
            operation = cast("Raw", described)
            name = _NOT_IN_A_NAME.sub(
                "_", str(operation.get("operationId") or f"{method}_{path.strip('/')}")
            ).strip("_")
            taken[name] = taken.get(name, 0) + 1
            unique = name if taken[name] == 1 else f"{name}_{taken[name]}"
            yield _operation(document, schemas, method, path, unique, operation, shared)


def target(operation: Operation, arguments: Raw) -> str:
    """Write path and query. An argument can fill its place and never leave it.

    Raises:
        MCPError: one the path needs is missing, or would change the path.
    """
    path = operation.path
    query: list[tuple[str, str]] = []
    for name, place in operation.places.items():
        value = arguments.get(name)
        if place == "path":
            text = _text(value)
            if value is None or text in ("", ".", ".."):
                raise MCPError(INVALID_PARAMS, f"`{name}` is needed for the path")
            path = path.replace(f"{{{name}}}", quote(text, safe=""))
        elif place == "query" and value is not None:
            values = cast("list[object]", value) if isinstance(value, list) else [value]
            query += ((name, _text(one)) for one in values)
    return f"{path}?{urlencode(query)}" if query else path


def result(status: int, content: bytes) -> Raw:
    """Make a tool's result of an answer; a failure of the API is one of the tool."""
    text = content.decode(errors="replace")
    if status >= 400:
        return {"content": [{"type": "text", "text": f"HTTP {status}: {text}"}], "isError": True}
    found: Raw = {"content": [{"type": "text", "text": text}]}
    try:
        decoded: Any = msgspec.json.decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return found
    return {**found, "structuredContent": decoded} if isinstance(decoded, dict) else found


def _operation(
    document: Raw, schemas: "_Schemas", method: str, path: str, name: str, described: Raw, shared: list[Raw]
) -> Operation:
    places: dict[str, str] = {}
    properties: Raw = {}
    required: list[str] = []
    for one in (*shared, *_list(described.get("parameters"))):
        parameter = _resolved(document, one)
        place, key = str(parameter.get("in")), str(parameter.get("name"))
        if place not in ("path", "query"):
            continue  # headers and cookies are the configuration's
        places[key] = place
        properties[key] = _described(_dict(parameter.get("schema")), parameter.get("description"))
        if (place == "path" or parameter.get("required")) and key not in required:
            required.append(key)
    body = _resolved(document, _dict(described.get("requestBody")))
    if (media := _json(_dict(body.get("content")))) is not None:
        places["body"] = "body"
        properties["body"] = _described(media, body.get("description"))
        if body.get("required"):
            required.append("body")
    schema = schemas.self_contained({"type": "object", "properties": properties, "required": required})
    texts = (described.get("summary"), described.get("description"))
    tool: Raw = {
        "name": name,
        "description": "\n\n".join(str(one) for one in texts if one) or f"{method.upper()} {path}",
        "inputSchema": schema,
        "annotations": {"readOnlyHint": method in _READING, "openWorldHint": True},
    }
    return Operation(method, path, places, tool)


def _json(content: Raw) -> Raw | None:
    for kind, media in content.items():
        if kind.partition(";")[0].strip().endswith("json"):
            return _dict(_dict(media).get("schema"))
    return None


def _described(schema: Raw, description: object) -> Raw:
    return {**schema, "description": description} if description and "description" not in schema else schema


def _resolved(document: Raw, node: Raw) -> Raw:
    """Follow a reference within the document."""
    for _ in range(8):
        reference = node.get("$ref")
        if not isinstance(reference, str) or not reference.startswith("#/"):
            return node
        found: Raw = document
        for part in reference[2:].split("/"):
            found = _dict(found.get(part.replace("~1", "/").replace("~0", "~")))
        node = found
    return {}


class _Schemas:
    """The schemas of a document, as tools take them along: a tool's schema stands alone.

    A few that refer to each other, taken along by each of many tools, would make gigabytes of a small document.
    """

    def __init__(self, document: Raw) -> None:
        self._all = _dict(_dict(document.get("components")).get("schemas"))
        self._read: dict[str, tuple[Any, Sequence[str], int]] = {}
        self._left = MAX_MESSAGE

    def self_contained(self, schema: Raw) -> Raw:
        """Take along what a schema refers to.

        Raises:
            Lost: all tools together are too large.
        """
        definitions: Raw = {}
        left = [*_references(schema)]
        while left:
            if (name := left.pop()) not in definitions and name in self._all:
                definitions[name], more, size = self._definition(name)
                left += more
                self._take(size)
        whole = cast("Raw", _rewritten(schema))
        self._take(len(encode(whole)))
        return {**whole, "$defs": dict(sorted(definitions.items()))} if definitions else whole

    def _take(self, size: int) -> None:
        self._left -= size
        if self._left < 0:
            why = f"the tools of its document would take more than {MAX_MESSAGE} bytes"
            raise Lost(why, sent=False)

    def _definition(self, name: str) -> tuple[Any, Sequence[str], int]:
        if (known := self._read.get(name)) is None:
            schema = _rewritten(self._all[name])
            known = self._read[name] = (schema, tuple(set(_references(self._all[name]))), len(encode(schema)))
        return known


def _references(node: object) -> Iterator[str]:
    if isinstance(node, dict):
        entries = cast("Raw", node)
        if isinstance(reference := entries.get("$ref"), str) and reference.startswith(_REF):
            yield reference.removeprefix(_REF)
        for value in entries.values():
            yield from _references(value)
    elif isinstance(node, list):
        for value in cast("list[object]", node):
            yield from _references(value)


def _rewritten(node: object) -> Any:
    if isinstance(node, dict):
        entries = cast("Raw", node)
        return {
            key: f"#/$defs/{value.removeprefix(_REF)}"
            if key == "$ref" and isinstance(value, str) and value.startswith(_REF)
            else _rewritten(value)
            for key, value in entries.items()
        }
    return [_rewritten(value) for value in cast("list[object]", node)] if isinstance(node, list) else node


def _dict(value: object) -> Raw:
    return cast("Raw", value) if isinstance(value, dict) else {}


def _list(value: object) -> list[Raw]:
    return [_dict(one) for one in cast("list[object]", value)] if isinstance(value, list) else []


def _text(value: object) -> str:
    return value if isinstance(value, str) else encode(value).decode()
