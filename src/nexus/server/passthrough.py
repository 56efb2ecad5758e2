"""Requests that go through as they are: to Anthropic with the client's own key, and to providers the file opens for it.

Nothing is read but the address and, of a message to Anthropic, whether it is one; where calls of models are recorded, also what
records say. Answers come back byte for byte; one that breaks off upstream breaks off here.
"""

import logging
import re
from collections.abc import Awaitable, Collection, Mapping, Sequence
from typing import NamedTuple
from urllib.parse import unquote, unquote_to_bytes

import msgspec

from nexus.config.checks import PASSTHROUGH as PATH
from nexus.config.llm import AnthropicProxy, ProviderConfig
from nexus.config.server import ServerConfig
from nexus.errors import (
    BodyTooLarge,
    InvalidRequest,
    MethodNotAllowed,
    NexusError,
    NotFound,
    UnknownProvider,
    UpstreamBroken,
    UpstreamUnreachable,
)
from nexus.http.client import header_block
from nexus.http.headers import CREDENTIALS, DENIED, Header, Rules, end_to_end, merge
from nexus.llm import passing, tap
from nexus.llm.protocols.base import Surface
from nexus.llm.protocols.fields import encode
from nexus.llm.providers import anthropic, google, openai
from nexus.llm.providers.api import OUR_HEADERS, Api
from nexus.llm.providers.base import Call
from nexus.llm.providers.keys import Keys, scheme
from nexus.llm.reply import Reply
from nexus.llm.surfaces import ANTHROPIC, OPENAI
from nexus.llm.tap import UNSEEN, Tap
from nexus.server.answer import WriteError, failure, serve
from nexus.server.asgi import Receive, Scope, Send
from nexus.server.body import read_body

log = logging.getLogger(__name__)

_JSON = b"application/json"
_OURS = header_block(OUR_HEADERS)
_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
_READ = ("GET", "HEAD")
_VERSION = "/v1"
_MESSAGES = f"{_VERSION}/messages"
_PROXIED = (
    (re.compile(f"{_MESSAGES}(?:/count_tokens)?"), ("POST",)),
    (re.compile("/v1/models(?:/[^/]+)?"), _READ),
    (re.compile("/v1/files"), (*_READ, "POST")),
    (re.compile("/v1/files/[^/]+"), (*_READ, "DELETE")),
    (re.compile("/v1/files/[^/]+/content"), _READ),
)
_NOT_PLAIN = re.compile(
    r"//|\\|/\.{1,2}(?=[/;]|$)|%(?![0-9a-f]{2})|%(?:[01].|2[ef5]|5c|7f|c[01])", re.IGNORECASE
)
"""What two programs may read as two different paths: dots, slashes and controls in disguise, and what escapes an escape."""
_VENDORS = {
    "openai": ("OpenAI", openai.DEFAULT_BASE_URL),
    "anthropic": ("Anthropic", anthropic.DEFAULT_BASE_URL),
    "google": ("Google", google.DEFAULT_BASE_URL),
}
_KEYS_IN_URLS = {"google": frozenset((b"access_token", b"key"))}
_BODY_HEADERS = frozenset((b"content-length", b"content-type"))
_TRACE = {b"traceparent", b"tracestate", b"x-amzn-trace-id", b"baggage"}
"""Nobody behind us is told of a trace but as `tap.passed_on` does."""
_NOT_FOR_ANTHROPIC = _BODY_HEADERS | _TRACE | {b"cookie", b"x-provider-api-key"}
_COMPRESSED = frozenset((b"accept-encoding",))
"""Not for calls of models: their answers come as they can be read for records."""
_NOT_FOR_PROVIDERS = (
    _BODY_HEADERS
    | CREDENTIALS
    | _TRACE
    | {
        b"forwarded",
        b"x-forwarded-for",
        b"x-forwarded-host",
        b"x-forwarded-port",
        b"x-forwarded-proto",
        b"x-real-ip",
    }
)
_NOT_OF_THIS_ORIGIN = frozenset(
    (
        b"access-control-allow-credentials",
        b"access-control-allow-headers",
        b"access-control-allow-methods",
        b"access-control-allow-origin",
        b"access-control-expose-headers",
        b"access-control-max-age",
        b"alt-svc",
        b"date",
        b"strict-transport-security",
    )
)
"""What an upstream says of its own address; a client would take it as said of ours."""
_NOT_FOR_CLIENTS = _NOT_OF_THIS_ORIGIN | {
    b"anthropic-organization-id",
    b"openai-organization",
    b"openai-project",
    b"set-cookie",
}
"""What an upstream tells the owner of the key, besides."""


class _Out(NamedTuple):
    """A request ready to go, and which headers of its answer stay here."""

    api: Api
    call: Call
    lines: bytes
    withheld: Collection[bytes]
    seen: Tap = UNSEEN


