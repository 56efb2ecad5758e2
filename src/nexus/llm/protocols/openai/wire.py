"""Chat completions as we speak them to OpenAI and everything compatible with it."""

from collections.abc import Sequence

from nexus.llm.canonical import ChatRequest, ChatResponse, Loss
from nexus.llm.protocols.base import StreamReader
from nexus.llm.protocols.openai import request_writer, response_reader
from nexus.llm.protocols.openai.options import PROTOCOL, Options
from nexus.llm.protocols.openai.stream_reader import ChatStreamReader

__all__ = ["ChatWire", "Options"]


class ChatWire:
    """The half of the chat protocol that we speak to one server, in the way `options` tell."""

    name = PROTOCOL
    longest_tool_name = 64

    def __init__(self, options: Options | None = None) -> None:
        self.options = options or Options()

    def target(self, model: str, *, stream: bool) -> tuple[str, bytes]:
        """Give path and query, below the base URL of a provider."""
        return "/chat/completions", b""

    def caches(self, model: str) -> bool:
        """Tell whether the server takes marks; most cache without being asked."""
        return self.options.cache_control

    def write_request(self, request: ChatRequest) -> tuple[bytes, Sequence[Loss]]:
        """Write a request, and tell which settings were left out.

        Raises:
            Unrepresentable: it has content the protocol has no words for.
        """
        return request_writer.write_request(request, self.options)

    def read_response(self, body: bytes, request: ChatRequest) -> ChatResponse:
        """Read an answer.

        Raises:
            UpstreamGarbage: it is not what the protocol says.
            UpstreamFailed: it is a failure in an answer's place.
        """
        return response_reader.read_response(body, request)

    def read_stream(self, request: ChatRequest) -> StreamReader:
        """Make what reads a streamed answer."""
        return ChatStreamReader(request)
