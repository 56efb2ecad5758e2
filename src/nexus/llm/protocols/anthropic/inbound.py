"""The half of the Messages protocol that clients speak to us."""

from collections.abc import Sequence

import msgspec

from nexus.llm.canonical import ChatRequest, ChatResponse, Loss
from nexus.llm.protocols.anthropic.request_reader import read_request
from nexus.llm.protocols.anthropic.response_writer import write_response
from nexus.llm.protocols.anthropic.stream_writer import StreamWriter

_encode = msgspec.json.Encoder().encode


class Messages:
    """Reads requests of clients and writes their answers."""

    name = "anthropic"

    def __init__(self, *, needs_max_tokens: bool = True) -> None:
        self._needs_max_tokens = needs_max_tokens

    def read_request(self, body: bytes) -> ChatRequest:
        """Read a request."""
        return read_request(body, needs_max_tokens=self._needs_max_tokens)

    def write_response(self, response: ChatResponse, request: ChatRequest) -> tuple[bytes, Sequence[Loss]]:
        """Write an answer."""
        body, losses = write_response(response)
        return _encode(body), losses

    def write_stream(self, request: ChatRequest) -> StreamWriter:
        """Make what writes an answer event by event."""
        return StreamWriter()
