"""The half of the Responses protocol that we speak to providers."""

from collections.abc import Sequence

import msgspec

from nexus.llm.canonical import ChatRequest, ChatResponse, Loss
from nexus.llm.protocols.responses import NAME
from nexus.llm.protocols.responses.request_writer import write_request
from nexus.llm.protocols.responses.response_reader import read_response
from nexus.llm.protocols.responses.stream_reader import StreamReader

_encode = msgspec.json.Encoder().encode


class ResponsesWire:
    """Writes requests to providers and reads their answers."""

    name = NAME
    longest_tool_name = 64

    def __init__(self, *, takes_unsigned: bool = False) -> None:
        """Speak to OpenAI; with `takes_unsigned` to a provider that takes back thoughts as plain text."""
        self._takes_unsigned = takes_unsigned

    def target(self, model: str, *, stream: bool) -> tuple[str, bytes]:
        """Give path and query."""
        return "/responses", b""

    def caches(self, model: str) -> bool:
        """It caches without being asked."""
        return False

    def write_request(self, request: ChatRequest) -> tuple[bytes, Sequence[Loss]]:
        """Write a request."""
        body, losses = write_request(request, takes_unsigned=self._takes_unsigned)
        return _encode(body), losses

    def read_response(self, body: bytes, request: ChatRequest) -> ChatResponse:
        """Read a whole answer."""
        return read_response(body, request)

    def read_stream(self, request: ChatRequest) -> StreamReader:
        """Make what reads a streamed answer."""
        return StreamReader(request)
