"""What Gemini answers, whole or in chunks of the same form.

https://ai.google.dev/api/generate-content#v1beta.GenerateContentResponse
"""

from datetime import datetime

import msgspec

from nexus.errors import UpstreamFailed
from nexus.llm.canonical import Json

_KINDS = {
    "INVALID_ARGUMENT": "invalid_request_error",
    "FAILED_PRECONDITION": "invalid_request_error",
    "UNAUTHENTICATED": "authentication_error",
    "PERMISSION_DENIED": "permission_error",
    "NOT_FOUND": "not_found_error",
    "RESOURCE_EXHAUSTED": "rate_limit_error",
    "UNAVAILABLE": "overloaded_error",
}


class Blob(msgspec.Struct, rename="camel", gc=False):
    """Bytes in base64."""

    mime_type: str = ""
    data: str = ""


class FunctionCall(msgspec.Struct, rename="camel"):
    """A call, always whole."""

    name: str = ""
    args: msgspec.Raw = msgspec.Raw(b"{}")
    id: str | None = None


class Part(msgspec.Struct, rename="camel"):
    """The parts we act on; all else is kept as it came."""

    text: str | None = None
    thought: bool | None = None
    thought_signature: str | None = None
    function_call: FunctionCall | None = None
    inline_data: Blob | None = None


class Content(msgspec.Struct):
    """The parts of an answer, each as it came."""

    parts: list[msgspec.Raw] | None = None


class Token(msgspec.Struct, rename="camel", gc=False):
    """A token and how probable it was."""

    token: str = ""
    log_probability: float = 0.0


class TopTokens(msgspec.Struct):
    """The most probable tokens of one step."""

    candidates: list[Token] = []


class Logprobs(msgspec.Struct, rename="camel"):
    """The tokens of an answer, step by step."""

    chosen_candidates: list[Token] = []
    top_candidates: list[TopTokens] = []


class Candidate(msgspec.Struct, rename="camel"):
    """One of the answers."""

    content: Content | None = None
    index: int | None = None
    finish_reason: str | None = None
    finish_message: str | None = None
    logprobs_result: Logprobs | None = None
    safety_ratings: Json = None
    grounding_metadata: dict[str, Json] | None = None
    citation_metadata: dict[str, Json] | None = None
    url_context_metadata: dict[str, Json] | None = None


class Feedback(msgspec.Struct, rename="camel"):
    """What was thought of the prompt."""

    block_reason: str | None = None
    block_reason_message: str | None = None
    safety_ratings: Json = None


class Failure(msgspec.Struct):
    """A failure, told in place of an answer or in the middle of one."""

    message: str = ""
    status: str = ""

    def error(self) -> UpstreamFailed:
        """Tell it as an error."""
        return UpstreamFailed(self.message or "Google failed", _KINDS.get(self.status, "api_error"))


class Chunk(msgspec.Struct, rename="camel"):
    """A whole answer, or what came of it since the last."""

    candidates: list[Candidate] | None = None
    prompt_feedback: Feedback | None = None
    usage_metadata: msgspec.Raw = msgspec.Raw()
    model_version: str | None = None
    response_id: str | None = None
    create_time: datetime | None = None
    error: Failure | None = None


_decoder: msgspec.json.Decoder[Chunk | list[Chunk]] = msgspec.json.Decoder(Chunk | list[Chunk])
decode = _decoder.decode
decode_part = msgspec.json.Decoder(Part).decode
