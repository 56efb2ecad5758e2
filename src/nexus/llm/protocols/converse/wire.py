"""The Converse API as we speak it to Bedrock."""

from collections.abc import Sequence
from urllib.parse import quote

import msgspec

from nexus.errors import UpstreamGarbage
from nexus.llm.canonical import ChatRequest, ChatResponse, Loss
from nexus.llm.protocols.converse import families
from nexus.llm.protocols.converse.families import base_model
from nexus.llm.protocols.converse.request_writer import write_request
from nexus.llm.protocols.converse.response_reader import read_response
from nexus.llm.protocols.converse.stream_reader import StreamReader

_encode = msgspec.json.Encoder().encode
_COUNTED = ("system", "messages", "toolConfig", "additionalModelRequestFields")


class ConverseWire:
    """Writes requests to Bedrock and reads its answers."""

    name = "converse"
    longest_tool_name = 64

    def __init__(self, base: str = "") -> None:
        self._base = base
        """The vendor's model, where its name does not tell: behind the ARN of an application's inference profile."""

    def target(self, model: str, *, stream: bool) -> tuple[str, bytes]:
        """Give path and query."""
        return f"{path_of(model)}/converse{'-stream' if stream else ''}", b""

    def caches(self, model: str) -> bool:
        """Ask its family."""
        return families.caches(self._base or base_model(model))

    def write_request(self, request: ChatRequest) -> tuple[bytes, Sequence[Loss]]:
        """Write a request."""
        body, losses = write_request(request, self._base_of(request))
        return _encode(body), losses

    def read_response(self, body: bytes, request: ChatRequest) -> ChatResponse:
        """Read a whole answer."""
        return read_response(body, request, self._base_of(request))

    def read_stream(self, request: ChatRequest) -> StreamReader:
        """Make what reads a streamed answer."""
        return StreamReader(request, self._base_of(request))

    def _base_of(self, request: ChatRequest) -> str:
        return self._base or base_model(request.model)


class _Count(msgspec.Struct, rename="camel"):
    input_tokens: int


_decode_count = msgspec.json.Decoder(_Count).decode


class ConverseCounter:
    """Asks for the tokens of a request.

    https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_CountTokens.html
    """

    def __init__(self, base: str) -> None:
        self._base = base

    def target(self, model: str) -> str:
        """Give the path; profiles are not counted for, only the models behind them."""
        return f"{path_of(self._base)}/count-tokens"

    def write_request(self, request: ChatRequest) -> bytes:
        """Write the question: the request without all that counts no tokens."""
        body, _ = write_request(request, self._base)
        counted = {name: body[name] for name in _COUNTED if name in body}
        return _encode({"input": {"converse": counted}})

    def read_response(self, body: bytes) -> int:
        """Read the number."""
        try:
            return _decode_count(body).input_tokens
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            raise UpstreamGarbage("Bedrock answered a token count with none") from None


def path_of(model: str) -> str:
    """Give the path of a model."""
    return f"/model/{quote(model, safe='')}"
