"""The half of the Gemini API that we speak to providers."""

from collections.abc import Callable, Sequence
from uuid import uuid4

import msgspec

from nexus.errors import UpstreamGarbage
from nexus.llm.canonical import ChatRequest, ChatResponse, Loss
from nexus.llm.protocols.folding import fold
from nexus.llm.protocols.google import names
from nexus.llm.protocols.google.request_writer import write_request
from nexus.llm.protocols.google.stream_reader import StreamReader

_encode = msgspec.json.Encoder().encode


def _new_id() -> str:
    return uuid4().hex


class GoogleWire:
    """Writes requests to providers and reads their answers."""

    name = "google"
    longest_tool_name = 64

    def __init__(self, new_id: Callable[[], str] = _new_id) -> None:
        self._new_id = new_id

    def target(self, model: str, *, stream: bool) -> tuple[str, bytes]:
        """Give path and query."""
        if stream:
            return names.path(model, "streamGenerateContent"), b"alt=sse"
        return names.path(model, "generateContent"), b""

    def caches(self, model: str) -> bool:
        """It caches without being asked."""
        return False

    def write_request(self, request: ChatRequest) -> tuple[bytes, Sequence[Loss]]:
        """Write a request."""
        body, losses = write_request(request)
        return _encode(body), losses

    def read_response(self, body: bytes, request: ChatRequest) -> ChatResponse:
        """Read a whole answer."""
        reader = self.read_stream(request)
        return fold([*reader.read(body), *reader.finish()])

    def read_stream(self, request: ChatRequest) -> StreamReader:
        """Make what reads a streamed answer."""
        return StreamReader(request, self._new_id)


class _Count(msgspec.Struct):
    totalTokens: int


_decode_count = msgspec.json.Decoder(_Count).decode


class GoogleCounter:
    """Asks for the tokens of a request.

    https://ai.google.dev/api/tokens
    """

    def target(self, model: str) -> str:
        """Give the path."""
        return names.path(model, "countTokens")

    def write_request(self, request: ChatRequest) -> bytes:
        """Write the question."""
        body, _ = write_request(request)
        return _encode({"generateContentRequest": {"model": names.resource(request.model), **body}})

    def read_response(self, body: bytes) -> int:
        """Read the number."""
        try:
            return _decode_count(body).totalTokens
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            raise UpstreamGarbage("Google answered a token count with none") from None
