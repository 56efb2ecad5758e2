"""The half of the Responses protocol that clients speak to us."""

from collections.abc import Sequence

from nexus.llm.canonical import ChatRequest, ChatResponse, Loss
from nexus.llm.protocols.responses import NAME
from nexus.llm.protocols.responses.request_reader import read_request
from nexus.llm.protocols.responses.response_writer import write_response
from nexus.llm.protocols.responses.stream_writer import StreamWriter


class Responses:
    """Reads requests of clients and writes their answers."""

    name = NAME

    def __init__(self, *, stateful: bool = False) -> None:
        """Read requests for providers of any protocol; with `stateful` for those that keep the state of this one."""
        self._stateful = stateful

    def read_request(self, body: bytes) -> ChatRequest:
        """Read a request."""
        return read_request(body, stateful=self._stateful)

    def write_response(self, response: ChatResponse, request: ChatRequest) -> tuple[bytes, Sequence[Loss]]:
        """Write an answer."""
        return write_response(response, request)

    def write_stream(self, request: ChatRequest) -> StreamWriter:
        """Make what writes an answer event by event."""
        return StreamWriter(request)
