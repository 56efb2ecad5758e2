"""The half of the Messages protocol that we speak to providers."""

from collections.abc import Sequence

import msgspec

from nexus.errors import UpstreamGarbage
from nexus.llm.canonical import ChatRequest, ChatResponse, Loss
from nexus.llm.protocols.anthropic.request_writer import write_request
from nexus.llm.protocols.anthropic.response_reader import read_response
from nexus.llm.protocols.anthropic.stream_reader import StreamReader

_encode = msgspec.json.Encoder().encode
_COUNTED = ("model", "messages", "system", "tools", "tool_choice", "thinking", "mcp_servers")


class MessagesWire:
    """Writes requests to providers and reads their answers."""

    name = "anthropic"
    longest_tool_name = 128

    def target(self, model: str, *, stream: bool) -> tuple[str, bytes]:
        """Give path and query."""
        return "/messages", b""

    def caches(self, model: str) -> bool:
        """All models do."""
        return True

    def write_request(self, request: ChatRequest) -> tuple[bytes, Sequence[Loss]]:
        """Write a request."""
        body, losses = write_request(request)
        return _encode(body), losses

    def read_response(self, body: bytes, request: ChatRequest) -> ChatResponse:
        """Read a whole answer."""
        return read_response(body, request)

    def read_stream(self, request: ChatRequest) -> StreamReader:
        """Make what reads a streamed answer."""
        return StreamReader(request)


class _Count(msgspec.Struct):
    input_tokens: int


_decode_count = msgspec.json.Decoder(_Count).decode


class MessagesCounter:
    """Asks for the tokens of a request.

    https://platform.claude.com/docs/en/api/messages-count-tokens
    """

    def target(self, model: str) -> str:
        """Give the path."""
        return "/messages/count_tokens"

    def write_request(self, request: ChatRequest) -> bytes:
        """Write the question: the request without all that counts no tokens."""
        body, _ = write_request(request)
        return _encode({name: body[name] for name in _COUNTED if name in body})

    def read_response(self, body: bytes) -> int:
        """Read the number."""
        try:
            return _decode_count(body).input_tokens
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            raise UpstreamGarbage("The upstream answered a token count with none") from None
