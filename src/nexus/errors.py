"""Everything that can go wrong on purpose. No HTTP library, no protocol: each surface writes these in its own words.

```
NexusError                      status  type
├─ InvalidRequest               400     invalid_request_error
│   ├─ Unrepresentable          400     names the JSON path
│   ├─ BodyTooLarge             413
│   └─ UnsupportedMediaType     415
├─ Unauthenticated              401     authentication_error
├─ Forbidden                    403     permission_error
├─ NotFound                     404     not_found_error
│   ├─ UnknownModel
│   └─ UnknownProvider
├─ RateLimited                  429     rate_limit_error        in nexus.ratelimit, which raises it
├─ MethodNotAllowed             405     invalid_request_error
├─ NotReady                     503     api_error               + retry-after
├─ UpstreamError                mapped  the upstream answered with a failure; carries it whole
├─ UpstreamUnreachable          502     api_error
│   └─ UpstreamTimeout          504
├─ UpstreamBroken               502     api_error
├─ UpstreamGarbage              502     api_error
├─ UpstreamFailed               502     as it said               told within a stream
└─ Internal                     500     internal_error          the cause goes to the log only

ConfigError                     never meets a client: start is refused, a reload keeps the running configuration
```
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

Headers = Sequence[tuple[bytes, bytes]]


class NexusError(Exception):
    """A failure a client is told about. `str(error)` is safe to show: it never holds a key, a token or a prompt."""

    status: ClassVar[int] = 500
    type: ClassVar[str] = "internal_error"

    @property
    def headers(self) -> Headers:
        """Extra response headers, lower-case names."""
        return ()


class InvalidRequest(NexusError):
    status = 400
    type = "invalid_request_error"


class Unrepresentable(InvalidRequest):
    """A client asks for something that the protocol of the chosen provider has no words for."""

    def __init__(self, path: str, why: str) -> None:
        super().__init__(f"{path}: {why}")
        self.path = path


class BodyTooLarge(InvalidRequest):
    status = 413

    def __init__(self, limit: int) -> None:
        super().__init__(f"Request body is too large, limit is {limit} bytes")


class UnsupportedMediaType(InvalidRequest):
    status = 415


class Unauthenticated(NexusError):
    status = 401
    type = "authentication_error"


class Forbidden(NexusError):
    status = 403
    type = "permission_error"


class NotFound(NexusError):
    status = 404
    type = "not_found_error"


class UnknownModel(NotFound):
    pass


class UnknownProvider(NotFound):
    def __init__(self, name: str) -> None:
        super().__init__(f"Provider '{name}' not found")


class MethodNotAllowed(NexusError):
    status = 405
    type = "invalid_request_error"

    def __init__(self, allowed: str) -> None:
        super().__init__(f"Method not allowed, use {allowed}")
        self.allowed = allowed

    @property
    def headers(self) -> Headers:
        """The methods that would have been allowed."""
        return ((b"allow", self.allowed.encode()),)


class NotReady(NexusError):
    """What the request needs has not come up yet; the same request may pass later."""

    status = 503
    type = "api_error"

    @property
    def headers(self) -> Headers:
        """A hint to come back soon."""
        return ((b"retry-after", b"1"),)


class UpstreamError(NexusError):
    """An upstream answered with a failure: its status, relayed headers and body, as they came."""

    type = "api_error"

    def __init__(
        self, status: int, headers: Headers, body: bytes, content_type: bytes, protocol: str = ""
    ) -> None:
        super().__init__(f"the upstream answered {status}")
        self.protocol = protocol
        self.upstream_status = status
        self.relayed = headers
        self.body = body
        self.content_type = content_type

    @property
    def headers(self) -> Headers:
        """What the upstream said about limits and request ids."""
        return self.relayed


class UpstreamUnreachable(NexusError):
    """No answer came: not connected, or the connection broke before the response began."""

    status = 502
    type = "api_error"

    def __init__(self, name: str, detail: str, *, stream: bool = False) -> None:
        kind = "streaming request" if stream else "request"
        super().__init__(f"Connection error: Failed to send {kind} to {name}: {detail}")


class UpstreamTimeout(UpstreamUnreachable):
    status = 504


class UpstreamBroken(NexusError):
    """An answer began and did not come to its end."""

    status = 502
    type = "api_error"

    def __init__(self, name: str, detail: str) -> None:
        super().__init__(f"Connection error: Failed to read the response of {name}: {detail}")


class UpstreamGarbage(NexusError):
    """The upstream claimed success and sent something its protocol does not allow."""

    status = 502
    type = "api_error"


class UpstreamFailed(NexusError):
    """The upstream said in the middle of a stream that it failed."""

    status = 502

    def __init__(self, message: str, kind: str = "api_error") -> None:
        super().__init__(message)
        self.kind = kind


class Internal(NexusError):
    """A fault of ours. The text is fixed; `reference` leads to the log line that has the cause."""

    def __init__(self, reference: str) -> None:
        super().__init__("Internal server error")
        self.reference = reference


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake in the configuration file."""

    path: str
    """Dotted TOML path, array elements as `[i]`; empty for the file as a whole."""
    message: str
    """What is wrong."""
    cure: str = ""
    """What to do about it."""
    line: int | None = None
    """Line in the file, from 1, where it is known."""

    def __str__(self) -> str:
        where = f"line {self.line}: " if self.line else ""
        what = f"{self.path}: {self.message}" if self.path else self.message
        return f"{where}{what}" + (f"\n    → {self.cure}" if self.cure else "")


class ConfigError(Exception):
    """Every mistake found in one configuration, all at once."""

    def __init__(self, problems: Sequence[Problem], source: str = "") -> None:
        self.problems = tuple(problems)
        self.source = source
        head = f"{source}: " if source else ""
        count = len(self.problems)
        title = "1 mistake" if count == 1 else f"{count} mistakes"
        super().__init__(f"{head}{title}\n" + "\n".join(f"  {problem}" for problem in self.problems))
