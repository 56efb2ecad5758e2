"""What web pages of other origins may do. Outermost of the layers: a browser must be able to read any refusal.

Every `OPTIONS` is answered here, whatever its path. https://fetch.spec.whatwg.org/#http-cors-protocol
"""

import re
from urllib.parse import urlsplit

from nexus.config.server import CorsConfig
from nexus.server.asgi import App, Message, Receive, Scope, Send

Header = tuple[bytes, bytes]

_ORIGIN = b"access-control-allow-origin"
_VARY = (b"vary", b"origin, access-control-request-method, access-control-request-headers")
_EVERYTHING = b"*"
_GLOB = frozenset("?*[]{}!\\")
_DEFAULT_PORTS = {"http": ":80", "https": ":443"}


def cors(app: App, config: CorsConfig | None) -> App:
    """Answer preflights and put the headers a browser asks for on every answer of `app`."""
    policy = Policy(config)

    async def layer(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await app(scope, receive, send)
            return
        headers: list[Header] = scope["headers"]
        if scope["method"] == "OPTIONS":
            answer = [*policy.preflight(headers), (b"content-length", b"0")]
            await send({"type": "http.response.start", "status": 200, "headers": answer})
            await send({"type": "http.response.body", "body": b""})
            return
        added = policy.actual(headers)

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message.get("headers", ()), *added]}
            await send(message)

        await app(scope, receive, with_headers)

    return layer


class Policy:
    """The headers of one configuration, made once; only the origin is looked at for each request."""

    def __init__(self, config: CorsConfig | None) -> None:
        self._asks = config is not None
        if config is None:
            self._origins: frozenset[str] | None = None
            self._globs: tuple[re.Pattern[str], ...] = ()
            self._preflight = tuple(
                (b"access-control-allow-" + name, _EVERYTHING) for name in (b"origin", b"methods", b"headers")
            )
            self._actual = ((_ORIGIN, _EVERYTHING), (b"access-control-expose-headers", _EVERYTHING))
            self._private = False
            return
        listed = (
            ()
            if config.allow_origins in (None, "*")
            else tuple(_origin(url) for url in config.allow_origins or ())
        )
        self._origins = (
            None if config.allow_origins == "*" else frozenset(url for url in listed if not _GLOB & set(url))
        )
        self._globs = tuple(_glob(url) for url in listed if _GLOB & set(url))
        self._private = config.allow_private_network
        both: list[Header] = [_VARY]
        if config.allow_origins == "*":
            both.append((_ORIGIN, _EVERYTHING))
        if config.allow_credentials:
            both.append((b"access-control-allow-credentials", b"true"))
        self._preflight = (*both, *_preflight(config))
        exposed = _names(config.expose_headers)
        self._actual = (
            *both,
            *([(b"access-control-expose-headers", exposed)] if exposed is not None else []),
        )

    def preflight(self, request: list[Header]) -> tuple[Header, ...]:
        """Give the headers of the answer to an `OPTIONS`."""
        return self._preflight + self._asked(request) if self._asks else self._preflight

    def actual(self, request: list[Header]) -> tuple[Header, ...]:
        """Give the headers to add to any other answer."""
        return self._actual + self._asked(request) if self._asks else self._actual

    def _asked(self, request: list[Header]) -> tuple[Header, ...]:
        """Give the headers that depend on who asks, and for what."""
        found: tuple[Header, ...] = ()
        for name, value in request:
            if name == b"origin" and self._origins is not None and self._allows(value.decode("latin-1")):
                found += ((_ORIGIN, value),)
            elif name == b"access-control-request-private-network" and self._private and value == b"true":
                found += ((b"access-control-allow-private-network", b"true"),)
        return found

    def _allows(self, origin: str) -> bool:
        return origin in (self._origins or ()) or any(glob.fullmatch(origin) for glob in self._globs)


def _preflight(config: CorsConfig) -> list[Header]:
    found: list[Header] = []
    if config.allow_methods == "*":
        found.append((b"access-control-allow-methods", _EVERYTHING))
    elif config.allow_methods is not None:
        methods = dict.fromkeys((*config.allow_methods, "OPTIONS"))
        found.append((b"access-control-allow-methods", ",".join(methods).encode()))
    allowed = _names(config.allow_headers)
    if allowed is not None:
        found.append((b"access-control-allow-headers", allowed))
    if config.max_age is not None:
        found.append((b"access-control-max-age", b"%d" % int(config.max_age)))
    return found


def _names(names: str | tuple[str, ...] | None) -> bytes | None:
    if names is None:
        return None
    return _EVERYTHING if names == "*" else ",".join(names).lower().encode()


def _origin(url: str) -> str:
    """Reduce a URL to what a browser sends as its origin; a glob keeps its letters."""
    scheme, separator, rest = url.partition("://")
    authority = rest.partition("/")[0]
    origin = f"{scheme}{separator}{authority}".removesuffix(_DEFAULT_PORTS.get(scheme.lower(), "\0"))
    return origin if _GLOB & set(origin) else urlsplit(origin).geturl().lower()


def _glob(pattern: str) -> re.Pattern[str]:
    """Compile a glob: `*` and `?` do not cross a slash, `[…]`, `[!…]` and `{a,b}` mean what they do in a shell."""
    written, position, depth = "", 0, 0
    while position < len(pattern):
        character = pattern[position]
        position += 1
        if character == "*":
            written += (
                "[^/]*" if not written.endswith("[^/]*") else ""
            )  # two stars are one, and cost the square
        elif character == "?":
            written += "[^/]"
        elif character == "\\" and position < len(pattern):
            written += re.escape(pattern[position])
            position += 1
        elif character == "[" and (end := pattern.find("]", position + 1)) > 0:
            inner = pattern[position:end].replace("\\", "\\\\").replace("[", "\\[")
            written += f"[^{inner[1:]}]" if inner[0] in "!^" else f"[{inner}]"
            position = end + 1
        elif character == "{" and "}" in pattern[position:]:
            written, depth = written + "(?:", depth + 1
        elif character == "," and depth:
            written += "|"
        elif character == "}" and depth:
            written, depth = written + ")", depth - 1
        else:
            written += re.escape(character)
    return re.compile(written)
