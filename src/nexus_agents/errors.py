"""What can go wrong, as one tree. Every message may be shown to a user: it holds no key, no prompt and no URL with a password.

AgentsError                 exit 1
├─ Misuse                   exit 2    the caller asked for what there is not (UnknownModel, UnknownExpert, UnknownRun)
├─ NoAdapter                exit 3    nothing that could answer is configured
├─ BudgetExceeded           exit 4
├─ Refused                  exit 1    the URL guard said no
├─ AdapterError             exit 1    one call failed; `kind` says how, and whether another attempt may help
└─ Unreachable              exit 1    a public service (arXiv, GitHub) did not answer
"""

from collections.abc import Iterable
from enum import StrEnum


class Kind(StrEnum):
    """How a call to a model failed."""

    TIMEOUT = "timeout"
    CONNECTION = "connection"
    RATE_LIMITED = "rate_limited"
    SERVER = "server"
    AUTHENTICATION = "authentication"
    PAYMENT = "payment"
    NOT_FOUND = "not_found"
    INVALID = "invalid"
    GARBAGE = "garbage"
    """An answer that makes no sense: no choices, a run without a finish reason."""

    @classmethod
    def of(cls, status: int) -> "Kind":
        """Class a status of HTTP."""
        return _BY_STATUS.get(status, cls.SERVER if status >= 500 else cls.INVALID)


_BY_STATUS = {
    401: Kind.AUTHENTICATION,
    402: Kind.PAYMENT,
    403: Kind.AUTHENTICATION,
    404: Kind.NOT_FOUND,
    408: Kind.TIMEOUT,
    429: Kind.RATE_LIMITED,
    504: Kind.TIMEOUT,
}
RETRIED = frozenset({Kind.TIMEOUT, Kind.CONNECTION, Kind.RATE_LIMITED, Kind.SERVER})


class AgentsError(Exception):
    """Anything these agents say went wrong."""

    exit_code = 1

    def __init__(self, message: str, cure: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.cure = cure
        """What the user can do about it, as one sentence; may be empty."""

    def __str__(self) -> str:
        return f"{self.message} {self.cure}".strip()


class Misuse(AgentsError):
    exit_code = 2


class UnknownModel(Misuse):
    """No adapter serves this model and no registry row has the name."""

    def __init__(self, name: str, near: Iterable[str] = (), why: str = "") -> None:
        self.near = tuple(near)
        meant = f"Did you mean {', '.join(self.near)}?" if self.near else ""
        super().__init__(
            f'There is no model "{name}".', why or meant or "`nexus-agents models` shows those there are."
        )


class UnknownExpert(Misuse):
    pass


class UnknownRun(Misuse):
    pass


class NoAdapter(AgentsError):
    exit_code = 3


class BudgetExceeded(AgentsError):
    exit_code = 4


class Refused(AgentsError):
    """The URL guard refuses a destination; `reason` is machine readable (`loopback`, `private_range`, ...)."""

    def __init__(self, message: str, cure: str = "", *, reason: str, host: str) -> None:
        super().__init__(message, cure)
        self.reason = reason
        self.host = host


class AdapterError(AgentsError):
    """One call failed."""

    def __init__(
        self,
        kind: Kind,
        message: str,
        cure: str = "",
        *,
        retry_after: float | None = None,
        status: int | None = None,
    ) -> None:
        super().__init__(message, cure)
        self.kind = kind
        self.retry_after = retry_after
        """Seconds, as the provider said."""
        self.status = status

    @property
    def retried(self) -> bool:
        return self.kind in RETRIED


class Unreachable(AgentsError):
    """A public service could not be asked."""
