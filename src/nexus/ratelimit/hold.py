"""What a request may use before anybody knows what it will use: taken at once, settled when it is over.

A hold that nobody settles is not lost and not for ever: it counts as what was held, and leaves the window like everything else.
"""

from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self

import msgspec

from nexus.errors import NexusError, UpstreamBroken, UpstreamFailed, UpstreamGarbage, UpstreamTimeout
from nexus.ratelimit import Charge

_USED_ALL_THE_SAME = (UpstreamTimeout, UpstreamBroken, UpstreamGarbage, UpstreamFailed)

Book = Callable[[Sequence[Charge]], None]
"""Books charges some time soon, whatever becomes of the request."""


class Hold:
    """Tokens of one request. As a context it gives back what a request that never ran at the provider has held.

    Settling waits for nothing and cannot be cancelled; the second time it does nothing.
    """

    __slots__ = ("_book", "_input", "_output", "measured")

    def __init__(self, input: Charge | None, output: Charge | None, book: Book) -> None:
        self._input = input
        self._output = output
        self._book = book
        self.measured = output is not None
        """Whether `settle` wants to know what the model has written; where not, nobody needs to count."""

    def settle(self, output: int) -> None:
        """Book what the model has written in place of what was held for it."""
        held, self._input, self._output = self._output, None, None
        if held is not None and output != held.amount:
            # more is booked in the slot that runs now, limit or not; less is given back where it was taken
            self._book([msgspec.structs.replace(held, amount=output - held.amount)])

    def cancel(self) -> None:
        """Give everything back: the provider has done no work."""
        held = [charge for charge in (self._input, self._output) if charge is not None]
        self._input = self._output = None
        if held:
            self._book([msgspec.structs.replace(charge, amount=-charge.amount) for charge in held])

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # a client that hangs up, and an upstream that broke off, may have used all of it
        if isinstance(error, NexusError) and not isinstance(error, _USED_ALL_THE_SAME):
            self.cancel()


def _nothing(_: Sequence[Charge]) -> None: ...


FREE = Hold(None, None, _nothing)
"""The hold of a request that no limit is counted for."""
