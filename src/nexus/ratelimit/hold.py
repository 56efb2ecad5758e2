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

    __slots__ = ("_at", "_book", "_charges", "measured")

    def __init__(self, charges: Sequence[Charge], at: int, book: Book) -> None:
        self._charges = charges
        """Of the input, and of the output where that is limited."""
        self._at = at
        self._book = book
        self.measured = len(charges) > 1
        """Whether `settle` wants to know what the model has written; where not, nobody needs to count."""

    def settle(self, output: int) -> None:
        """Book what the model has written in place of what was held for it."""
        held, self._charges = self._charges, ()
        if len(held) > 1 and output != held[1].amount:
            # more is booked in the slot that runs now, limit or not; less is given back where it was taken
            self._book([self._changed(held[1], output - held[1].amount)])

    def cancel(self) -> None:
        """Give everything back: the provider has done no work."""
        held, self._charges = self._charges, ()
        if held:
            self._book([self._changed(charge, -charge.amount) for charge in held])

    def _changed(self, charge: Charge, amount: int) -> Charge:
        return msgspec.structs.replace(charge, amount=amount, at=self._at)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # a client that hangs up, and an upstream that broke off, may have used all of it
        if isinstance(error, NexusError) and not isinstance(error, _USED_ALL_THE_SAME):
            self.cancel()


def _nothing(_: Sequence[Charge]) -> None: ...


FREE = Hold((), 0, _nothing)
"""The hold of a request that no limit is counted for."""
