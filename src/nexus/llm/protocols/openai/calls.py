"""The calls of one stream, told apart however a server numbers and names their pieces.

OpenAI gives the index with every piece, and id and name with the first. Of the others some give no index, some the same for
all calls; some repeat id and name with every piece, some make up another id for each, some have no ids at all.
"""

import msgspec

from nexus.llm.canonical import ToolCall
from nexus.llm.protocols.openai.options import PROTOCOL

_decode = msgspec.json.Decoder().decode


class Call:
    """One call that grows. A machine for one call."""

    __slots__ = ("closed", "custom", "id", "name", "part", "pieces")

    def __init__(self, id: str, name: str, *, custom: bool) -> None:
        self.id = id
        self.name = name
        self.custom = custom
        self.pieces: list[str] = []
        """Of its arguments."""
        self.part: int | None = None
        """The number of its part, once it is open."""
        self.closed = False

    def is_complete(self) -> bool:
        """Tell whether the arguments are whole by now."""
        if self.custom or not self.pieces:
            return False
        try:
            _decode("".join(self.pieces))
        except msgspec.DecodeError:
            return False
        return True

    def continues(self, id: str, name: str, text: str, *, numbered: bool) -> bool:
        """Tell whether a piece is more of this call, or the first of another."""
        if not name or not self.name or (id and id == self.id):
            return True
        if name != self.name:
            return False
        if self.is_complete():
            return not id and not text
        if id:
            return bool(self.pieces)
        return numbered or bool(text or self.pieces)

    def as_part(self, proof: str) -> ToolCall:
        """Give the part that opens it."""
        return ToolCall(
            id=self.id, name=self.name, arguments="", custom=self.custom, signature=proof, origin=PROTOCOL
        )


class Calls:
    """All calls of a stream, in order."""

    __slots__ = ("_by_id", "_by_index", "all")

    def __init__(self) -> None:
        self.all: list[Call] = []
        self._by_index: dict[int, Call] = {}
        self._by_id: dict[str, Call] = {}

    def find(self, index: int | None, id: str, name: str, text: str) -> Call | None:
        """Find the call that a piece continues."""
        last = self.all[-1] if self.all else None
        call = self._by_id.get(id, last) if index is None else self._by_index.get(index)
        if call is None or not call.continues(id, name, text, numbered=index is not None):
            return None
        return call

    def add(self, call: Call, index: int | None) -> None:
        """Begin a call."""
        self.all.append(call)
        self._by_id[call.id] = call
        if index is not None:
            self._by_index[index] = call
