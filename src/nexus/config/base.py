"""What all sections share: the frozen model, the small value types and the errors they raise.

A validator never repeats the value: it raises `Expected` or `Quoting`, and `words` decides what may be shown.
"""

import re
from dataclasses import dataclass
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    PlainValidator,
    StrictBool,
    StrictInt,
    WithJsonSchema,
)

_HEADER_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_ROUTE = re.compile(r"[A-Za-z0-9/._~!$&'()+,;=:@%-]+")
_HEADER_VALUE = re.compile(r"[\t\x20-\x7e\x80-\U0010ffff]*")


class Section(BaseModel):
    """A table of the file. Frozen; a key it does not know is a mistake."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class Open(Section):
    """A table whose unknown keys are kept and warned about."""

    model_config = ConfigDict(extra="allow")

    @property
    def extra(self) -> dict[str, object]:
        """The keys nobody here knows, as they stood in the file."""
        return dict(self.model_extra or {})

    def __repr_args__(self) -> list[tuple[str | None, object]]:
        # a misspelt `api_key` is still a key: unknown values are never printed
        known = type(self).model_fields
        return [(name, value) for name, value in super().__repr_args__() if name in known]


class Lenient(Section):
    """A table whose unknown keys have always been passed over in silence."""

    model_config = ConfigDict(extra="ignore")


class Expected(ValueError):
    """What should have stood there; the reader is also told what did, where that may be shown."""


class Quoting(ValueError):
    """A text that repeats the value, and the `plain` text for values that must not be shown."""

    def __init__(self, text: str, plain: str) -> None:
        super().__init__(text)
        self.plain = plain


Flag = StrictBool
Count = Annotated[StrictInt, Field(ge=0)]
Positive = Annotated[StrictInt, Field(ge=1)]


def text(value: object) -> str:
    """Insist on a string."""
    if not isinstance(value, str):
        raise Expected("a string")
    return value


def header_name(value: object) -> str:
    """Accept what HTTP allows as the name of a header."""
    name = text(value)
    if not _HEADER_NAME.fullmatch(name):
        raise Expected("an HTTP header name such as X-Request-ID")
    return name


def header_value(value: object) -> str:
    """Accept what HTTP allows as the value of a header."""
    content = text(value)
    if not _HEADER_VALUE.fullmatch(content):
        raise ValueError("a header value cannot hold line breaks or other control characters")
    return content


def url(value: object, *schemes: str) -> str:
    """Accept an absolute URL with a host, of one of the `schemes`."""
    address = text(value)
    try:
        parts = urlsplit(address)
        _ = parts.port
    except ValueError:
        parts = urlsplit("")
    if parts.scheme.lower() not in schemes or not parts.hostname or any(c.isspace() for c in address):
        raise Expected(f"a URL that starts with {' or '.join(f'{scheme}://' for scheme in schemes)}")
    return address


def http_url(value: object) -> str:
    """Accept an absolute http or https URL."""
    return url(value, "http", "https")


def route(value: object) -> str:
    """Accept the path of a route."""
    path = text(value)
    if not path.startswith("/"):
        raise Expected("a path that starts with /")
    if not _ROUTE.fullmatch(path) or "//" in path:
        raise Expected("a plain path such as /llm/openai, without ?, #, {, }, * or spaces")
    return path


def prefix(value: object) -> str:
    """Accept a path that routes are mounted under."""
    path = route(value).rstrip("/")
    if not path:
        raise ValueError("the path cannot be / alone: other routes could not be told apart from it")
    return path


def pattern(value: object, key: str) -> re.Pattern[str]:
    """Compile a regular expression that ignores case; `key` is how the messages call it."""
    if isinstance(value, re.Pattern):
        return value  # pyright: ignore[reportUnknownVariableType]  # only a test passes one
    source = text(value).strip()
    if not source:
        raise ValueError(f"{key} cannot be empty")
    try:
        return re.compile(source, re.IGNORECASE)
    except (re.error, OverflowError, RecursionError) as error:
        raise Quoting(f"invalid {key} regex: {error}", f"invalid {key} regex") from None


@dataclass(frozen=True, slots=True)
class Address:
    """An IP address and a port to listen on."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @classmethod
    def read(cls, value: object) -> "Address":
        """Read `127.0.0.1:8000` or `[::1]:8000`.

        Raises:
            ValueError: it is anything else; host names are not looked up.
        """
        from ipaddress import IPv4Address, IPv6Address

        if isinstance(value, Address):
            return value
        wrong = Expected('an IP address and a port such as "127.0.0.1:8000" or "[::1]:8000"')
        if not isinstance(value, str):
            raise wrong
        host, colon, port = value.rpartition(":")
        if not (colon and port.isascii() and port.isdigit() and int(port) < 65536):
            raise wrong
        try:
            if host.startswith("[") and host.endswith("]"):
                return cls(str(IPv6Address(host[1:-1])), int(port))
            return cls(str(IPv4Address(host)), int(port))
        except ValueError:
            raise wrong from None


Listen = Annotated[
    Address,
    PlainValidator(Address.read),
    PlainSerializer(str),
    WithJsonSchema({"type": "string", "examples": ["127.0.0.1:8000"]}),
]
HttpUrl = Annotated[str, BeforeValidator(http_url)]
HeaderName = Annotated[str, BeforeValidator(header_name)]
Route = Annotated[str, BeforeValidator(route)]
Prefix = Annotated[str, BeforeValidator(prefix)]
Groups = frozenset[str]
