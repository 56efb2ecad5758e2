"""The vendors' own clients, reading what we write without a network between."""

from collections.abc import Callable, Mapping
from typing import Any

import anthropic
import httpx2
import openai
from anthropic.types import Message, RawMessageStreamEvent
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.responses import (
    Response,
    ResponseCompletedEvent,
    ResponseFailedEvent,
    ResponseIncompleteEvent,
    ResponseStreamEvent,
)
from pydantic import BaseModel, TypeAdapter

from nexus.http import frames

Json = dict[str, Any]
_WHOLE: Mapping[str, type[BaseModel]] = {
    "openai": ChatCompletion,
    "responses": Response,
    "anthropic": Message,
}


_EVENTS: Mapping[str, TypeAdapter[Any]] = {
    "openai": TypeAdapter(ChatCompletionChunk),
    "responses": TypeAdapter(ResponseStreamEvent),
    "anthropic": TypeAdapter(RawMessageStreamEvent),
}
_CUT_SHORT = (openai.LengthFinishReasonError, openai.ContentFilterFinishReasonError)
_BESIDE = (b"[DONE]", b'{"error":', b'{"type":"error"', b'{"type":"ping"')
"""Events that the clients know apart from their types."""


def check_events(inbound: str, body: bytes) -> None:
    """Read every event of a stream by itself; whatever its type does not allow is an error."""
    for payload in frames.payloads(body):
        if not payload.startswith(_BESIDE):
            _EVENTS[inbound].validate_json(payload)


def read_whole(inbound: str, body: bytes) -> Json:
    """Read a whole answer; whatever its types do not allow is an error."""
    return _WHOLE[inbound].model_validate_json(body).model_dump(exclude_none=True)


def read_stream(inbound: str, body: bytes) -> Json:
    """Read a stream and give what the client makes of it.

    Raises:
        openai.APIError, anthropic.APIError: the stream tells of a failure.
    """
    return _STREAMED[inbound](body)


def _transport(body: bytes) -> httpx2.Client:
    def answer(_: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(200, content=body, headers={"content-type": "text/event-stream"})

    return httpx2.Client(transport=httpx2.MockTransport(answer))


def _openai(body: bytes) -> openai.OpenAI:
    return openai.OpenAI(api_key="k", base_url="http://nexus", max_retries=0, http_client=_transport(body))


def _chat(body: bytes) -> Json:
    asked = _openai(body).chat.completions.stream(model="m", messages=[{"role": "user", "content": "Hi"}])
    with asked as stream:
        try:
            return stream.until_done().get_final_completion().model_dump(exclude_none=True)
        except _CUT_SHORT as error:  # what this client does with every answer that was
            return error.completion.model_dump(exclude_none=True) if error.completion else {}


def _responses(body: bytes) -> Json:
    with _openai(body).responses.stream(model="m", input="Hi") as stream:
        for event in stream:
            if isinstance(event, ResponseCompletedEvent | ResponseIncompleteEvent):
                return event.response.model_dump(exclude_none=True)
            if isinstance(event, ResponseFailedEvent):
                raise openai.APIError(
                    str(event.response.error), httpx2.Request("POST", "http://nexus"), body=None
                )
    raise openai.APIError("the stream has no end", httpx2.Request("POST", "http://nexus"), body=None)


def _messages(body: bytes) -> Json:
    client = anthropic.Anthropic(
        api_key="k", base_url="http://nexus", max_retries=0, http_client=_transport(body)
    )
    with client.messages.stream(
        model="m", max_tokens=9, messages=[{"role": "user", "content": "Hi"}]
    ) as stream:
        return stream.get_final_message().model_dump(exclude_none=True)


_STREAMED: Mapping[str, Callable[[bytes], Json]] = {
    "openai": _chat,
    "responses": _responses,
    "anthropic": _messages,
}