class Proxy:
    """Anthropic's API below a path of ours, with the credentials of the client. https://platform.claude.com/docs/en/api/overview."""

    surface: Surface = ANTHROPIC
    paths = ()

    def __init__(self, config: AnthropicProxy, *, max_body: int, withheld: Collection[bytes] = ()) -> None:
        self._base = config.path
        self._max_body = max_body
        self._withheld = _NOT_FOR_ANTHROPIC.union(withheld)
        self._api = Api("Anthropic", config.base_url, ProviderConfig(type="anthropic"))

    def claims(self, path: str) -> int:
        """Tell how much of a path says that it belongs here; 0 where nothing does."""
        return len(self._base) if path == self._base or path.startswith(f"{self._base}/") else 0

    def template(self, path: str) -> str:
        """Give what is said of every path below."""
        return f"{self._base}/*"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        await serve(scope, send, self._reply(scope, receive))

    async def close(self) -> None:
        """Close all connections."""
        self._api.close()

    async def _reply(self, scope: Scope, receive: Receive) -> Reply:
        if scope["method"] == "HEAD" and scope["path"].rstrip("/") == self._base:
            return Reply(200, [(b"content-length", b"0")], b"")  # clients ask so whether anybody is there
        return await _passed(scope["method"], self._prepare(scope, receive), _write_proxy_error)

    async def _prepare(self, scope: Scope, receive: Receive) -> _Out:
        path = plain(scope["raw_path"].decode("ascii").removeprefix(self._base))
        methods = next((allowed for known, allowed in _PROXIED if known.fullmatch(path)), None)
        if methods is None:
            raise NotFound(f"No endpoint at {scope['path']}")
        if scope["method"] not in methods:
            raise MethodNotAllowed(", ".join(methods))
        withheld, content_type = self._withheld, _content_type(scope)
        if path == _MESSAGES:
            body = await _message(scope, receive, self._max_body, content_type)
            withheld, content_type = withheld | DENIED, _JSON
        else:
            body = await read_body(scope, receive, self._max_body)
        method, seen = scope["method"].encode(), UNSEEN
        if method == b"POST":
            seen = passing.begin("anthropic", "anthropic", path.removeprefix(_VERSION), body, content_type)
        trace = tap.passed_on()
        call = Call("", method, path, body, content_type, scope["query_string"], headers=trace)
        lines = merge(_OURS, end_to_end(scope["headers"], withheld))
        return _Out(self._api, call, lines, _NOT_OF_THIS_ORIGIN, seen)


class Passthrough:
    """Every provider the file opens, below its name: any path, any method, the gateway's key instead of the client's."""

    surface: Surface = OPENAI
    paths = ()

    def __init__(
        self, providers: Mapping[str, ProviderConfig], *, max_body: int, withheld: Collection[bytes] = ()
    ) -> None:
        self._max_body = max_body
        self._opened = {
            name: _Opened(name, config, withheld) for name, config in providers.items() if config.passthrough
        }

    def claims(self, path: str) -> int:
        """Tell how much of a path says that it belongs here; 0 where nothing does."""
        return len(PATH) if self._opened and path.startswith(f"{PATH}/") else 0

    def template(self, path: str) -> str:
        """Give what is said of every path below."""
        return f"{PATH}/*"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        raw: str = scope["raw_path"].decode("ascii")
        segment, slash, rest = raw.removeprefix(f"{PATH}/").partition("/")
        name = unquote(segment)
        opened = self._opened.get(name)

        async def prepare() -> _Out:
            if opened is None or not slash:
                raise UnknownProvider(name)
            return await opened.prepare(scope, receive, plain(f"/{rest}"), self._max_body)

        surface = opened.surface if opened is not None else self.surface
        await serve(scope, send, _passed(scope["method"], prepare(), surface.write_error))

    async def close(self) -> None:
        """Close all connections."""
        for opened in self._opened.values():
            opened.api.close()


