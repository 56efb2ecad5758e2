"""What web pages of other origins may do. Outermost of the layers: a browser must be able to read any refusal.

Every `OPTIONS` is answered here, whatever its path. https://fetch.spec.whatwg.org/#http-cors-protocol
"""

import re
from collections.abc import Callable, Iterable

from nexus.config.server import CorsConfig, Names
from nexus.server.asgi import App, Message, Receive, Scope, Send

Header = tuple[bytes, bytes]

_ORIGIN = b"access-control-allow-origin"
_ASKS_PRIVATE = b"access-control-request-private-network"
_PRIVATE = (b"access-control-allow-private-network", b"true")
_VARY = (b"vary", b"origin, access-control-request-method, access-control-request-headers")
_EVERYTHING = CorsConfig(allow_origins="*", allow_methods="*", allow_headers="*", expose_headers="*")
_DEFAULT_PORTS = {"http": ":80", "https": ":443"}
_GLOB = re.compile(r"[?*\[\]{}!\\]")
_IPV6 = re.compile(r"\[[0-9A-Fa-f.]*:[0-9A-Fa-f:.]*\](?::\d+)?")
_TOKEN = re.compile(r"\\.|\[[!^]?(?:\][^\]]*|[^\]]+)\]|\*+|.", re.DOTALL)
_MEMBER = re.compile(r"(.)-(.)|(.)", re.DOTALL)


def cors(app: App, config: CorsConfig | None) -> App:
    """Answer preflights and put the headers a browser asks for on every answer of `app`."""
    preflight, actual = _fixed(config)
    varying = _varying(config or _EVERYTHING)

    async def layer(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await app(scope, receive, send)
            return
        asked = varying(scope["headers"]) if varying is not None else ()
        if scope["method"] == "OPTIONS":
            headers = [*preflight, *asked, (b"content-length", b"0")]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            await send({"type": "http.response.body", "body": b""})
            return
        added = actual + asked

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message.get("headers", ()), *added]}
            await send(message)

        await app(scope, receive, with_headers)

    return layer


def _fixed(config: CorsConfig | None) -> tuple[tuple[Header, ...], tuple[Header, ...]]:
    """Write the headers no request changes: those of a preflight, and those of any other answer."""
    # without a table no answer depends on who asks, so a cache may keep one for all
    both: list[Header] = [] if config is None else [_VARY]
    config = config or _EVERYTHING
    if config.allow_origins == "*":
        both.append((_ORIGIN, b"*"))
    if config.allow_credentials:
        both.append((b"access-control-allow-credentials", b"true"))
    preflight = [
        *_list(b"access-control-allow-methods", _with_options(config.allow_methods)),
        *_list(b"access-control-allow-headers", _lower(config.allow_headers)),
    ]
    if config.max_age is not None:
        preflight.append((b"access-control-max-age", b"%d" % int(config.max_age)))
    actual = _list(b"access-control-expose-headers", _lower(config.expose_headers))
    return (*both, *preflight), (*both, *actual)


def _list(name: bytes, values: Names | None) -> list[Header]:
    return [(name, ",".join(values).encode())] if values else []  # joining "*" leaves it as it is


def _with_options(methods: Names | None) -> Names | None:
    return methods if methods is None or methods == "*" else tuple(dict.fromkeys((*methods, "OPTIONS")))


def _lower(names: Names | None) -> Names | None:
    return names if names is None or names == "*" else tuple(name.lower() for name in names)


def _varying(config: CorsConfig) -> Callable[[Iterable[Header]], tuple[Header, ...]] | None:
    """Build what reads a request for the headers that depend on it; None if no header does."""
    allows, private = _allows(config.allow_origins), config.allow_private_network
    if allows is None and not private:
        return None

    def varying(request: Iterable[Header]) -> tuple[Header, ...]:
        origin = network = None
        for name, value in request:
            if name == b"origin" and origin is None:
                origin = value
            elif name == _ASKS_PRIVATE:
                network = value
        found: tuple[Header, ...] = ()
        if origin is not None and allows is not None and allows(origin):
            found = ((_ORIGIN, origin),)
        return (*found, _PRIVATE) if private and network == b"true" else found

    return varying


def _allows(origins: Names | None) -> Callable[[bytes], bool] | None:
    """Build the test of a request's origin; None if the answer is the same for all."""
    if not origins or origins == "*":
        return None
    listed = [_origin(url) for url in origins]
    exact = frozenset(origin.lower().encode() for origin in listed if not _is_glob(origin))
    globs = [origin for origin in listed if _is_glob(origin)]
    if not globs:
        return exact.__contains__
    pattern = _compile(globs)
    return lambda origin: origin in exact or pattern.fullmatch(origin.decode("latin-1")) is not None


def _origin(url: str) -> str:
    """Reduce a URL to what a browser sends as its origin."""
    scheme, _, rest = url.partition("://")
    authority = rest.partition("/")[0]
    return f"{scheme}://{authority}".removesuffix(_DEFAULT_PORTS.get(scheme.lower(), "\0"))


def _is_glob(origin: str) -> bool:
    # the brackets of an IPv6 address are none of ours
    return _GLOB.search(origin) is not None and not _IPV6.fullmatch(origin.partition("://")[2])


def _compile(globs: Iterable[str]) -> re.Pattern[str]:
    """Compile globs into one expression. It takes time in proportion to the origin, however many stars there are."""
    written = [_write(tokens) for glob in globs for tokens in _expand(_TOKEN.findall(glob))]
    return re.compile("|".join(written) or "(?!)")


def _expand(tokens: Iterable[str]) -> list[list[str]]:
    """Write out the braces, one list of tokens for each choice; none if a brace is never closed."""
    stack: list[tuple[list[list[str]], list[list[str]]]] = [
        ([], [[]])
    ]  # alternatives: complete, and the last
    for token in tokens:
        complete, last = stack[-1]
        if token == "{":
            stack.append(([], [[]]))
        elif token == "," and len(stack) > 1:
            stack[-1] = ([*complete, *last], [[]])
        elif token == "}" and len(stack) > 1:
            stack.pop()
            outer, before = stack[-1]
            stack[-1] = (outer, [head + tail for head in before for tail in (*complete, *last)])
        else:
            for choice in last:
                choice.append(token)
    return stack[0][1] if len(stack) == 1 else []


def _write(tokens: Iterable[str]) -> str:
    """Write tokens without braces as an expression."""
    parts = [""]
    for token in tokens:
        if token[0] != "*":
            parts[-1] += _piece(token)
        elif parts[-1] or len(parts) == 1:  # two stars are one
            parts.append("")
    if len(parts) == 1:
        return parts[0]
    first, *middle, last = parts
    # what stands between two stars is best found as early as can be, so it is never sought again (`(?>`)
    return first + "".join(f"(?>[^/]*?{part})" for part in middle) + "[^/]*" + last


def _piece(token: str) -> str:
    """Write a token that stands for one character; only a slash itself stands for a slash."""
    if token == "?":
        return "[^/]"
    if len(token) == 1:
        return re.escape(token)
    if token[0] == "\\":
        return re.escape(token[1:])
    inner = token[1:-1]
    if inner[0] in "!^" and len(inner) > 1:
        return f"[^/{_members(inner[1:])}]"
    members = _members(inner)
    return f"(?!/)[{members}]" if members else "(?!)"


def _members(inner: str) -> str:
    """Write what stands in brackets; a range the wrong way round is empty."""
    written = ""
    for low, high, one in _MEMBER.findall(inner):
        if one:
            written += re.escape(one)
        elif low <= high:
            written += f"{re.escape(low)}-{re.escape(high)}"
    return written
