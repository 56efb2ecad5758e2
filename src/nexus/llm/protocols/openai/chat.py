"""Chat completions as clients speak them to us."""

from collections.abc import Sequence

from nexus.llm.canonical import ChatRequest, ChatResponse, Loss
from nexus.llm.protocols.base import StreamWriter
from nexus.llm.protocols.openai import request_reader, response_writer
from nexus.llm.protocols.openai.options import PROTOCOL
from nexus.llm.protocols.openai.stream_writer import ChatStreamWriter


class Chat:
    """The half of the chat protocol that clients speak."""

    name = PROTOCOL

    def read_request(self, body: bytes) -> ChatRequest:
        """Read a request.

        Raises:
            InvalidRequest: it breaks a rule of the protocol; the text names the JSON path.
        """
        return request_reader.read_request(body)

    def write_response(self, response: ChatResponse, request: ChatRequest) -> tuple[bytes, Sequence[Loss]]:
        """Write an answer, and tell what could not be written."""
        return response_writer.write_response(response, request)

    def write_stream(self, request: ChatRequest) -> StreamWriter:
        """Make what writes an answer event by event."""
        return ChatStreamWriter(request)