class _Opened:
    """One provider that may be reached so."""

    def __init__(self, name: str, config: ProviderConfig, withheld: Collection[bytes]) -> None:
        self._name, self._kind = name, config.type
        label, vendors_own = _VENDORS[config.type]
        base_url = (config.base_url or vendors_own).rstrip("/")
        self.api = Api(label, base_url, config)
        self.surface = ANTHROPIC if config.type == "anthropic" else OPENAI
        signing = scheme(config)
        compatible = config.type == "openai" and base_url != vendors_own
        self._keys = Keys(config, signing, _OURS, optional=compatible)
        self._rules = Rules.of(config)
        self._withheld = _NOT_FOR_PROVIDERS.union(withheld, (signing.header.lower().encode(),))
        fixed = frozenset(name.encode() for name in config.query)
        self._parameters = fixed | _KEYS_IN_URLS.get(config.type, frozenset())

    async def prepare(self, scope: Scope, receive: Receive, path: str, max_body: int) -> _Out:
        """Put the gateway's key where the client's was."""
        if scope["method"] not in _METHODS:
            raise MethodNotAllowed(", ".join(_METHODS))
        body = await read_body(scope, receive, max_body)
        content_type, query = _content_type(scope), self._query(scope["query_string"])
        method, withheld, seen = scope["method"].encode(), self._withheld, UNSEEN
        if method == b"POST":
            withheld = withheld | _COMPRESSED
            seen = passing.begin(self._kind, self._name, path, body, content_type)
        lines = self._lines(scope["headers"], withheld)
        call = Call("", method, path, body, content_type, query, headers=tap.passed_on())
        return _Out(self.api, call, lines, _NOT_FOR_CLIENTS, seen)

    def _lines(self, client: Sequence[Header], withheld: Collection[bytes]) -> bytes:
        """Write the headers: what a rule sets wins, then the client's, then ours; the key is never the client's."""
        headers = end_to_end(client, withheld)
        if self._rules is not None:
            headers = self._rules.apply(client, begun=headers)
        return merge(self._keys.lines(client), headers)

    def _query(self, query: bytes) -> bytes:
        """Take out the parameters that are not the client's to set."""
        if not query or not self._parameters:
            return query
        parts = query.split(b"&")
        return b"&".join(
            part for part in parts if unquote_to_bytes(part.partition(b"=")[0]) not in self._parameters
        )


def private_headers(server: ServerConfig) -> frozenset[bytes]:
    """Name the headers clients send for the gateway alone: the proof that no page forged them, and who they are."""
    names = [server.csrf.header_name]
    if server.client_identification.enabled:
        sources = (server.client_identification.client_id, server.client_identification.group_id)
        names += [source.http_header for source in sources if source is not None and source.http_header]
    return frozenset(name.lower().encode() for name in names)


async def _passed(method: str, out: Awaitable[_Out], write_error: WriteError) -> Reply:
    """Send a request that is being made ready, and make the reply of what comes back."""
    try:
        ready = await out
    except NexusError as error:
        return failure(error, write_error)
    try:
        answer = await ready.api.send(ready.call, ready.lines)
    except NexusError as error:
        ready.seen.failed(error)
        return failure(error, write_error)
    # https://www.rfc-editor.org/rfc/rfc9110#section-15
    status = answer.status if answer.status < 600 else 502
    headers = end_to_end(answer.headers, ready.withheld)
    if method == "HEAD":
        answer.close()  # it looks like one whose body never comes
        return Reply(status, headers, b"")
    return Reply(status, headers, passing.pieces(answer, ready.api, ready.seen), answer.close)


def _write_proxy_error(error: NexusError) -> tuple[int, bytes, bytes]:
    status, message = error.status, str(error)
    if isinstance(error, UpstreamUnreachable | UpstreamBroken):
        log.warning("%s", error)
        unreachable = isinstance(error, UpstreamUnreachable)
        status, message = 500, "Could not " + ("connect to" if unreachable else "read response from")
        message += " upstream API"
    kinds = {404: "not_found_error", 413: "request_too_large"}
    kind = kinds.get(status) or ("invalid_request_error" if status < 500 else "api_error")
    told = {"type": "error", "request_id": None, "error": {"type": kind, "message": message}}
    return status, _JSON, encode(told)


class _Message(msgspec.Struct):
    model: str
    messages: list[msgspec.Raw]
    max_tokens: int


_decode = msgspec.json.Decoder(_Message).decode


async def _message(scope: Scope, receive: Receive, limit: int, content_type: bytes) -> bytes:
    """Read the body of a message.

    Raises:
        InvalidRequest: it is none. The status is 400 for whatever is wrong with it.
    """
    if content_type.split(b";", 1)[0].strip().lower() != _JSON:
        raise InvalidRequest("Unsupported Content-Type, expected: 'Content-Type: application/json'")
    try:
        body = await read_body(scope, receive, limit)
        _decode(body)
    except BodyTooLarge as error:
        raise InvalidRequest(str(error)) from None
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise InvalidRequest(f"Failed to parse request body: {error}") from None
    except RecursionError:
        raise InvalidRequest("Failed to parse request body: it is nested too deeply") from None
    return body


def plain(path: str) -> str:
    """Insist on a path below a base that every program on the way reads alike.

    Raises:
        InvalidRequest: it is not.
    """
    if _NOT_PLAIN.search(path):
        raise InvalidRequest("The path must be plain: no dot segments, no empty ones, none of it in disguise")
    return path


def _content_type(scope: Scope) -> bytes:
    return next((value for name, value in scope["headers"] if name == b"content-type"), b"")
